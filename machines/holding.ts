/**
 * Holding: what a poller works on by lease, a lane of a queue or a shard of a mapping, as the poller sees it that was told
 * to work on it.
 *
 *     acquiring ──acquired──▶ opening ──opened──▶ reading ──withdrawn──▶ draining ──drained──▶ over
 *         ▲ │ taken              │ fenced          │ lost                                        │
 *         │ ▼                    │                 │                                       gives it back
 *        beaten ◀────────────────┴─────────────────┘
 *
 * The leasing service says who should read; who reads is who has the lease. A reader stops when its lease is lost, at the
 * latest when it would run out unrenewed, and what it stores is fenced by the lease's epoch whatever it believes.
 *
 * A lease is known by its epoch. What comes late and is of another lease than the one that is believed in changes nothing.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds. */
export type HoldingInput = {
  ttlMs: number
  renewEveryMs: number
  askAgainMs: number
  /** How long what runs may go on when it is to be left. */
  drainForMs: number
}

/** See `Lease` in bus/leases.ts. `heldUntil`: milliseconds since the epoch, by our wall clock. */
export type HeldLease = {
  key: string
  value: string
  epoch: number
  revision: number
  heldUntil: number
  holder: string
}

export type HoldingEvent =
  /** `tookMs`: between our asking and the answer; the lease runs from somewhere in between. */
  | { type: 'acquired'; lease: HeldLease; tookMs: number }
  | { type: 'taken' }
  | { type: 'opened'; epoch: number }
  /** A later reader is there. */
  | { type: 'fenced'; epoch: number }
  | { type: 'renewed'; lease: HeldLease; tookMs: number }
  | { type: 'lost'; epoch: number }
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

type Context = HoldingInput & { lease: HeldLease | undefined }

const effects = {
  acquire: effect(),
  renew: effect<{ lease: HeldLease }>(),
  release: effect<{ lease: HeldLease }>(),
  /** Takes over what the reader before left; ends in `opened` or `fenced`. */
  open: effect<{ epoch: number }>(),
  /** Takes nothing new and ends in `drained` when what runs has ended. */
  drain: effect(),
  /** Forgets what is in hand and leaves it to the next reader. */
  close: effect(),
}

const base = setup({
  types: {} as { input: HoldingInput; context: Context; events: HoldingEvent },
  actions: {
    ...effects,
    noteLease: assign(({ event }) => ('lease' in event ? { lease: event.lease } : {})),
    forgetLease: assign({ lease: undefined }),
  },
  guards: {
    isCurrent: ({ context, event }) => {
      if ('lease' in event) return event.lease.epoch === context.lease?.epoch
      return 'epoch' in event && event.epoch === context.lease?.epoch
    },
  },
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
      openIt: base.enqueueActions(({ context: { lease }, enqueue }) => {
        if (lease !== undefined) enqueue({ type: 'open', params: { epoch: lease.epoch } })
      }),
      renewIt: base.enqueueActions(({ context: { lease }, enqueue }) => {
        if (lease !== undefined) enqueue({ type: 'renew', params: { lease } })
      }),
      giveBack: base.enqueueActions(({ context: { lease }, enqueue }) => {
        if (lease !== undefined) enqueue({ type: 'release', params: { lease } })
      }),
      // Stored after it was given up: nobody reads with it.
      giveBackLate: base.enqueueActions(({ event, enqueue }) => {
        if ('lease' in event) enqueue({ type: 'release', params: { lease: event.lease } })
      }),
    },
  })
  .createMachine({
    id: 'holding',
    context: ({ input }) => ({ ...input, lease: undefined }),
    initial: 'acquiring',
    states: {
      acquiring: {
        description: 'Taking the lease.',
        entry: 'acquire',
        on: {
          acquired: { target: 'leased', actions: ['noteLease', 'countDown'] },
          taken: 'beaten',
          renewed: { actions: 'giveBackLate' },
          withdrawn: 'leaving',
        },
      },
      beaten: {
        description: 'Somebody else still has the lease.',
        entry: ['stopCounting', 'forgetLease'],
        on: {
          vacant: 'acquiring',
          withdrawn: 'over',
          acquired: { actions: 'giveBackLate' },
          renewed: { actions: 'giveBackLate' },
        },
        after: { askAgain: 'acquiring' },
      },
      leaving: {
        description: 'Not wanted any more while the lease was being taken.',
        on: {
          acquired: { target: 'over', actions: 'giveBackLate' },
          renewed: { actions: 'giveBackLate' },
          taken: 'over',
          offered: 'acquiring',
        },
      },
      leased: {
        description: 'The lease is ours.',
        initial: 'opening',
        on: {
          lost: { guard: 'isCurrent', target: 'beaten', actions: 'close' },
          ranOut: { target: 'beaten', actions: 'close' },
          fenced: { guard: 'isCurrent', target: 'beaten', actions: ['close', 'giveBack'] },
          // Whoever took over may be at the same work: nothing more is begun on an old belief.
          overslept: { target: 'beaten', actions: ['close', 'giveBack'] },
        },
        states: {
          opening: {
            description: 'Taking over what the reader before left.',
            entry: 'openIt',
            on: {
              opened: { guard: 'isCurrent', target: 'reading' },
              withdrawn: { target: '#holding.over', actions: ['close', 'giveBack'] },
            },
            after: { renewEvery: { target: '#holding.beaten', actions: ['close', 'giveBack'] } },
          },
          reading: {
            description: 'It is worked on here.',
            initial: 'renewing',
            on: { withdrawn: '#holding.draining' },
            states: {
              renewed: {
                description: 'The lease was stored or renewed a moment ago.',
                after: { renewEvery: 'renewing' },
              },
              renewing: {
                description: 'The lease is being renewed.',
                entry: 'renewIt',
                on: {
                  renewed: {
                    guard: 'isCurrent',
                    target: 'renewed',
                    actions: ['noteLease', 'countDown'],
                  },
                },
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
          drained: { target: 'over', actions: ['close', 'giveBack'] },
          lost: { guard: 'isCurrent', target: 'over', actions: 'close' },
          ranOut: { target: 'over', actions: 'close' },
          fenced: { guard: 'isCurrent', target: 'over', actions: ['close', 'giveBack'] },
          overslept: { target: 'over', actions: ['close', 'giveBack'] },
        },
        after: { drainFor: { target: 'over', actions: ['close', 'giveBack'] } },
        states: {
          renewed: {
            description: 'The lease was renewed a moment ago.',
            after: { renewEvery: 'renewing' },
          },
          renewing: {
            description: 'The lease is being renewed.',
            entry: 'renewIt',
            on: {
              renewed: {
                guard: 'isCurrent',
                target: 'renewed',
                actions: ['noteLease', 'countDown'],
              },
            },
          },
        },
      },
      over: { type: 'final', description: 'Nothing of it is left here.' },
    },
    options: { maxIterations: 1000 },
  })

export const holdingMachine = withEffects(machine, effects)
