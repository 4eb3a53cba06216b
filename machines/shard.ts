/**
 * Shard: one shard that is read for one mapping, as the leading stream tracker sees it.
 *
 *     blocked ──all parents ended──▶ open ──ended──▶ ended
 *        └───────────────────ended──────────────────▶
 *
 *     withdrawn, from anywhere: the mapping is not read any more, or the shard is none of its stream's
 *
 * So a key's records stay in order when its shard is split or merged: nothing of a child is read before everything in all its
 * parents is done with. That a shard has ended is said by its checkpoint; whoever tells this machine has looked.
 * Source: lambda-semantics.md §5.7 and §9 ("children do not start until all parents' checkpoints are SHARD_END").
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import type { ShardWork } from './mapping.ts'

export type ShardInput = {
  work: Omit<ShardWork, 'state'>
  /** Its parents that are read for the same mapping and have not ended. */
  waitsFor: number[]
  /** As a leader before has left it. */
  found: ShardWork['state'] | undefined
}

export type ShardEvent =
  /** A parent has ended, or there is no such shard any more. */
  | { type: 'parentEnded'; shard: number }
  /** It is closed, and everything in it is done with. */
  | { type: 'ended' }
  /** It is not to be read. */
  | { type: 'withdraw' }

const effects = {
  /** Shows it to whoever leases shards. */
  publish: effect<{ work: ShardWork }>(),
  /** Takes it away from them. */
  remove: effect(),
  /** Its children need not wait for it. */
  release: effect(),
}

const base = setup({
  types: {} as { input: ShardInput; context: ShardInput; events: ShardEvent },
  actions: {
    ...effects,
    crossOff: assign(({ context, event }) =>
      event.type === 'parentEnded'
        ? { waitsFor: context.waitsFor.filter((parent) => parent !== event.shard) }
        : {},
    ),
  },
  guards: {
    wasEnded: ({ context }) => context.found === 'ended',
    wasOpen: ({ context }) => context.found === 'open',
    waitsForNone: ({ context }) => context.waitsFor.length === 0,
  },
})

const show = (state: ShardWork['state']) =>
  base.enqueueActions(({ context: { work, found }, enqueue }) => {
    if (found !== state) enqueue({ type: 'publish', params: { work: { ...work, state } } })
  })

const machine = base
  .extend({
    actions: {
      showBlocked: show('blocked'),
      showOpen: show('open'),
      showEnded: show('ended'),
    },
  })
  .createMachine({
    id: 'shard',
    context: ({ input }) => input,
    initial: 'beginning',
    on: { withdraw: { target: '.withdrawn', actions: 'remove' } },
    states: {
      beginning: {
        description: 'It is new, or a leader before has left it.',
        always: [
          { guard: 'wasEnded', target: 'ended' },
          { guard: 'wasOpen', target: 'open' },
          { guard: 'waitsForNone', target: 'open' },
          { target: 'blocked' },
        ],
      },
      blocked: {
        description: 'A parent has not ended yet.',
        entry: 'showBlocked',
        always: { guard: 'waitsForNone', target: 'open' },
        on: {
          parentEnded: { actions: 'crossOff' },
          ended: 'ended',
        },
      },
      open: {
        description: 'Pollers may read it.',
        entry: 'showOpen',
        on: { ended: 'ended' },
      },
      ended: {
        description: 'Everything in it is done with.',
        entry: ['showEnded', 'release'],
      },
      withdrawn: { type: 'final', description: 'It is not read for the mapping.' },
    },
    options: { maxIterations: 1000 },
  })

export const shardMachine = withEffects(machine, effects)
