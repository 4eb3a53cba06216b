/**
 * Stream: a Kinesis-style stream: how it is cut into shards, and how that changes.
 *
 *     absent ──create──▶ creating ──made──▶ active ──split, merge, …──▶ updating ──changed──▶ active
 *                            │                 │                            │
 *                            └─────delete──────┴────────────────────────────┴──▶ deleting ──removed──▶ gone
 *
 * What is to be done stands in the record before anything is done, so whoever leads next finds it there and finishes it. A
 * change of many shards is made of rounds (shard-map.ts); after each the record says how far it is. What the stream does not
 * do, and why, stands in stream-rules.ts.
 *
 * An ON_DEMAND stream has four shards, or as many as it had when it became one. It does not grow by itself, as AWS's do;
 * whoever wants other shards makes it PROVISIONED first, as AWS has it for everybody who wants to say how many.
 * Source: lambda-semantics.md §8; Kinesis Data Streams Developer Guide, "Resharding a stream".
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import { firstShards, nextRound, openAfter, shardsAfter } from './shard-map.ts'
import { isSettled, objectionTo, objectionToNew, type StreamRefusal } from './stream-rules.ts'

/** Hash keys are decimal texts from 0 to 2^128 − 1. Times are milliseconds since the epoch. */
export type Shard = {
  /** `shardId-<12 digits>`; a stream never uses one twice. */
  index: number
  startHash: string
  endHash: string
  /** The shard that was split, or one of the two that were merged. */
  parent?: number
  /** The other of two that were merged. */
  adjacentParent?: number
  /** Stands in its sequence numbers. */
  createdAtMs: number
  /** What is in its record stream up to that sequence was there before the shard was. */
  after: number
  closedAtMs?: number
  /** Of a closed shard: nothing of it is behind that sequence. */
  until?: number
}

export type StreamStatus = 'CREATING' | 'ACTIVE' | 'UPDATING' | 'DELETING'

/** What the bucket `lambus_streams` says of a stream, by its name as one token. */
export type StreamRecord = {
  name: string
  /** Another one for each stream that ever has that name. */
  incarnation: string
  status: StreamStatus
  mode: 'PROVISIONED' | 'ON_DEMAND'
  createdAtMs: number
  retentionHours: number
  maxRecordKib: number
  /** All that may still hold records, closed ones too, by index. None while it is being created. */
  shards: Shard[]
  /** The index of the next one; while it is being created, how many it will have. */
  nextShard: number
  tags: Record<string, string>
  consumers: StreamConsumer[]
  /** What is being done to it, while it is UPDATING. */
  change?: StreamChange
}

export type StreamChange =
  | { type: 'split'; shard: number; newStartingHashKey: string }
  | { type: 'merge'; shard: number; adjacent: number }
  /** To so many shards of the same size. */
  | { type: 'scale'; target: number }
  | { type: 'set'; settings: StreamSettings }

export type StreamSettings = Partial<Pick<StreamRecord, 'retentionHours' | 'maxRecordKib' | 'mode'>>

/** One with "enhanced fan-out". */
export type StreamConsumer = {
  name: string
  createdAtMs: number
  status: 'CREATING' | 'ACTIVE' | 'DELETING'
  tags: Record<string, string>
}

/** What a front end asks the leading stream tracker for; all are checked for what the model does not allow. */
export type StreamCommand = { name: string } & (
  | {
      type: 'create'
      shardCount: number
      mode: StreamRecord['mode']
      maxRecordKib: number
      tags: Record<string, string>
    }
  | { type: 'delete'; enforceConsumerDeletion: boolean }
  | { type: 'split'; shard: number; newStartingHashKey: string }
  | { type: 'merge'; shard: number; adjacent: number }
  | { type: 'updateShardCount'; target: number }
  | { type: 'retain'; hours: number; direction: 'increase' | 'decrease' }
  | { type: 'setMaxRecord'; maxRecordKib: number }
  | { type: 'setMode'; mode: StreamRecord['mode'] }
  | { type: 'tag'; tags: Record<string, string> }
  | { type: 'untag'; keys: string[] }
  | { type: 'registerConsumer'; consumer: string; tags: Record<string, string> }
  | { type: 'deregisterConsumer'; consumer: string }
)

