/**
 * The event source mappings, while this stream tracker leads: carries out what control planes ask for, follows the streams,
 * and has the shards tracked that are to be read.
 *
 * What is stored in which order, so that whoever dies in between leaves what the next leader goes on with:
 *
 *     create      the record, with where it begins → the answer → its shards
 *     turn off    the record, Disabling → its shards taken away → no reader is left → the record, Disabled
 *     turn on     (of another stream: the checkpoints of the former taken away) → the record, Enabling → its shards
 *     delete      the record, Deleting → its shards taken away → no reader is left → its checkpoints → the record
 *     a shard     its reader's checkpoint says that it has ended → its entry, ended → its children's, open
 *
 * Records and entries that depend on one another may be stored in either order: a leader makes the entries anew from the
 * records when it begins, and whenever it looks.
 */
import type { Bus, Clock, Log, Msg } from '../bus/bus.ts'
import type { Checkpoints } from '../bus/checkpoints.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import { writerOf } from '../bus/directory-writer.ts'
import type { Leases } from '../bus/leases.ts'
import { openReading } from '../bus/message-fields.ts'
import { trackerEnded, trackerMapping, trackerResult, trackerSync } from '../bus/subjects.ts'
import {
  type MappingCommand,
  type MappingRecord,
  mappingMachine,
  type ShardWork,
} from '../machines/mapping.ts'
import type { shardMachine } from '../machines/shard.ts'
import type { StreamRecord } from '../machines/stream.ts'
import { type Host, host } from './actor.ts'
import { removeOrphans } from './checkpoint-orphans.ts'
import { heardStreams } from './heard-streams.ts'
import { openLeaderQuestions } from './leader-questions.ts'
import { type MappingAnswer, mappingCommands } from './mapping-command.ts'
import { openMappingReaders } from './mapping-readers.ts'
import { notFound, sourceState } from './mapping-source.ts'
import { openTrackedShards } from './shard.ts'
import { openShardAudit } from './shard-audit.ts'

export type Mappings = {
  hosts: readonly [Host<typeof mappingMachine>, Host<typeof shardMachine>]
  /** Begins to watch who reads, and to hear what is asked. */
  join(): Promise<void>
  /** Goes on from what the directories say; resolves when it does, or is to lead no more. */
  lead(epoch: number): Promise<void>
  /** Leads from now on: answers what was asked for in the meantime. */
  serve(): void
  follow(): void
  /** A stream was made, has changed, or is gone: also while another leads. */
  streamChanged(name: string, record: StreamRecord | undefined): void
  get(uuid: string): MappingRecord | undefined
  /** While this one leads: all mappings, with their shards. */
  overview(): MappingOverview[]
  /** The same, as they stand in the directories. */
  records(): MappingRecord[]
  works(): ShardWork[]
  counts(): MappingCounts
  stop(): void
}

export type MappingsBinding = {
  bus: Bus
  clock: Clock
  log: Log
  streams: Pick<Directory<StreamRecord>, 'read'>
  mappings: Directory<MappingRecord>
  works: Directory<ShardWork>
  assignments: Directory<{ poller: string }>
  checkpoints: Checkpoints
  leases: Leases<string>
  /** What is last in a stream's record stream now. */
  lastSequence(stream: string): Promise<number>
  /** How long each change is seen on its way. */
  streamSettleMs: number
  reconcileMs: number
  /** How often it looks for what was missed. */
  lookEveryMs: number
}

/** `reader`: the poller that has its lease. */
export type MappingOverview = {
  record: MappingRecord
  shards: {
    shard: number
    state: ShardWork['state']
    start: ShardWork['start']
    reader?: string
  }[]
}

export type MappingCounts = { unread: number; uncovered: number; repaired: number }

/** A poller ends what runs for 30 s, and its lease is over 15 s after it has hung. */
const LEAVE_FOR_MS = 60_000
const CLEAR_AGAIN_MS = 5_000
const BEGIN_AGAIN_MS = 1_000
/** A result is worth a write, but a shard may have a thousand in a second. */
const RESULTS_EVERY_MS = 1_000
/** Checkpoints without a shard are rare and harmless: with looks every 2 s, about once a minute. */
const ORPHANS_EVERY_LOOKS = 30

