/**
 * Worker: a host that runs sandboxes.
 *
 *     joining ──registered──▶ serving ──drain──▶ draining ──empty──▶ gone
 *
 * It has the last word on its own room: placement only guesses. A sandbox that nobody has used for a while makes room
 * for one that is wanted now, of another pool: what is kept warm is kept as long as nobody needs the place. Sandboxes start a few at a time, because a start is CPU
 * work and more at once only make each of them slower.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** `memoryMb`: what its sandboxes may hold together, as functions' MemorySize. `startsAtOnce`: ≥ 1. */
export type WorkerInput = { memoryMb: number; startsAtOnce: number }

export type WorkerEvent =
  | { type: 'registered' }
  /** `unusedMb`: what sandboxes hold that may be stopped for this one. */
  | { type: 'provision'; sandboxId: string; memoryMb: number; unusedMb: number; reply: string }
  | { type: 'startQueued'; sandboxId: string }
  | { type: 'turnPassed'; sandboxId: string }
  | { type: 'sandboxStopped'; sandboxId: string }
  | { type: 'drain' }

type Context = WorkerInput & {
  usedMb: number
  sandboxes: Record<string, number>
  starting: string[]
  queue: string[]
}

const effects = {
  register: effect(),
  accept: effect<{ sandboxId: string; reply: string }>(),
  refuse: effect<{ reply: string; why: 'no room' | 'draining' | 'it runs here already' }>(),
  /** Unused sandboxes stop, longest unused first, until that much comes free. */
  stopUnused: effect<{ sandboxId: string; memoryMb: number }>(),
  /** It is this sandbox's turn to start. */
  giveTurn: effect<{ sandboxId: string }>(),
  /** Pools stop what is free here, and the rest when it comes back. */
  announceDraining: effect(),
  leave: effect(),
}

const base = setup({
  types: {} as { input: WorkerInput; context: Context; events: WorkerEvent },
  actions: {
    ...effects,
    makeRoom: assign(({ context, event }) =>
      event.type === 'provision'
        ? {
            usedMb: context.usedMb + event.memoryMb,
            sandboxes: { ...context.sandboxes, [event.sandboxId]: event.memoryMb },
          }
        : {},
    ),
    forget: assign(({ context, event }) => {
      if (event.type !== 'sandboxStopped') return {}
      const { [event.sandboxId]: memoryMb = 0, ...sandboxes } = context.sandboxes
      return { sandboxes, usedMb: context.usedMb - memoryMb }
    }),
    enqueue: assign(({ context, event }) =>
      event.type === 'startQueued' ? { queue: [...context.queue, event.sandboxId] } : {},
    ),
    endTurn: assign(({ context, event }) =>
      event.type === 'turnPassed'
        ? {
            queue: context.queue.filter((id) => id !== event.sandboxId),
            starting: context.starting.filter((id) => id !== event.sandboxId),
          }
        : {},
    ),
  },
  guards: {
    isEmpty: ({ context }) => Object.keys(context.sandboxes).length === 0,
    isKnown: ({ context, event }) =>
      event.type === 'provision' && event.sandboxId in context.sandboxes,
    hasRoom: ({ context, event }) =>
      event.type === 'provision' && context.usedMb + event.memoryMb <= context.memoryMb,
    canMakeRoom: ({ context, event }) =>
      event.type === 'provision' &&
      context.usedMb + event.memoryMb - event.unusedMb <= context.memoryMb,
  },
})

const machine = base
  .extend({
    actions: {
      giveTurns: base.enqueueActions(({ context, enqueue }) => {
        const next = context.queue.slice(0, context.startsAtOnce - context.starting.length)
        if (next.length === 0) return
        enqueue.assign({
          queue: context.queue.slice(next.length),
          starting: [...context.starting, ...next],
        })
        for (const sandboxId of next) enqueue({ type: 'giveTurn', params: { sandboxId } })
      }),
    },
  })
  .createMachine({
    id: 'worker',
    context: ({ input }) => ({ ...input, usedMb: 0, sandboxes: {}, starting: [], queue: [] }),
    initial: 'joining',
    on: {
      startQueued: { actions: ['enqueue', 'giveTurns'] },
      turnPassed: { actions: ['endTurn', 'giveTurns'] },
      sandboxStopped: { actions: 'forget' },
    },
    states: {
      joining: {
        description: 'Making itself known.',
        entry: 'register',
        on: { registered: 'serving', drain: 'draining' },
      },
      serving: {
        description: 'Takes sandboxes as long as it has room.',
        on: {
          provision: [
            {
              guard: 'isKnown',
              actions: {
                type: 'refuse',
                params: ({ event }) => ({ reply: event.reply, why: 'it runs here already' }),
              },
            },
            {
              guard: 'hasRoom',
              actions: [
                'makeRoom',
                {
                  type: 'accept',
                  params: ({ event }) => ({ sandboxId: event.sandboxId, reply: event.reply }),
                },
              ],
            },
            {
              guard: 'canMakeRoom',
              actions: [
                {
                  type: 'stopUnused',
                  params: ({ context, event }) => ({
                    sandboxId: event.sandboxId,
                    memoryMb: context.usedMb + event.memoryMb - context.memoryMb,
                  }),
                },
                'makeRoom',
                {
                  type: 'accept',
                  params: ({ event }) => ({ sandboxId: event.sandboxId, reply: event.reply }),
                },
              ],
            },
            {
              actions: {
                type: 'refuse',
                params: ({ event }) => ({ reply: event.reply, why: 'no room' }),
              },
            },
          ],
          drain: 'draining',
        },
      },
      draining: {
        description: 'Takes nothing new; what runs may finish.',
        entry: 'announceDraining',
        always: { guard: 'isEmpty', target: 'gone' },
        on: {
          provision: {
            actions: {
              type: 'refuse',
              params: ({ event }) => ({ reply: event.reply, why: 'draining' }),
            },
          },
        },
      },
      gone: { type: 'final', description: 'Left; nothing runs here.', entry: 'leave' },
    },
    options: { maxIterations: 1000 },
  })

export const workerMachine = withEffects(machine, effects)
