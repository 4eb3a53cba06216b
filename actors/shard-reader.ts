/**
 * The shards that this poller holds: brings their records to the function, batch by batch, and stores how far they are.
 *
 * A shard is held by lease (`holding.ts`), its records come in and its checkpoint is kept by its reading (`shard-reading.ts`),
 * and each of its lanes is a `shard-reader`, which decides. The payloads stay in the tables here.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { LaneProgress } from '../bus/checkpoints.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import { encodeToken } from '../bus/encoded-token.ts'
import type { Leases } from '../bus/leases.ts'
import type { StoredRecord } from '../bus/shard-record.ts'
import { trackerEnded, trackerResult } from '../bus/subjects.ts'
import { compileFilters, type FilterRecord } from '../edges/aws/filter-pattern.ts'
import { type EventWindow, kinesisEvent } from '../edges/aws/kinesis-event.ts'
import type { Place } from '../edges/aws/names.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import { stableUuid } from '../edges/stable-uuid.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { MappingRecord, MappingSettings, ShardWork } from '../machines/mapping.ts'
import {
  type Batch,
  type BatchOutcome,
  leftBy,
  type ReaderSettings,
  shardReaderMachine,
} from '../machines/shard-reader.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import { type Host, host } from './actor.ts'
import type { Attempted, Attempts } from './attempt.ts'
import {
  type Assignment,
  type Holdings,
  openHoldings,
  type Reader,
  shardLeases,
} from './holding.ts'
import {
  type BatchRecord,
  type Cut,
  cutBatch,
  eventRecord,
  filterRecord,
  judge,
  lastExpired,
  type ShardFrame,
} from './shard-batch.ts'
import { count, noCounts, type ShardCounts } from './shard-counts.ts'
import { type Answered, type Failure, failureOf } from './shard-failure.ts'
import { openShardReading, type ShardReading } from './shard-reading.ts'

export type HeldShard = {
  key: string
  mapping: MappingRecord
  work: ShardWork
  reading: ShardReading
  counts: ShardCounts
}

export type ShardReaders = {
  host: Host<typeof shardReaderMachine>
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

type LaneInHand = {
  cut: Cut | undefined
  /** Names the attempt that runs: an answer to another one is nobody's. */
  running: string | undefined
  /** Of the last attempt, for whoever is told. */
  answer: Answered | undefined
  requestId: string
  /** Of the window that is open, as JSON. */
  state: string
  /** To the next reader; while its machine runs, that knows better. */
  left: Omit<LaneProgress, 'done' | 'window'> & { windowStartMs?: number | undefined }
}

type Held = Reader & {
  key: string
  work: ShardWork
  mapping: MappingRecord
  shard: Shard
  frame: ShardFrame
  reading: ShardReading
  lanes: LaneInHand[]
  passes: (record: FilterRecord) => boolean
  counts: ShardCounts
  isEnding: boolean
}

/** Beside the function's own time: two ways over the bus. */
const SLACK_MS = 1_000
const LONGEST_FUNCTION_MS = 900_000
/** A millisecond of work, and no more memory than what waits anyway. */
const MOST_PREPARED = 200
const TELL_AGAIN_MS = 1_000
const emptyState = '{}'

const instanceOf = (key: string, lane: number): string => `${key}.${lane}`
function partsOf(instance: string): { key: string; lane: number } {
  const dot = instance.lastIndexOf('.')
  return { key: instance.slice(0, dot), lane: Number(instance.slice(dot + 1)) }
}

