/**
 * Pool: the sandboxes of one generation of a function, and who holds them.
 *
 *     serving ⇄ crowded (no worker has room)
 *        │ ⇅ saturated (the limit is reached and more is wanted)
 *        └──retired──▶ draining ──empty──▶ over
 *
 * It counts concurrency exactly: a seat is held by one front end or by nobody, and there are never more sandboxes than
 * the limit. It grows when more invocations wait than sandboxes are coming, and calls off what it no longer needs: one
 * that waits takes whichever is first, returned or new. Who holds what is a belief, and audited every second: pool-audit.ts.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import { holdersIn, settle } from './pool-audit.ts'
import {
  callOff,
  coming,
  countOf,
  drop,
  type Entry,
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
  | { type: 'doubted'; frontEnd: string; seat: Seat }
  | { type: 'placed'; sandboxId: string; workerId: string }
  | { type: 'noRoom'; sandboxId: string }
  | { type: 'ready'; sandboxId: string; workerId: string; atMs: number }
  /** A worker says that these are not in use: when it is asked, and of itself while nobody uses them. */
  | { type: 'freed'; seats: Seat[]; atMs: number }
  /** All that a front end holds, in answer to an audit. `owner`: the prefix of the pool that asked. */
  | { type: 'holding'; frontEnd: string; owner: string; audit: number; seats: Seat[] }
  /** On that worker: another one may run a twin, when placement gave up the first and asked the next. */
  | { type: 'stopped'; sandboxId: string; workerId: string }
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
  stop: effect<Seat>(),
  /** Takes an order for a sandbox back, unless it has begun to start: then the work is done, and it will be of use. */
  callOff: effect<Seat>(),
  /** Asks a worker for a sandbox: `freed` if it is not in use, `stopped` if it is not there, else nothing. */
  reclaim: effect<Seat>(),
  recall: effect<{ frontEnd: string; count: number }>(),
  /** `keep`: how many of those who wait there may go on waiting. */
  throttle: effect<{ frontEnd: string; keep: number }>(),
  /** Asks a front end what it holds; ends in `holding`, with the same numbers. */
  audit: effect<{ frontEnd: string; owner: string; audit: number }>(),
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
      return isHeldBy(ledger, event.seat.sandboxId, event.frontEnd)
        ? stand(ledger, event.seat.sandboxId, { standing: { is: 'doubtful' } })
        : ledger
    case 'placed':
      return ledger.sandboxes[event.sandboxId]?.workerId === ''
        ? stand(ledger, event.sandboxId, { workerId: event.workerId })
        : ledger
    case 'noRoom':
      // The answer may come after the sandbox itself.
      return drop(ledger, ({ workerId }, id) => id === event.sandboxId && workerId === '')
    case 'stopped':
      return isStray(ledger, event) ? ledger : drop(ledger, (_, id) => id === event.sandboxId)
    case 'ready':
      return free(ledger, event, event.atMs)
    case 'freed':
      return event.seats.reduce((next, seat) => free(next, seat, event.atMs), ledger)
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

const free = (ledger: Ledger, { sandboxId, workerId }: Seat, sinceMs: number): Ledger =>
  isUsable(ledger, { sandboxId, workerId })
    ? stand(ledger, sandboxId, { workerId, standing: { is: 'free', sinceMs } })
    : ledger

/** A late `ready` of a sandbox that somebody already holds would give it to two. */
const isUsable = (ledger: Ledger, seat: Seat): boolean =>
  !isStray(ledger, seat) &&
  ['placing', 'surplus', 'doubtful'].includes(ledger.sandboxes[seat.sandboxId]?.standing.is ?? '')

/** Runs where the ledger does not know of it. */
const isStray = ({ sandboxes }: Ledger, { sandboxId, workerId }: Seat): boolean => {
  const entry = sandboxes[sandboxId]
  return entry === undefined || (entry.workerId !== '' && entry.workerId !== workerId)
}

/** Sandboxes that an event shows to be running and that should not be. */
function undesired(ledger: Ledger, event: PoolEvent): Seat[] {
  const isUnwanted = ({ sandboxId }: Seat) =>
    ledger.sandboxes[sandboxId]?.standing.is === 'unwanted'
  const isUndesired = (seat: Seat) => isStray(ledger, seat) || isUnwanted(seat)
  switch (event.type) {
    case 'placed':
    case 'ready': {
      const { sandboxId, workerId } = event
      return [{ sandboxId, workerId }].filter(isUndesired)
    }
    case 'freed':
      return event.seats.filter(isUndesired)
    case 'released':
      return event.seats.filter((seat) => isStray(ledger, seat))
    default:
      return []
  }
}

type StopAsked = { type: 'stop'; params: Seat }

