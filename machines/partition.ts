/**
 * Partition: one piece of the functions, as one worker manager sees it.
 *
 *     elsewhere ──vacant and ours──▶ acquiring ──▶ rebuilding ──▶ serving
 *         ▲                             │ taken        │ lost        │ lost, no longer ours
 *         └─────────────────────────────┴──────────────┴─────────────┘
 *
 * A partition is a lease. Its owner counts the concurrency of the functions in it, so there must never be two: an owner
 * stops serving when its lease is lost, and at the latest when the lease would run out unrenewed. Who should own it is
 * the same answer everywhere (rendezvous hashing over the living), so that nobody has to assign it; whoever finds it
 * vacant for a while takes it all the same.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds. A vacancy that the preferred owner does not fill in `vacancyMs` is anybody's. */
export type PartitionInput = {
  partition: number
  ttlMs: number
  renewEveryMs: number
  vacancyMs: number
}

export type PartitionEvent =
  /** Who should own it, now that the living are these. */
  | { type: 'preferred'; isOurs: boolean }
  | { type: 'vacant' }
  | { type: 'held'; byUs: boolean }
  /** Its holder is dead: its lease need not be waited for. */
  | { type: 'holderGone'; revision: number }
  /** `tookMs`: between our asking and the answer; the lease runs from somewhere in between. */
  | { type: 'acquired'; tookMs: number }
  | { type: 'taken' }
  /** Nobody answered, so nobody knows who has it. */
  | { type: 'unanswered' }
  | { type: 'renewed'; tookMs: number }
  | { type: 'lost' }
  | { type: 'rebuilt' }
  | { type: 'stop' }

type Context = PartitionInput & { isOurs: boolean; tookMs: number }

const effects = {
  acquire: effect(),
  renew: effect(),
  release: effect(),
  evict: effect<{ revision: number }>(),
  /** Asks workers and front ends what there is; ends in `rebuilt`. */
  rebuild: effect(),
  serve: effect(),
  /** Forgets the pools at once: they are somebody else's now. */
  stopServing: effect(),
}

const machine = setup({
  types: {} as { input: PartitionInput; context: Context; events: PartitionEvent },
  actions: {
    ...effects,
    rememberPreferred: assign(({ event }) =>
      event.type === 'preferred' ? { isOurs: event.isOurs } : {},
    ),
    rememberTook: assign(({ event }) => ('tookMs' in event ? { tookMs: event.tookMs } : {})),
  },
  guards: {
    isOurs: ({ context }) => context.isOurs,
    isNowOurs: ({ event }) => event.type === 'preferred' && event.isOurs,
    isNowTheirs: ({ event }) => event.type === 'preferred' && !event.isOurs,
    isHeldByOthers: ({ event }) => event.type === 'held' && !event.byUs,
  },
  delays: {
    renewEvery: ({ context }) => context.renewEveryMs,
    // The server counts from when it stored the lease: after we asked, so that is when we count from.
    untilRunOut: ({ context }) =>
      Math.max(0, context.ttlMs - context.renewEveryMs - context.tookMs),
    ttl: ({ context }) => context.ttlMs,
    vacancy: ({ context }) => context.vacancyMs,
    moment: 100,
  },
}).createMachine({
  id: 'partition',
  context: ({ input }) => ({ ...input, isOurs: false, tookMs: 0 }),
  initial: 'elsewhere',
  on: { preferred: { actions: 'rememberPreferred' }, stop: '.stopped' },
  states: {
    elsewhere: {
      description: 'Somebody else owns it, as far as we know.',
      on: {
        vacant: 'vacant',
        holderGone: {
          actions: { type: 'evict', params: ({ event }) => ({ revision: event.revision }) },
        },
        // Stored after we had given it up: nobody serves it, so nobody should wait for it.
        acquired: { actions: 'release' },
        renewed: { actions: 'release' },
      },
      // Whatever we missed, a lease that its owner renews is found taken, and one that nobody has is found.
      after: { ttl: 'acquiring' },
    },
    vacant: {
      description: 'Nobody owns it.',
      always: { guard: 'isOurs', target: 'acquiring' },
      on: { held: 'elsewhere' },
      after: { vacancy: 'acquiring' },
    },
    acquiring: {
      description: 'Taking the lease.',
      entry: 'acquire',
      on: {
        acquired: { target: 'owned', actions: 'rememberTook' },
        taken: 'elsewhere',
        unanswered: 'unsure',
        // As in `elsewhere`.
        renewed: { actions: 'release' },
      },
      after: { ttl: 'unsure' },
    },
    unsure: {
      description: 'Whether the lease was stored is not known; it is asked for again in a moment.',
      on: {
        held: { guard: 'isHeldByOthers', target: 'elsewhere' },
        acquired: { actions: 'release' },
        renewed: { actions: 'release' },
      },
      after: { moment: 'acquiring' },
    },
    owned: {
      description: 'The lease is ours.',
      initial: 'rebuilding',
      exit: 'stopServing',
      on: {
        // That nobody has it may have been heard already: whoever waits to hear it waits for a whole term.
        lost: 'acquiring',
        // Old news perhaps, of a holder before us: then nobody should wait for the lease that we have.
        held: { guard: 'isHeldByOthers', target: 'elsewhere', actions: 'release' },
        stop: { target: 'stopped', actions: 'release' },
        preferred: [
          {
            guard: 'isNowTheirs',
            target: 'elsewhere',
            actions: ['rememberPreferred', 'release'],
          },
          { actions: 'rememberPreferred' },
        ],
      },
      states: {
        rebuilding: {
          description: 'Learning from workers and front ends what there is.',
          entry: 'rebuild',
          on: { rebuilt: 'serving' },
          // Later, the lease could run out before its first renewal is given up.
          after: { renewEvery: { target: '#partition.elsewhere', actions: 'release' } },
        },
        serving: {
          description: 'Its pools are served here.',
          entry: 'serve',
          initial: 'renewing',
          states: {
            renewed: {
              description: 'The lease was stored or renewed a moment ago.',
              after: { renewEvery: 'renewing' },
            },
            renewing: {
              description: 'The lease is being renewed.',
              entry: 'renew',
              on: { renewed: { target: 'renewed', actions: 'rememberTook' } },
              after: { untilRunOut: '#partition.acquiring' },
            },
          },
        },
      },
    },
    stopped: { type: 'final', description: 'This worker manager goes home.' },
  },
  options: { maxIterations: 1000 },
})

export const partitionMachine = withEffects(machine, effects)
