/**
 * Reservations: the seats that one front end holds in one pool, and the invocations that wait for one.
 *
 *     content ──nobody's seat is free──▶ asking ──nobody waits──▶ content
 *        └───────── superseded, or empty for a while ─────────▶ over
 *
 * A seat is the right to run one invocation at a time in one sandbox. The pool grants seats; a front end keeps a seat for
 * a short linger, so that its next invocation asks nobody. Who gets which is in seat-line.ts.
 * What is told to the pool is a level ("I want seven"), said again while it holds, and not an edge: a lost message, a
 * repeated one or a new owner of the pool do no harm.
 * A function with a reserved concurrency has a cap. The pool keeps to it over all front ends; this one refuses at once
 * what is beyond it already here.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import {
  aheadOf,
  capped,
  cut,
  emptyLine,
  freed,
  givenUp,
  handedOver,
  isFull,
  type Line,
  linedUp,
  plain,
  type Seat,
  served,
  struck,
  wish,
  withinCap,
} from './seat-line.ts'

export type { Seat } from './seat-line.ts'

/**
 * Milliseconds. `askAgainMs`: how often a wish that still holds is said again. `quickMs`: a seat whose last invocation took
 * no longer gets its next one ahead of time. `cap`: the reserved concurrency of the function, if it has one.
 */
export type ReservationsInput = { askAgainMs: number; quickMs: number; cap: number | undefined }

export type ReservationsEvent =
  /** Also of one that was sent ahead and has come back: it is first in line. */
  | { type: 'wanted'; requestId: string }
  | { type: 'withdrawn'; requestId: string }
  /** An invocation has ended and its sandbox goes on with the next. */
  | { type: 'finished'; seat: Seat; tookMs: number }
  /** The sandbox is gone, or in a state that nobody knows. */
  | { type: 'lost'; seat: Seat }
  | { type: 'granted'; seats: Seat[] }
  /** The limit is reached; `keep`: how many may go on waiting. */
  | { type: 'throttled'; keep: number; reason: string }
  /** The pool wants seats back for others: free ones now, then the next to come back. */
  | { type: 'recalled'; count: number }
  /** The function's reserved concurrency has changed; undefined: it has none. */
  | { type: 'capped'; cap: number | undefined }
  | { type: 'workerGone'; workerId: string }
  /** It takes nothing new: seats on it go back as soon as they are free. */
  | { type: 'workerDraining'; workerId: string }
  /** Time has passed: a seat that was free all along between two of these goes back. */
  | { type: 'aged' }
  /** Another generation of the function serves now. */
  | { type: 'superseded' }

type Context = ReservationsInput & {
  line: Line
  /** The wish that the pool knows of. */
  told: number
}

const effects = {
  /** Gives an invocation its seat. */
  seat: effect<{ requestId: string; seat: Seat }>(),
  /** Sends an invocation to a seat that is busy: it is the next one there. */
  sendAhead: effect<{ requestId: string; seat: Seat }>(),
  /** The one before it has ended: the seat is its own now. */
  begin: effect<{ requestId: string }>(),
  /** It should come back if it has not begun. */
  callBack: effect<{ requestId: string }>(),
  /** The seat at which it waits is lost; whether it has begun there is not known. */
  forsake: effect<{ requestId: string }>(),
  throttle: effect<{ requestId: string; reason: string }>(),
  /** The function has moved on: the invocation should look where to. */
  redirect: effect<{ requestId: string }>(),
  /** Tells the pool how many invocations wait here; where there is a cap and each seat counts, also how many are held. */
  ask: effect<{ count: number; held?: number }>(),
  giveBack: effect<{ seats: Seat[] }>(),
  /** The pool should forget a sandbox that is no more, or make sure of one that nobody knows about. */
  reportLost: effect<{ seat: Seat }>(),
}

/** Where there is a cap nobody is sent ahead, however quick. */
const isQuick = ({ quickMs, cap }: Context, event: ReservationsEvent): boolean =>
  event.type === 'finished' && event.tookMs <= quickMs && cap === undefined

/** AWS's reason, the same at 0 and at any other cap: lambda-semantics.md §3.3. */
const BEYOND_CAP = 'ReservedFunctionConcurrentInvocationLimitExceeded'

