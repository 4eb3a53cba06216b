/**
 * Invocation: one synchronous invoke, from the door to its answer.
 *
 *     resolving ──▶ reserving ──seated──▶ invoking ──answered──▶ answered
 *         │             │  ▲                 │  │
 *         │             │  └──── missed ─────┘  │ lost, overdue
 *         ▼             ▼                       ▼
 *      refused       refused                  failed
 *
 * At most once: an invocation goes back to `reserving` only while it is certain that no sandbox has seen it (nobody was
 * there to hear it, or the worker says that the sandbox is gone). Once a worker may have started it, it is answered or
 * it fails; it is never started again.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import type { Seat } from './reservations.ts'

/** Milliseconds. `overdueMs`: beyond the function's own timeout, how long its worker may take to say so. */
export type InvocationInput = { reservationTimeoutMs: number; overdueMs: number }

/** Why it was refused before anything ran; the actor knows the AWS error for each. */
export type InvocationRefusal =
  | { why: 'no function' }
  | { why: 'bad payload' }
  | { why: 'no registry' }
  | { why: 'not active'; state: string }
  | { why: 'throttled'; reason: string }
  | { why: 'no sandbox in time' }

export type InvocationEvent =
  /** The function is known: its pool and its timeout. */
  | { type: 'resolved'; pool: string; timeoutMs: number }
  | { type: 'unresolved'; refusal: InvocationRefusal }
  /** A dry run asks only whether it could be invoked. */
  | { type: 'approved' }
  | { type: 'seated'; seat: Seat }
  | { type: 'throttled'; reason: string }
  /** The generation it was to run on serves no longer. */
  | { type: 'moved' }
  /** The worker was not there, or no longer has that sandbox: nothing was started. */
  | { type: 'missed' }
  | { type: 'answered' }
  | { type: 'workerGone'; workerId: string }

type Context = InvocationInput & {
  pool: string
  timeoutMs: number
  seat: Seat | undefined
}

const effects = {
  /** Finds the function; ends in `resolved`, `unresolved` or `approved`. */
  resolve: effect(),
  /** Asks for a seat in a sandbox; ends in `seated` or `throttled`. */
  reserve: effect<{ pool: string }>(),
  withdraw: effect<{ pool: string }>(),
  /** Hands it to the sandbox; ends in `answered`, `missed`, or nothing. */
  invoke: effect<{ seat: Seat }>(),
  /** Hands the result to the caller. */
  answer: effect(),
  /** The seat is free again. */
  leave: effect<{ pool: string; seat: Seat }>(),
  /** The seat is no more, or nobody knows what happens on it. */
  loseSeat: effect<{ pool: string; seat: Seat }>(),
  refuse: effect<{ refusal: InvocationRefusal }>(),
  /** Tells the caller that it was started and that its end is unknown. */
  fail: effect<{ why: 'worker gone' | 'overdue' }>(),
  approve: effect(),
}

const seatOf = ({ seat }: Context): Seat => {
  if (seat === undefined) throw new Error('an invocation without a seat')
  return seat
}

const machine = setup({
  types: {} as { input: InvocationInput; context: Context; events: InvocationEvent },
  actions: {
    ...effects,
    rememberTarget: assign(({ event }) =>
      event.type === 'resolved' ? { pool: event.pool, timeoutMs: event.timeoutMs } : {},
    ),
    rememberSeat: assign(({ event }) => (event.type === 'seated' ? { seat: event.seat } : {})),
  },
  guards: {
    isOurWorker: ({ context, event }) =>
      event.type === 'workerGone' && event.workerId === context.seat?.workerId,
  },
  delays: {
    reservationTimeout: ({ context }) => context.reservationTimeoutMs,
    overdue: ({ context }) => context.timeoutMs + context.overdueMs,
  },
}).createMachine({
  id: 'invocation',
  context: ({ input }) => ({ ...input, pool: '', timeoutMs: 0, seat: undefined }),
  initial: 'resolving',
  states: {
    resolving: {
      description: 'The function, its version and its state are being looked up.',
      entry: 'resolve',
      on: {
        resolved: { target: 'reserving', actions: 'rememberTarget' },
        unresolved: {
          target: 'refused',
          actions: { type: 'refuse', params: ({ event }) => ({ refusal: event.refusal }) },
        },
        approved: { target: 'answered', actions: 'approve' },
      },
    },
    reserving: {
      description:
        'Waiting for a sandbox: a free one at once, else whichever is first, returned or new.',
      entry: { type: 'reserve', params: ({ context }) => ({ pool: context.pool }) },
      on: {
        seated: { target: 'invoking', actions: 'rememberSeat' },
        moved: 'resolving',
        throttled: {
          target: 'refused',
          actions: {
            type: 'refuse',
            params: ({ event }) => ({ refusal: { why: 'throttled', reason: event.reason } }),
          },
        },
      },
      after: {
        reservationTimeout: {
          target: 'refused',
          actions: [
            { type: 'withdraw', params: ({ context }) => ({ pool: context.pool }) },
            { type: 'refuse', params: { refusal: { why: 'no sandbox in time' } } },
          ],
        },
      },
    },
    invoking: {
      description: 'A worker has it, or is about to.',
      entry: { type: 'invoke', params: ({ context }) => ({ seat: seatOf(context) }) },
      on: {
        answered: {
          target: 'answered',
          actions: [
            'answer',
            {
              type: 'leave',
              params: ({ context }) => ({ pool: context.pool, seat: seatOf(context) }),
            },
          ],
        },
        missed: {
          target: 'reserving',
          actions: {
            type: 'loseSeat',
            params: ({ context }) => ({ pool: context.pool, seat: seatOf(context) }),
          },
        },
        workerGone: {
          guard: 'isOurWorker',
          target: 'failed',
          actions: [
            { type: 'fail', params: { why: 'worker gone' } },
            {
              type: 'loseSeat',
              params: ({ context }) => ({ pool: context.pool, seat: seatOf(context) }),
            },
          ],
        },
      },
      after: {
        overdue: {
          target: 'failed',
          actions: [
            { type: 'fail', params: { why: 'overdue' } },
            {
              type: 'loseSeat',
              params: ({ context }) => ({ pool: context.pool, seat: seatOf(context) }),
            },
          ],
        },
      },
    },
    answered: { type: 'final', description: 'The caller has the result.' },
    refused: { type: 'final', description: 'The caller has been told why nothing ran.' },
    failed: {
      type: 'final',
      description: 'It was started and its end is unknown; the caller has been told so.',
    },
  },
  options: { maxIterations: 1000 },
})

export const invocationMachine = withEffects(machine, effects)
