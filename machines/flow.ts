/**
 * Flow: the events of one function in one lane: how many run at a time, how many wait, and which go elsewhere.
 *
 *     open ──full──▶ full ──(one ends)──▶ open
 *       arrived: begins · waits · is set aside
 *
 * A slow function must not keep the others of its lane waiting: of each only so many run and so many wait here, and the
 * rest is set aside into a queue of the function's own. How many may run is found out as TCP does it: one more with each
 * success while all places are taken, and one more each second; half as many when the function is throttled.
 * Source: V. Jacobson, "Congestion Avoidance and Control" (1988).
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

export type FlowInput = {
  /** How many may run at first, and at most. */
  limit: number
  mostRunning: number
  /** How many may wait here; in a queue of its own as many as come. */
  mostWaiting: number
  growEveryMs: number
}

export type FlowEvent =
  | { type: 'arrived' }
  /** One that ran has ended, or is put off. */
  | { type: 'ended'; how: 'well' | 'badly' | 'throttled' }
  /** The function has a queue of its own elsewhere, or the lane is crowded: nothing more waits here. */
  | { type: 'divert' }
  | { type: 'admit' }

type Context = FlowInput & { running: number; waiting: number; isDiverted: boolean }

const effects = {
  /** The oldest that waits has its turn. */
  beginNext: effect(),
  /** The newest `count` that wait go to a queue of the function's own. */
  setAside: effect<{ count: number }>(),
}

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
    leave: assign(({ context }) => ({ running: context.running - 1 })),
    grow: assign(({ context }) => ({ limit: Math.min(context.limit + 1, context.mostRunning) })),
    halve: assign(({ context }) => ({ limit: Math.max(1, Math.floor(context.limit / 2)) })),
    forgetWaiting: assign({ waiting: 0 }),
    noteDiverted: assign({ isDiverted: true }),
    noteAdmitted: assign({ isDiverted: false }),
  },
  guards: {
    hasRoom: ({ context }) => context.running < context.limit,
    mayWait: ({ context }) => !context.isDiverted && context.waiting < context.mostWaiting,
    isThrottled: ({ event }) => event.type === 'ended' && event.how === 'throttled',
    hasEndedWell: ({ event }) => event.type === 'ended' && event.how === 'well',
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
    context: ({ input }) => ({ ...input, running: 0, waiting: 0, isDiverted: false }),
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
          ended: [{ guard: 'isThrottled', actions: ['leave', 'halve'] }, { actions: 'leave' }],
        },
      },
      full: {
        description: 'As many run as may.',
        on: {
          arrived: [{ guard: 'mayWait', actions: 'queueUp' }, { actions: 'setAsideNewest' }],
          ended: [
            { guard: 'isThrottled', target: 'open', actions: ['leave', 'halve'] },
            { guard: 'hasEndedWell', target: 'open', actions: ['leave', 'grow'] },
            { target: 'open', actions: 'leave' },
          ],
        },
        after: { growEvery: { target: 'open', actions: 'grow' } },
      },
    },
    options: { maxIterations: 10_000 },
  })

export const flowMachine = withEffects(machine, effects)
