/**
 * Peer: another process, as seen from here.
 *
 *     alive ──silence──▶ suspected ──answers──▶ alive
 *                          │ nobody there, twice        │ goodbye
 *                          │ there, but silent          ▼
 *                          └───────────────────────▶ gone
 *
 * Silence alone proves nothing on a busy machine, so a silent peer is probed. "No responders" means that the server has
 * no subscription of it, hence no connection: it is dead, or its link is being dialled again; the second look tells.
 * A probe that is delivered and not answered means a hung process.
 * Source: NATS docs, "Request-Reply: No Responders"; measured in reference nats.md §2.2.
 */
import { setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds. `silenceMs`: how long without a beat until it is probed. `secondLookMs`: between two probes that find nobody. */
export type PeerInput = { silenceMs: number; secondLookMs: number }

export type PeerEvent =
  | { type: 'beat' }
  | { type: 'goodbye' }
  /** `unknown`: the probe could not be sent, because our own link is down. */
  | { type: 'probed'; outcome: 'alive' | 'gone' | 'silent' | 'unknown' }

const effects = {
  /** Asks it directly; ends in `probed`. */
  probe: effect(),
  /** It will not come back: whoever counts on it should stop. */
  reportGone: effect(),
}

const isOutcome = (event: PeerEvent, outcome: string) =>
  event.type === 'probed' && event.outcome === outcome

const machine = setup({
  types: {} as { input: PeerInput; context: PeerInput; events: PeerEvent },
  actions: effects,
  guards: {
    foundNobody: ({ event }) => isOutcome(event, 'gone'),
    foundItHung: ({ event }) => isOutcome(event, 'silent'),
  },
  delays: {
    silence: ({ context }) => context.silenceMs,
    secondLook: ({ context }) => context.secondLookMs,
  },
}).createMachine({
  id: 'peer',
  context: ({ input }) => input,
  initial: 'alive',
  states: {
    alive: {
      description: 'It was heard a moment ago.',
      on: { beat: { target: 'alive', reenter: true }, goodbye: 'gone' },
      after: { silence: 'suspected' },
    },
    suspected: {
      description: 'It has been silent; it is being asked whether it is there.',
      entry: 'probe',
      on: {
        beat: 'alive',
        goodbye: 'gone',
        probed: [
          { guard: 'foundNobody', target: 'missing' },
          { guard: 'foundItHung', target: 'gone' },
          { target: 'alive' },
        ],
      },
    },
    missing: {
      description:
        'Nobody was there; it may be dialling the server again, so it gets a second look.',
      on: { beat: 'alive', goodbye: 'gone' },
      after: { secondLook: 'lookedForAgain' },
    },
    lookedForAgain: {
      description: 'It is being asked for the second time.',
      entry: 'probe',
      on: {
        beat: 'alive',
        goodbye: 'gone',
        probed: [
          { guard: 'foundNobody', target: 'gone' },
          { guard: 'foundItHung', target: 'gone' },
          { target: 'alive' },
        ],
      },
    },
    gone: { type: 'final', description: 'Dead, hung or gone home.', entry: 'reportGone' },
  },
  options: { maxIterations: 1000 },
})

export const peerMachine = withEffects(machine, effects)
