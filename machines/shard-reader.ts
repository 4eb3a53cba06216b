/**
 * Shard reader: one lane of a shard that is read for an event source mapping: one batch at a time, in order.
 *
 *     idle ──arrived──▶ gathering ──window, full──▶ forming ──formed──▶ attempting ──succeeded──▶ idle
 *                                                      ▲                  │
 *                      backingOff ─────────────────────┤◀── cut in two ───┤
 *                          ▲                           │◀── cut off ──────┤
 *                          └───── failed, put off ─────┼──────────────────┤
 *                                                   telling ◀── given up ─┘
 *
 * A batch that failed comes again as it is, and nothing of its lane is passed over: it succeeds, or it is given up and
 * told of. What is cut off of it (half of it, what follows the lowest item that failed, what is not too old) is a batch of
 * its own, with all its attempts before it. Being throttled and failures of ours spend none.
 * In a tumbling window a batch holds records of one window only, and the window's last attempt, `closing`, holds none.
 * Source: lambda-semantics.md §5.6–5.8; AWS Lambda Developer Guide, "Using Lambda with Kinesis".
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import {
  type Batch,
  type CutBatch,
  cutOff,
  halve,
  type LaneBatches,
  noneInHand,
  putBack,
  take,
} from './lane-batches.ts'

/** As in MappingSettings. Milliseconds; −1: no limit. */
export type ReaderSettings = {
  batchingWindowMs: number
  bisectsOnError: boolean
  maximumRetryAttempts: number
  maximumRecordAgeMs: number
  tumblingWindowMs: number
  /** There is somebody who is told of what is given up. */
  tells: boolean
  backOffMs: number
  longestBackOffMs: number
}

export type ReaderInput = {
  settings: ReaderSettings
  /** Left by the reader before, in order. */
  batches: readonly CutBatch[]
  /** The tumbling window that is open. */
  windowStartMs: number | undefined
  nowMs: number
}

/**
 * `rejected`: the function gave the whole batch back, or a part of it, by `batchItemFailures`; `unsendable`: it is larger
 * than a request may be. `throttled`, `unavailable`: the function has not had it, as far as anybody knows.
 * `partly`: what is behind `to` was given back. `overflown`: it succeeded, and its window's state is larger than 1 MB.
 */
export type BatchOutcome =
  | { kind: 'succeeded' | 'overflown' }
  | { kind: 'failed' | 'rejected' | 'unsendable' }
  | { kind: 'partly'; to: number }
  | { kind: 'throttled' | 'unavailable' }

/** AWS's words: lambda-semantics.md §5.5. */
export type GivenUp = 'RetryAttemptsExhausted' | 'RecordAgeExceeded'

export type ReaderEvent =
  /** Records wait. `isFull`: enough for a batch, or all of the one that is cut already. */
  | { type: 'arrived'; isFull: boolean }
  | { type: 'formed'; batch: Batch; nowMs: number; hasMore: boolean; isFull: boolean }
  /** The next record is of a later window. */
  | { type: 'windowOver' }
  /** There is nothing, after all. */
  | { type: 'nothing' }
  /** Of the batch that is cut already, some records are still to come. */
  | { type: 'incomplete' }
  | { type: 'attempted'; outcome: BatchOutcome; nowMs: number }
  /** Instead of the last attempt of a window: some of its records may still be on their way. */
  | { type: 'early'; nowMs: number }
  /** Instead of an attempt: the records of the batch up to `to` are too old. */
  | { type: 'expired'; to: number }
  | { type: 'told' }
  | { type: 'configured'; settings: ReaderSettings }
  /** The shard is closed, and nothing more will come. */
  | { type: 'shardOver' }
  /** The shard is to be left: what runs may end. */
  | { type: 'stop' }

type Telling = { condition: GivenUp; to: number; invocations: number }

type Context = ReaderInput &
  LaneBatches & {
    hasMore: boolean
    isFull: boolean
    isWindowEarly: boolean
    telling: Telling | undefined
  }

