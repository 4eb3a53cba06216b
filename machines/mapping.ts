/**
 * Mapping: an event source mapping, from a stream to a function, as the leading stream tracker sees it.
 *
 *     reading                                                    resting
 *       creating ──settled──▶ enabled ◀──settled── updating        creating ──settled──▶ disabled ⇄ updating
 *       enabling ──settled──▶    └────────update────▶ ▲                                   │  ▲
 *          ▲                     │                                                        │  │
 *          │                     └─turned off, or its source is gone─▶ leaving ──unread───┼──┘
 *          └───────────────────────── turned on ──────────────────────────────────────────┘
 *
 *     delete, of one that is enabled or disabled ──▶ deleting ──unread, or waited long enough──▶ cleared ──▶ gone
 *
 * Its shards are tracked (machines/shard.ts) as long as it is `reading`. A client sees each change on its way for a moment, as
 * on AWS; what was changed holds at once. `Disabled` means that no poller reads for it any more.
 *
 * When its source is gone it stops: `Disabled`, by Lambda and not by the user, which StateTransitionReason is there to tell
 * ("Indicates whether a user or Lambda made the last change to the event source mapping": Lambda API,
 * EventSourceMappingConfiguration). AWS documents no sentence for it; ours is the recorded one for a source that is not
 * there, with the recorded prefix of LastProcessingResult, `PROBLEM: `. It may be turned on again when there is a stream with
 * that ARN, and begins anew then, at its starting position.
 * Source: lambda-semantics.md §5.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** As AWS's parameters of the same names; milliseconds instead of seconds; −1 stands for "no limit" as there. */
export type MappingSettings = {
  batchSize: number
  batchingWindowMs: number
  parallelizationFactor: number
  bisectsOnError: boolean
  /** −1, 0–10,000. */
  maximumRetryAttempts: number
  /** −1 or 60,000–604,800,000. */
  maximumRecordAgeMs: number
  tumblingWindowMs: number
  reportsItemFailures: boolean
  /** EventBridge patterns as they were given. A record that matches none is passed over; an empty list lets all through. */
  filters: string[]
  /** An ARN; in a change, the empty text takes it away. */
  onFailure?: string
}

export type MappingState =
  | 'Creating'
  | 'Enabling'
  | 'Enabled'
  | 'Updating'
  | 'Disabling'
  | 'Disabled'
  | 'Deleting'

/** What the bucket `lambus_mappings` says of a mapping, by its UUID. Times are milliseconds since the epoch. */
export type MappingRecord = {
  uuid: string
  functionName: string
  /** As given at creation, with its qualifier. */
  functionArn: string
  qualifier?: string
  /** As given: of a stream, or of one of its consumers. */
  sourceArn: string
  /** The stream that it reads, and which one of that name. */
  stream: string
  incarnation: string
  startingPosition: 'TRIM_HORIZON' | 'LATEST' | 'AT_TIMESTAMP'
  startingTimestampMs?: number
  /** With LATEST, what was last in the record stream when it began: it reads what is behind it. */
  startsAfter?: number
  settings: MappingSettings
  state: MappingState
  /** It is not to be read, now or when what is on its way is through. */
  isOff?: true
  /** AWS's StateTransitionReason. */
  reason: string
  /** AWS's LastProcessingResult. */
  lastResult: string
  lastModifiedMs: number
  tags: Record<string, string>
}

/** What a control plane asks the leading stream tracker for, checked in itself. */
export type MappingCommand = { uuid: string; nowMs: number } & (
  | {
      type: 'create'
      record: Omit<
        MappingRecord,
        | 'state'
        | 'isOff'
        | 'reason'
        | 'lastResult'
        | 'lastModifiedMs'
        | 'incarnation'
        | 'startsAfter'
        | 'uuid'
      >
      isEnabled: boolean
    }
  | {
      type: 'update'
      settings: Partial<MappingSettings>
      isEnabled?: boolean
      /** It is to invoke another function. */
      to?: { functionName: string; functionArn: string; qualifier?: string }
    }
  | { type: 'delete' }
  | { type: 'tag'; tags: Record<string, string> }
  | { type: 'untag'; keys: string[] }
)

