/**
 * Flow: the events of one function in one lane: how many run at a time, how many wait, and which go elsewhere.
 *
 *     open ──full──▶ full ──(one ends)──▶ open
 *       │ hold        │ hold                arrived: begins · waits · is set aside
 *       └──▶ held ◀───┘ ──resume, or for long enough──▶ open
 *
 * A slow function must not keep the others of its lane waiting: of each only so many run and so many wait here, and the
 * rest is set aside into a queue of the function's own. How many may run is found out as TCP Vegas does it: one more while
 * others wait noticeably and an attempt takes hardly longer than the quickest did, one less when it takes far longer, because
 * then more at a time only wait for each other; half as many when the function is throttled. And one more now and then,
 * lest a function that takes a minute stay where it began.
 * Source: L. Brakmo, L. Peterson, "TCP Vegas" (1995); V. Jacobson, "Congestion Avoidance and Control" (1988).
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

export type FlowInput = {
  /** How many may run at first, and however slow they are; and at most. */
  least: number
  mostRunning: number
  /** How many may wait here; in a queue of its own as many as come. */
  mostWaiting: number
  growEveryMs: number
  /** How long it may be held back. */
  holdForMs: number
  /** Whether it is held back from the beginning. */
  isHeld: boolean
}

export type FlowEvent =
  | { type: 'arrived' }
  /** One that ran has ended, or is put off. */
  | {
      type: 'ended'
      how: 'well' | 'badly' | 'throttled'
      tookMs: number
      /** How long the oldest has waited for its turn; 0: none does. */
      lineMs: number
    }
  /** The function has a queue of its own elsewhere, or the lane is crowded: nothing more waits here. */
  | { type: 'divert' }
  | { type: 'admit' }
  /** Events are pouring in where this runs: nothing more begins for a while. */
  | { type: 'hold' }
  | { type: 'resume' }

type Context = FlowInput & {
  limit: number
  running: number
  waiting: number
  isDiverted: boolean
  /** Of an attempt, lately: it is forgotten by and by. */
  quickestMs: number
  /** Attempts that ended well since the limit was changed: it is changed once a round. */
  sinceChange: number
}

/**
 * How many of those that run only wait for each other, by Vegas: all of them times the share of an attempt that the quickest
 * did not need. Fewer than `few`: one more may run; more than `many`: one less. The figures are Vegas' own.
 */
const WAITING = { few: 2, many: 4 }
/** An attempt that takes no longer is quick. */
const SOON_MS = 50
/** A wait that nobody notices is no reason for another sandbox. */
const NOTICEABLE_MS = 20
/** The quickest counts for less with each that was slower. */
const FORGETTING = 1.01

const effects = {
  /** The oldest that waits has its turn. */
  beginNext: effect(),
  /** The newest `count` that wait go to a queue of the function's own. */
  setAside: effect<{ count: number }>(),
}

const waitingForEachOther = ({ limit, quickestMs }: Context, tookMs: number): number =>
  limit * Math.max(0, 1 - quickestMs / tookMs)

/**
 * More may have come while it was held than may wait here. One that is quick is soon through with them; of any other they
 * are in the way of the lane's other functions.
 */
const excessOf = ({ waiting, mostWaiting }: Context, event: FlowEvent): number =>
  event.type === 'ended' && event.tookMs <= SOON_MS ? 0 : Math.max(0, waiting - mostWaiting)