const effects = {
  /**
   * Takes records for a batch: of the open window if there is one, and up to the sequence `to` if it is cut already. Ends
   * in `formed`, `windowOver`, `nothing` or `incomplete`.
   */
  form: effect<{ to: number | undefined; windowStartMs: number | undefined }>(),
  /** Invokes the function with the batch in hand; ends in `attempted` or `expired`. */
  attempt: effect<{
    batch: Batch
    maximumRecordAgeMs: number
    windowStartMs: number | undefined
  }>(),
  /** Invokes the function for the last time in a window, without records; ends in `attempted` or `early`. */
  attemptWindow: effect<{ startMs: number; isEarly: boolean; attempts: number }>(),
  /** Every record of the lane up to `to` is done with. */
  advance: effect<{ to: number }>(),
  /** What the next reader should know has changed: see `leftBy`. */
  remember: effect(),
  /** The batch in hand up to `to` is given up; ends in `told`. */
  tell: effect<Telling>(),
  /** A window opens, or has ended: what is known of its state is forgotten. */
  forgetWindow: effect(),
  /** There is nothing to do. */
  rest: effect(),
}

/** Records of a window may still be on their way when it ends, or when somebody has just taken over. */
const WINDOW_GRACE_MS = 1_000
/** A batch that takes longer is remembered as it is, so that the next reader makes the same request of it. */
const SLOW_MS = 500

/** What the next reader should begin with. */
export const leftBy = (
  context: Pick<Context, 'batch' | 'attempts' | 'batches' | 'windowStartMs'>,
): { batches: CutBatch[]; windowStartMs: number | undefined } => ({
  batches: putBack(context),
  windowStartMs: context.windowStartMs,
})

const inWindows = ({ settings }: Context): boolean => settings.tumblingWindowMs > 0
/** Of the tumbling window that a time lies in. */
export const windowStart = (atMs: number, tumblingWindowMs: number): number =>
  Math.floor(atMs / tumblingWindowMs) * tumblingWindowMs
const windowOf = ({ firstMs }: Batch, { tumblingWindowMs }: ReaderSettings): number =>
  windowStart(firstMs, tumblingWindowMs)

const isOutcome =
  (...kinds: BatchOutcome['kind'][]) =>
  ({ event }: { event: ReaderEvent }): boolean =>
    event.type === 'attempted' && kinds.includes(event.outcome.kind)
const isFailure = isOutcome('failed', 'rejected', 'unsendable', 'partly')

const wasTheLast = ({ settings, attempts }: Context, event: ReaderEvent): boolean =>
  isFailure({ event }) &&
  settings.maximumRetryAttempts >= 0 &&
  attempts >= settings.maximumRetryAttempts

/** Waits are doubled, and not longer than the batch has to live. */
function backOff({ settings, attempts, putOff, batch, nowMs }: Context): number {
  const doublings = Math.min(Math.max(attempts + putOff - 1, 0), 30)
  const waitMs = Math.min(settings.backOffMs * 2 ** doublings, settings.longestBackOffMs)
  if (settings.maximumRecordAgeMs < 0 || batch === undefined) return waitMs
  return Math.max(0, Math.min(waitMs, batch.firstMs + settings.maximumRecordAgeMs - nowMs))
}