/**
 * What the bucket `lambus_shards` says, by `<mapping>.<shard>`: a shard that is, or will be, read for a mapping.
 * `blocked`: a parent is not at its end yet. `ended`: it is closed, and everything in it is done with.
 */
export type ShardWork = {
  mapping: string
  stream: string
  incarnation: string
  shard: number
  /** Where it begins as long as nothing of it is checkpointed: after a sequence, or at a time. */
  start: { after: number } | { atMs: number }
  state: 'blocked' | 'open' | 'ended'
}

/** Where in its stream a mapping begins. */
export type MappingOrigin = { incarnation: string; startsAfter?: number }

/** `leaveForMs`: how long a deleted one waits for its readers to leave. */
export type MappingInput = {
  record: MappingRecord
  /** Where the answer to its creation goes; empty for one that a leader before has made. */
  reply: string
  /** A poller reads one of its shards, or is told to. */
  isRead: boolean
  settleMs: number
  leaveForMs: number
  clearAgainMs: number
}

type Command<Type extends MappingCommand['type']> = Omit<
  Extract<MappingCommand, { type: Type }>,
  'uuid'
> & {
  /** Where the answer goes. */
  reply: string
}

type Update = Command<'update'> & {
  /** Where it begins anew, when its stream is another one than it was made for. */
  origin?: MappingOrigin
}

export type MappingEvent =
  | Update
  | Command<'delete'>
  | Command<'tag'>
  | Command<'untag'>
  /** Its creation is asked for once more. */
  | { type: 'show'; reply: string }
  /** Whether a poller reads one of its shards, or is told to. */
  | { type: 'readers'; isRead: boolean }
  /** How the last batches went. */
  | { type: 'result'; result: string }
  /** The stream, or its consumer, is gone, or another one has its name. */
  | { type: 'sourceGone'; reason: string }
  /** Nothing is left of it. */
  | { type: 'cleared' }

type Context = MappingInput

export const USER_ACTION = 'User action'
export const NO_RECORDS = 'No records processed'

/** A new one. */
export function newMapping(
  { uuid, nowMs, record, isEnabled }: Extract<MappingCommand, { type: 'create' }>,
  origin: MappingOrigin,
): MappingRecord {
  return {
    ...record,
    settings: settled(record.settings),
    uuid,
    ...origin,
    state: 'Creating',
    ...(isEnabled ? {} : { isOff: true }),
    reason: USER_ACTION,
    lastResult: NO_RECORDS,
    lastModifiedMs: nowMs,
  }
}

function settled({ onFailure, ...settings }: MappingSettings): MappingSettings {
  return onFailure ? { ...settings, onFailure } : settings
}

function changed(record: MappingRecord, event: Update): MappingRecord {
  const { isOff, qualifier, startsAfter, ...rest } = record
  const isNowOff = event.isEnabled === undefined ? isOff : !event.isEnabled
  return {
    ...rest,
    ...(event.to ?? { ...(qualifier === undefined ? {} : { qualifier }) }),
    ...(event.origin ?? { ...(startsAfter === undefined ? {} : { startsAfter }) }),
    settings: settled({ ...record.settings, ...event.settings }),
    ...(isNowOff ? { isOff: true as const } : {}),
    reason: USER_ACTION,
    ...(event.origin === undefined ? {} : { lastResult: NO_RECORDS }),
    lastModifiedMs: event.nowMs,
  }
}

/** Whoever got no answer asks again; the change is made once. */
function isMade(record: MappingRecord, event: Update): boolean {
  if (event.nowMs !== record.lastModifiedMs) return false
  const { settings, functionArn, isOff = false } = changed(record, event)
  const same = (one: object, other: object) => JSON.stringify(one) === JSON.stringify(other)
  return (
    same(settings, record.settings) &&
    functionArn === record.functionArn &&
    isOff === (record.isOff ?? false)
  )
}

const without = (tags: Record<string, string>, keys: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(tags).filter(([key]) => !keys.includes(key)))