const base = setup({
  types: {} as { input: FlowInput; context: Context; events: FlowEvent },
  actions: {
    ...effects,
    take: assign(({ context }) => ({ running: context.running + 1 })),
    queueUp: assign(({ context }) => ({ waiting: context.waiting + 1 })),
    takeWaiting: assign(({ context }) => ({
      running: context.running + 1,
      waiting: context.waiting - 1,
    })),
    leave: assign(({ context, event }) => ({
      running: context.running - 1,
      ...(event.type === 'ended' && event.how === 'well'
        ? {
            quickestMs: Math.min(event.tookMs, context.quickestMs * FORGETTING),
            sinceChange: context.sinceChange + 1,
          }
        : {}),
    })),
    shrink: assign(({ context }) => ({
      limit: Math.max(context.least, context.limit - 1),
      sinceChange: 0,
    })),
    grow: assign(({ context }) => ({
      limit: Math.min(context.limit + 1, context.mostRunning),
      sinceChange: 0,
    })),
    halve: assign(({ context }) => ({ limit: Math.max(1, Math.floor(context.limit / 2)) })),
    forgetWaiting: assign({ waiting: 0 }),
    forgetExcess: assign(({ context, event }) => ({
      waiting: context.waiting - excessOf(context, event),
    })),
    noteDiverted: assign({ isDiverted: true }),
    noteAdmitted: assign({ isDiverted: false }),
  },
  guards: {
    mayWait: ({ context }) => !context.isDiverted && context.waiting < context.mostWaiting,
    /** One that had begun before its lane was left and read again here: it is not counted. */
    isUncounted: ({ context }) => context.running === 0,
    isThrottled: ({ event }) => event.type === 'ended' && event.how === 'throttled',
    wasQuick: ({ context, event }) =>
      event.type === 'ended' &&
      event.how === 'well' &&
      event.lineMs >= NOTICEABLE_MS &&
      context.sinceChange >= context.limit &&
      waitingForEachOther(context, event.tookMs) < WAITING.few,
    wasSlow: ({ context, event }) =>
      event.type === 'ended' &&
      event.how === 'well' &&
      context.sinceChange >= context.limit &&
      waitingForEachOther(context, event.tookMs) > WAITING.many,
    isHeld: ({ context }) => context.isHeld,
    isFull: ({ context }) => context.running >= context.limit,
    mayBegin: ({ context }) => context.waiting > 0 && context.running < context.limit,
  },
  delays: {
    growEvery: ({ context }) => context.growEveryMs,
    holdFor: ({ context }) => context.holdForMs,
  },
})

/** What is in the way is set aside. */
const trim = ['setAsideExcess', 'forgetExcess'] as const

const machine = base
  .extend({
    actions: {
      setAsideNewest: base.enqueueActions(({ enqueue }) =>
        enqueue({ type: 'setAside', params: { count: 1 } }),
      ),
      setAsideExcess: base.enqueueActions(({ context, event, enqueue }) => {
        const count = excessOf(context, event)
        if (count > 0) enqueue({ type: 'setAside', params: { count } })
      }),
      setAsideWaiting: base.enqueueActions(({ context, enqueue }) => {
        if (context.waiting > 0) enqueue({ type: 'setAside', params: { count: context.waiting } })
      }),
    },
  })
  .createMachine({
    id: 'flow',
    context: ({ input }) => ({
      ...input,
      limit: input.least,
      running: 0,
      waiting: 0,
      isDiverted: false,
      quickestMs: Number.MAX_VALUE,
      sinceChange: 0,
    }),
    initial: 'beginning',
    on: {
      divert: { actions: ['setAsideWaiting', 'forgetWaiting', 'noteDiverted'] },
      admit: { actions: 'noteAdmitted' },
    },
    states: {
      beginning: {
        description: 'Its first event is about to arrive.',
        always: [{ guard: 'isHeld', target: 'held' }, { target: 'open' }],
      },
      held: {
        description: 'Events are pouring in here: they are taken in first, and wait.',
        on: {
          arrived: { actions: 'queueUp' },
          ended: [
            { guard: 'isUncounted' },
            { guard: 'isThrottled', actions: ['leave', 'halve'] },
            { actions: 'leave' },
          ],
          resume: 'open',
        },
        after: { holdFor: 'open' },
      },
      open: {
        description: 'There is room for another one to run.',
        always: [
          { guard: 'mayBegin', actions: ['takeWaiting', 'beginNext'] },
          { guard: 'isFull', target: 'full' },
        ],
        on: {
          arrived: { actions: ['take', 'beginNext'] },
          ended: [
            { guard: 'isUncounted' },
            { guard: 'isThrottled', actions: ['leave', 'halve'] },
            { actions: 'leave' },
          ],
          hold: 'held',
        },
      },
      full: {
        description: 'As many run as may.',
        on: {
          arrived: [{ guard: 'mayWait', actions: 'queueUp' }, { actions: 'setAsideNewest' }],
          ended: [
            { guard: 'isThrottled', target: 'open', actions: [...trim, 'leave', 'halve'] },
            { guard: 'wasQuick', target: 'open', actions: [...trim, 'leave', 'grow'] },
            { guard: 'wasSlow', target: 'open', actions: [...trim, 'leave', 'shrink'] },
            { target: 'open', actions: [...trim, 'leave'] },
          ],
          hold: 'held',
        },
        after: { growEvery: { target: 'open', actions: [...trim, 'grow'] } },
      },
    },
    options: { maxIterations: 1000 },
  })

export const flowMachine = withEffects(machine, effects)