const base = setup({
  types: {} as { input: ReservationsInput; context: Context; events: ReservationsEvent },
  actions: {
    ...effects,
    lineUp: assign(({ context, event }) =>
      event.type === 'wanted' ? { line: linedUp(context.line, event.requestId) } : {},
    ),
    strike: assign(({ context, event }) =>
      event.type === 'withdrawn' || event.type === 'wanted'
        ? { line: struck(context.line, event.requestId) }
        : {},
    ),
    handOver: assign(({ context, event }) =>
      event.type === 'finished'
        ? { line: handedOver(context.line, event.seat, isQuick(context, event)) }
        : {},
    ),
    keepFree: assign(({ context, event }) =>
      event.type === 'finished'
        ? { line: freed(context.line, event.seat, isQuick(context, event)) }
        : {},
    ),
    payOwed: assign(({ context: { line } }) => ({ line: { ...line, owed: line.owed - 1 } })),
    giveUpSeat: assign(({ context, event }) => {
      if (event.type !== 'finished' && event.type !== 'lost') return {}
      return { line: givenUp(context.line, event.seat) }
    }),
    rememberTold: assign(({ context }) => ({ told: wish(context.line) })),
  },
  guards: {
    hasNext: ({ context, event }) =>
      event.type === 'finished' && aheadOf(context.line, event.seat) !== undefined,
    isBeyondCap: ({ context: { cap, line }, event }) =>
      cap !== undefined && event.type === 'wanted' && isFull(line, cap, event.requestId),
    hasCap: ({ context }) => context.cap !== undefined,
    hasNoneFree: ({ context }) => context.line.free.length === 0,
    wishes: ({ context }) => wish(context.line) > 0,
    isMoreThanTold: ({ context }) =>
      context.line.free.length === 0 && wish(context.line) + 1 > context.told,
    owes: ({ context }) => context.line.owed > 0,
    isOnLeavingWorker: ({ context, event }) =>
      event.type === 'finished' && context.line.leaving.includes(event.seat.workerId),
    isUnused: ({ context }) =>
      context.line.free.length === 0 && context.line.busy === 0 && wish(context.line) === 0,
  },
  delays: { askAgain: ({ context }) => context.askAgainMs },
})

const giveBackFinished = {
  type: 'giveBack' as const,
  params: ({ event }: { event: Extract<ReservationsEvent, { type: 'finished' }> }) => ({
    seats: [plain(event.seat)],
  }),
}

const beginNext = {
  type: 'begin' as const,
  params: ({
    context,
    event,
  }: {
    context: Context
    event: Extract<ReservationsEvent, { type: 'finished' }>
  }) => ({ requestId: aheadOf(context.line, event.seat)?.requestId ?? '' }),
}

const askOf = ({ told, cap, line }: Context) =>
  cap === undefined ? { count: told } : { count: told, held: line.busy + line.free.length }

const ask = {
  type: 'ask' as const,
  params: ({ context }: { context: Context }) => askOf(context),
}

const refuseWanted = [
  'strike' as const,
  {
    type: 'throttle' as const,
    params: ({ event }: { event: Extract<ReservationsEvent, { type: 'wanted' }> }) => ({
      requestId: event.requestId,
      reason: BEYOND_CAP,
    }),
  },
]

