/** A durable actor for tests: adds what it is told, tells each sum, and can wait, begin anew and end. */
import { assign, setup } from 'xstate'
import { effect, withEffects } from '../../machines/effect.ts'

export type TallyEvent =
  | { type: 'add'; n: number }
  | { type: 'wait' }
  | { type: 'waitOn' }
  | { type: 'hush' }
  | { type: 'ask' }
  | { type: 'break' }
  | { type: 'close' }

type Context = { sum: number; added: number[]; rings: number }

const effects = {
  tell: effect<{ sum: number }>(),
  ring: effect(),
  bury: effect<{ sum: number }>(),
}

const sum = ({ context }: { context: Context }) => ({ sum: context.sum })

const machine = setup({
  types: {} as { context: Context; events: TallyEvent },
  actions: {
    ...effects,
    add: assign(({ context, event }) =>
      event.type === 'add'
        ? { sum: context.sum + event.n, added: [...context.added, event.n] }
        : {},
    ),
    countRing: assign(({ context }) => ({ rings: context.rings + 1 })),
    fail: assign(() => {
      throw new Error('a bug')
    }),
  },
  delays: { aWhile: 700 },
}).createMachine({
  id: 'tally',
  context: { sum: 0, added: [], rings: 0 },
  initial: 'alive',
  states: {
    alive: {
      description: 'Takes what it is told.',
      initial: 'open',
      on: {
        add: { actions: ['add', { type: 'tell', params: sum }] },
        ask: { actions: { type: 'tell', params: sum } },
        break: { actions: 'fail' },
        close: { target: 'closed', actions: { type: 'bury', params: sum } },
      },
      states: {
        open: { description: 'Adds.', on: { wait: 'waiting' } },
        waiting: {
          description: 'Adds, and rings after a while.',
          on: { waitOn: { target: 'waiting', reenter: true }, hush: 'open' },
          after: { aWhile: { target: 'open', actions: ['countRing', 'ring'] } },
        },
      },
    },
    closed: { type: 'final', description: 'Over.' },
  },
  options: { maxIterations: 1000 },
})

export const tallyMachine = withEffects(machine, effects)
