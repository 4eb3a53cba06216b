/**
 * The shards that this poller holds: brings their records to the function, batch by batch, and stores how far they are.
 *
 * A shard is held by lease (`holding.ts`), its records come in and its checkpoint is kept by its reading (`shard-reading.ts`),
 * and each of its lanes is a `shard-reader`, which decides; attempts are made by `shard-attempts.ts`. The payloads stay in tables.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { LaneProgress } from '../bus/checkpoints.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import { encodeToken } from '../bus/encoded-token.ts'
import type { Leases } from '../bus/leases.ts'
import type { StoredRecord } from '../bus/shard-record.ts'
import { trackerEnded, trackerResult } from '../bus/subjects.ts'
import { compileFilters } from '../edges/aws/filter-pattern.ts'
import type { Place } from '../edges/aws/names.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { MappingRecord, MappingSettings, ShardWork } from '../machines/mapping.ts'
import {
  type BatchOutcome,
  leftBy,
  type ReaderSettings,
  shardReaderMachine,
} from '../machines/shard-reader.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import { type Host, host } from './actor.ts'
import type { Attempts } from './attempt.ts'
import {
  emptyState,
  type HeldShard,
  instanceOf,
  type LaneInHand,
  laneOf,
  partsOf,
} from './held-shard.ts'
import {
  type Assignment,
  type Holdings,
  openHoldings,
  type Reader,
  shardLeases,
} from './holding.ts'
import { openShardAttempts } from './shard-attempts.ts'
import { filterRecord, type ShardFrame } from './shard-batch.ts'
import { noCounts } from './shard-counts.ts'
import { type Failure, failureOf } from './shard-failure.ts'
import { openShardReadings, type ShardReadings } from './shard-reading.ts'

export type ShardReaders = {
  host: Host<typeof shardReaderMachine>
  sources: ShardReadings['sources']
  ends: ShardReadings['ends']
  holdings: Holdings<Held>['host']
  join(): Promise<void>
  held(): IterableIterator<HeldShard>
  stop(): Promise<void>
}

export type ShardReadersBinding = {
  bus: Bus
  clock: Clock
  log: Log
  place: Place
  leases: Leases<string>
  assignments: Directory<Assignment>
  works: Directory<ShardWork>
  mappings: Directory<MappingRecord>
  streams: Directory<StreamRecord>
  functions: { get(name: string): FunctionRecord | undefined }
  attempts: Pick<Attempts, 'attempt'>
  /** Resolves when it is stored: from then on it will be told. */
  tell(failure: Failure): Promise<void>
  pollerId: string
  leaseTtlMs: number
  drainForMs: number
  reconcileMs: number
  silenceMs: number
  reservationTimeoutMs: number
  backOffMs: number
  longestBackOffMs: number
}

const TELL_AGAIN_MS = 1_000
const SAY_AGAIN_MS = 10_000

type Held = Reader & HeldShard

