/**
 * Placement: one request for room for one sandbox.
 *
 *     choosing ──▶ provisioning ──accepted──▶ placed
 *        ▲             │ refused, nobody there, slow
 *        └─────────────┘
 *     choosing ──nobody left──▶ noRoom
 *
 * Optimistic: it works from a view of the workers that may be a moment old, and the worker has the last word. A worker
 * that does not answer may have accepted; the pool finds such a sandbox when it reports.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** What placement knows of a worker. */
export type Candidate = {
  workerId: string
  freeMb: number
  /** Held by sandboxes that would make room. */
  unusedMb: number
  sandboxes: number
  /** Sandboxes of the same function that it runs already. */
  ofSameFunction: number
}

/** `candidates`: those that may have room, in any order. Milliseconds. */
export type PlacementInput = { candidates: Candidate[]; memoryMb: number; patienceMs: number }

export type PlacementEvent =
  | { type: 'accepted'; workerId: string }
  | { type: 'refused'; workerId: string }
  | { type: 'unreachable'; workerId: string }

type Context = { remaining: string[]; workerId: string; patienceMs: number }

const effects = {
  provision: effect<{ workerId: string }>(),
  reportPlaced: effect<{ workerId: string }>(),
  reportNoRoom: effect(),
}

/**
 * Best first: where nothing has to make room; then spread a function over workers, so that losing one costs least; then
 * the one with most room.
 */
export const ranked = (candidates: Candidate[], memoryMb: number): string[] =>
  candidates
    .filter(({ freeMb, unusedMb }) => freeMb + unusedMb >= memoryMb)
    .sort(
      (a, b) =>
        Number(b.freeMb >= memoryMb) - Number(a.freeMb >= memoryMb) ||
        a.ofSameFunction - b.ofSameFunction ||
        b.freeMb - a.freeMb ||
        a.workerId.localeCompare(b.workerId),
    )
    .map(({ workerId }) => workerId)

const machine = setup({
  types: {} as { input: PlacementInput; context: Context; events: PlacementEvent },
  actions: {
    ...effects,
    chooseNext: assign(({ context }) => ({
      workerId: context.remaining[0] ?? '',
      remaining: context.remaining.slice(1),
    })),
  },
  guards: {
    hasCandidate: ({ context }) => context.remaining.length > 0,
    isChosen: ({ context, event }) => event.workerId === context.workerId,
  },
  delays: { patience: ({ context }) => context.patienceMs },
}).createMachine({
  id: 'placement',
  context: ({ input }) => ({
    remaining: ranked(input.candidates, input.memoryMb),
    workerId: '',
    patienceMs: input.patienceMs,
  }),
  initial: 'choosing',
  states: {
    choosing: {
      description: 'Picks the best worker that has not said no.',
      always: [
        { guard: 'hasCandidate', target: 'provisioning', actions: 'chooseNext' },
        { target: 'noRoom' },
      ],
    },
    provisioning: {
      description: 'One worker has been asked.',
      entry: { type: 'provision', params: ({ context }) => ({ workerId: context.workerId }) },
      on: {
        accepted: { guard: 'isChosen', target: 'placed' },
        refused: { guard: 'isChosen', target: 'choosing' },
        unreachable: { guard: 'isChosen', target: 'choosing' },
      },
      after: { patience: 'choosing' },
    },
    placed: {
      type: 'final',
      description: 'A worker starts it.',
      entry: { type: 'reportPlaced', params: ({ context }) => ({ workerId: context.workerId }) },
    },
    noRoom: { type: 'final', description: 'No worker has room.', entry: 'reportNoRoom' },
  },
  options: { maxIterations: 1000 },
})

export const placementMachine = withEffects(machine, effects)
