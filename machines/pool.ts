/**
 * Pool: the sandboxes of one generation of a function, and who holds them.
 *
 *     serving ⇄ crowded (no worker has room)
 *        │ ⇅ saturated (the limit is reached and more is wanted)
 *        └──retired──▶ draining ──empty──▶ over
 *
 * It counts concurrency exactly: a seat is held by one front end or by nobody, and there are never more sandboxes than
 * the limit. It grows when more invocations wait than sandboxes are coming, and calls off what it no longer needs: one
 * that waits takes whichever is first, returned or new.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import {
  countOf,
  drop,
  emptyLedger,
  type Found,
  type Grant,
  grant,
  grow,
  type Ledger,
  rebuiltLedger,
  shrink,
  stand,
  total,
  want,
  wanted,
} from './pool-ledger.ts'
import type { Seat } from './reservations.ts'

/**
 * `prefix` starts the ids of the sandboxes that this owner places: different for each owner. `limit`: seats at most.
 * Milliseconds. `graceMs`: how long the wish for more is kept at the limit before it is throttled, while seats that lie
 * idle elsewhere are called back. `roomAgainMs`: how long to wait before workers without room are asked again.
 */
export type PoolInput = {
  prefix: string
  limit: number
  keepAliveMs: number
  graceMs: number
  roomAgainMs: number
  found: Found[]
}

/** `atMs`: when, by the clock of whoever tells. */
export type PoolEvent =
  | { type: 'want'; frontEnd: string; count: number }
  | { type: 'released'; frontEnd: string; seats: Seat[]; atMs: number }
  /** Its holder has lost sight of it. */
  | { type: 'doubted'; seat: Seat }
  | { type: 'placed'; sandboxId: string; workerId: string }
  | { type: 'noRoom'; sandboxId: string }
  | { type: 'ready'; sandboxId: string; workerId: string; atMs: number }
  /** A worker says that a doubtful sandbox is not in use. */
  | { type: 'freed'; sandboxId: string; workerId: string; atMs: number }
  | { type: 'stopped'; sandboxId: string }
  | { type: 'frontEndGone'; frontEnd: string }
  | { type: 'workerGone'; workerId: string }
  | { type: 'workerDraining'; workerId: string }
  | { type: 'tick'; atMs: number }
  /** Another generation serves, or the function is deleted. */
  | { type: 'retired' }

type Context = Omit<PoolInput, 'found'> & { ledger: Ledger }

const effects = {
  grant: effect<Grant>(),
  place: effect<{ sandboxId: string }>(),
  /** Stops a sandbox, or calls it off if it has not started yet. */
  stop: effect<Seat>(),
  /** Asks a worker whether a sandbox is in use; ends in `freed` or `stopped`. */
  reclaim: effect<Seat>(),
  recall: effect<{ frontEnd: string; count: number }>(),
  throttle: effect<{ frontEnd: string; count: number }>(),
}

const seatsThat = (ledger: Ledger, is: string, of: (workerId: string) => boolean): Seat[] =>
  Object.entries(ledger.sandboxes)
    .filter(([, entry]) => entry.standing.is === is && of(entry.workerId))
    .map(([sandboxId, { workerId }]) => ({ sandboxId, workerId }))

const anywhere = () => true

/** Each event's mark on the ledger. */
function record(ledger: Ledger, event: PoolEvent): Ledger {
  switch (event.type) {
    case 'want':
      return want(ledger, event.frontEnd, event.count)
    case 'released':
      return event.seats.reduce(
        (next, { sandboxId }) =>
          isHeldBy(next, sandboxId, event.frontEnd)
            ? stand(next, sandboxId, { standing: { is: 'free', sinceMs: event.atMs } })
            : next,
        ledger,
      )
    case 'doubted':
      return stand(ledger, event.seat.sandboxId, { standing: { is: 'doubtful' } })
    case 'placed':
      return stand(ledger, event.sandboxId, { workerId: event.workerId })
    case 'noRoom':
    case 'stopped':
      return drop(ledger, (_, id) => id === event.sandboxId)
    case 'ready':
    case 'freed':
      return isUsable(ledger, event.sandboxId)
        ? stand(ledger, event.sandboxId, {
            workerId: event.workerId,
            standing: { is: 'free', sinceMs: event.atMs },
          })
        : ledger
    case 'frontEndGone':
      return seatsThat(ledger, 'held', anywhere)
        .filter(({ sandboxId }) => isHeldBy(ledger, sandboxId, event.frontEnd))
        .reduce(
          (next, { sandboxId }) => stand(next, sandboxId, { standing: { is: 'doubtful' } }),
          want(ledger, event.frontEnd, 0),
        )
    case 'workerGone':
      return drop(without(ledger, event.workerId), ({ workerId }) => workerId === event.workerId)
    case 'workerDraining': {
      const leaving = [...without(ledger, event.workerId).leaving, event.workerId]
      return { ...ledger, leaving }
    }
    default:
      return ledger
  }
}