/** `asked` is who gets the answer; `room` is how many more open shards there may be. */
export type StreamRequest = StreamCommand & {
  asked: string
  nowMs: number
  /** Of the stream, if it is a new one. */
  incarnation: string
  room: number
}

export type StreamEvent =
  | StreamRequest
  /** The record stream is there, as it was asked to be. */
  | { type: 'reached'; ask: string; lastSequence: number; nowMs: number }
  | { type: 'removed'; ask: string }
  /** What was asked for last could not be done. */
  | { type: 'failed'; ask: string }
  /** Consumers were as they are for long enough; raised by the machine itself. */
  | { type: 'consumersSettled' }
  /** Time has passed: records may have expired. */
  | { type: 'looked'; nowMs: number }

/** Milliseconds. `record`: of a stream that is there, as it was left. */
export type StreamInput = {
  name: string
  record: StreamRecord | undefined
  nowMs: number
  /** How long each state that passes lasts at least: AWS's last seconds. */
  settleMs: number
  /** Between attempts at what could not be done. */
  againMs: number
}

/** How the record stream is to be. `step` grows with each set of shards that it ever has. */
export type WantedStream = {
  name: string
  incarnation: string
  open: number[]
  retentionHours: number
  step: number
}

type Context = StreamInput & { asks: number }

const effects = {
  /** Shows the record to everyone, then answers who asked with it. */
  store: effect<{ record: StreamRecord; asked?: string }>(),
  /** It is as it is asked to be. */
  agree: effect<{ record: StreamRecord; asked: string }>(),
  refuse: effect<{ asked: string; refusal: StreamRefusal }>(),
  /** Makes the record stream, or changes it; ends in `reached` or `failed`. */
  reach: effect<{ ask: string; wanted: WantedStream }>(),
  /** Removes the record stream; ends in `removed` or `failed`. */
  removeRecords: effect<{ ask: string; incarnation: string }>(),
  /** There is no such stream any more. */
  withdraw: effect(),
}

type Told = { context: Context; event: StreamEvent }

const current = ({ record }: Context): StreamRecord => {
  if (record === undefined) throw new Error('a stream that is not there has no record')
  return record
}
const isRequest = (event: StreamEvent): event is StreamRequest => 'asked' in event
const requestOf = (event: StreamEvent): StreamRequest => {
  if (!isRequest(event)) throw new Error(`nobody asked for ${event.type}`)
  return event
}
const askOf = (context: Context): string => `${current(context).incarnation}.${context.asks}`

/** Wanted by who creates it; AWS's own number for one that is on demand. */
const ON_DEMAND_SHARDS = 4
const DEFAULT_RETENTION_HOURS = 24
const HOUR_MS = 3_600_000

function created(name: string, event: StreamEvent): StreamRecord | undefined {
  if (event.type !== 'create') return undefined
  const { incarnation, nowMs, mode, maxRecordKib, tags, shardCount } = event
  return {
    name,
    incarnation,
    status: 'CREATING',
    mode,
    createdAtMs: nowMs,
    retentionHours: DEFAULT_RETENTION_HOURS,
    maxRecordKib,
    shards: [],
    nextShard: mode === 'ON_DEMAND' ? ON_DEMAND_SHARDS : shardCount,
    tags,
    consumers: [],
  }
}

function changeOf(event: StreamEvent): StreamChange | undefined {
  switch (event.type) {
    case 'split':
      return { type: 'split', shard: event.shard, newStartingHashKey: event.newStartingHashKey }
    case 'merge':
      return { type: 'merge', shard: event.shard, adjacent: event.adjacent }
    case 'updateShardCount':
      return { type: 'scale', target: event.target }
    case 'retain':
      return { type: 'set', settings: { retentionHours: event.hours } }
    case 'setMaxRecord':
      return { type: 'set', settings: { maxRecordKib: event.maxRecordKib } }
    case 'setMode':
      return { type: 'set', settings: { mode: event.mode } }
    default:
      return undefined
  }
}

const settingsOf = ({ change }: StreamRecord): StreamSettings =>
  change?.type === 'set' ? change.settings : {}

function wantedOf(record: StreamRecord): WantedStream {
  const { name, incarnation } = record
  const { retentionHours } = { ...record, ...settingsOf(record) }
  if (record.status === 'CREATING') {
    const open = firstShards(record).map(({ index }) => index)
    return { name, incarnation, open, retentionHours, step: record.nextShard }
  }
  const round = nextRound(record, record.change)
  const open = openAfter(record, round)
  const step = record.nextShard + round.opened.length
  return { name, incarnation, open, retentionHours, step }
}