const effects = {
  /** Shows the record to everyone; when it is stored, whoever asked is answered. */
  publish: effect<{ record: MappingRecord; reply: string }>(),
  /** It cannot be changed now: something is on its way already. */
  refuse: effect<{ reply: string }>(),
  /** Its shards are to be read, as its stream has them. */
  read: effect(),
  /** None of its shards is to be read any more. */
  leave: effect(),
  /** Takes away what was kept about its shards, then the record; ends in `cleared`. */
  clear: effect(),
}

const base = setup({
  types: {} as { input: MappingInput; context: Context; events: MappingEvent },
  actions: {
    ...effects,
    change: assign(({ context, event }) =>
      event.type === 'update' ? { record: changed(context.record, event) } : {},
    ),
    date: assign(({ context, event }) =>
      event.type === 'delete'
        ? { record: { ...context.record, reason: USER_ACTION, lastModifiedMs: event.nowMs } }
        : {},
    ),
    changeTags: assign(({ context: { record }, event }) => {
      if (event.type === 'tag')
        return { record: { ...record, tags: { ...record.tags, ...event.tags } } }
      if (event.type === 'untag')
        return { record: { ...record, tags: without(record.tags, event.keys) } }
      return {}
    }),
    noteReaders: assign(({ event }) => (event.type === 'readers' ? { isRead: event.isRead } : {})),
    noteResult: assign(({ context, event }) =>
      event.type === 'result' ? { record: { ...context.record, lastResult: event.result } } : {},
    ),
    noteGone: assign(({ context, event }) =>
      event.type === 'sourceGone'
        ? {
            record: {
              ...context.record,
              isOff: true as const,
              reason: event.reason,
              lastResult: `PROBLEM: ${event.reason}`,
            },
          }
        : {},
    ),
  },
  guards: {
    isCreated: ({ context }) => context.record.state === 'Creating' && !context.record.isOff,
    isCreatedOff: ({ context }) => context.record.state === 'Creating',
    isDeleting: ({ context }) => context.record.state === 'Deleting',
    isDisabling: ({ context }) => context.record.state === 'Disabling',
    isOff: ({ context }) => context.record.isOff === true,
    isMade: ({ context, event }) => event.type === 'update' && isMade(context.record, event),
    isBegun: ({ context, event }) =>
      event.type === 'delete' && event.nowMs === context.record.lastModifiedMs,
    turnsOn: ({ event }) => event.type === 'update' && event.isEnabled === true,
    turnsOff: ({ event }) => event.type === 'update' && event.isEnabled === false,
    isUnread: ({ context }) => !context.isRead,
    isNews: ({ context, event }) =>
      event.type === 'result' && event.result !== context.record.lastResult,
  },
  delays: {
    settle: ({ context }) => context.settleMs,
    leaveFor: ({ context }) => context.leaveForMs,
    clearAgain: ({ context }) => context.clearAgainMs,
  },
})

const become = (state: MappingState) =>
  base.assign(({ context }) => ({ record: { ...context.record, state } }))

