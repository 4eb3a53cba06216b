/**
 * Reservations: the seats that one front end holds in one pool, and the invocations that wait for one.
 *
 *     content ──nobody's seat is free──▶ asking ──nobody waits──▶ content
 *        └───────── superseded, or empty for a while ─────────▶ over
 *
 * A seat is the right to run one invocation at a time in one sandbox. The pool grants seats; a front end keeps a seat for
 * a short linger, so that its next invocation asks nobody. A seat that comes back goes to whoever waits longest.
 * What is told to the pool is a level ("I want seven"), said again while it holds, and not an edge: a lost message, a
 * repeated one or a new owner of the pool do no harm.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

export type Seat = { sandboxId: string; workerId: string }

/** Milliseconds. `askAgainMs`: how often a wish that still holds is said again. */
export type ReservationsInput = { askAgainMs: number }

export type ReservationsEvent =
  | { type: 'wanted'; requestId: string }
  | { type: 'withdrawn'; requestId: string }
  /** An invocation has ended and its sandbox is ready for the next. */
  | { type: 'finished'; seat: Seat }
  /** The sandbox is gone, or in a state that nobody knows. */
  | { type: 'lost'; seat: Seat }
  | { type: 'granted'; seats: Seat[] }
  /** The limit is reached; `keep`: how many may go on waiting. */
  | { type: 'throttled'; keep: number; reason: string }
  /** The pool wants seats back for others: free ones now, then the next to come back. */
  | { type: 'recalled'; count: number }
  | { type: 'workerGone'; workerId: string }
  /** It takes nothing new: seats on it go back as soon as they are free. */
  | { type: 'workerDraining'; workerId: string }
  /** Time has passed: a seat that was free all along between two of these goes back. */
  | { type: 'aged' }
  /** Another generation of the function serves now. */
  | { type: 'superseded' }

type Context = ReservationsInput & {
  /** The last one used is the first one taken: few sandboxes stay warm, the others can rest. */
  free: (Seat & { isOld: boolean })[]
  busy: number
  waiting: string[]
  /** The wish that the pool knows of. */
  told: number
  /** Seats that were recalled and have not come back yet. */
  owed: number
  /** Workers on which no seat is kept. */
  leaving: string[]
}

const effects = {
  /** Gives an invocation its seat. */
  seat: effect<{ requestId: string; seat: Seat }>(),
  throttle: effect<{ requestId: string; reason: string }>(),
  /** The function has moved on: the invocation should look where to. */
  redirect: effect<{ requestId: string }>(),
  /** Tells the pool how many invocations wait here. */
  ask: effect<{ count: number }>(),
  giveBack: effect<{ seats: Seat[] }>(),
  /** The pool should forget a sandbox that is no more, or make sure of one that nobody knows about. */
  reportLost: effect<{ seat: Seat }>(),
}

const plain = ({ sandboxId, workerId }: Seat): Seat => ({ sandboxId, workerId })

const base = setup({
  types: {} as { input: ReservationsInput; context: Context; events: ReservationsEvent },
  actions: {
    ...effects,
    takeFree: assign(({ context }) => ({
      free: context.free.slice(0, -1),
      busy: context.busy + 1,
    })),
    queue: assign(({ context, event }) =>
      event.type === 'wanted' ? { waiting: [...context.waiting, event.requestId] } : {},
    ),
    dequeue: assign(({ context }) => ({ waiting: context.waiting.slice(1) })),
    strike: assign(({ context, event }) =>
      event.type === 'withdrawn'
        ? { waiting: context.waiting.filter((requestId) => requestId !== event.requestId) }
        : {},
    ),
    keepFree: assign(({ context, event }) =>
      event.type === 'finished'
        ? { free: [...context.free, { ...event.seat, isOld: false }], busy: context.busy - 1 }
        : {},
    ),
    payOwed: assign(({ context }) => ({ owed: context.owed - 1, busy: context.busy - 1 })),
    oneLessBusy: assign(({ context }) => ({
      busy: context.busy - 1,
      owed: Math.min(context.owed, context.busy - 1),
    })),
    rememberTold: assign(({ context }) => ({ told: context.waiting.length })),
  },
  guards: {
    hasFree: ({ context }) => context.free.length > 0,
    hasWaiting: ({ context }) => context.waiting.length > 0,
    isMoreThanTold: ({ context }) => context.waiting.length + 1 > context.told,
    owes: ({ context }) => context.owed > 0,
    isOnLeavingWorker: ({ context, event }) =>
      event.type === 'finished' && context.leaving.includes(event.seat.workerId),
    isUnused: ({ context }) =>
      context.free.length === 0 && context.busy === 0 && context.waiting.length === 0,
  },
  delays: { askAgain: ({ context }) => context.askAgainMs },
})

