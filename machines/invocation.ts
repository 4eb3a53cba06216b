/**
 * Invocation: one synchronous invoke, from the door to its answer.
 *
 *     resolving ──▶ reserving ──seated──▶ invoking ──answered──▶ answered
 *         │           │ │ ▲                │ │  ▲
 *         │           │ │ └──── missed ────┘ │  │ begun
 *         │           │ └─sentAhead─▶ ahead ─┼──┘
 *         ▼           ▼                      ▼ lost, overdue
 *      refused     refused                 failed
 *
 * Sent ahead it waits at its worker for the one before it in the same sandbox; until it begins, it can come back (`missed`).
 *
 * At most once: an invocation goes back to `reserving` only while it is certain that nothing of it has run (nobody was there
 * to hear it, or the worker says that the sandbox did not take it, or gives it back). Once a worker may have started it, it
 * is answered or it fails; it is never started again.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import type { Seat } from './reservations.ts'

/**
 * Milliseconds. `overdueMs`: beyond the function's own timeout, how long its worker may take to say so. `aheadMs`: how long
 * it waits at a sandbox for the one before it until it is asked back.
 */
export type InvocationInput = { reservationTimeoutMs: number; overdueMs: number; aheadMs: number }

/** Why it was refused before anything ran; the actor knows the AWS error for each. */
export type InvocationRefusal =
  | { why: 'no function' }
  | { why: 'bad payload' }
  | { why: 'no registry' }
  | { why: 'not active'; state: string }
  | { why: 'recursive' }
  | { why: 'throttled'; reason: string }
  | { why: 'no sandbox in time' }

export type InvocationEvent =
  /** The function is known: its pool and its timeout. */
  | { type: 'resolved'; pool: string; timeoutMs: number }
  | { type: 'unresolved'; refusal: InvocationRefusal }
  /** A dry run asks only whether it could be invoked. */
  | { type: 'approved' }
  | { type: 'seated'; seat: Seat }
  /** To a seat on which another invocation runs. */
  | { type: 'sentAhead'; seat: Seat }
  /** The one before it has ended. */
  | { type: 'begun' }
  /** Another seat is free. */
  | { type: 'calledBack' }
  /** The seat is lost, with the one before it. */
  | { type: 'forsaken' }
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
  invoke: effect<{ seat: Seat; isAhead: boolean }>(),
  /** Asks the worker to give it back; it says `missed` if it has not begun, and nothing otherwise. */
  takeBack: effect<{ seat: Seat }>(),
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

const invoke = (isAhead: boolean) => ({
  type: 'invoke' as const,
  params: ({ context }: { context: Context }) => ({ seat: seatOf(context), isAhead }),
})

const takeBack = {
  type: 'takeBack' as const,
  params: ({ context }: { context: Context }) => ({ seat: seatOf(context) }),
}

const withdraw = {
  type: 'withdraw' as const,
  params: ({ context }: { context: Context }) => ({ pool: context.pool }),
}

const machine = setup({
  types: {} as { input: InvocationInput; context: Context; events: InvocationEvent },
  actions: {
    ...effects,
    rememberTarget: assign(({ event }) =>
      event.type === 'resolved' ? { pool: event.pool, timeoutMs: event.timeoutMs } : {},
    ),
    rememberSeat: assign(({ event }) =>
      event.type === 'seated' || event.type === 'sentAhead' ? { seat: event.seat } : {},
    ),
  },
  guards: {
    isOurWorker: ({ context, event }) =>
      event.type === 'workerGone' && event.workerId === context.seat?.workerId,
  },
  delays: {
    reservationTimeout: ({ context }) => context.reservationTimeoutMs,
    overdue: ({ context }) => context.timeoutMs + context.overdueMs,
    patience: ({ context }) => context.aheadMs,
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
        seated: { target: 'invoking', actions: ['rememberSeat', invoke(false)] },
        sentAhead: { target: 'ahead', actions: ['rememberSeat', invoke(true)] },
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
            withdraw,
            { type: 'refuse', params: { refusal: { why: 'no sandbox in time' } } },
          ],
        },
      },
    },
    ahead: {
      description:
        'Its worker has it, behind another one in the same sandbox: it begins when that one ends.',
      on: {
        begun: 'invoking',
        missed: 'reserving',
        calledBack: { actions: takeBack },
        forsaken: 'forsaken',
        // The answer of the one before it was lost.
        answered: { target: 'answered', actions: ['answer', withdraw] },
        workerGone: {
          guard: 'isOurWorker',
          target: 'failed',
          actions: [{ type: 'fail', params: { why: 'worker gone' } }, withdraw],
        },
      },
      after: { patience: { target: 'ahead', reenter: true, actions: takeBack } },
    },
    forsaken: {
      description: 'The sandbox it was sent ahead to is lost; whether it runs there is not known.',
      entry: takeBack,
      on: {
        answered: { target: 'answered', actions: 'answer' },
        missed: 'reserving',
        workerGone: {
          guard: 'isOurWorker',
          target: 'failed',
          actions: { type: 'fail', params: { why: 'worker gone' } },
        },
      },
      after: {
        overdue: { target: 'failed', actions: { type: 'fail', params: { why: 'overdue' } } },
      },
    },
    invoking: {
      description: 'A worker has it, or is about to.',
      on: {
        answered: {
          target: 'answered',
          actions: [
            {
              type: 'leave',
              params: ({ context }) => ({ pool: context.pool, seat: seatOf(context) }),
            },
            'answer',
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