/** The record when the record stream is as it was asked to be; ACTIVE, or with another round before it. */
function reached(
  record: StreamRecord,
  done: { lastSequence: number; nowMs: number },
): StreamRecord {
  const { change, ...rest } = { ...record, ...settingsOf(record) }
  if (record.status === 'CREATING')
    return { ...rest, status: 'ACTIVE', shards: firstShards(record) }
  const round = nextRound(record, change)
  const shards = shardsAfter(record, round, { lastSequence: done.lastSequence, atMs: done.nowMs })
  const after = { ...rest, shards, nextShard: record.nextShard + round.opened.length }
  const isMore = change?.type === 'scale' && nextRound(after, change).closed.length > 0
  return isMore ? { ...after, change } : { ...after, status: 'ACTIVE' }
}

/** When the shards that the next round closes are older than their second: their children get a later one. */
function closeableAtMs(record: StreamRecord): number {
  const { closed } = nextRound(record, record.change)
  const made = record.shards.filter(({ index }) => closed.includes(index))
  return Math.max(0, ...made.map(({ createdAtMs }) => createdAtMs))
}

const isExpired = ({ closedAtMs }: Shard, retentionHours: number, nowMs: number): boolean =>
  closedAtMs !== undefined && closedAtMs + retentionHours * HOUR_MS <= nowMs

const isUnsettled = ({ status }: StreamConsumer): boolean => status !== 'ACTIVE'

const base = setup({
  types: {} as { input: StreamInput; context: Context; events: StreamEvent },
  actions: {
    ...effects,
    rememberTime: assign(({ event }) => ('nowMs' in event ? { nowMs: event.nowMs } : {})),
    create: assign(({ context, event }) => ({ record: created(context.name, event) })),
    beginChange: assign(({ context, event }) => {
      const change = changeOf(event)
      if (change === undefined) return {}
      return { record: { ...current(context), status: 'UPDATING' as const, change } }
    }),
    beginDeletion: assign(({ context }) => {
      const { change: _, ...record } = current(context)
      return { record: { ...record, status: 'DELETING' as const, consumers: [] } }
    }),
    takeWhatIsReached: assign(({ context, event }) =>
      event.type === 'reached' ? { record: reached(current(context), event) } : {},
    ),
    addTags: assign(({ context, event }) => {
      if (event.type !== 'tag') return {}
      const record = current(context)
      return { record: { ...record, tags: { ...record.tags, ...event.tags } } }
    }),
    removeTags: assign(({ context, event }) => {
      if (event.type !== 'untag') return {}
      const record = current(context)
      const kept = Object.entries(record.tags).filter(([key]) => !event.keys.includes(key))
      return { record: { ...record, tags: Object.fromEntries(kept) } }
    }),
    addConsumer: assign(({ context, event }) => {
      if (event.type !== 'registerConsumer') return {}
      const record = current(context)
      const consumer: StreamConsumer = {
        name: event.consumer,
        createdAtMs: event.nowMs,
        status: 'CREATING',
        tags: event.tags,
      }
      return { record: { ...record, consumers: [...record.consumers, consumer] } }
    }),
    beginRemovalOfConsumer: assign(({ context, event }) => {
      if (event.type !== 'deregisterConsumer') return {}
      const record = current(context)
      const consumers = record.consumers.map((consumer) =>
        consumer.name === event.consumer ? { ...consumer, status: 'DELETING' as const } : consumer,
      )
      return { record: { ...record, consumers } }
    }),
    settleConsumers: assign(({ context }) => {
      const record = current(context)
      const consumers = record.consumers
        .filter(({ status }) => status !== 'DELETING')
        .map((consumer) => ({ ...consumer, status: 'ACTIVE' as const }))
      return { record: { ...record, consumers } }
    }),
    forgetExpiredShards: assign(({ context, event }) => {
      if (event.type !== 'looked') return {}
      const record = current(context)
      const { retentionHours } = record
      const shards = record.shards.filter((shard) => !isExpired(shard, retentionHours, event.nowMs))
      return { record: { ...record, shards } }
    }),
    countAsk: assign(({ context }) => ({ asks: context.asks + 1 })),
  },
  guards: {
    isAbsent: ({ context }) => context.record === undefined,
    isCreating: ({ context }) => context.record?.status === 'CREATING',
    isUpdating: ({ context }) => context.record?.status === 'UPDATING',
    isDeleting: ({ context }) => context.record?.status === 'DELETING',
    isRefusedNew: ({ event }) => objectionToNew(requestOf(event)) !== undefined,
    isRefused: ({ context, event }) =>
      objectionTo(current(context), requestOf(event)) !== undefined,
    isSoAlready: ({ context, event }) => isSettled(current(context), requestOf(event)),
    // One that was given up because the stream is deleted may come all the same.
    isAwaited: ({ context, event }: Told) => 'ask' in event && event.ask === askOf(context),
    isAnyUnsettled: ({ context }) => current(context).consumers.some(isUnsettled),
    isAnyExpired: ({ context, event }) => {
      const { shards, retentionHours } = current(context)
      return (
        event.type === 'looked' &&
        shards.some((shard) => isExpired(shard, retentionHours, event.nowMs))
      )
    },
  },
  delays: {
    settle: ({ context }) => context.settleMs,
    closeable: ({ context }) =>
      Math.max(context.settleMs, closeableAtMs(current(context)) - context.nowMs),
    again: ({ context }) => context.againMs,
  },
})

