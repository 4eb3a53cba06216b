/**
 * Lease: a lane of a queue or a shard of a mapping, as the leading leasing service sees it: who should read it, and who does.
 *
 *     unassigned ──assign──▶ offered ──held──▶ held ──assign other──▶ moving ──held──▶ held
 *          ▲                    │                │                       │
 *          └────────────────────┴── its poller is gone: evicted ─────────┘
 *
 * An offer is an entry that pollers watch; the lease is what a poller takes for itself. The two may differ for a while, when
 * it moves. A lease of the dead is evicted at the revision that was seen, so that a renewal in between saves it.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds: how long a reader may take to leave before its lease is taken from it. */
export type LeaseInput = { moveForMs: number; offerAgainMs: number }

export type LeaseEvent =
  /** Who should read it now; undefined: nobody can, or nobody need. */
  | { type: 'assign'; poller: string | undefined }
  | { type: 'held'; poller: string; revision: number }
  | { type: 'vacant' }
  /** A poller is dead, hung or gone home. */
  | { type: 'gone'; poller: string }
  /** There is nothing to read any more. */
  | { type: 'retire' }

type Context = LeaseInput & {
  assigned: string | undefined
  holder: string | undefined
  revision: number
}

const effects = {
  offer: effect<{ poller: string }>(),
  /** Nobody should read it. */
  withdraw: effect(),
  evict: effect<{ revision: number }>(),
}

const base = setup({
  types: {} as { input: LeaseInput; context: Context; events: LeaseEvent },
  actions: {
    ...effects,
    noteAssigned: assign(({ event }) =>
      event.type === 'assign' ? { assigned: event.poller } : {},
    ),
    noteHolder: assign(({ event }) =>
      event.type === 'held' ? { holder: event.poller, revision: event.revision } : {},
    ),
    forgetHolder: assign({ holder: undefined }),
    forgetAssigned: assign({ assigned: undefined }),
  },
  guards: {
    isSame: ({ context, event }) => event.type === 'assign' && event.poller === context.assigned,
    isToHolder: ({ context, event }) =>
      event.type === 'assign' && event.poller !== undefined && event.poller === context.holder,
    isToSomebody: ({ event }) => event.type === 'assign' && event.poller !== undefined,
    isByAssigned: ({ context, event }) =>
      event.type === 'held' && event.poller === context.assigned,
    isHolderGone: ({ context, event }) => event.type === 'gone' && event.poller === context.holder,
    isAssignedGone: ({ context, event }) =>
      event.type === 'gone' && event.poller === context.assigned,
    isAssigned: ({ context }) => context.assigned !== undefined,
  },
  delays: {
    moveFor: ({ context }) => context.moveForMs,
    offerAgain: ({ context }) => context.offerAgainMs,
  },
})

const machine = base
  .extend({
    actions: {
      offerIt: base.enqueueActions(({ context, enqueue }) => {
        if (context.assigned !== undefined) {
          enqueue({ type: 'offer', params: { poller: context.assigned } })
        }
      }),
      evictHolder: base.enqueueActions(({ context, enqueue }) =>
        enqueue({ type: 'evict', params: { revision: context.revision } }),
      ),
    },
  })
  .createMachine({
    id: 'lease',
    context: ({ input }) => ({ ...input, assigned: undefined, holder: undefined, revision: 0 }),
    initial: 'unassigned',
    on: { retire: { target: '.retired', actions: 'withdraw' } },
    states: {
      unassigned: {
        description: 'Nobody is to read it.',
        on: {
          assign: [
            { guard: 'isToSomebody', target: 'offered', actions: ['noteAssigned', 'offerIt'] },
          ],
          held: { target: 'moving', actions: 'noteHolder' },
        },
      },
      offered: {
        description: 'A poller has been told to read it, and nobody does yet.',
        on: {
          assign: [
            { guard: 'isSame' },
            { guard: 'isToSomebody', actions: ['noteAssigned', 'offerIt'] },
            { target: 'unassigned', actions: ['noteAssigned', 'withdraw'] },
          ],
          held: [
            { guard: 'isByAssigned', target: 'held', actions: 'noteHolder' },
            { target: 'moving', actions: 'noteHolder' },
          ],
          gone: {
            guard: 'isAssignedGone',
            target: 'unassigned',
            actions: ['forgetAssigned', 'withdraw'],
          },
        },
        // An offer that could not be stored, or that nobody has heard.
        after: { offerAgain: { target: 'offered', reenter: true, actions: 'offerIt' } },
      },
      held: {
        description: 'Who is to read it does.',
        on: {
          assign: [
            { guard: 'isSame' },
            { guard: 'isToSomebody', target: 'moving', actions: ['noteAssigned', 'offerIt'] },
            { target: 'moving', actions: ['noteAssigned', 'withdraw'] },
          ],
          held: [
            { guard: 'isByAssigned', actions: 'noteHolder' },
            { target: 'moving', actions: 'noteHolder' },
          ],
          vacant: { target: 'offered', actions: 'forgetHolder' },
          gone: {
            guard: 'isHolderGone',
            target: 'unassigned',
            actions: ['evictHolder', 'forgetHolder', 'forgetAssigned'],
          },
        },
      },
      moving: {
        description: 'Somebody reads it who should leave it to another.',
        on: {
          assign: [
            { guard: 'isToHolder', target: 'held', actions: ['noteAssigned', 'offerIt'] },
            { guard: 'isSame' },
            { guard: 'isToSomebody', actions: ['noteAssigned', 'offerIt'] },
            { actions: ['noteAssigned', 'withdraw'] },
          ],
          held: [
            { guard: 'isByAssigned', target: 'held', actions: 'noteHolder' },
            { actions: 'noteHolder' },
          ],
          vacant: [
            { guard: 'isAssigned', target: 'offered', actions: 'forgetHolder' },
            { target: 'unassigned', actions: 'forgetHolder' },
          ],
          gone: [
            { guard: 'isHolderGone', actions: 'evictHolder' },
            { guard: 'isAssignedGone', actions: 'forgetAssigned' },
          ],
        },
        after: { moveFor: { target: 'moving', reenter: true, actions: 'evictHolder' } },
      },
      retired: { type: 'final', description: 'There is nothing to read any more.' },
    },
    options: { maxIterations: 1000 },
  })

export const leaseMachine = withEffects(machine, effects)
