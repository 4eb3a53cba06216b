/**
 * Shard source: one way by which records of a shard come to the lanes of a mapping.
 *
 *     idle ──wanted──▶ opening ──opened──▶ flowing ──broken──▶ resting ──▶ opening
 *       ▲                                     │
 *       └──────────────── sated ──────────────┘                  paused: over
 *
 * A shard has two: one for the lanes that keep up, and one for those that once had no room (`actors/shard-lanes.ts`). A source
 * does not repair itself: it breaks, and another one is opened where it ended. What an earlier one tells is nobody's.
 * Source: reference nats.md §3, a consumer without acknowledgements is read from where its reader knows it is.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** `opening`: which attempt to open it is about, counted from 1. */
export type ShardSourceEvent =
  /** Records are to come from where its reader is now, whether it flows or not. */
  | { type: 'wanted' }
  | { type: 'opened'; opening: number }
  /** It brings nothing more, or could not be opened. */
  | { type: 'broken'; opening: number }
  /** Nobody waits for what it would bring. */
  | { type: 'sated' }
  /** The shard is to be left. */
  | { type: 'pause' }

type Context = { opening: number }

const effects = {
  /** Ends in `opened` or `broken`. */
  open: effect<{ opening: number }>(),
  /** Asks for as many records as there is room for. */
  ask: effect(),
  drop: effect(),
}

/** A server that is busy, or away, is not asked more often. */
const AGAIN_MS = 200

const base = setup({
  types: {} as { context: Context; events: ShardSourceEvent },
  actions: {
    ...effects,
    countOpening: assign(({ context }) => ({ opening: context.opening + 1 })),
  },
  guards: {
    isCurrent: ({ context, event }) => 'opening' in event && event.opening === context.opening,
  },
  delays: { again: AGAIN_MS },
})

const machine = base
  .extend({
    actions: {
      openIt: base.enqueueActions(({ context: { opening }, enqueue }) =>
        enqueue({ type: 'open', params: { opening } }),
      ),
    },
  })
  .createMachine({
    id: 'shard-source',
    context: { opening: 0 },
    initial: 'idle',
    on: { pause: '.over' },
    states: {
      idle: {
        description: 'Nobody waits for records from here.',
        on: { wanted: 'opening' },
      },
      opening: {
        description: 'A source is being opened where its reader is.',
        entry: ['countOpening', 'openIt'],
        on: {
          opened: { guard: 'isCurrent', target: 'flowing' },
          broken: { guard: 'isCurrent', target: 'resting' },
          wanted: { target: 'opening', reenter: true },
          sated: 'idle',
        },
      },
      flowing: {
        description: 'Records come in as soon as they are stored.',
        entry: 'ask',
        exit: 'drop',
        on: {
          broken: { guard: 'isCurrent', target: 'resting' },
          wanted: 'opening',
          sated: 'idle',
        },
      },
      resting: {
        description: 'It broke; another one is opened soon.',
        on: { wanted: 'opening', sated: 'idle' },
        after: { again: 'opening' },
      },
      over: { type: 'final', description: 'Nothing more comes in.' },
    },
    options: { maxIterations: 1000 },
  })

export const shardSourceMachine = withEffects(machine, effects)
