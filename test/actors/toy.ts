/**
 * A machine that uses everything that a hosted one may: states in states, `after`, `raise`, `always`, `enqueueActions`,
 * guards, parameters, entry and exit, a transition to itself. It decides nothing; it is there to be stepped.
 */
import { assign, raise, setup } from 'xstate'
import { effect, withEffects } from '../../machines/effect.ts'

export type ToyEvent =
  | { type: 'go'; n: number }
  | { type: 'back' }
  | { type: 'deep' }
  | { type: 'poke'; n: number }
  | { type: 'reset' }
  | { type: 'overflow' }
  | { type: 'break'; where: 'guard' | 'assign' | 'params' | 'effect' }
  | { type: 'die' }

type Context = { n: number; pokes: number; trail: string[] }

const effects = {
  greet: effect(),
  note: effect<{ what: string; n: number }>(),
  explode: effect(),
}

const base = setup({
  types: {} as { input: { n: number }; context: Context; events: ToyEvent },
  actions: {
    ...effects,
    add: assign(({ context, event }) => ('n' in event ? { n: context.n + event.n } : {})),
    count: assign(({ context }) => ({ pokes: context.pokes + 1 })),
    remember: assign({
      trail: ({ context }, what: string) => [...context.trail.slice(-9), what],
    }),
    clear: assign({ n: 0, pokes: 0 }),
    breakAssign: assign(() => {
      throw new Error('assign')
    }),
    overflow: raise({ type: 'overflow' }),
  },
  guards: {
    isBig: ({ context }) => context.n > 20,
    isEven: ({ event }) => 'n' in event && event.n % 2 === 0,
    breaks: () => {
      throw new Error('guard')
    },
    isWhere: ({ event }, where: string) => event.type === 'break' && event.where === where,
  },
  delays: {
    nap: ({ context }) => 100 + (context.n % 7) * 10,
    sleep: 500,
  },
})

const machine = base
  .extend({
    actions: {
      noteMany: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'poke') return
        enqueue('count')
        for (let each = 0; each < event.n % 3; each++) {
          enqueue({ type: 'note', params: { what: 'many', n: context.n + each } })
        }
        if (event.n > 5) enqueue.raise({ type: 'back' })
      }),
    },
  })
  .createMachine({
    id: 'toy',
    context: ({ input }) => ({ n: input.n, pokes: 0, trail: [] }),
    initial: 'idle',
    on: {
      reset: { target: '.idle', actions: 'clear' },
      die: '.dead',
      break: [
        { guard: { type: 'isWhere', params: 'effect' }, actions: ['greet', 'explode', 'greet'] },
        { guard: { type: 'isWhere', params: 'assign' }, actions: ['greet', 'breakAssign'] },
        {
          guard: { type: 'isWhere', params: 'params' },
          actions: {
            type: 'note',
            params: () => {
              throw new Error('params')
            },
          },
        },
        { guard: 'breaks', actions: 'greet' },
      ],
    },
    states: {
      idle: {
        description: 'Nothing happens.',
        entry: ['greet', { type: 'remember', params: 'idle' }],
        on: { go: [{ guard: 'isEven', target: 'busy', actions: 'add' }, { actions: 'add' }] },
        always: { guard: 'isBig', target: 'full' },
      },
      busy: {
        description: 'Something happens.',
        entry: { type: 'note', params: ({ context }) => ({ what: 'enter', n: context.n }) },
        exit: { type: 'note', params: ({ context }) => ({ what: 'leave', n: context.n }) },
        initial: 'light',
        after: { sleep: { target: 'idle', actions: { type: 'remember', params: 'overslept' } } },
        on: { back: 'idle', poke: { actions: 'noteMany' } },
        states: {
          light: {
            description: 'A little.',
            after: { nap: 'heavy' },
            on: { deep: 'heavy' },
          },
          heavy: {
            description: 'Much.',
            entry: 'add',
            initial: 'one',
            on: {
              deep: '.two',
              go: { target: '#toy.busy', reenter: true, actions: 'add' },
            },
            states: {
              one: { description: 'One side of it.', on: { poke: 'two' } },
              two: {
                description: 'The other side.',
                entry: 'overflow',
                on: { overflow: { actions: 'count' }, back: 'one' },
                after: { nap: { target: 'two', reenter: true } },
              },
            },
          },
        },
      },
      full: {
        description: 'Too much.',
        entry: [{ type: 'remember', params: 'full' }, 'clear'],
        on: { back: 'idle', poke: { guard: 'isEven', target: 'busy.heavy.two' } },
        after: { nap: 'idle' },
      },
      dead: { type: 'final', description: 'Over.', entry: 'greet' },
    },
    options: { maxIterations: 1000 },
  })

export const toyMachine = withEffects(machine, effects)
