/**
 * Flow: the events of one function in one lane: how many run at a time, how many wait, and which go elsewhere.
 *
 *     open ──full──▶ full ──(one ends)──▶ open
 *       arrived: begins · waits · is set aside
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
  /** How many may wait here of a function that is not quick; in a queue of its own as many as come. */
  mostWaiting: number
  growEveryMs: number
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
  /** The lane is crowded: nothing more waits here. */
  | { type: 'divert' }
  | { type: 'admit' }

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
    noteDiverted: assign({ isDiverted: true }),
    noteAdmitted: assign({ isDiverted: false }),
  },
  guards: {
    /** Those of a quick function are soon through, however many there are. */
    mayWait: ({ context }) =>
      !context.isDiverted &&
      (context.waiting < context.mostWaiting || context.quickestMs <= SOON_MS),
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
    isFull: ({ context }) => context.running >= context.limit,
    mayBegin: ({ context }) => context.waiting > 0 && context.running < context.limit,
  },
  delays: { growEvery: ({ context }) => context.growEveryMs },
})

const machine = base
  .extend({
    actions: {
      setAsideNewest: base.enqueueActions(({ enqueue }) =>
        enqueue({ type: 'setAside', params: { count: 1 } }),
      ),
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
    initial: 'open',
    on: {
      divert: { actions: ['setAsideWaiting', 'forgetWaiting', 'noteDiverted'] },
      admit: { actions: 'noteAdmitted' },
    },
    states: {
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
        },
      },
      full: {
        description: 'As many run as may.',
        on: {
          arrived: [{ guard: 'mayWait', actions: 'queueUp' }, { actions: 'setAsideNewest' }],
          ended: [
            { guard: 'isThrottled', target: 'open', actions: ['leave', 'halve'] },
            { guard: 'wasQuick', target: 'open', actions: ['leave', 'grow'] },
            { guard: 'wasSlow', target: 'open', actions: ['leave', 'shrink'] },
            { target: 'open', actions: 'leave' },
          ],
        },
        after: { growEvery: { target: 'open', actions: 'grow' } },
      },
    },
    options: { maxIterations: 1000 },
  })

export const flowMachine = withEffects(machine, effects)