export function openShardReaders(binding: ShardReadersBinding): ShardReaders {
  const { bus, clock, log, place } = binding
  /** From when they are opened until they are left. */
  const held = new Map<string, Held>()
  let works: DirectoryCopy<ShardWork> | undefined
  let mappings: DirectoryCopy<MappingRecord> | undefined
  let streams: DirectoryCopy<StreamRecord> | undefined
  /** What was said last of each mapping. */
  const results = new Map<string, string>()

  const readers = host(shardReaderMachine, {
    clock,
    log,
    duties: {
      form: ({ to, windowStartMs }, instance) => form(instance, to, windowStartMs),
      attempt: ({ batch, maximumRecordAgeMs, windowStartMs }, instance) =>
        attempt(instance, batch, maximumRecordAgeMs, windowStartMs),
      attemptWindow: ({ startMs, isEarly }, instance) => attemptWindow(instance, startMs, isEarly),
      advance: ({ to }, instance) => {
        const { it, lane, inHand } = taken(instance)
        it.reading.lanes.drop(lane, to)
        inHand.cut = undefined
        it.reading.advanced()
      },
      remember: (_, instance) => taken(instance).it.reading.remember(),
      tell: async ({ condition, to, invocations }, instance) => {
        const { it, inHand } = taken(instance)
        const records = inHand.cut?.records.filter(({ sequence }) => sequence <= to) ?? []
        it.counts.discarded += records.length
        const endedAtMs = clock.nowMs()
        const { mapping, frame } = it
        const { requestId, answer } = inHand
        const ending = { condition, invocations, requestId, answer, records, endedAtMs }
        await tell(it, failureOf(place, mapping, frame, ending))
        if (held.get(it.key) === it) readers.send(instance, { type: 'told' })
      },
      forgetWindow: (_, instance) => {
        const { it, inHand } = taken(instance)
        inHand.state = emptyState
        it.reading.remember()
      },
      rest: (_, instance) => seeWhetherThrough(taken(instance).it),
    },
    ended: (instance, { context }) => {
      const { it, inHand } = taken(instance)
      inHand.left = leftBy(context)
      seeWhetherEmpty(it)
    },
  })

  const taken = (instance: string): { it: Held; lane: number; inHand: LaneInHand } => {
    const { key, lane } = partsOf(instance)
    const it = held.get(key)
    const inHand = it?.lanes[lane]
    if (it === undefined || inHand === undefined) throw new Error(`${instance} is not held here`)
    return { it, lane, inHand }
  }

  // ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

  const isFull = ({ reading, mapping, key }: Held, lane: number): boolean => {
    const cut = readers.snapshot(instanceOf(key, lane))?.context.batches[0]
    return cut === undefined
      ? reading.lanes.size(lane) >= mapping.settings.batchSize || reading.lanes.isFull(lane)
      : reading.lanes.covers(lane, cut.to) || reading.lanes.isFull(lane)
  }

  const form = (
    instance: string,
    to: number | undefined,
    windowStartMs: number | undefined,
  ): void => {
    const { it, lane, inHand } = taken(instance)
    const { batchSize, tumblingWindowMs } = it.mapping.settings
    const { lanes } = it.reading
    const limits = { batchSize, to, tumblingWindowMs, windowStartMs }
    noteRole(it)
    const cut = cutBatch((index) => lanes.at(lane, index), limits, it.frame, inHand.state)
    if (cut === undefined || cut === 'windowOver') {
      readers.send(instance, { type: cut ?? 'nothing' })
      return
    }
    inHand.cut = cut
    const left = lanes.size(lane) - cut.batch.records
    readers.send(instance, {
      type: 'formed',
      batch: cut.batch,
      nowMs: clock.nowMs(),
      hasMore: left > 0,
      isFull: left >= batchSize,
    })
  }

  /** It is in every record, and counts for what a batch may hold. */
  const noteRole = (it: Held): void => {
    const record = binding.functions.get(it.mapping.functionName)
    const roleArn = (record?.serving?.settings ?? record?.settings)?.role ?? ''
    if (roleArn !== it.frame.roleArn) it.frame = { ...it.frame, roleArn }
  }

  const attempt = (
    instance: string,
    batch: Batch,
    maximumRecordAgeMs: number,
    windowStartMs: number | undefined,
  ): void => {
    const { it, lane, inHand } = taken(instance)
    const records = inHand.cut?.records ?? []
    // What was never tried is told of with an id, too.
    inHand.requestId = stableUuid(`${instance}/${it.work.incarnation}/${batch.from}/${batch.to}`)
    const tooOld = lastExpired(records, maximumRecordAgeMs, clock.nowMs())
    if (tooOld !== undefined) {
      readers.send(instance, { type: 'expired', to: tooOld })
      return
    }
    if (inHand.cut?.isTooLarge === true) {
      inHand.answer = undefined
      ended(it, lane, records, { kind: 'unsendable' })
      return
    }
    const window =
      windowStartMs === undefined
        ? undefined
        : windowMembers(it, inHand, windowStartMs, false, false)
    invoke(it, lane, records, window)
  }

  const attemptWindow = (instance: string, startMs: number, isEarly: boolean): void => {
    const { it, lane, inHand } = taken(instance)
    inHand.requestId = stableUuid(`${instance}/${it.work.incarnation}/window/${startMs}`)
    invoke(it, lane, [], windowMembers(it, inHand, startMs, true, isEarly))
  }

  const invoke = (
    it: Held,
    lane: number,
    records: readonly BatchRecord[],
    window: EventWindow | undefined,
  ): void => {
    const { mapping } = it
    const inHand = it.lanes[lane] as LaneInHand
    const { requestId } = inHand
    const record = binding.functions.get(mapping.functionName)
    const payload = kinesisEvent({ ...it.frame, records, window })
    const timeoutMs = (record?.serving?.settings.timeoutSeconds ?? 0) * 1000 || LONGEST_FUNCTION_MS
    const order = { requestId, functionName: mapping.functionName, qualifier: mapping.qualifier }
    const deadlineMs = timeoutMs + binding.reservationTimeoutMs + SLACK_MS
    inHand.running = requestId
    binding.attempts.attempt(order, payload, deadlineMs, (attempted) => {
      if (held.get(it.key) !== it || inHand.running !== requestId) return
      inHand.running = undefined
      answered(it, lane, records, attempted, window !== undefined)
    })
    queueMicrotask(() => prepare(it, lane, records.length))
  }

  /** What the next batch is made of is made while this one is being tried. */
  const prepare = (it: Held, lane: number, behind: number): void => {
    if (held.get(it.key) !== it) return
    const { lanes } = it.reading
    const count = Math.min(it.mapping.settings.batchSize, MOST_PREPARED)
    for (let index = behind; index < behind + count; index++) {
      const record = lanes.at(lane, index)
      if (record === undefined) return
      eventRecord(record, it.frame)
    }
  }

  const answered = (
    it: Held,
    lane: number,
    records: readonly BatchRecord[],
    attempted: Attempted,
    inWindow: boolean,
  ): void => {
    // From when the lease may be another's, nothing is decided in its name.
    if (!holdings.isHeld(it.key)) return
    const inHand = it.lanes[lane] as LaneInHand
    const { reportsItemFailures } = it.mapping.settings
    const { outcome, state } = judge(attempted, records, { reportsItemFailures, inWindow })
    inHand.answer = answerOf(attempted)
    if (state !== undefined) inHand.state = state
    ended(it, lane, records, outcome)
  }

  const ended = (
    it: Held,
    lane: number,
    records: readonly BatchRecord[],
    outcome: BatchOutcome,
  ): void => {
    count(it.counts, records, outcome, clock.nowMs())
    sayResult(it.mapping.uuid, outcome)
    readers.send(instanceOf(it.key, lane), { type: 'attempted', outcome, nowMs: clock.nowMs() })
  }

  const sayResult = (mapping: string, { kind }: BatchOutcome): void => {
    const isWell = kind === 'succeeded' || kind === 'overflown'
    const result = isWell ? 'OK' : 'PROBLEM: Function call failed'
    if (results.get(mapping) === result) return
    results.set(mapping, result)
    bus.publish(trackerResult, JSON.stringify({ mapping, result }))
  }

  // ── What is given up ─────────────────────────────────────────────────────────────────────────────────────────────

  /** As long as it takes: what is given up without anybody being told would be lost. */
  const tell = async (it: Held, failure: Failure): Promise<void> => {
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
    const it: Omit<Held, 'reading' | 'lanes'> & Partial<Pick<Held, 'reading' | 'lanes'>> = {
      key,
      mapping,
      work,
      shard,
      frame: {
        place,
        streamArn: mapping.sourceArn,
        shardId: shardId(shard.index),
        roleArn: '',
        shard: shard.index,
        shardCreatedAtMs: shard.createdAtMs,
      },
      passes: compileFilters(mapping.settings.filters),
      counts: noCounts(),
      isEnding: false,
      read: () => begin(it as Held),
      pause: () => it.reading?.pause(),
      close: async () => await it.reading?.close(),
    }
    const reading = await openShardReading({
      bus,
      clock,
      log,
      key,
      epoch,
      work,
      lanes: mapping.settings.parallelizationFactor,
      batchSize: () => it.mapping.settings.batchSize,
      passes: (record) => passes(it as Held, record),
      leftIn: (lane) => leftIn(it as Held, lane),
      arrived: (lane) =>
        readers.send(instanceOf(key, lane), { type: 'arrived', isFull: isFull(it as Held, lane) }),
      settled: () => seeWhetherThrough(it as Held),
      lost,
    })
    if (reading === 'fenced') return 'fenced'
    it.reading = reading
    it.lanes = reading.left.map(({ batches = [], window }) => ({
      cut: undefined,
      running: undefined,
      answer: undefined,
      requestId: '',
      state: window?.state ?? emptyState,
      left: { batches, windowStartMs: window?.startMs },
    }))
    return it as Held
  }

  const begin = async (it: Held): Promise<void> => {
    held.set(it.key, it)
    const settings = settingsOf(it.mapping.settings)
    for (const [lane, { left }] of it.lanes.entries()) {
      const { batches = [], windowStartMs } = left
      readers.start(instanceOf(it.key, lane), { settings, batches, windowStartMs })
    }
    await it.reading.read()
    seeWhetherClosed(it)
    seeWhetherThrough(it)
  }

  const leftIn = (it: Held, lane: number): Omit<LaneProgress, 'done'> => {
    const snapshot = readers.snapshot(instanceOf(it.key, lane))
    const inHand = it.lanes[lane] as LaneInHand
    const { batches = [], windowStartMs } = snapshot ? leftBy(snapshot.context) : inHand.left
    const window =
      windowStartMs === undefined ? undefined : { startMs: windowStartMs, state: inHand.state }
    return {
      ...(batches.length === 0 ? {} : { batches }),
      ...(window === undefined ? {} : { window }),
    }
  }

  const passes = (it: Held, record: StoredRecord): boolean => {
    if (it.mapping.settings.filters.length === 0) return true
    const isSeen = it.passes(filterRecord(it.frame, record))
    if (!isSeen) it.counts.filtered++
    return isSeen
  }

  const lanesOf = (it: Held): string[] => it.lanes.map((_, lane) => instanceOf(it.key, lane))

  const seeWhetherClosed = (it: Held): void => {
    const stream = streams?.get(encodeToken(it.work.stream))
    const shard = stream?.shards.find(({ index }) => index === it.work.shard)
    if (stream?.incarnation === it.work.incarnation && shard?.until !== undefined) {
      it.reading.closed()
    }
  }

  /** A closed shard that is read to its end is told of once it is stored. */
  const seeWhetherThrough = (it: Held): void => {
    if (held.get(it.key) !== it || it.isEnding) return
    if (it.reading.hasEnded) {
      sayEnded(it)
      return
    }
    if (!it.reading.isThrough) return
    const states = lanesOf(it).map((instance) => readers.snapshot(instance))
    const inWindow = lanesOf(it).filter((_, lane) =>
      states[lane]?.matches({ reading: 'betweenBatches' }),
    )
    for (const instance of inWindow) readers.send(instance, { type: 'shardOver' })
    if (inWindow.length > 0 || !states.every((one) => one?.matches({ reading: 'idle' }))) return
    it.isEnding = true
    void it.reading.end().then((outcome) => {
      it.isEnding = false
      if (outcome === 'stored') sayEnded(it)
    })
  }

  const sayEnded = ({ work }: Held): void =>
    bus.publish(trackerEnded, JSON.stringify({ mapping: work.mapping, shard: work.shard }))

  const seeWhetherEmpty = (it: Held): void => {
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
      for (const instance of lanesOf(it)) readers.forget(instance)
    },
  })

  const mappingChanged = (uuid: string, record: MappingRecord | undefined): void => {
    if (record === undefined) {
      results.delete(uuid)
      return
    }
    for (const it of held.values()) if (it.work.mapping === uuid) reconfigure(it, record)
  }

  const reconfigure = (it: Held, record: MappingRecord): void => {
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

const windowMembers = (
  { mapping }: Held,
  { state }: LaneInHand,
  startMs: number,
  isFinal: boolean,
  isTerminatedEarly: boolean,
): EventWindow => ({
  startMs,
  endMs: startMs + mapping.settings.tumblingWindowMs,
  state,
  isFinal,
  isTerminatedEarly,
})

function answerOf(attempted: Attempted): LaneInHand['answer'] {
  if (attempted === 'unknown' || attempted.answer.statusCode !== 200) return undefined
  const { executedVersion = '$LATEST', functionError } = attempted.answer
  return { executedVersion, functionError: functionError === undefined ? null : 'Unhandled' }
}
