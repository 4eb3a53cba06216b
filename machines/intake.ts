/**
 * Intake: whether events pour into a process faster than they can be worked on there.
 *
 *     calm ──many──▶ holding ──for long enough──▶ pouring ──few──▶ calm
 *       ▲               │ few for a while
 *       └───────────────┘
 *
 * What takes events in comes before what works on them: as long as they pour in, their writing and their work only take the
 * processor from each other, and whoever sends waits for the writing. So readers of lanes in the same process hold back,
 * but not for long: events that never stop coming are worked on all the same.
 */
import { setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/**
 * `manyPerLook`: from how many on it pours. `fewPerLook`: below how many it ebbs. Milliseconds: how long it has to ebb until it
 * is calm, and how long readers hold back at most.
 */
export type IntakeInput = {
  manyPerLook: number
  fewPerLook: number
  ebbForMs: number
  holdForMs: number
}

export type IntakeEvent =
  /** So many were taken in since the last look. */
  { type: 'looked'; taken: number }

const effects = {
  /** What comes to readers is kept as it came. */
  hold: effect(),
  release: effect(),
}

const machine = setup({
  types: {} as { input: IntakeInput; context: IntakeInput; events: IntakeEvent },
  actions: effects,
  guards: {
    arePouring: ({ context, event }) => event.taken >= context.manyPerLook,
    areFew: ({ context, event }) => event.taken < context.fewPerLook,
  },
  delays: {
    ebbFor: ({ context }) => context.ebbForMs,
    holdFor: ({ context }) => context.holdForMs,
  },
}).createMachine({
  id: 'intake',
  context: ({ input }) => input,
  initial: 'calm',
  states: {
    calm: {
      description: 'No more comes in than can be worked on beside it.',
      on: { looked: { guard: 'arePouring', target: 'holding' } },
    },
    holding: {
      description: 'Events pour in; readers hold back.',
      entry: 'hold',
      exit: 'release',
      after: { holdFor: 'pouring' },
      initial: 'flowing',
      states: {
        flowing: {
          description: 'They have been coming until a moment ago.',
          on: { looked: { guard: 'areFew', target: 'ebbing' } },
        },
        ebbing: {
          description: 'Hardly any came lately; a disk that takes its time looks the same.',
          on: { looked: { guard: 'arePouring', target: 'flowing' } },
          after: { ebbFor: '#intake.calm' },
        },
      },
    },
    pouring: {
      description: 'Events still pour in; readers have waited long enough.',
      on: { looked: { guard: 'areFew', target: 'calm' } },
    },
  },
  options: { maxIterations: 1000 },
})

export const intakeMachine = withEffects(machine, effects)
