/**
 * Event: one asynchronous event in a poller's hands, for one turn: an attempt, or the telling of its end.
 *
 *     waiting ──turn──▶ attempting ──attempted──▶ deciding ──stored──▶ over
 *        │ too old, spent, shut off                   ▲  │ fenced
 *        └────────────────────────────────────────────┘  └───────────▶ lost
 *     telling ──told, untold──▶ deciding
 *
 * What is decided is stored before anything else happens; a retry is a message of the stream that comes back when it is
 * due, perhaps to another poller, and is an instance of its own then. Function errors spend attempts; being throttled and
 * failures of ours do not. An event that could not be retried before it is too old is given up at once.
 * Source: AWS Lambda Developer Guide, "Asynchronous invocation"; lambda-semantics.md §4.3, recorded.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** What the function's settings say at this moment. Milliseconds. */
export type EventPolicy = {
  /** 1–3: MaximumRetryAttempts and the first. */
  mostAttempts: number
  /** MaximumEventAgeInSeconds. */
  mostAgeMs: number
  /** Reserved concurrency of 0: it is not even tried. */
  isShutOff: boolean
  /** Whether somebody is to be told of a success. */
  tellsSuccess: boolean
}

/** Milliseconds. `retryWaitsMs`: before the second attempt, the third. */
export type EventInput = {
  isTelling: boolean
  acceptedAtMs: number
  attempts: number
  putOff: number
  retryWaitsMs: readonly number[]
  backOffMs: number
  longestBackOffMs: number
  /** How long somebody who cannot be told is tried. */
  tellForMs: number
  endedAtMs: number
}

/**
 * `failed`: the function did. `gone`: there is no such function any more, which counts like a failure: it may be made
 * anew. `throttled`: no concurrency for it.
 * `unavailable`: something of ours failed, or nobody knows. `recursive`: it has called itself too often.
 */
export type AttemptOutcome =
  | 'succeeded'
  | 'failed'
  | 'gone'
  | 'throttled'
  | 'unavailable'
  | 'recursive'

/** AWS's words: lambda-semantics.md §4.4. */
export type EndCondition =
  | 'Success'
  | 'RetriesExhausted'
  | 'EventAgeExceeded'
  | 'ZeroReservedConcurrency'
  | 'RecursiveInvocation'

export type EventEvent =
  | { type: 'turn'; policy: EventPolicy; nowMs: number }
  | { type: 'attempted'; outcome: AttemptOutcome; policy: EventPolicy; nowMs: number }
  /** Everyone has been told, or `left` have not. */
  | { type: 'told' }
  | { type: 'untold'; nowMs: number }
  | { type: 'stored' }
  /** Its lane is somebody else's. */
  | { type: 'fenced' }

type Context = EventInput

const effects = {
  /** Has it invoked once; ends in `attempted`. */
  attempt: effect(),
  /** Tells its end; ends in `told` or `untold`. */
  tell: effect(),
  /** It is done with and nothing follows; like the others below it ends in `stored` or `fenced`. */
  finish: effect(),
  /** It comes again after `waitMs`. */
  retry: effect<{ waitMs: number; attempts: number; putOff: number }>(),
  /** It has ended; whoever wants to know is to be told. */
  end: effect<{ condition: EndCondition; attempts: number }>(),
  /** Its telling comes again after `waitMs`, for those who have not been told. */
  tellAgain: effect<{ waitMs: number; putOff: number }>(),
  /** Nobody could be told in all that time: it is kept for whoever looks. */
  shelve: effect(),
}

const backOff = ({ backOffMs, longestBackOffMs, putOff }: EventInput): number =>
  Math.min(backOffMs * 2 ** Math.min(putOff, 30), longestBackOffMs)
const retryWait = ({ retryWaitsMs, attempts }: EventInput): number =>
  retryWaitsMs[attempts] ?? retryWaitsMs.at(-1) ?? 0
const deadlineOf = (context: EventInput, policy: EventPolicy): number =>
  context.acceptedAtMs + policy.mostAgeMs
const isFailure = (outcome: AttemptOutcome): boolean => outcome === 'failed' || outcome === 'gone'
const isOutcome =
  (...outcomes: AttemptOutcome[]) =>
  ({ event }: { event: EventEvent }): boolean =>
    event.type === 'attempted' && outcomes.includes(event.outcome)