const machine = base
  .extend({
    actions: {
      becomeCreating: become('Creating'),
      becomeEnabling: become('Enabling'),
      becomeEnabled: become('Enabled'),
      becomeUpdating: become('Updating'),
      becomeDisabling: become('Disabling'),
      becomeDisabled: become('Disabled'),
      becomeDeleting: become('Deleting'),
      showNew: base.enqueueActions(({ context: { record, reply }, enqueue }) =>
        enqueue({ type: 'publish', params: { record, reply } }),
      ),
      show: base.enqueueActions(({ context: { record }, event, enqueue }) => {
        const reply = 'reply' in event ? event.reply : ''
        enqueue({ type: 'publish', params: { record, reply } })
      }),
      sayBusy: base.enqueueActions(({ event, enqueue }) => {
        if ('reply' in event) enqueue({ type: 'refuse', params: { reply: event.reply } })
      }),
    },
  })
  .createMachine({
    id: 'mapping',
    context: ({ input }) => input,
    initial: 'beginning',
    on: {
      update: [{ guard: 'isMade', actions: 'show' }, { actions: 'sayBusy' }],
      delete: { actions: 'sayBusy' },
      tag: { actions: ['changeTags', 'show'] },
      untag: { actions: ['changeTags', 'show'] },
      show: { actions: 'show' },
      readers: { actions: 'noteReaders' },
    },
    states: {
      beginning: {
        description: 'It is new, or a leader before has left it.',
        always: [
          { guard: 'isCreated', target: 'reading' },
          { guard: 'isCreatedOff', target: 'resting' },
          { guard: 'isDeleting', target: 'deleting' },
          { guard: 'isDisabling', target: 'leaving' },
          { guard: 'isOff', target: 'resting.disabled' },
          { target: 'reading.enabled' },
        ],
      },
      reading: {
        description: 'Its shards are read.',
        entry: 'read',
        exit: 'leave',
        on: {
          result: { guard: 'isNews', actions: ['noteResult', 'show'] },
          sourceGone: { target: 'leaving', actions: 'noteGone' },
        },
        initial: 'creating',
        states: {
          creating: {
            description: 'It was made a moment ago.',
            entry: ['becomeCreating', 'showNew'],
            after: { settle: 'enabled' },
          },
          enabling: {
            description: 'It was turned on a moment ago.',
            entry: ['becomeEnabling', 'show'],
            after: { settle: 'enabled' },
          },
          enabled: {
            description: 'Nothing of it is being changed.',
            entry: ['becomeEnabled', 'show'],
            on: {
              update: [
                { guard: 'isMade', actions: 'show' },
                { guard: 'turnsOff', target: '#mapping.leaving', actions: 'change' },
                { target: 'updating', actions: 'change' },
              ],
              delete: { target: '#mapping.deleting', actions: 'date' },
            },
          },
          updating: {
            description: 'It was changed a moment ago.',
            entry: ['becomeUpdating', 'show'],
            after: { settle: 'enabled' },
          },
        },
      },
      leaving: {
        description: 'None of its shards is to be read any more.',
        entry: ['becomeDisabling', 'show'],
        initial: 'settling',
        states: {
          settling: {
            description: 'Everyone is to hear of it.',
            after: { settle: 'emptying' },
          },
          emptying: {
            description: 'Some poller may still read.',
            always: { guard: 'isUnread', target: '#mapping.resting.disabled' },
          },
        },
      },
      resting: {
        description: 'Nobody reads its shards.',
        initial: 'creating',
        states: {
          creating: {
            description: 'It was made a moment ago, not to be read yet.',
            entry: ['becomeCreating', 'showNew'],
            after: { settle: 'disabled' },
          },
          disabled: {
            description: 'It goes on where it was when it is turned on.',
            entry: ['becomeDisabled', 'show'],
            on: {
              update: [
                { guard: 'isMade', actions: 'show' },
                { guard: 'turnsOn', target: '#mapping.reading.enabling', actions: 'change' },
                { target: 'updating', actions: 'change' },
              ],
              delete: { target: '#mapping.deleting', actions: 'date' },
            },
          },
          updating: {
            description: 'It was changed a moment ago.',
            entry: ['becomeUpdating', 'show'],
            after: { settle: 'disabled' },
          },
        },
      },
      deleting: {
        description: 'It is being taken away.',
        entry: ['becomeDeleting', 'show'],
        initial: 'settling',
        on: {
          delete: [{ guard: 'isBegun', actions: 'show' }, { actions: 'sayBusy' }],
          tag: { actions: 'sayBusy' },
          untag: { actions: 'sayBusy' },
        },
        states: {
          settling: {
            description: 'Everyone is to hear of it.',
            after: { settle: 'emptying' },
          },
          emptying: {
            description: 'Some poller may still read.',
            always: { guard: 'isUnread', target: 'clearing' },
            after: { leaveFor: 'clearing' },
          },
          clearing: {
            description: 'What was kept about it is taken away.',
            entry: 'clear',
            on: { cleared: '#mapping.gone' },
            after: { clearAgain: { target: 'clearing', reenter: true } },
          },
        },
      },
      gone: { type: 'final', description: 'There is no such mapping any more.' },
    },
    options: { maxIterations: 1000 },
  })

export const mappingMachine = withEffects(machine, effects)
