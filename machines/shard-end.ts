/**
 * Shard end: whether more records may be stored in a shard that is read for a mapping, and whether it is through.
 *
 *     open ──closed──▶ findingLast ──lastFound──▶ closing ──────────through──▶ ending ──stored──▶ ended
 *                                                    └─foundEmpty─▶ exhausted ────▲
 *
 * A shard that was split or merged has a last record; it is through when everything up to there has come in and left. That is
 * stored before anybody hears of it, because its children are read from then on.
 * Source: Kinesis Data Streams Developer Guide, "Resharding"; lambda-semantics.md §5.7.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** `hasEnded`: the reader before has stored that the shard is through. */
export type ShardEndInput = { hasEnded: boolean }

export type ShardEndEvent =
  /** Nothing more will be stored in the shard. */
  | { type: 'closed' }
  /** `isHere`: it has come in already. `opening`: the source's of that moment. */
  | { type: 'lastFound'; last: number; isHere: boolean; opening: number }
  | { type: 'lastUnknown' }
  /** A source of that opening had nothing to bring. */
  | { type: 'foundEmpty'; opening: number }
  /** Everything that ever was in it has come in and left. */
  | { type: 'through' }
  | { type: 'stored' }
  | { type: 'unstored' }

type Context = ShardEndInput & {
  /** The sequence of the last record that it will ever have, 0 for none. */
  last: number
  /** A source that was opened before the last record was known proves nothing. */
  openingBefore: number
}

const effects = {
  /** Asks for the last record of the shard; ends in `lastFound` or `lastUnknown`. */
  findLast: effect(),
  /** What "from a time on" skipped does not come: another source is to tell whether anything is left. */
  readAnew: effect(),
  /** The shard may be through; if it is, it ends in `through`. */
  look: effect(),
  /** Stores with the checkpoint that it is through; ends in `stored` or `unstored`. */
  store: effect(),
  tell: effect(),
}

/** A server that is busy, or away, is not asked more often. */
const AGAIN_MS = 200
const STORE_AGAIN_MS = 1_000

const base = setup({
  types: {} as { input: ShardEndInput; context: Context; events: ShardEndEvent },
  actions: {
    ...effects,
    noteLast: assign(({ event }) =>
      event.type === 'lastFound' ? { last: event.last, openingBefore: event.opening } : {},
    ),
  },
  guards: {
    hasEnded: ({ context }) => context.hasEnded,
    isHere: ({ event }) => event.type === 'lastFound' && event.isHere,
    isProof: ({ context, event }) =>
      event.type === 'foundEmpty' && event.opening > context.openingBefore,
  },
  delays: { again: AGAIN_MS, storeAgain: STORE_AGAIN_MS },
})

const machine = base.createMachine({
  id: 'shard-end',
  context: ({ input }) => ({ ...input, last: 0, openingBefore: 0 }),
  initial: 'begun',
  states: {
    begun: {
      description: 'The checkpoint is taken over.',
      always: [{ guard: 'hasEnded', target: 'ended' }, { target: 'open' }],
    },
    open: {
      description: 'More records may be stored.',
      on: { closed: 'findingLast' },
    },
    findingLast: {
      description: 'It was split or merged; its last record is being asked for.',
      entry: 'findLast',
      on: {
        lastFound: [
          { guard: 'isHere', target: 'closing', actions: 'noteLast' },
          { target: 'closing', actions: ['noteLast', 'readAnew'] },
        ],
        lastUnknown: 'findingLastLater',
      },
    },
    findingLastLater: {
      description: 'The last record could not be asked for; once more soon.',
      after: { again: 'findingLast' },
    },
    closing: {
      description: 'Records up to the last one come in and are worked on.',
      entry: 'look',
      on: {
        foundEmpty: { guard: 'isProof', target: 'exhausted' },
        through: 'ending',
      },
    },
    exhausted: {
      description: 'Nothing more comes in; what has is worked on.',
      entry: 'look',
      on: { through: 'ending' },
    },
    ending: {
      description: 'That it is through is being stored with the checkpoint.',
      entry: 'store',
      on: { stored: 'ended', unstored: 'endingLater' },
    },
    endingLater: {
      description: 'It could not be stored; once more soon.',
      after: { storeAgain: 'ending' },
    },
    ended: {
      description: 'It is through, and stored to be: its children may be read.',
      entry: 'tell',
    },
  },
  options: { maxIterations: 1000 },
})

export const shardEndMachine = withEffects(machine, effects)