const machine = base
  .extend({
    actions: {
      /** Who stands in line gets what there is. */
      serve: base.enqueueActions(({ context, enqueue }) => {
        const { line, orders } = served(context.line)
        if (orders.length === 0) return
        enqueue.assign({ line })
        for (const order of orders) enqueue(order)
      }),
      keepGranted: assign(({ context, event }) => {
        if (event.type !== 'granted') return {}
        const seats = event.seats.map((seat) => ({ ...plain(seat), isOld: false, isQuick: false }))
        return {
          // The one named first is the first one taken.
          line: { ...context.line, free: [...context.line.free, ...seats.reverse()] },
          told: Math.max(0, context.told - seats.length),
        }
      }),
      /** Those who came last are refused: the others were within the limit when they came. */
      throttleLast: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'throttled') return
        const { line, orders, refused } = cut(context.line, event.keep)
        for (const requestId of refused) {
          enqueue({ type: 'throttle', params: { requestId, reason: event.reason } })
        }
        for (const order of orders) enqueue(order)
        enqueue.assign({ line, told: Math.min(wish(context.line), event.keep) })
      }),
      /** Nobody can tell what became of who was sent ahead there. */
      forsakeNext: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'lost') return
        const next = aheadOf(context.line, event.seat)
        if (next === undefined) return
        enqueue.assign({ line: struck(context.line, next.requestId) })
        enqueue({ type: 'forsake', params: { requestId: next.requestId } })
      }),
      /** The pool may have granted them before it heard of the cap. */
      returnBeyondCap: base.enqueueActions(({ context: { cap, line: before }, enqueue }) => {
        if (cap === undefined) return
        const { line, seats } = withinCap(before, cap)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({ line })
      }),
      /** Near a cap, a wish that is no longer true would keep seats from others, or call theirs back. */
      askForLess: base.enqueueActions(({ context, enqueue }) => {
        const { cap, line, told } = context
        if (cap === undefined || told <= wish(line)) return
        enqueue.assign({ told: wish(line) })
        enqueue({ type: 'ask', params: askOf({ ...context, told: wish(line) }) })
      }),
      observeCap: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'capped') return
        const { cap } = event
        enqueue.assign({ cap })
        if (cap === undefined) return
        const { line, orders, refused } = capped(context.line, cap)
        for (const requestId of refused) {
          enqueue({ type: 'throttle', params: { requestId, reason: BEYOND_CAP } })
        }
        for (const order of orders) enqueue(order)
        enqueue.assign({ line, told: Math.min(wish(line), context.told) })
      }),
      returnRecalled: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'recalled') return
        const seats = context.line.free.slice(0, event.count).map(plain)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({
          line: {
            ...context.line,
            free: context.line.free.slice(seats.length),
            owed: Math.max(
              context.line.owed,
              Math.min(context.line.busy, event.count - seats.length),
            ),
            // Until they are back nobody is sent ahead to what is to be given back.
            open: [],
          },
        })
      }),
      returnOld: base.enqueueActions(({ context, enqueue }) => {
        const seats = context.line.free.filter(({ isOld }) => isOld).map(plain)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({
          line: {
            ...context.line,
            free: context.line.free
              .filter(({ isOld }) => !isOld)
              .map((seat) => ({ ...seat, isOld: true })),
          },
        })
      }),
      returnAll: base.enqueueActions(({ context, enqueue }) => {
        if (context.line.free.length > 0) {
          enqueue({ type: 'giveBack', params: { seats: context.line.free.map(plain) } })
        }
        for (const requestId of [...context.line.returned, ...context.line.waiting]) {
          enqueue({ type: 'redirect', params: { requestId } })
        }
        enqueue.assign({ line: { ...context.line, free: [], open: [], returned: [], waiting: [] } })
      }),
      returnFromWorker: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'workerDraining') return
        const isThere = ({ workerId }: Seat) => workerId === event.workerId
        const seats = context.line.free.filter(isThere).map(plain)
        if (seats.length > 0) enqueue({ type: 'giveBack', params: { seats } })
        enqueue.assign({
          line: {
            ...context.line,
            free: context.line.free.filter((seat) => !isThere(seat)),
            open: context.line.open.filter((seat) => !isThere(seat)),
            leaving: [
              ...context.line.leaving.filter((id) => id !== event.workerId),
              event.workerId,
            ],
          },
        })
      }),
      forgetWorker: assign(({ context, event }) =>
        event.type === 'workerGone'
          ? {
              line: {
                ...context.line,
                free: context.line.free.filter(({ workerId }) => workerId !== event.workerId),
                open: context.line.open.filter(({ workerId }) => workerId !== event.workerId),
                // Their invocations know it themselves.
                ahead: context.line.ahead.filter(({ seat }) => seat.workerId !== event.workerId),
                leaving: context.line.leaving.filter((id) => id !== event.workerId),
              },
            }
          : {},
      ),
    },
  })
  .createMachine({
    id: 'reservations',
    context: ({ input }) => ({ ...input, line: emptyLine, told: 0 }),
    initial: 'content',
    on: {
      wanted: { actions: ['lineUp', 'serve'] },
      withdrawn: { actions: ['strike', 'askForLess'] },
      finished: [
        { guard: 'hasNext', actions: [beginNext, 'handOver', 'serve'] },
        { guard: 'owes', actions: ['payOwed', 'giveUpSeat', giveBackFinished] },
        { guard: 'isOnLeavingWorker', actions: ['giveUpSeat', giveBackFinished] },
        { guard: 'hasCap', actions: ['keepFree', 'serve', 'askForLess'] },
        { actions: ['keepFree', 'serve'] },
      ],
      lost: {
        actions: [
          'giveUpSeat',
          'forsakeNext',
          { type: 'reportLost', params: ({ event }) => ({ seat: event.seat }) },
        ],
      },
      granted: { actions: ['keepGranted', 'returnBeyondCap', 'serve'] },
      throttled: { actions: 'throttleLast' },
      recalled: { actions: 'returnRecalled' },
      capped: { actions: ['observeCap', 'returnBeyondCap'] },
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
            { guard: 'isBeyondCap', actions: refuseWanted },
            {
              guard: 'hasNoneFree',
              target: 'asking',
              actions: ['lineUp', 'serve', 'rememberTold'],
            },
          ],
          aged: [{ guard: 'isUnused', target: 'over' }, { actions: 'returnOld' }],
        },
      },
      asking: {
        description: 'The pool knows how many invocations wait here.',
        entry: ask,
        on: {
          wanted: [
            { guard: 'isBeyondCap', actions: refuseWanted },
            {
              guard: 'isMoreThanTold',
              actions: ['lineUp', 'serve', 'rememberTold', ask],
            },
          ],
        },
        after: {
          askAgain: [
            {
              guard: 'wishes',
              target: 'asking',
              reenter: true,
              actions: 'rememberTold',
            },
            {
              target: 'content',
              actions: ['rememberTold', ask],
            },
          ],
        },
      },
      retiring: {
        description: 'The function has moved on; what still runs here may finish.',
        always: { guard: 'isUnused', target: 'over' },
        on: {
          finished: [
            { guard: 'hasNext', actions: [beginNext, 'handOver'] },
            { actions: ['giveUpSeat', giveBackFinished] },
          ],
          granted: {
            actions: { type: 'giveBack', params: ({ event }) => ({ seats: event.seats }) },
          },
          wanted: {
            actions: [
              'strike',
              { type: 'redirect', params: ({ event }) => ({ requestId: event.requestId }) },
            ],
          },
        },
      },
      over: { type: 'final', description: 'Nothing held, nobody waits.' },
    },
    options: { maxIterations: 1000 },
  })

export const reservationsMachine = withEffects(machine, effects)