const base = setup({
  types: {} as { input: EventInput; context: Context; events: EventEvent },
  actions: {
    ...effects,
    spendAttempt: assign(({ context }) => ({ attempts: context.attempts + 1 })),
  },
  guards: {
    isTelling: ({ context }) => context.isTelling,
    isShutOff: ({ event }) => event.type === 'turn' && event.policy.isShutOff,
    isTooOld: ({ context, event }) =>
      event.type === 'turn' && event.nowMs >= deadlineOf(context, event.policy),
    hasSucceeded: isOutcome('succeeded'),
    hasSucceededAndTells: ({ event }) =>
      event.type === 'attempted' && event.outcome === 'succeeded' && event.policy.tellsSuccess,
    isRecursive: isOutcome('recursive'),
    hasFailedForTheLastTime: ({ context, event }) =>
      event.type === 'attempted' &&
      isFailure(event.outcome) &&
      context.attempts + 1 >= event.policy.mostAttempts,
    hasFailedTooLate: ({ context, event }) =>
      event.type === 'attempted' &&
      isFailure(event.outcome) &&
      event.nowMs + retryWait(context) >= deadlineOf(context, event.policy),
    hasFailed: ({ event }) => event.type === 'attempted' && isFailure(event.outcome),
    isPutOffTooLate: ({ context, event }) =>
      event.type === 'attempted' &&
      event.nowMs + backOff(context) >= deadlineOf(context, event.policy),
    isToldLongEnough: ({ context, event }) =>
      event.type === 'untold' && event.nowMs - context.endedAtMs > context.tellForMs,
  },
})

const machine = base
  .extend({
    actions: {
      giveUpTooOld: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'end',
          params: { condition: 'EventAgeExceeded', attempts: context.attempts },
        }),
      ),
      giveUpShutOff: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'end',
          params: { condition: 'ZeroReservedConcurrency', attempts: context.attempts },
        }),
      ),
      giveUpExhausted: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'end',
          params: { condition: 'RetriesExhausted', attempts: context.attempts },
        }),
      ),
      giveUpRecursive: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'end',
          params: { condition: 'RecursiveInvocation', attempts: context.attempts },
        }),
      ),
      endWell: base.enqueueActions(({ context, enqueue }) =>
        enqueue({ type: 'end', params: { condition: 'Success', attempts: context.attempts } }),
      ),
      retryAfterFailure: base.enqueueActions(({ context, enqueue }) => {
        // The attempt is counted already; the wait is that after the failure before it.
        const waitMs = retryWait({ ...context, attempts: context.attempts - 1 })
        enqueue({ type: 'retry', params: { waitMs, attempts: context.attempts, putOff: 0 } })
      }),
      retryAfterBackOff: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'retry',
          params: {
            waitMs: backOff(context),
            attempts: context.attempts,
            putOff: context.putOff + 1,
          },
        }),
      ),
      tellAfterBackOff: base.enqueueActions(({ context, enqueue }) =>
        enqueue({
          type: 'tellAgain',
          params: { waitMs: backOff(context), putOff: context.putOff + 1 },
        }),
      ),
    },
  })
  .createMachine({
    id: 'event',
    context: ({ input }) => input,
    initial: 'arriving',
    states: {
      arriving: {
        description: 'Taken out of its packet.',
        always: [{ guard: 'isTelling', target: 'telling' }, { target: 'waiting' }],
      },
      waiting: {
        description: 'Others of its function run; it waits for its turn.',
        on: {
          turn: [
            { guard: 'isShutOff', target: 'deciding', actions: 'giveUpShutOff' },
            { guard: 'isTooOld', target: 'deciding', actions: 'giveUpTooOld' },
            { target: 'attempting' },
          ],
        },
      },
      attempting: {
        description: 'The function is being invoked with it.',
        entry: 'attempt',
        on: {
          attempted: [
            {
              guard: 'hasSucceededAndTells',
              target: 'deciding',
              actions: ['spendAttempt', 'endWell'],
            },
            { guard: 'hasSucceeded', target: 'deciding', actions: 'finish' },
            { guard: 'isRecursive', target: 'deciding', actions: 'giveUpRecursive' },
            {
              guard: 'hasFailedForTheLastTime',
              target: 'deciding',
              actions: ['spendAttempt', 'giveUpExhausted'],
            },
            {
              guard: 'hasFailedTooLate',
              target: 'deciding',
              actions: ['spendAttempt', 'giveUpTooOld'],
            },
            {
              guard: 'hasFailed',
              target: 'deciding',
              actions: ['spendAttempt', 'retryAfterFailure'],
            },
            { guard: 'isPutOffTooLate', target: 'deciding', actions: 'giveUpTooOld' },
            { target: 'deciding', actions: 'retryAfterBackOff' },
          ],
        },
      },
      telling: {
        description: 'It has ended; its destination and its dead-letter queue are being told.',
        entry: 'tell',
        on: {
          told: { target: 'deciding', actions: 'finish' },
          untold: [
            { guard: 'isToldLongEnough', target: 'deciding', actions: 'shelve' },
            { target: 'deciding', actions: 'tellAfterBackOff' },
          ],
        },
      },
      deciding: {
        description: 'What was decided is being stored.',
        on: { stored: 'over', fenced: 'lost' },
      },
      over: { type: 'final', description: 'What follows is stored; nothing is left to do here.' },
      lost: { type: 'final', description: 'Whoever reads its lane now begins again with it.' },
    },
    options: { maxIterations: 1000 },
  })

export const eventMachine = withEffects(machine, effects)