/** Asks for the end of all that `isMeant`; what no worker has accepted yet is asked to end when one has. */
function stopAll(
  ledger: Ledger,
  isMeant: (entry: Entry, id: string) => boolean,
  enqueue: (action: StopAsked) => void,
): Ledger {
  for (const [sandboxId, entry] of Object.entries(ledger.sandboxes)) {
    const { workerId } = entry
    if (isMeant(entry, sandboxId) && workerId !== '') {
      enqueue({ type: 'stop', params: { sandboxId, workerId } })
    }
  }
  return callOff(ledger, isMeant)
}

const base = setup({
  types: {} as { input: PoolInput; context: Context; events: PoolEvent },
  actions: {
    ...effects,
    record: assign(({ context, event }) => ({ ledger: record(context.ledger, event) })),
    forgetWants: assign(({ context }) => ({ ledger: { ...context.ledger, wants: {} } })),
  },
  guards: {
    isAtLimit: ({ context: { ledger, limit } }) =>
      total(ledger) >= limit && wanted(ledger) > coming(ledger) + countOf(ledger, 'unwanted'),
    isBelowLimit: ({ context: { ledger, limit } }) =>
      total(ledger) < limit || wanted(ledger) <= coming(ledger) + countOf(ledger, 'unwanted'),
    isStillPlacing: ({ context: { ledger }, event }) =>
      event.type === 'noRoom' && ledger.sandboxes[event.sandboxId]?.standing.is === 'placing',
    wantsMore: ({ context: { ledger } }) => wanted(ledger) > coming(ledger),
    isEmpty: ({ context: { ledger } }) => total(ledger) === 0,
    /** Another owner's numbers mean nothing here. */
    isOurAudit: ({ context, event }) => event.type === 'holding' && event.owner === context.prefix,
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
        for (const sandboxId of surplus) {
          const workerId = ledger.sandboxes[sandboxId]?.workerId ?? ''
          if (workerId !== '') enqueue({ type: 'callOff', params: { sandboxId, workerId } })
        }
        enqueue.assign({ ledger })
      }),
      /** It was called off before a worker had it. */
      callOffPlaced: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'placed') return
        const { sandboxId, workerId } = event
        if (context.ledger.sandboxes[sandboxId]?.standing.is === 'surplus') {
          enqueue({ type: 'callOff', params: { sandboxId, workerId } })
        }
      }),
      placeOne: base.enqueueActions(({ context, enqueue }) => {
        const limit = Math.min(context.limit, total(context.ledger) + 1)
        const { ledger, places } = grow(context.ledger, context.prefix, limit)
        enqueue.assign({ ledger })
        for (const sandboxId of places) enqueue({ type: 'place', params: { sandboxId } })
      }),
      stopUndesired: base.enqueueActions(({ context, event, enqueue }) => {
        for (const seat of undesired(context.ledger, event)) enqueue({ type: 'stop', params: seat })
      }),
      /** What should have been heard of by now, if no message was lost: its worker knows. */
      reclaimUncertain: base.enqueueActions(({ context, enqueue }) => {
        for (const is of ['doubtful', 'placing', 'surplus', 'unwanted']) {
          for (const seat of seatsThat(context.ledger, is, (workerId) => workerId !== '')) {
            enqueue({ type: 'reclaim', params: seat })
          }
        }
      }),
      stopIdle: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'tick') return
        const isIdle = ({ standing }: Entry) =>
          standing.is === 'free' && standing.sinceMs + context.keepAliveMs <= event.atMs
        enqueue.assign({ ledger: stopAll(context.ledger, isIdle, enqueue) })
      }),
      stopFree: base.enqueueActions(({ context, enqueue }) => {
        const isFree = ({ standing }: Entry) => standing.is === 'free'
        enqueue.assign({ ledger: stopAll(context.ledger, isFree, enqueue) })
      }),
      stopLeaving: base.enqueueActions(({ context: { ledger }, enqueue }) => {
        if (ledger.leaving.length === 0) return
        const isLeaving = ({ standing, workerId }: Entry) =>
          standing.is === 'free' && ledger.leaving.includes(workerId)
        enqueue.assign({ ledger: stopAll(ledger, isLeaving, enqueue) })
      }),
      callOffAll: base.enqueueActions(({ context, enqueue }) => {
        const isComing = ({ standing }: Entry) =>
          standing.is === 'placing' || standing.is === 'surplus'
        enqueue.assign({ ledger: stopAll(context.ledger, isComing, enqueue) })
      }),
      recallIdle: base.enqueueActions(({ context: { ledger }, enqueue }) => {
        const count = wanted(ledger) - coming(ledger)
        if (count <= 0) return
        for (const frontEnd of holdersIn(ledger)) {
          if (!(frontEnd in ledger.wants)) {
            enqueue({ type: 'recall', params: { frontEnd, count } })
          }
        }
      }),
      auditHolders: base.enqueueActions(({ context: { ledger, prefix }, enqueue }) => {
        const holders = holdersIn(ledger)
        if (holders.size === 0) return
        const audit = ledger.audits + 1
        enqueue.assign({ ledger: { ...ledger, audits: audit } })
        for (const frontEnd of holders) {
          enqueue({ type: 'audit', params: { frontEnd, owner: prefix, audit } })
        }
      }),
      settleAccount: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'holding') return
        const { ledger, uncertain } = settle(context.ledger, event)
        enqueue.assign({ ledger })
        for (const seat of uncertain) enqueue({ type: 'reclaim', params: seat })
      }),
      /** Those that no sandbox is coming for; the others go on waiting. */
      throttleRest: base.enqueueActions(({ context, enqueue }) => {
        let { ledger } = context
        let excess = wanted(ledger) - coming(ledger) - countOf(ledger, 'unwanted')
        for (const [frontEnd, count] of Object.entries(ledger.wants)) {
          const refused = Math.min(count, Math.max(0, excess))
          if (refused === 0) continue
          const keep = count - refused
          enqueue({ type: 'throttle', params: { frontEnd, keep } })
          ledger = want(ledger, frontEnd, keep)
          excess -= refused
        }
        enqueue.assign({ ledger })
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
    entry: 'reclaimUncertain',
    on: {
      retired: '.draining',
      workerDraining: { actions: ['record', 'stopLeaving'] },
      tick: { actions: ['reclaimUncertain', 'auditHolders', 'stopIdle'] },
      holding: { guard: 'isOurAudit', actions: 'settleAccount' },
      released: {
        actions: ['stopUndesired', 'record', 'stopLeaving', 'grantFree', 'callOffSurplus'],
      },
      ready: { actions: ['stopUndesired', 'record', 'stopLeaving', 'grantFree'] },
      freed: {
        actions: ['stopUndesired', 'record', 'stopLeaving', 'grantFree', 'callOffSurplus'],
      },
      doubted: { actions: ['record', { type: 'reclaim', params: ({ event }) => event.seat }] },
      placed: { actions: ['stopUndesired', 'callOffPlaced', 'record'] },
    },
    states: {
      serving: {
        description: 'Grows when more is wanted than is coming.',
        always: { guard: 'isAtLimit', target: 'saturated' },
        on: {
          want: { actions: ['record', 'grantFree', 'placeMissing', 'callOffSurplus'] },
          stopped: { actions: ['record', 'placeMissing'] },
          workerGone: { actions: ['record', 'placeMissing'] },
          frontEndGone: { actions: ['record', 'reclaimUncertain', 'callOffSurplus'] },
          noRoom: [
            { guard: 'isStillPlacing', target: 'crowded', actions: 'record' },
            { actions: 'record' },
          ],
          tick: [
            { guard: 'isUnused', target: 'over' },
            { actions: ['reclaimUncertain', 'auditHolders', 'stopIdle'] },
          ],
        },
      },
      saturated: {
        description:
          'The limit is reached; idle seats are called back, then what is left is throttled.',
        entry: 'recallIdle',
        always: { guard: 'isBelowLimit', target: 'serving' },
        on: {
          want: { actions: ['record', 'grantFree', 'callOffSurplus'] },
          stopped: { target: 'serving', actions: ['record', 'placeMissing'] },
          workerGone: { target: 'serving', actions: ['record', 'placeMissing'] },
          frontEndGone: { actions: ['record', 'reclaimUncertain', 'callOffSurplus'] },
          noRoom: [
            { guard: 'isStillPlacing', target: 'crowded', actions: 'record' },
            { actions: 'record' },
          ],
        },
        after: { grace: { target: 'serving', actions: 'throttleRest' } },
      },
      crowded: {
        description: 'No worker had room a moment ago; who waits takes what comes back.',
        entry: 'recallIdle',
        on: {
          want: { actions: ['record', 'grantFree'] },
          stopped: { actions: 'record' },
          workerGone: { actions: 'record' },
          frontEndGone: { actions: ['record', 'reclaimUncertain', 'callOffSurplus'] },
          noRoom: { actions: 'record' },
          placed: {
            target: 'serving',
            actions: ['stopUndesired', 'callOffPlaced', 'record', 'placeMissing'],
          },
        },
        // One goes to see whether there is room again, before many do.
        after: {
          roomAgain: [
            { guard: 'wantsMore', target: 'crowded', reenter: true, actions: 'placeOne' },
            { target: 'serving' },
          ],
        },
      },
      draining: {
        description: 'Serves no longer; stops each sandbox as it comes back.',
        entry: ['forgetWants', 'stopFree', 'callOffAll'],
        always: { guard: 'isEmpty', target: 'over' },
        on: {
          want: {},
          released: { actions: ['stopUndesired', 'record', 'stopFree'] },
          ready: { actions: ['stopUndesired', 'record', 'stopFree'] },
          freed: { actions: ['stopUndesired', 'record', 'stopFree'] },
          stopped: { actions: 'record' },
          noRoom: { actions: 'record' },
          workerGone: { actions: 'record' },
          frontEndGone: { actions: ['record', 'reclaimUncertain'] },
        },
      },
      over: { type: 'final', description: 'No sandbox is left.' },
    },
    options: { maxIterations: 1000 },
  })

export const poolMachine = withEffects(machine, effects)