/** A change that only a stream that is ACTIVE takes. */
const change = [
  { guard: 'isRefused', actions: 'refuseRequest' },
  { guard: 'isSoAlready', actions: 'agreeWithRequest' },
  {
    target: '#stream.existing.updating',
    actions: ['rememberTime', 'beginChange', 'storeAnswering'],
  },
] as const

const refused = { actions: 'refuseRequest' } as const
const refusedAbsent = { target: 'gone', actions: 'refuseRequest' } as const

/** How the record stream is made and changed. */
const reaching = {
  description: 'The record stream is to be as the record wants it.',
  initial: 'asking',
  states: {
    asking: {
      description: 'It is being made or changed.',
      entry: ['countAsk', 'askForRecordStream'],
      on: {
        reached: {
          guard: 'isAwaited',
          target: '#stream.existing.resolving',
          actions: ['rememberTime', 'takeWhatIsReached', 'storeRecord'],
        },
        failed: { guard: 'isAwaited', target: 'waiting' },
      },
    },
    waiting: {
      description: 'It could not be done; it is tried again.',
      after: { again: 'asking' },
    },
  },
} as const

const machine = base
  .extend({
    actions: {
      refuseRequest: base.enqueueActions(({ context, event, enqueue }) => {
        const request = requestOf(event)
        const refusal =
          context.record === undefined
            ? objectionToNew(request)
            : objectionTo(context.record, request)
        if (refusal === undefined) return
        enqueue({ type: 'refuse', params: { asked: request.asked, refusal } })
      }),
      agreeWithRequest: base.enqueueActions(({ context, event, enqueue }) => {
        const { asked } = requestOf(event)
        enqueue({ type: 'agree', params: { record: current(context), asked } })
      }),
      storeRecord: base.enqueueActions(({ context, enqueue }) =>
        enqueue({ type: 'store', params: { record: current(context) } }),
      ),
      storeAnswering: base.enqueueActions(({ context, event, enqueue }) => {
        const { asked } = requestOf(event)
        enqueue({ type: 'store', params: { record: current(context), asked } })
      }),
      askForRecordStream: base.enqueueActions(({ context, enqueue }) => {
        const wanted = wantedOf(current(context))
        enqueue({ type: 'reach', params: { ask: askOf(context), wanted } })
      }),
      awaitConsumers: base.enqueueActions(({ context, enqueue }) => {
        if (!current(context).consumers.some(isUnsettled)) return
        const delay = context.settleMs
        enqueue.raise({ type: 'consumersSettled' }, { id: 'consumersSettled', delay })
      }),
      askForRemoval: base.enqueueActions(({ context, enqueue }) => {
        const { incarnation } = current(context)
        enqueue({ type: 'removeRecords', params: { ask: askOf(context), incarnation } })
      }),
    },
  })
  .createMachine({
    id: 'stream',
    context: ({ input }) => ({ ...input, asks: 0 }),
    initial: 'beginning',
    states: {
      beginning: {
        description: 'It is seen for the first time.',
        always: [
          { guard: 'isAbsent', target: 'absent' },
          { guard: 'isDeleting', target: 'deleting' },
          { guard: 'isCreating', target: '#stream.existing.creating' },
          { guard: 'isUpdating', target: '#stream.existing.updating' },
          { target: '#stream.existing.active' },
        ],
      },
      absent: {
        description: 'No stream of this name; unless it is created, nothing is kept of it.',
        on: {
          create: [
            { guard: 'isRefusedNew', target: 'gone', actions: 'refuseRequest' },
            {
              target: '#stream.existing.creating',
              actions: ['rememberTime', 'create', 'storeAnswering'],
            },
          ],
          delete: refusedAbsent,
          split: refusedAbsent,
          merge: refusedAbsent,
          updateShardCount: refusedAbsent,
          retain: refusedAbsent,
          setMaxRecord: refusedAbsent,
          setMode: refusedAbsent,
          tag: refusedAbsent,
          untag: refusedAbsent,
          registerConsumer: refusedAbsent,
          deregisterConsumer: refusedAbsent,
        },
      },
      existing: {
        description: 'The stream is there.',
        initial: 'active',
        entry: 'awaitConsumers',
        on: {
          create: refused,
          delete: [
            { guard: 'isRefused', actions: 'refuseRequest' },
            { target: 'deleting', actions: ['beginDeletion', 'storeAnswering'] },
          ],
          split: change,
          merge: change,
          updateShardCount: change,
          retain: change,
          setMaxRecord: change,
          setMode: change,
          tag: [
            { guard: 'isRefused', actions: 'refuseRequest' },
            { actions: ['addTags', 'storeAnswering'] },
          ],
          untag: [
            { guard: 'isRefused', actions: 'refuseRequest' },
            { actions: ['removeTags', 'storeAnswering'] },
          ],
          registerConsumer: [
            { guard: 'isRefused', actions: 'refuseRequest' },
            { actions: ['addConsumer', 'storeAnswering', 'awaitConsumers'] },
          ],
          deregisterConsumer: [
            { guard: 'isRefused', actions: 'refuseRequest' },
            { actions: ['beginRemovalOfConsumer', 'storeAnswering', 'awaitConsumers'] },
          ],
          consumersSettled: {
            guard: 'isAnyUnsettled',
            actions: ['settleConsumers', 'storeRecord'],
          },
          looked: { guard: 'isAnyExpired', actions: ['forgetExpiredShards', 'storeRecord'] },
        },
        states: {
          creating: {
            description: 'It has no shards yet.',
            initial: 'settling',
            states: {
              settling: {
                description: 'Clients are to see that it is being created.',
                after: { settle: 'reaching' },
              },
              reaching,
            },
          },
          active: {
            description: 'Its shards take records, and it may be changed.',
          },
          updating: {
            description: 'Its shards take records; it is being changed.',
            initial: 'settling',
            states: {
              settling: {
                description: 'Clients are to see it; and no shard is closed in its first second.',
                after: { closeable: 'reaching' },
              },
              reaching,
            },
          },
          resolving: {
            description: 'The record stream is as it was wanted.',
            always: [{ guard: 'isUpdating', target: 'updating' }, { target: 'active' }],
          },
        },
      },
      deleting: {
        description: 'It takes no records any more.',
        initial: 'settling',
        on: {
          create: refused,
          delete: { actions: 'agreeWithRequest' },
          split: refused,
          merge: refused,
          updateShardCount: refused,
          retain: refused,
          setMaxRecord: refused,
          setMode: refused,
          tag: refused,
          untag: refused,
          registerConsumer: refused,
          deregisterConsumer: refused,
        },
        states: {
          settling: {
            description: 'Clients are to see that it is being deleted.',
            after: { settle: 'removing' },
          },
          removing: {
            description: 'The record stream is being removed.',
            entry: ['countAsk', 'askForRemoval'],
            on: {
              removed: { guard: 'isAwaited', target: '#stream.gone', actions: 'withdraw' },
              failed: { guard: 'isAwaited', target: 'waiting' },
            },
          },
          waiting: {
            description: 'It could not be removed; it is tried again.',
            after: { again: 'removing' },
          },
        },
      },
      gone: {
        description: 'There is no such stream.',
        type: 'final',
      },
    },
    options: { maxIterations: 1000 },
  })

export const streamMachine = withEffects(machine, effects)