const without = (ledger: Ledger, workerId: string): Ledger => ({
  ...ledger,
  leaving: ledger.leaving.filter((id) => id !== workerId),
})

const isHeldBy = (ledger: Ledger, sandboxId: string, frontEnd: string): boolean => {
  const standing = ledger.sandboxes[sandboxId]?.standing
  return standing?.is === 'held' && standing.frontEnd === frontEnd
}

/** A late `ready` of a sandbox that somebody already holds would give it to two. */
const isUsable = (ledger: Ledger, sandboxId: string): boolean =>
  ['placing', 'unwanted', 'doubtful'].includes(ledger.sandboxes[sandboxId]?.standing.is ?? '')

const base = setup({
  types: {} as { input: PoolInput; context: Context; events: PoolEvent },
  actions: {
    ...effects,
    record: assign(({ context, event }) => ({ ledger: record(context.ledger, event) })),
    forgetWants: assign(({ context }) => ({ ledger: { ...context.ledger, wants: {} } })),
  },
  guards: {
    isAtLimit: ({ context: { ledger, limit } }) =>
      total(ledger) >= limit && wanted(ledger) > countOf(ledger, 'placing', 'unwanted'),
    isBelowLimit: ({ context: { ledger, limit } }) =>
      total(ledger) < limit || wanted(ledger) <= countOf(ledger, 'placing', 'unwanted'),
    isEmpty: ({ context: { ledger } }) => total(ledger) === 0,
    isUnused: ({ context: { ledger } }) => total(ledger) === 0 && wanted(ledger) === 0,
  },
  delays: {
    grace: ({ context }) => context.graceMs,
    roomAgain: ({ context }) => context.roomAgainMs,
  },
})