const machine = base
  .extend({
    actions: {
      /** Seats that were granted: first to those who wait, the rest are kept. */
      seatGranted: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'granted') return
        const served = event.seats.slice(0, context.waiting.length)
        const kept = event.seats.slice(context.waiting.length)
        enqueue.assign({
          waiting: context.waiting.slice(served.length),
          busy: context.busy + served.length,
          told: Math.max(0, context.told - event.seats.length),
          free: [...context.free, ...kept.map((seat) => ({ ...seat, isOld: false }))],
        })
        served.forEach((seat, index) => {
          const requestId = context.waiting[index]
          if (requestId !== undefined) enqueue({ type: 'seat', params: { requestId, seat } })
        })
      }),
      /** Those who came last are refused: the others were within the limit when they came. */
      throttleLast: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'throttled') return
        const kept = Math.min(context.waiting.length, event.keep)
        for (const requestId of context.waiting.slice(kept)) {
          enqueue({ type: 'throttle', params: { requestId, reason: event.reason } })
        }
        enqueue.assign({ waiting: context.waiting.slice(0, kept), told: kept })
      }),
      returnRecalled: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'recalled') return
        const seats = context.free.slice(0, event.count).map(plain)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({
          free: context.free.slice(seats.length),
          owed: Math.min(context.busy, event.count - seats.length),
        })
      }),
      returnOld: base.enqueueActions(({ context, enqueue }) => {
        const seats = context.free.filter(({ isOld }) => isOld).map(plain)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({
          free: context.free
            .filter(({ isOld }) => !isOld)
            .map((seat) => ({ ...seat, isOld: true })),
        })
      }),
      returnAll: base.enqueueActions(({ context, enqueue }) => {
        if (context.free.length > 0) {
          enqueue({ type: 'giveBack', params: { seats: context.free.map(plain) } })
        }
        for (const requestId of context.waiting) {
          enqueue({ type: 'redirect', params: { requestId } })
        }
        enqueue.assign({ free: [], waiting: [] })
      }),
      returnFromWorker: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'workerDraining') return
        const isThere = ({ workerId }: Seat) => workerId === event.workerId
        const seats = context.free.filter(isThere).map(plain)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({
          free: context.free.filter((seat) => !isThere(seat)),
          leaving: [...context.leaving.filter((id) => id !== event.workerId), event.workerId],
        })
      }),
      forgetWorker: assign(({ context, event }) =>
        event.type === 'workerGone'
          ? {
              free: context.free.filter(({ workerId }) => workerId !== event.workerId),
              leaving: context.leaving.filter((id) => id !== event.workerId),
            }
          : {},
      ),
    },
  })
  .createMachine({
    id: 'reservations',
    context: ({ input }) => ({
      ...input,
      free: [],
      busy: 0,
      waiting: [],
      told: 0,
      owed: 0,
      leaving: [],
    }),
    initial: 'content',
    on: {
      withdrawn: { actions: 'strike' },
      finished: [
        {
          guard: 'owes',
          actions: [
            'payOwed',
            { type: 'giveBack', params: ({ event }) => ({ seats: [event.seat] }) },
          ],
        },
        {
          guard: 'isOnLeavingWorker',
          actions: [
            'oneLessBusy',
            { type: 'giveBack', params: ({ event }) => ({ seats: [event.seat] }) },
          ],
        },
        {
          guard: 'hasWaiting',
          actions: [
            {
              type: 'seat',
              params: ({ context, event }) => ({
                requestId: context.waiting[0] as string,
                seat: event.seat,
              }),
            },
            'dequeue',
          ],
        },
        { actions: 'keepFree' },
      ],
      lost: {
        actions: [
          'oneLessBusy',
          { type: 'reportLost', params: ({ event }) => ({ seat: event.seat }) },
        ],
      },
      granted: { actions: 'seatGranted' },
      throttled: { actions: 'throttleLast' },
      recalled: { actions: 'returnRecalled' },
      workerGone: { actions: 'forgetWorker' },
      workerDraining: { actions: 'returnFromWorker' },
      aged: { actions: 'returnOld' },
      superseded: { target: '.retiring', actions: 'returnAll' },
    },
    states: {
      content: {
        description: 'The pool owes us nothing.',
        on: {
          wanted: [
            {
              guard: 'hasFree',
              actions: [
                {
                  type: 'seat',
                  params: ({ context, event }) => ({
                    requestId: event.requestId,
                    seat: plain(context.free.at(-1) as Seat),
                  }),
                },
                'takeFree',
              ],
            },
            {
              target: 'asking',
              actions: ['queue', 'rememberTold'],
            },
          ],
          aged: [{ guard: 'isUnused', target: 'over' }, { actions: 'returnOld' }],
        },
      },
      asking: {
        description: 'The pool knows how many invocations wait here.',
        entry: { type: 'ask', params: ({ context }) => ({ count: context.told }) },
        on: {
          wanted: [
            {
              guard: 'hasFree',
              actions: [
                {
                  type: 'seat',
                  params: ({ context, event }) => ({
                    requestId: event.requestId,
                    seat: plain(context.free.at(-1) as Seat),
                  }),
                },
                'takeFree',
              ],
            },
            {
              guard: 'isMoreThanTold',
              actions: [
                'queue',
                'rememberTold',
                { type: 'ask', params: ({ context }) => ({ count: context.told }) },
              ],
            },
            { actions: 'queue' },
          ],
        },
        after: {
          askAgain: [
            {
              guard: 'hasWaiting',
              target: 'asking',
              reenter: true,
              actions: 'rememberTold',
            },
            {
              target: 'content',
              actions: ['rememberTold', { type: 'ask', params: { count: 0 } }],
            },
          ],
        },
      },
      retiring: {
        description: 'The function has moved on; what still runs here may finish.',
        always: { guard: 'isUnused', target: 'over' },
        on: {
          finished: {
            actions: [
              'oneLessBusy',
              { type: 'giveBack', params: ({ event }) => ({ seats: [event.seat] }) },
            ],
          },
          granted: {
            actions: { type: 'giveBack', params: ({ event }) => ({ seats: event.seats }) },
          },
          wanted: {
            actions: {
              type: 'redirect',
              params: ({ event }) => ({ requestId: event.requestId }),
            },
          },
        },
      },
      over: { type: 'final', description: 'Nothing held, nobody waits.' },
    },
    options: { maxIterations: 1000 },
  })

export const reservationsMachine = withEffects(machine, effects)
