/**
 * Lane: one piece of a queue, as the poller sees it that was told to read it.
 *
 *     acquiring ──acquired──▶ opening ──opened──▶ reading ──withdrawn──▶ draining ──drained──▶ over
 *         ▲ │ taken              │ fenced          │ lost                                        │
 *         │ ▼                    │                 │                                       gives it back
 *        beaten ◀────────────────┴─────────────────┘
 *
 * The leasing service says who should read; who reads is who has the lease. A reader stops when its lease is lost, at the
 * latest when it would run out unrenewed, and what it stores is fenced by the lease's epoch whatever it believes.
 */
import { setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds. */
export type LaneInput = {
  ttlMs: number
  renewEveryMs: number
  askAgainMs: number
  /** How long what runs may go on when the lane is to be left. */
  drainForMs: number
}

export type LaneEvent =
  /** `tookMs`: between our asking and the answer; the lease runs from somewhere in between. */
  | { type: 'acquired'; tookMs: number }
  | { type: 'taken' }
  | { type: 'opened' }
  /** A later reader is there. */
  | { type: 'fenced' }
  | { type: 'renewed'; tookMs: number }
  | { type: 'lost' }
  /** This process had no turn for so long that others may have given it up. */
  | { type: 'overslept' }
  /** The lease that was in the way has gone. */
  | { type: 'vacant' }
  /** Somebody else should read it. */
  | { type: 'withdrawn' }
  /** From itself: the lease may have run out unrenewed. */
  | { type: 'ranOut' }
  /** Ours again after all. */
  | { type: 'offered' }
  | { type: 'drained' }

const effects = {
  acquire: effect(),
  renew: effect(),
  release: effect(),
  /** Takes over what the reader before left; ends in `opened` or `fenced`. */
  open: effect(),
  /** Takes nothing new and ends in `drained` when what runs has ended. */
  drain: effect(),
  /** Forgets what is in hand and leaves it to the next reader. */
  close: effect(),
}

const base = setup({
  types: {} as { input: LaneInput; context: LaneInput; events: LaneEvent },
  actions: effects,
  delays: {
    renewEvery: ({ context }) => context.renewEveryMs,
    askAgain: ({ context }) => context.askAgainMs,
    drainFor: ({ context }) => context.drainForMs,
  },
})

const machine = base
  .extend({
    actions: {
      // It goes on whatever else happens. The server counts from when it stored the lease: after we asked, so that is when
      // we count from.
      countDown: base.enqueueActions(({ context, event, enqueue }) => {
        if (!('tookMs' in event)) return
        enqueue.cancel('ranOut')
        const delay = Math.max(0, context.ttlMs - event.tookMs)
        enqueue.raise({ type: 'ranOut' }, { id: 'ranOut', delay })
      }),
      stopCounting: base.cancel('ranOut'),
    },
  })
  .createMachine({
    id: 'lane',
    context: ({ input }) => input,
    initial: 'acquiring',
    states: {
      acquiring: {
        description: 'Taking the lease.',
        entry: 'acquire',
        on: {
          acquired: { target: 'leased', actions: 'countDown' },
          taken: 'beaten',
          withdrawn: 'leaving',
        },
      },
      beaten: {
        description: 'Somebody else still has the lease.',
        entry: 'stopCounting',
        on: {
          vacant: 'acquiring',
          withdrawn: 'over',
          // Stored after we had given it up: nobody reads with it.
          acquired: { actions: 'release' },
          renewed: { actions: 'release' },
        },
        after: { askAgain: 'acquiring' },
      },
      leaving: {
        description: 'Not wanted any more while the lease was being taken.',
        on: {
          acquired: { target: 'over', actions: 'release' },
          taken: 'over',
          offered: 'acquiring',
        },
      },
      leased: {
        description: 'The lease is ours.',
        initial: 'opening',
        on: {
          lost: { target: 'beaten', actions: 'close' },
          ranOut: { target: 'beaten', actions: 'close' },
          fenced: { target: 'beaten', actions: ['close', 'release'] },
          // Whoever took over may be at the same events: nothing more is begun on an old belief.
          overslept: { target: 'beaten', actions: ['close', 'release'] },
        },
        states: {
          opening: {
            description: 'Taking over what the reader before left.',
            entry: 'open',
            on: {
              opened: 'reading',
              withdrawn: { target: '#lane.over', actions: ['close', 'release'] },
            },
            after: { renewEvery: { target: '#lane.beaten', actions: ['close', 'release'] } },
          },
          reading: {
            description: 'Its events are worked on here.',
            initial: 'renewing',
            on: { withdrawn: '#lane.draining' },
            states: {
              renewed: {
                description: 'The lease was stored or renewed a moment ago.',
                after: { renewEvery: 'renewing' },
              },
              renewing: {
                description: 'The lease is being renewed.',
                entry: 'renew',
                on: { renewed: { target: 'renewed', actions: 'countDown' } },
              },
            },
          },
        },
      },
      draining: {
        description: 'Somebody else is to read it; what runs here may end first.',
        entry: 'drain',
        initial: 'renewing',
        on: {
          drained: { target: 'over', actions: ['close', 'release'] },
          lost: { target: 'over', actions: 'close' },
          ranOut: { target: 'over', actions: 'close' },
          fenced: { target: 'over', actions: ['close', 'release'] },
          overslept: { target: 'over', actions: ['close', 'release'] },
        },
        after: { drainFor: { target: 'over', actions: ['close', 'release'] } },
        states: {
          renewed: {
            description: 'The lease was renewed a moment ago.',
            after: { renewEvery: 'renewing' },
          },
          renewing: {
            description: 'The lease is being renewed.',
            entry: 'renew',
            on: { renewed: { target: 'renewed', actions: 'countDown' } },
          },
        },
      },
      over: { type: 'final', description: 'Nothing of it is left here.' },
    },
    options: { maxIterations: 1000 },
  })

export const laneMachine = withEffects(machine, effects)