const machine = base
  .extend({
    actions: {
      grantFree: base.enqueueActions(({ context, enqueue }) => {
        const { ledger, grants } = grant(context.ledger)
        enqueue.assign({ ledger })
        for (const given of grants) enqueue({ type: 'grant', params: given })
      }),
      placeMissing: base.enqueueActions(({ context, enqueue }) => {
        const { ledger, places } = grow(context.ledger, context.prefix, context.limit)
        enqueue.assign({ ledger })
        for (const sandboxId of places) enqueue({ type: 'place', params: { sandboxId } })
      }),
      callOffSurplus: base.enqueueActions(({ context, enqueue }) => {
        const { ledger, surplus } = shrink(context.ledger)
        if (surplus.length === 0) return
        enqueue.assign({ ledger })
        for (const { known, ...seat } of surplus) {
          if (known) enqueue({ type: 'stop', params: seat })
        }
      }),
      /** One that was called off before a worker was found for it is called off again, now that there is one. */
      stopUnwanted: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'placed') return
        const entry = context.ledger.sandboxes[event.sandboxId]
        if (entry === undefined || entry.standing.is === 'unwanted') {
          enqueue({
            type: 'stop',
            params: { sandboxId: event.sandboxId, workerId: event.workerId },
          })
        }
      }),
      /** Sandboxes that nobody knows the state of: their workers do. */
      reclaimDoubtful: base.enqueueActions(({ context, enqueue }) => {
        for (const seat of seatsThat(context.ledger, 'doubtful', anywhere)) {
          enqueue({ type: 'reclaim', params: seat })
        }
      }),
      stopIdle: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'tick') return
        const isIdle = (sandboxId: string) => {
          const standing = context.ledger.sandboxes[sandboxId]?.standing
          return standing?.is === 'free' && standing.sinceMs + context.keepAliveMs <= event.atMs
        }
        const idle = seatsThat(context.ledger, 'free', anywhere).filter((seat) =>
          isIdle(seat.sandboxId),
        )
        for (const seat of idle) enqueue({ type: 'stop', params: seat })
        enqueue.assign({ ledger: drop(context.ledger, (_, id) => isIdle(id)) })
      }),
      stopFree: base.enqueueActions(({ context, enqueue }) => {
        for (const seat of seatsThat(context.ledger, 'free', anywhere)) {
          enqueue({ type: 'stop', params: seat })
        }
        enqueue.assign({ ledger: drop(context.ledger, ({ standing }) => standing.is === 'free') })
      }),
      stopLeaving: base.enqueueActions(({ context: { ledger }, enqueue }) => {
        if (ledger.leaving.length === 0) return
        const isLeaving = (workerId: string) => ledger.leaving.includes(workerId)
        for (const seat of seatsThat(ledger, 'free', isLeaving)) {
          enqueue({ type: 'stop', params: seat })
        }
        enqueue.assign({
          ledger: drop(
            ledger,
            ({ standing, workerId }) => standing.is === 'free' && isLeaving(workerId),
          ),
        })
      }),
      callOffAll: base.enqueueActions(({ context, enqueue }) => {
        const coming = [
          ...seatsThat(context.ledger, 'placing', anywhere),
          ...seatsThat(context.ledger, 'unwanted', anywhere),
        ]
        for (const seat of coming) {
          if (seat.workerId !== '') enqueue({ type: 'stop', params: seat })
        }
        enqueue.assign({
          ledger: drop(context.ledger, ({ standing }) =>
            ['placing', 'unwanted'].includes(standing.is),
          ),
        })
      }),
      recallIdle: base.enqueueActions(({ context: { ledger }, enqueue }) => {
        const count = wanted(ledger) - countOf(ledger, 'placing')
        const holders = new Set(
          Object.values(ledger.sandboxes).flatMap(({ standing }) =>
            standing.is === 'held' ? [standing.frontEnd] : [],
          ),
        )
        for (const frontEnd of holders) {
          if (!(frontEnd in ledger.wants)) {
            enqueue({ type: 'recall', params: { frontEnd, count } })
          }
        }
      }),
      throttleRest: base.enqueueActions(({ context: { ledger }, enqueue }) => {
        let excess = wanted(ledger) - countOf(ledger, 'placing', 'unwanted')
        for (const [frontEnd, count] of Object.entries(ledger.wants)) {
          const refused = Math.min(count, excess)
          if (refused > 0) enqueue({ type: 'throttle', params: { frontEnd, count: refused } })
          excess -= refused
        }
      }),
    },
  })
  .createMachine({
    id: 'pool',
    context: ({ input: { found, ...input } }) => ({
      ...input,
      ledger: found.length === 0 ? emptyLedger : rebuiltLedger(found),
    }),
    initial: 'serving',
    entry: 'reclaimDoubtful',
    on: {
      retired: '.draining',
      workerDraining: { actions: ['record', 'stopLeaving'] },
      tick: { actions: ['stopIdle', 'reclaimDoubtful'] },
      released: { actions: ['record', 'stopLeaving', 'grantFree', 'callOffSurplus'] },
      ready: { actions: ['record', 'stopLeaving', 'grantFree'] },
      freed: { actions: ['record', 'stopLeaving', 'grantFree', 'callOffSurplus'] },
      doubted: { actions: ['record', { type: 'reclaim', params: ({ event }) => event.seat }] },
      placed: { actions: ['stopUnwanted', 'record'] },
    },
    states: {
      serving: {
        description: 'Grows when more is wanted than is coming.',
        always: { guard: 'isAtLimit', target: 'saturated' },
        on: {
          want: { actions: ['record', 'grantFree', 'placeMissing', 'callOffSurplus'] },
          stopped: { actions: ['record', 'placeMissing'] },
          workerGone: { actions: ['record', 'placeMissing'] },
          frontEndGone: { actions: ['record', 'reclaimDoubtful', 'callOffSurplus'] },
          noRoom: { target: 'crowded', actions: 'record' },
          tick: [
            { guard: 'isUnused', target: 'over' },
            { actions: ['stopIdle', 'reclaimDoubtful'] },
          ],
        },
      },
      saturated: {
        description:
          'The limit is reached; idle seats are called back, then what is left is throttled.',
        entry: 'recallIdle',
        always: { guard: 'isBelowLimit', target: 'serving' },
        on: {
          want: { actions: ['record', 'grantFree'] },
          stopped: { target: 'serving', actions: ['record', 'placeMissing'] },
          workerGone: { target: 'serving', actions: ['record', 'placeMissing'] },
          frontEndGone: { actions: ['record', 'reclaimDoubtful', 'callOffSurplus'] },
          noRoom: { target: 'crowded', actions: 'record' },
        },
        after: { grace: { target: 'serving', actions: ['throttleRest', 'forgetWants'] } },
      },
      crowded: {
        description: 'No worker had room a moment ago; who waits takes what comes back.',
        entry: 'recallIdle',
        on: {
          want: { actions: ['record', 'grantFree'] },
          stopped: { actions: 'record' },
          workerGone: { actions: 'record' },
          frontEndGone: { actions: ['record', 'reclaimDoubtful', 'callOffSurplus'] },
          noRoom: { actions: 'record' },
        },
        after: { roomAgain: { target: 'serving', actions: 'placeMissing' } },
      },
      draining: {
        description: 'Serves no longer; stops each sandbox as it comes back.',
        entry: ['forgetWants', 'stopFree', 'callOffAll'],
        always: { guard: 'isEmpty', target: 'over' },
        on: {
          want: {},
          released: { actions: ['record', 'stopFree'] },
          ready: { actions: ['record', 'stopFree'] },
          freed: { actions: ['record', 'stopFree'] },
          stopped: { actions: 'record' },
          noRoom: { actions: 'record' },
          workerGone: { actions: 'record' },
          frontEndGone: { actions: ['record', 'reclaimDoubtful'] },
        },
      },
      over: { type: 'final', description: 'No sandbox is left.' },
    },
    options: { maxIterations: 1000 },
  })

export const poolMachine = withEffects(machine, effects)