const commands: ReadonlySet<string> = new Set<MappingCommand['type']>([
  'create',
  'update',
  'delete',
  'tag',
  'untag',
])

export function openMappings(binding: MappingsBinding): Mappings {
  const { bus, clock, log, checkpoints } = binding
  const records = writerOf(binding.mappings)
  const streams = heardStreams(binding.streams)
  /** Who waits for an answer, by the name that the machine has for it. */
  const askers = new Map<string, Msg>()
  const results = new Map<string, string>()
  /** Taken away by this leader: a copy may show them a moment longer. */
  const gone = new Set<string>()
  let copy: DirectoryCopy<MappingRecord> | undefined
  /** It is to lead with that epoch; and it does. */
  let wanted: number | undefined
  let epoch: number | undefined
  let asked = 0
  let looks = 0
  let isLooking = false
  let looking: unknown
  let telling: unknown

  const readers = openMappingReaders({
    ...binding,
    changed: (uuid, isRead) => {
      if (mappings.snapshot(uuid) !== undefined) mappings.send(uuid, { type: 'readers', isRead })
    },
  })
  const shards = openTrackedShards(binding)
  const audit = openShardAudit({ clock, log, readerOf: readers.readerOf })

  const mappings = host(mappingMachine, {
    clock,
    log,
    duties: {
      publish: async ({ record, reply }, uuid) => {
        try {
          const stored = epoch === undefined ? 'stale' : await records.put(uuid, record, epoch)
          if (stored === 'stored') answer(reply, { record })
        } finally {
          // Whoever is not answered asks again.
          askers.delete(reply)
        }
      },
      refuse: ({ reply }) => answer(reply, { refused: 'busy' }),
      read: (_, uuid) => review(uuid),
      leave: (_, uuid) => shards.leave(uuid),
      clear: (_, uuid) => clear(uuid),
    },
  })

  const answer = (reply: string, what: MappingAnswer): void => {
    askers.get(reply)?.respond(JSON.stringify(what))
    askers.delete(reply)
  }

  const recordOf = (uuid: string): MappingRecord | undefined =>
    mappings.snapshot(uuid)?.context.record

  const all = (): MappingRecord[] =>
    [...mappings.instances()].flatMap((uuid) => recordOf(uuid) ?? [])

  const isReading = (uuid: string): boolean => mappings.snapshot(uuid)?.matches('reading') === true

  /** Has the shards of a mapping that is read tracked as its stream is now, or stops it. */
  const review = (uuid: string): void => {
    const record = recordOf(uuid)
    if (record === undefined || !isReading(uuid)) return
    const stream = streams.get(record.stream)
    // Not to have heard of it is no proof.
    if (stream === undefined) confirm(uuid, record.stream)
    else if (isSourceOf(record, stream)) shards.read(record, stream)
    else mappings.send(uuid, { type: 'sourceGone', reason: notFound(record) })
  }

  const isSourceOf = (record: MappingRecord, stream: StreamRecord): boolean =>
    stream.incarnation === record.incarnation && sourceState(record, stream) === 'there'

  const confirm = (uuid: string, name: string): void => {
    const at = epoch
    streams
      .lookUp(name)
      .then((stream) => {
        const record = recordOf(uuid)
        if (at !== epoch || record === undefined || !isReading(uuid)) return
        if (stream !== undefined) review(uuid)
        else mappings.send(uuid, { type: 'sourceGone', reason: notFound(record) })
      })
      .catch(notSeen)
  }

  const notSeen = (error: unknown): void =>
    log.warn({ code: 'MAPPINGS_NOT_SEEN', err: error }, 'looked at again')

  const reviewAll = (stream: string): void => {
    for (const record of all()) if (record.stream === stream) review(record.uuid)
  }

  const clear = async (uuid: string): Promise<void> => {
    if (epoch === undefined) return
    gone.add(uuid)
    await checkpoints.remove(await checkpoints.keys(uuid))
    if (epoch === undefined || (await records.remove(uuid, epoch)) === 'stale') return
    if (mappings.snapshot(uuid) !== undefined) mappings.send(uuid, { type: 'cleared' })
  }

  const begin = (record: MappingRecord, reply = ''): void =>
    mappings.start(record.uuid, {
      record,
      reply,
      isRead: readers.isRead(record.uuid),
      settleMs: binding.streamSettleMs,
      leaveForMs: LEAVE_FOR_MS,
      clearAgainMs: CLEAR_AGAIN_MS,
    })

  const carryOut = mappingCommands({ ...binding, mappings, streams, begin, answer })

  const commandIn = openReading<MappingCommand>(
    log,
    'MAPPING_MALFORMED',
    ({ type, uuid, nowMs }) =>
      commands.has(String(type)) && typeof uuid === 'string' && typeof nowMs === 'number',
  )
  const endIn = openReading<{ mapping: string; shard: number }>(
    log,
    'SHARD_END_MALFORMED',
    ({ mapping, shard }) => typeof mapping === 'string' && Number.isInteger(shard),
  )
  const resultIn = openReading<{ mapping: string; result: string }>(
    log,
    'MAPPING_RESULT_MALFORMED',
    ({ mapping, result }) => typeof mapping === 'string' && typeof result === 'string',
  )
  const syncIn = openReading<{ stream: string }>(
    log,
    'STREAM_SYNC_MALFORMED',
    ({ stream }) => typeof stream === 'string',
  )

  const hear = (message: Msg): void => {
    if (epoch === undefined) return
    const command = commandIn(message)
    if (command === undefined) return
    const at = epoch
    const reply = String(++asked)
    askers.set(reply, message)
    carryOut(command, reply, () => epoch === at).catch((error) => {
      askers.delete(reply)
      log.warn({ code: 'MAPPING_NOT_CHANGED', err: error }, 'a change could not be made')
    })
  }

  // ── What pollers say ─────────────────────────────────────────────────────────────────────────────────────────────

  const hearEnded = (message: Msg): void => {
    if (epoch === undefined) return
    const said = endIn(message)
    if (said === undefined) return
    shards.ended(said.mapping, said.shard).catch(notSeen)
  }

  const hearResult = (message: Msg): void => {
    if (epoch === undefined) return
    const said = resultIn(message)
    if (said === undefined) return
    results.set(said.mapping, said.result)
    telling ??= clock.setTimer(() => {
      telling = undefined
      for (const [uuid, latest] of results) {
        if (mappings.snapshot(uuid) !== undefined) {
          mappings.send(uuid, { type: 'result', result: latest })
        }
      }
      results.clear()
    }, RESULTS_EVERY_MS)
  }

  // ── What was missed ──────────────────────────────────────────────────────────────────────────────────────────────

  /** What is in the directory and is not as it is here, of a leader before or because it could not be written. */
  const repair = (): void => {
    const at = epoch
    if (at === undefined) return
    for (const [uuid, stored] of [...(copy?.entries() ?? [])]) {
      if (records.isBusy(uuid)) continue
      const record = recordOf(uuid)
      if (record === undefined && !gone.has(uuid)) begin(stored)
      else if (record === undefined) records.remove(uuid, at).catch(notSeen)
      else if (!isSame(record, stored)) records.put(uuid, record, at).catch(notSeen)
    }
    for (const record of all()) {
      const { uuid } = record
      const isStored = copy?.get(uuid) !== undefined || records.isBusy(uuid)
      if (!isStored && !gone.has(uuid)) records.put(uuid, record, at).catch(notSeen)
    }
  }

  const isInUse = (key: string): boolean =>
    shards.isTracked(key) || readers.readerOf(key) !== undefined

  const look = async (): Promise<void> => {
    if (isLooking || epoch === undefined || !bus.up) return
    isLooking = true
    try {
      repair()
      for (const { uuid, stream } of all()) if (streams.get(stream) === undefined) review(uuid)
      await shards.look()
      for (const uuid of audit.look(shards.tracked())) await lookAnewAt(uuid)
      looks += 1
      if (looks % ORPHANS_EVERY_LOOKS === 1) await removeOrphans({ ...binding, isInUse })
    } catch (error) {
      notSeen(error)
    } finally {
      isLooking = false
    }
  }

  const lookAnewAt = async (uuid: string): Promise<void> => {
    const name = recordOf(uuid)?.stream
    if (name === undefined) return
    await streams.lookUp(name)
    reviewAll(name)
  }

  const lookAgain = (at: number): void => {
    if (epoch !== at) return
    looking = clock.setTimer(() => {
      void look().finally(() => lookAgain(at))
    }, binding.lookEveryMs)
  }

  const sync = async (message: Msg): Promise<void> => {
    const said = syncIn(message)
    if (said === undefined) return
    const { stream: name } = said
    const stream = await streams.lookUp(name)
    reviewAll(name)
    await shards.look()
    if (epoch === undefined) return
    const found =
      stream === undefined
        ? { refused: 'noSuchStream' }
        : {
            stream: name,
            status: stream.status,
            mappings: overview().filter(({ record }) => record.stream === name),
          }
    message.respond(JSON.stringify(found))
  }

  const overview = (): MappingOverview[] => {
    const byMapping = new Map<string, MappingOverview['shards']>()
    for (const { key, work } of shards.tracked()) {
      const of = byMapping.get(work.mapping) ?? []
      byMapping.set(work.mapping, of)
      const reader = readers.readerOf(key)
      const { shard, state, start } = work
      of.push({ shard, state, start, ...(reader === undefined ? {} : { reader }) })
    }
    return all().map((record) => ({ record, shards: byMapping.get(record.uuid) ?? [] }))
  }

  const subscriptions = [
    bus.subscribe(trackerMapping, hear),
    bus.subscribe(trackerEnded, hearEnded),
    bus.subscribe(trackerResult, hearResult),
  ]
  const syncs = openLeaderQuestions({
    bus,
    clock,
    subject: trackerSync,
    answer: (message) => void sync(message).catch(notSeen),
  })

  const takeOver = async (newEpoch: number): Promise<void> => {
    // Opened anew, so that everything is in it that a leader before has stored.
    copy?.stop()
    const opened = await binding.mappings.watch({
      reconcileEveryMs: binding.reconcileMs,
      clock,
      log,
    })
    copy = opened
    await shards.lead(newEpoch)
    const found = [...opened.entries()].map(([, record]) => record)
    // What was heard while another led may be old.
    await Promise.all([...new Set(found.map(({ stream }) => stream))].map(streams.lookUp))
    if (wanted !== newEpoch) return
    epoch = newEpoch
    for (const record of found) begin(record)
    await look()
    lookAgain(newEpoch)
  }

  const follow = (): void => {
    wanted = undefined
    epoch = undefined
    syncs.follows()
    clock.clearTimer(looking)
    clock.clearTimer(telling)
    telling = undefined
    results.clear()
    askers.clear()
    gone.clear()
    copy?.stop()
    copy = undefined
    for (const uuid of [...mappings.instances()]) mappings.forget(uuid)
    shards.follow()
    audit.forget()
  }

  return {
    hosts: [mappings, shards.host],
    join: readers.join,
    async lead(newEpoch) {
      wanted = newEpoch
      while (wanted === newEpoch) {
        try {
          return await takeOver(newEpoch)
        } catch (error) {
          notSeen(error)
          await new Promise<void>((resolve) => clock.setTimer(resolve, BEGIN_AGAIN_MS))
        }
      }
    },
    serve: syncs.leads,
    follow,
    streamChanged(name, record) {
      streams.changed(name, record)
      if (epoch !== undefined) reviewAll(name)
    },
    get: recordOf,
    overview,
    records: all,
    works: () => [...shards.tracked()].map(({ work }) => work),
    counts: () => ({ ...audit.counts, ...shards.counts }),
    stop() {
      for (const subscription of subscriptions) subscription.stop()
      syncs.stop()
      follow()
      readers.stop()
    },
  }
}

const isSame = (one: MappingRecord, other: MappingRecord): boolean =>
  JSON.stringify(one) === JSON.stringify(other)
