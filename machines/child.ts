/**
 * Child: a process of ours that has to go on running, as the one sees it who looks after it.
 *
 *     launching ──ready──▶ running.fresh ──steady──▶ running.steady
 *         │ exited              │ exited     ▲            │ exited
 *         ▼                     ▼            │ ready      ▼
 *      failed ◀─too often── backingOff ──▶ relaunching   backingOff
 *
 *     stop, from anywhere ──▶ stopping ──exited──▶ stopped
 *
 * A child that never became ready will not by being tried again: the first launch is not repeated. One that dies later
 * is started again, each time after a longer pause, until it has died too often without a steady stretch between.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

export type ChildInput = {
  /** A child that is not ready by then is killed. */
  launchTimeoutMs: number
  /** A child that ran this long is well: its next death counts as the first one. */
  steadyMs: number
  /** Pause before the first restart; doubles with each death in a row, up to `maxBackOffMs`. */
  backOffMs: number
  maxBackOffMs: number
  /** Deaths in a row that are too many. */
  maxDeaths: number
  /** A child that was asked to end and still runs after this is killed. */
  stopTimeoutMs: number
}

/** `life` counts launches from 1: what a former life still says changes nothing. */
export type ChildEvent =
  | { type: 'ready'; life: number }
  | { type: 'exited'; life: number; why: string }
  | { type: 'stop' }

type Context = ChildInput & { life: number; deaths: number; why: string }

const effects = {
  /** Starts the process; ends in `ready` or `exited`. */
  launch: effect<{ life: number }>(),
  /** Asks the process to end; ends in `exited`. */
  end: effect<{ life: number }>(),
  /** Ends the process without asking; ends in `exited`. */
  kill: effect<{ life: number }>(),
  reportReady: effect<{ life: number }>(),
  reportDeath: effect<{ life: number; why: string; retryInMs: number }>(),
  reportFailure: effect<{ why: string; deaths: number }>(),
}

const pauseMs = ({ backOffMs, maxBackOffMs, deaths }: Context) =>
  Math.min(backOffMs * 2 ** (deaths - 1), maxBackOffMs)

const life = ({ context }: { context: Context }) => ({ life: context.life })
const death = ({ context }: { context: Context }) => ({
  life: context.life,
  why: context.why,
  retryInMs: pauseMs(context),
})
const failure = ({ context }: { context: Context }) => ({
  why: context.why,
  deaths: context.deaths,
})

const machine = setup({
  types: {} as { input: ChildInput; context: Context; events: ChildEvent },
  actions: {
    ...effects,
    nextLife: assign({ life: ({ context }) => context.life + 1 }),
    countDeath: assign(({ context, event }) => ({
      deaths: context.deaths + 1,
      why: event.type === 'exited' ? event.why : context.why,
    })),
    forgetDeaths: assign({ deaths: 0 }),
  },
  guards: {
    isCurrent: ({ context, event }) => 'life' in event && event.life === context.life,
    isOnceTooOften: ({ context, event }) =>
      'life' in event && event.life === context.life && context.deaths + 1 >= context.maxDeaths,
  },
  delays: {
    launchTimeout: ({ context }) => context.launchTimeoutMs,
    steady: ({ context }) => context.steadyMs,
    backOff: ({ context }) => pauseMs(context),
    stopTimeout: ({ context }) => context.stopTimeoutMs,
  },
}).createMachine({
  id: 'child',
  context: ({ input }) => ({ ...input, life: 0, deaths: 0, why: '' }),
  initial: 'launching',
  states: {
    launching: {
      description: 'Started for the first time, not ready yet.',
      entry: ['nextLife', { type: 'launch', params: life }],
      initial: 'inTime',
      states: {
        inTime: {
          description: 'May still become ready by itself.',
          after: { launchTimeout: 'overdue' },
        },
        overdue: {
          description: 'Took too long: killed.',
          entry: { type: 'kill', params: life },
        },
      },
      on: {
        ready: { guard: 'isCurrent', target: 'running' },
        exited: { guard: 'isCurrent', target: 'failed', actions: 'countDeath' },
        stop: 'stopping',
      },
    },
    running: {
      description: 'Ready.',
      entry: { type: 'reportReady', params: life },
      initial: 'fresh',
      on: { stop: 'stopping' },
      states: {
        fresh: {
          description: 'Has not run for long: a death now is one more in a row.',
          after: { steady: { target: 'steady', actions: 'forgetDeaths' } },
          on: {
            exited: [
              { guard: 'isOnceTooOften', target: '#child.failed', actions: 'countDeath' },
              { guard: 'isCurrent', target: '#child.backingOff', actions: 'countDeath' },
            ],
          },
        },
        steady: {
          description: 'Runs well.',
          on: {
            exited: { guard: 'isCurrent', target: '#child.backingOff', actions: 'countDeath' },
          },
        },
      },
    },
    backingOff: {
      description: 'Dead; the next life begins after a pause.',
      entry: { type: 'reportDeath', params: death },
      after: { backOff: 'relaunching' },
      on: { stop: 'stopped' },
    },
    relaunching: {
      description: 'Started again, not ready yet.',
      entry: ['nextLife', { type: 'launch', params: life }],
      initial: 'inTime',
      states: {
        inTime: {
          description: 'May still become ready by itself.',
          after: { launchTimeout: 'overdue' },
        },
        overdue: {
          description: 'Took too long: killed.',
          entry: { type: 'kill', params: life },
        },
      },
      on: {
        ready: { guard: 'isCurrent', target: 'running' },
        exited: [
          { guard: 'isOnceTooOften', target: 'failed', actions: 'countDeath' },
          { guard: 'isCurrent', target: 'backingOff', actions: 'countDeath' },
        ],
        stop: 'stopping',
      },
    },
    stopping: {
      description: 'Asked to end.',
      entry: { type: 'end', params: life },
      initial: 'inTime',
      states: {
        inTime: {
          description: 'May still end by itself.',
          after: { stopTimeout: 'overdue' },
        },
        overdue: {
          description: 'Took too long: killed.',
          entry: { type: 'kill', params: life },
        },
      },
      on: { exited: { guard: 'isCurrent', target: 'stopped' } },
    },
    stopped: { type: 'final', description: 'Ended because it was asked to.' },
    failed: {
      type: 'final',
      description: 'Given up: it never became ready, or died too often.',
      entry: { type: 'reportFailure', params: failure },
    },
  },
  options: { maxIterations: 1000 },
})

export const childMachine = withEffects(machine, effects)