const base = setup({
  types: {} as { input: ReaderInput; context: Context; events: ReaderEvent },
  actions: {
    ...effects,
    noteWaiting: assign(({ event }) =>
      event.type === 'arrived' ? { hasMore: true, isFull: event.isFull } : {},
    ),
    configure: assign(({ event }) =>
      event.type === 'configured' ? { settings: event.settings } : {},
    ),
    takeBatch: assign(({ context, event }) => {
      if (event.type !== 'formed') return {}
      const { batch, hasMore, isFull, nowMs } = event
      return {
        ...take(context.batches, batch),
        hasMore,
        isFull,
        nowMs,
        windowStartMs: inWindows(context) ? windowOf(batch, context.settings) : undefined,
      }
    }),
    takeNothing: assign({ hasMore: false, isFull: false }),
    spendAttempt: assign(({ context, event }) => ({
      attempts: context.attempts + 1,
      putOff: 0,
      nowMs: event.type === 'attempted' ? event.nowMs : context.nowMs,
    })),
    putOffOnce: assign(({ context, event }) => ({
      putOff: context.putOff + 1,
      nowMs: event.type === 'attempted' ? event.nowMs : context.nowMs,
    })),
    /** To be formed again as it was. */
    putBack: assign(({ context }) => ({ batches: putBack(context), batch: undefined })),
    halve: assign(({ context }) => halve(context)),
    cutOffDone: assign(({ context, event }) =>
      event.type !== 'attempted' || event.outcome.kind !== 'partly'
        ? {}
        : // It did fail: what is left is not tried again at once.
          { ...cutOff(context, event.outcome.to), attempts: 1, nowMs: event.nowMs },
    ),
    noteExhausted: assign(({ context }) => ({
      telling: {
        condition: 'RetryAttemptsExhausted' as const,
        to: context.batch?.to ?? 0,
        invocations: context.attempts,
      },
    })),
    noteExpired: assign(({ context, event }) =>
      event.type === 'expired'
        ? {
            telling: {
              condition: 'RecordAgeExceeded' as const,
              to: event.to,
              // Recorded: 1 for what was never tried. lambda-semantics.md §5.5.
              invocations: Math.max(1, context.attempts),
            },
          }
        : {},
    ),
    /** What was not given up is a batch of its own. */
    cutOffTold: assign(({ context }) => {
      const { batches, telling, hasMore } = context
      const left = cutOff(context, telling?.to ?? Number.POSITIVE_INFINITY)
      return {
        ...left,
        hasMore: hasMore || left.batches.length > batches.length,
        telling: undefined,
      }
    }),
    dropBatch: assign(noneInHand),
    noteNow: assign(({ event }) => (event.type === 'early' ? { nowMs: event.nowMs } : {})),
    endWindowEarly: assign({ isWindowEarly: true }),
    dropWindow: assign({
      windowStartMs: undefined,
      isWindowEarly: false,
      attempts: 0,
      putOff: 0,
    }),
  },
  guards: {
    hasMore: ({ context }) => context.hasMore,
    isFull: ({ context }) => context.isFull,
    isReady: ({ context }) =>
      context.hasMore &&
      (context.isFull ||
        context.settings.batchingWindowMs === 0 ||
        // It has waited already, as a part of the batch that it was cut off.
        context.batches.length > 0),
    isAllThere: ({ event }) => event.type === 'arrived' && event.isFull,
    hasWindow: ({ context }) => context.windowStartMs !== undefined,
    hasSucceeded: isOutcome('succeeded'),
    hasOverflown: isOutcome('overflown'),
    hasEndedWell: isOutcome('succeeded', 'overflown'),
    hasDonePart: isOutcome('partly'),
    canBeHalved: ({ context, event }) =>
      isOutcome('failed', 'rejected')({ event }) &&
      context.settings.bisectsOnError &&
      (context.batch?.records ?? 0) > 1,
    wasTheLast: ({ context, event }) => wasTheLast(context, event),
    wasTheLastAndTells: ({ context, event }) =>
      context.settings.tells && wasTheLast(context, event),
    hasFailed: isFailure,
    tells: ({ context }) => context.settings.tells,
  },
  delays: {
    batchingWindow: ({ context }) => context.settings.batchingWindowMs,
    backOff: ({ context }) => backOff(context),
    slow: SLOW_MS,
    windowEnd: ({ context: { windowStartMs = 0, settings, nowMs } }) =>
      WINDOW_GRACE_MS + Math.max(0, windowStartMs + settings.tumblingWindowMs - nowMs),
  },
})