export function openShardReaders(binding: ShardReadersBinding): ShardReaders {
  const { bus, clock, log, place } = binding
  /** From when they are opened until they are left. */
  const held = new Map<string, HeldShard>()
  let works: DirectoryCopy<ShardWork> | undefined
  let mappings: DirectoryCopy<MappingRecord> | undefined
  let streams: DirectoryCopy<StreamRecord> | undefined
  /** What was said last of each mapping. */
  const results = new Map<string, { result: string; atMs: number }>()

  const readings = openShardReadings({ bus, clock, log })
  const readers = host(shardReaderMachine, {
    clock,
    log,
    duties: {
      form: (cut, instance) => batches.form(...laneAt(instance), cut),
      attempt: (what, instance) => batches.attempt(...laneAt(instance), what),
      attemptWindow: (window, instance) => batches.attemptWindow(...laneAt(instance), window),
      advance: ({ to }, instance) => {
        const [it, lane] = laneAt(instance)
        it.reading.lanes.drop(lane, to)
        laneOf(it, lane).cut = undefined
        it.reading.advanced()
      },
      remember: (_, instance) => laneAt(instance)[0].reading.remember(),
      tell: async ({ condition, to, invocations }, instance) => {
        const [it, lane] = laneAt(instance)
        const { cut, requestId, answer } = laneOf(it, lane)
        const records = cut?.records.filter(({ sequence }) => sequence <= to) ?? []
        it.counts.discarded += records.length
        const endedAtMs = clock.nowMs()
        const ending = { condition, invocations, requestId, answer, records, endedAtMs }
        await tell(it, failureOf(place, it.mapping, it.frame, ending))
        if (held.get(it.key) === it) readers.send(instance, { type: 'told' })
      },
      forgetWindow: (_, instance) => {
        const [it, lane] = laneAt(instance)
        laneOf(it, lane).state = emptyState
        it.reading.remember()
      },
      rest: (_, instance) => seeWhetherThrough(laneAt(instance)[0]),
    },
    ended: (instance, { context }) => {
      const [it, lane] = laneAt(instance)
      laneOf(it, lane).left = leftBy(context)
      seeWhetherEmpty(it)
    },
  })

  const laneAt = (instance: string): [HeldShard, lane: number] => {
    const { key, lane } = partsOf(instance)
    const it = held.get(key)
    if (it === undefined) throw new Error(`${key} is not held here`)
    return [it, lane]
  }

  /** Of what is being tried nothing waits. `to`: where the batch ends that is cut already, if one is. */
  const isFull = (
    { reading, mapping, key }: HeldShard,
    lane: number,
    to = readers.snapshot(instanceOf(key, lane))?.context.batches[0]?.to,
  ): boolean => {
    const { lanes, pending } = reading
    const { batch } = readers.snapshot(instanceOf(key, lane))?.context ?? {}
    const waiting = lanes.size(lane) - (batch?.records ?? 0)
    if (waiting >= mapping.settings.batchSize || lanes.isFull(lane)) return true
    // What does not come any more was there too long.
    return to !== undefined && (lanes.covers(lane, to) || pending === 0)
  }

  const seeWhetherComplete = (it: HeldShard): void => {
    for (const [lane, instance] of lanesOf(it).entries()) {
      const isCompleting = readers.snapshot(instance)?.matches({ reading: 'completing' })
      if (isCompleting === true && isFull(it, lane)) {
        readers.send(instance, { type: 'arrived', isFull: true })
      }
    }
  }

  const batches = openShardAttempts({
    ...binding,
    isComplete: isFull,
    send: (instance, event) => readers.send(instance, event),
    isHeld: (it) => held.get(it.key) === it && holdings.isHeld(it.key),
    ended: (it, outcome) => sayResult(it.mapping.uuid, outcome),
  })

  /** The tracker may not have heard it: said again now and then. */
  const sayResult = (mapping: string, { kind }: BatchOutcome): void => {
    const isWell = kind === 'succeeded' || kind === 'overflown'
    const result = isWell ? 'OK' : 'PROBLEM: Function call failed'
    const nowMs = clock.monotonicMs()
    const before = results.get(mapping)
    if (before?.result === result && nowMs - before.atMs < SAY_AGAIN_MS) return
    results.set(mapping, { result, atMs: nowMs })
    bus.publish(trackerResult, JSON.stringify({ mapping, result }))
  }

  // ── What is given up ─────────────────────────────────────────────────────────────────────────────────────────────

  /** As long as it takes: what is given up without anybody being told would be lost. */
  const tell = async (it: HeldShard, failure: Failure): Promise<void> => {
    while (held.get(it.key) === it) {
      try {
        await binding.tell(failure)
        return
      } catch (error) {
        log.warn(
          { code: 'FAILURE_NOT_TOLD', key: it.key, err: error },
          'records that are given up could not be told of; again soon',
        )
        await new Promise<void>((resolve) => clock.setTimer(resolve, TELL_AGAIN_MS))
      }
    }
  }

  // ── Shards ───────────────────────────────────────────────────────────────────────────────────────────────────────

  const settingsOf = (settings: MappingSettings): ReaderSettings => ({
    batchingWindowMs: settings.batchingWindowMs,
    bisectsOnError: settings.bisectsOnError,
    maximumRetryAttempts: settings.maximumRetryAttempts,
    maximumRecordAgeMs: settings.maximumRecordAgeMs,
    tumblingWindowMs: settings.tumblingWindowMs,
    tells: settings.onFailure !== undefined,
    backOffMs: binding.backOffMs,
    longestBackOffMs: binding.longestBackOffMs,
  })

  /** `fenced`: what it is about is not known here yet, or not any more. */
  const open = async (key: string, epoch: number, lost: () => void): Promise<Held | 'fenced'> => {
    const work = works?.get(key)
    const mapping = work && mappings?.get(work.mapping)
    const stream = work && streams?.get(encodeToken(work.stream))
    const shard = stream?.shards.find(({ index }) => index === work?.shard)
    if (work === undefined || mapping === undefined || shard === undefined) return 'fenced'
    if (stream?.incarnation !== work.incarnation) return 'fenced'
    const reading = await readings.open({
      key,
      epoch,
      work,
      lanes: mapping.settings.parallelizationFactor,
      batchSize: () => it.mapping.settings.batchSize,
      passes: (record) => passes(it, record),
      leftIn: (lane) => leftIn(it, lane),
      arrived: (lane) =>
        readers.send(instanceOf(key, lane), { type: 'arrived', isFull: isFull(it, lane) }),
      cameIn: () => seeWhetherComplete(it),
      settled: () => seeWhetherThrough(it),
      ended: () => sayEnded(it),
      lost,
    })
    if (reading === 'fenced') return 'fenced'
    const it: Held = {
      key,
      work,
      mapping,
      frame: frameOf(place, mapping, shard),
      reading,
      lanes: reading.left.map(inHandOf),
      passes: compileFilters(mapping.settings.filters),
      counts: noCounts(),
      read: () => begin(it),
      pause: reading.pause,
      close: reading.close,
    }
    return it
  }

  const begin = async (it: HeldShard): Promise<void> => {
    held.set(it.key, it)
    const settings = settingsOf(it.mapping.settings)
    for (const [lane, { left }] of it.lanes.entries()) {
      const { batches = [], windowStartMs } = left
      const nowMs = clock.nowMs()
      readers.start(instanceOf(it.key, lane), { settings, batches, windowStartMs, nowMs })
    }
    it.reading.read()
    seeWhetherClosed(it)
    seeWhetherThrough(it)
  }

  const leftIn = (it: HeldShard, lane: number): Omit<LaneProgress, 'done'> => {
    const snapshot = readers.snapshot(instanceOf(it.key, lane))
    const inHand = laneOf(it, lane)
    const { batches = [], windowStartMs } = snapshot ? leftBy(snapshot.context) : inHand.left
    const window =
      windowStartMs === undefined ? undefined : { startMs: windowStartMs, state: inHand.state }
    return {
      ...(batches.length === 0 ? {} : { batches }),
      ...(window === undefined ? {} : { window }),
    }
  }

  const passes = (it: HeldShard, record: StoredRecord): boolean => {
    if (it.mapping.settings.filters.length === 0) return true
    const isSeen = it.passes(filterRecord(it.frame, record))
    if (!isSeen) it.counts.filtered++
    return isSeen
  }

  const lanesOf = (it: HeldShard): string[] => it.lanes.map((_, lane) => instanceOf(it.key, lane))

  const seeWhetherClosed = (it: HeldShard): void => {
    const stream = streams?.get(encodeToken(it.work.stream))
    const shard = stream?.shards.find(({ index }) => index === it.work.shard)
    if (stream?.incarnation === it.work.incarnation && shard?.until !== undefined) {
      it.reading.closed()
    }
  }

  /** A closed shard is through when no lane has anything of it in hand, and no window is open. */
  const seeWhetherThrough = (it: HeldShard): void => {
    if (held.get(it.key) !== it || !it.reading.isAllIn) return
    const states = lanesOf(it).map((instance) => readers.snapshot(instance))
    const inWindow = lanesOf(it).filter((_, lane) =>
      states[lane]?.matches({ reading: 'betweenBatches' }),
    )
    for (const instance of inWindow) readers.send(instance, { type: 'shardOver' })
    if (inWindow.length > 0 || !states.every((one) => one?.matches({ reading: 'idle' }))) return
    it.reading.through()
  }

  const sayEnded = ({ work }: HeldShard): void =>
    bus.publish(trackerEnded, JSON.stringify({ mapping: work.mapping, shard: work.shard }))

  const seeWhetherEmpty = (it: HeldShard): void => {
    if (lanesOf(it).every((instance) => readers.snapshot(instance) === undefined)) {
      holdings.emptied(it.key)
    }
  }

  const holdings = openHoldings<Held>({
    ...binding,
    prefix: shardLeases,
    open,
    drain(key) {
      const it = held.get(key)
      if (it === undefined) return
      for (const instance of lanesOf(it)) readers.send(instance, { type: 'stop' })
      seeWhetherEmpty(it)
    },
    left(key) {
      const it = held.get(key)
      if (it === undefined) return
      held.delete(key)
      for (const [lane, inHand] of it.lanes.entries()) {
        const instance = instanceOf(key, lane)
        const context = readers.snapshot(instance)?.context
        if (context !== undefined) inHand.left = leftBy(context)
        readers.forget(instance)
      }
    },
  })

  const mappingChanged = (uuid: string, record: MappingRecord | undefined): void => {
    if (record === undefined) {
      results.delete(uuid)
      return
    }
    for (const it of held.values()) if (it.work.mapping === uuid) reconfigure(it, record)
  }

  const reconfigure = (it: HeldShard, record: MappingRecord): void => {
    const before = it.mapping.settings
    it.mapping = record
    it.frame = { ...it.frame, streamArn: record.sourceArn }
    if (JSON.stringify(before.filters) !== JSON.stringify(record.settings.filters)) {
      it.passes = compileFilters(record.settings.filters)
    }
    // Other lanes: they are left when what runs has ended, and begun anew where they were.
    if (before.parallelizationFactor !== record.settings.parallelizationFactor) {
      holdings.host.send(it.key, { type: 'withdrawn' })
      return
    }
    const settings = settingsOf(record.settings)
    for (const instance of lanesOf(it)) readers.send(instance, { type: 'configured', settings })
  }

  const streamChanged = (key: string): void => {
    for (const it of held.values()) {
      if (encodeToken(it.work.stream) === key) seeWhetherClosed(it)
    }
  }

  return {
    host: readers,
    sources: readings.sources,
    ends: readings.ends,
    holdings: holdings.host,
    async join() {
      const watching = { reconcileEveryMs: binding.reconcileMs, clock, log }
      streams = await binding.streams.watch({ onChange: streamChanged, ...watching })
      mappings = await binding.mappings.watch({ onChange: mappingChanged, ...watching })
      works = await binding.works.watch(watching)
      await holdings.join()
    },
    held: () => held.values(),
    async stop() {
      await holdings.stop()
      works?.stop()
      mappings?.stop()
      streams?.stop()
    },
  }
}

const frameOf = (place: Place, { sourceArn }: MappingRecord, shard: Shard): ShardFrame => ({
  place,
  streamArn: sourceArn,
  shardId: shardId(shard.index),
  roleArn: '',
  shard: shard.index,
  shardCreatedAtMs: shard.createdAtMs,
})

const inHandOf = ({ batches = [], window }: LaneProgress): LaneInHand => ({
  cut: undefined,
  running: undefined,
  answer: undefined,
  requestId: '',
  state: window?.state ?? emptyState,
  left: { batches, windowStartMs: window?.startMs },
})