const machine = base
  .extend({
    actions: {
      formIt: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'form',
          params: { to: context.batches[0]?.to, windowStartMs: context.windowStartMs },
        }),
      ),
      attemptIt: base.enqueueActions(({ context, enqueue }) => {
        const { batch, settings, windowStartMs } = context
        if (batch === undefined) return
        const { maximumRecordAgeMs } = settings
        enqueue({ type: 'attempt', params: { batch, maximumRecordAgeMs, windowStartMs } })
      }),
      closeIt: base.enqueueActions(({ context, enqueue }) => {
        const { windowStartMs: startMs = 0, isWindowEarly: isEarly, attempts } = context
        enqueue({ type: 'attemptWindow', params: { startMs, isEarly, attempts } })
      }),
      advanceToEnd: base.enqueueActions(({ context, enqueue }) =>
        enqueue({ type: 'advance', params: { to: context.batch?.to ?? 0 } }),
      ),
      advanceToDone: base.enqueueActions(({ event, enqueue }) => {
        if (event.type !== 'attempted' || event.outcome.kind !== 'partly') return
        enqueue({ type: 'advance', params: { to: event.outcome.to } })
      }),
      tellIt: base.enqueueActions(({ context, enqueue }) => {
        if (context.telling !== undefined) enqueue({ type: 'tell', params: context.telling })
      }),
      advanceToTold: base.enqueueActions(({ context, enqueue }) =>
        enqueue({ type: 'advance', params: { to: context.telling?.to ?? 0 } }),
      ),
    },
  })
  .createMachine({
    id: 'shard-reader',
    context: ({ input }) => ({
      ...input,
      batch: undefined,
      attempts: 0,
      putOff: 0,
      hasMore: false,
      isFull: false,
      isWindowEarly: false,
      telling: undefined,
    }),
    initial: 'reading',
    on: { configured: { actions: 'configure' } },
    states: {
      reading: {
        description: 'The lane is worked on.',
        initial: 'settling',
        on: { arrived: { actions: 'noteWaiting' } },
        states: {
          settling: {
            description: 'A batch is over, one way or another.',
            always: [
              { guard: 'isReady', target: 'forming' },
              { guard: 'hasMore', target: 'gathering' },
              { guard: 'hasWindow', target: 'betweenBatches' },
              { target: 'idle' },
            ],
          },
          idle: {
            description: 'Nothing waits.',
            entry: 'rest',
            on: {
              arrived: { target: 'settling', actions: 'noteWaiting' },
              stop: '#shard-reader.stopped',
            },
          },
          betweenBatches: {
            description: 'Nothing waits, and a tumbling window is open.',
            entry: 'rest',
            on: {
              arrived: { target: 'settling', actions: 'noteWaiting' },
              shardOver: 'closing',
              stop: '#shard-reader.stopped',
            },
            after: { windowEnd: 'closing' },
          },
          gathering: {
            description: 'Some records wait; the batching window runs.',
            always: { guard: 'isFull', target: 'forming' },
            on: {
              arrived: { actions: 'noteWaiting' },
              shardOver: 'forming',
              stop: '#shard-reader.stopped',
            },
            after: { batchingWindow: 'forming' },
          },
          forming: {
            description: 'A batch is being taken from what waits.',
            entry: 'formIt',
            on: {
              formed: { target: 'attempting', actions: 'takeBatch' },
              windowOver: 'closing',
              nothing: { target: 'settling', actions: 'takeNothing' },
              incomplete: 'completing',
              stop: '#shard-reader.stopped',
            },
          },
          completing: {
            description:
              'The records of a batch that the reader before has tried are coming in. With fewer of them it would be another batch.',
            on: {
              arrived: { guard: 'isAllThere', target: 'forming', actions: 'noteWaiting' },
              stop: '#shard-reader.stopped',
            },
          },
          attempting: {
            description: 'The function is being invoked with the batch.',
            entry: 'attemptIt',
            on: {
              attempted: [
                {
                  guard: 'hasSucceeded',
                  target: 'settling',
                  actions: ['advanceToEnd', 'dropBatch'],
                },
                {
                  guard: 'hasOverflown',
                  target: 'closing',
                  actions: ['advanceToEnd', 'dropBatch', 'endWindowEarly'],
                },
                {
                  guard: 'hasDonePart',
                  target: 'backingOff',
                  actions: ['advanceToDone', 'cutOffDone', 'remember'],
                },
                { guard: 'canBeHalved', target: 'forming', actions: ['halve', 'remember'] },
                {
                  guard: 'wasTheLastAndTells',
                  target: 'telling',
                  actions: ['spendAttempt', 'noteExhausted', 'remember'],
                },
                {
                  guard: 'wasTheLast',
                  target: 'settling',
                  actions: ['noteExhausted', 'advanceToTold', 'cutOffTold'],
                },
                {
                  guard: 'hasFailed',
                  target: 'backingOff',
                  actions: ['spendAttempt', 'remember'],
                },
                { target: 'backingOff', actions: 'putOffOnce' },
              ],
              expired: [
                { guard: 'tells', target: 'telling', actions: 'noteExpired' },
                {
                  target: 'settling',
                  actions: ['noteExpired', 'advanceToTold', 'cutOffTold'],
                },
              ],
              stop: '#shard-reader.leaving.attempting',
            },
            after: { slow: { actions: 'remember' } },
          },
          backingOff: {
            description: 'The same batch, or what is left of it, is tried again in a while.',
            on: { stop: '#shard-reader.stopped' },
            after: { backOff: { target: 'forming', actions: 'putBack' } },
          },
          telling: {
            description: 'Records are given up; whoever is to be told of it is being told.',
            entry: 'tellIt',
            on: {
              told: { target: 'settling', actions: ['advanceToTold', 'cutOffTold'] },
              stop: '#shard-reader.leaving.telling',
            },
          },
          closing: {
            description: 'The window is over: the function is invoked for the last time in it.',
            entry: 'closeIt',
            on: {
              attempted: [
                {
                  guard: 'hasEndedWell',
                  target: 'settling',
                  actions: ['dropWindow', 'forgetWindow'],
                },
                {
                  guard: 'wasTheLast',
                  target: 'settling',
                  actions: ['dropWindow', 'forgetWindow'],
                },
                { guard: 'hasFailed', target: 'closingLater', actions: 'spendAttempt' },
                { target: 'closingLater', actions: 'putOffOnce' },
              ],
              early: { target: 'settling', actions: 'noteNow' },
              stop: '#shard-reader.leaving.closing',
            },
          },
          closingLater: {
            description: 'The last invocation of the window is tried again in a while.',
            on: { stop: '#shard-reader.stopped' },
            after: { backOff: 'closing' },
          },
        },
      },
      leaving: {
        description: 'The shard is to be left; what runs may end, and its end counts.',
        initial: 'attempting',
        states: {
          attempting: {
            description: 'The function is being invoked with the batch.',
            on: {
              attempted: [
                {
                  guard: 'hasEndedWell',
                  target: '#shard-reader.stopped',
                  actions: ['advanceToEnd', 'dropBatch'],
                },
                {
                  guard: 'hasDonePart',
                  target: '#shard-reader.stopped',
                  actions: ['advanceToDone', 'cutOffDone', 'remember'],
                },
                {
                  guard: 'hasFailed',
                  target: '#shard-reader.stopped',
                  actions: ['spendAttempt', 'remember'],
                },
                { target: '#shard-reader.stopped' },
              ],
              expired: '#shard-reader.stopped',
            },
          },
          telling: {
            description: 'Whoever is to be told of records that are given up is being told.',
            on: {
              told: {
                target: '#shard-reader.stopped',
                actions: ['advanceToTold', 'cutOffTold'],
              },
            },
          },
          closing: {
            description: 'The function is being invoked for the last time in its window.',
            on: {
              attempted: [
                {
                  guard: 'hasEndedWell',
                  target: '#shard-reader.stopped',
                  actions: ['dropWindow', 'forgetWindow'],
                },
                { target: '#shard-reader.stopped' },
              ],
            },
          },
        },
      },
      stopped: { type: 'final', description: 'Nothing of it runs here.' },
    },
    options: { maxIterations: 1000 },
  })

export const shardReaderMachine = withEffects(machine, effects)
