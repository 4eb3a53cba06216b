/**
 * Pool: the sandboxes of one generation of a function, and who holds them.
 *
 *     serving ⇄ crowded (no worker has room)
 *        │ ⇅ saturated (the limit is reached and more is wanted)
 *        └──retired──▶ draining ──empty──▶ over
 *
 * It counts concurrency exactly: a seat is held by one front end or by nobody, and no more are granted than the limit. It
 * grows when more invocations wait than sandboxes are coming, and calls off what it no longer needs: one that waits takes
 * whichever is first, returned or new. Who holds what is a belief, and audited every second: pool-audit.ts.
 *
 * The limit is that of the function, and what its other pools have in use counts too: `elsewhere`. It can fall below what
 * is held here; then seats are called back, and none is granted until enough have come.
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'
import { heldBy, settle } from './pool-audit.ts'
import {
  callOff,
  coming,
  drop,
  due,
  type Entry,
  emptyLedger,
  type Found,
  type Grant,
  grant,
  grow,
  inUse,
  type Ledger,
  rebuiltLedger,
  refuse,
  shrink,
  stand,
  total,
  tryFor,
  want,
  wanted,
} from './pool-ledger.ts'
import type { Seat } from './reservations.ts'

/**
 * `limit`: seats of the function at most, in all its pools. `elsewhere`: how many of them are in use in the others.
 * `reason`: what who is throttled is told; AWS has one for each kind of limit.
 */
export type PoolLimit = { limit: number; elsewhere: number; reason: string }

/**
 * `prefix` starts the ids of the sandboxes that this owner places: different for each owner.
 * Milliseconds. `graceMs`: how long the wish for more is kept at the limit before it is throttled, while seats that lie
 * idle elsewhere are called back. `roomAgainMs`: how long to wait before workers without room are asked again.
 */
export type PoolInput = PoolLimit & {
  prefix: string
  keepAliveMs: number
  graceMs: number
  roomAgainMs: number
  found: Found[]
}

/** `atMs`: when, by the clock of whoever tells. */
export type PoolEvent =
  /** `held`: how many seats it had when it said so. Those that were granted since are no longer wanted. */
  | { type: 'want'; frontEnd: string; count: number; held?: number }
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
  /** The limit has changed, or what the function's other pools use of it. */
  | ({ type: 'limited' } & PoolLimit)
  /** Another pool of the function is at the limit and wants so many: idle seats here would be of use there. */
  | { type: 'lend'; count: number }
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
  /** Asks the function's other pools to call idle seats back; each of those comes as a `limited`. */
  borrow: effect<{ count: number }>(),
  /** `keep`: how many of those who wait there may go on waiting. */
  throttle: effect<{ frontEnd: string; keep: number; reason: string }>(),
  /** Asks a front end what it holds; ends in `holding`, with the same numbers. */
  audit: effect<{ frontEnd: string; owner: string; audit: number }>(),
}

const seatsThat = (ledger: Ledger, is: string, of: (workerId: string) => boolean): Seat[] =>
  Object.entries(ledger.sandboxes)
    .filter(([, entry]) => entry.standing.is === is && of(entry.workerId))
    .map(([sandboxId, { workerId }]) => ({ sandboxId, workerId }))

const anywhere = () => true

/** What this pool may have of the function's limit. */
const shareOf = ({ limit, elsewhere }: PoolLimit): number => Math.max(0, limit - elsewhere)

/** Each event's mark on the ledger. */
function record(ledger: Ledger, event: PoolEvent): Ledger {
  switch (event.type) {
    case 'want':
      return want(ledger, event.frontEnd, event.count - onTheirWay(ledger, event))
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

/** Seats that a front end did not know of when it said what it wants: nobody would use them beside those. */
const onTheirWay = (
  ledger: Ledger,
  { frontEnd, held }: Extract<PoolEvent, { type: 'want' }>,
): number => (held === undefined ? 0 : Math.max(0, (heldBy(ledger).get(frontEnd) ?? 0) - held))

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

/** How many wait for whom somebody would have to give a seat back. */
const excessOf = ({ ledger, ...limit }: Context): number =>
  wanted(ledger) - due(ledger, shareOf(limit))

const isAtLimit = (context: Context): boolean =>
  total(context.ledger) >= shareOf(context) && excessOf(context) > 0

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
    rememberLimit: assign(({ event }) =>
      event.type === 'limited'
        ? { limit: event.limit, elsewhere: event.elsewhere, reason: event.reason }
        : {},
    ),
    noteTried: assign(({ context }) => ({ ledger: tryFor(context.ledger, excessOf(context)) })),
    forgetWants: assign(({ context }) => ({ ledger: { ...context.ledger, wants: {} } })),
  },
  guards: {
    isAtLimit: ({ context }) => isAtLimit(context),
    isBelowLimit: ({ context }) => !isAtLimit(context),
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
        const { ledger, grants } = grant(context.ledger, shareOf(context))
        enqueue.assign({ ledger })
        for (const given of grants) enqueue({ type: 'grant', params: given })
      }),
      placeMissing: base.enqueueActions(({ context, enqueue }) => {
        const { ledger, places } = grow(context.ledger, context.prefix, shareOf(context))
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
        const limit = Math.min(shareOf(context), total(context.ledger) + 1)
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
      recallIdle: base.enqueueActions(({ context: { ledger, elsewhere }, event, enqueue }) => {
        const count = event.type === 'lend' ? event.count : wanted(ledger) - coming(ledger)
        if (count <= 0) return
        for (const frontEnd of heldBy(ledger).keys()) {
          if (!(frontEnd in ledger.wants)) {
            enqueue({ type: 'recall', params: { frontEnd, count } })
          }
        }
        if (elsewhere > 0 && event.type !== 'lend') enqueue({ type: 'borrow', params: { count } })
      }),
      /** Whoever waits no longer may have idle seats; those who wait are tried for once more. */
      recallFromContent: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'want' || event.frontEnd in context.ledger.wants) return
        const { frontEnd } = event
        const count = excessOf(context)
        if (count <= 0 || !heldBy(context.ledger).has(frontEnd)) return
        enqueue({ type: 'recall', params: { frontEnd, count } })
        enqueue.assign({ ledger: { ...context.ledger, tried: {} } })
      }),
      /** Beyond the limit, whoever waits: a recall may have been lost, so it is said again with each tick. */
      recallExcess: base.enqueueActions(({ context, enqueue }) => {
        const excess = inUse(context.ledger) - shareOf(context)
        if (excess <= 0) return
        for (const [frontEnd, held] of heldBy(context.ledger)) {
          enqueue({ type: 'recall', params: { frontEnd, count: Math.min(excess, held) } })
        }
      }),
      auditHolders: base.enqueueActions(({ context: { ledger, prefix }, enqueue }) => {
        const holders = heldBy(ledger)
        if (holders.size === 0) return
        const audit = ledger.audits + 1
        enqueue.assign({ ledger: { ...ledger, audits: audit } })
        for (const frontEnd of holders.keys()) {
          enqueue({ type: 'audit', params: { frontEnd, owner: prefix, audit } })
        }
      }),
      settleAccount: base.enqueueActions(({ context, event, enqueue }) => {
        if (event.type !== 'holding') return
        const { ledger, uncertain } = settle(context.ledger, event)
        enqueue.assign({ ledger })
        for (const seat of uncertain) enqueue({ type: 'reclaim', params: seat })
      }),
      /** Those that no sandbox is coming for. Who has come since seats were called back has a grace of his own. */
      throttleRest: base.enqueueActions(({ context, enqueue }) => {
        const { tried } = context.ledger
        const { ledger, throttled } = refuse(context.ledger, excessOf(context), tried)
        enqueue.assign({ ledger })
        for (const each of throttled) {
          enqueue({ type: 'throttle', params: { ...each, reason: context.reason } })
        }
      }),
      /** Where there is no room who waits may wait, but nobody whom the limit would keep out. */
      throttleBeyond: base.enqueueActions(({ context, enqueue }) => {
        const room = Math.max(0, shareOf(context) - inUse(context.ledger))
        const excess = wanted(context.ledger) - room
        const { ledger, throttled } = refuse(context.ledger, excess, context.ledger.wants)
        if (throttled.length === 0) return
        enqueue.assign({ ledger })
        for (const each of throttled) {
          enqueue({ type: 'throttle', params: { ...each, reason: context.reason } })
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
    entry: ['reclaimUncertain', 'recallExcess'],
    on: {
      retired: '.draining',
      workerDraining: { actions: ['record', 'stopLeaving'] },
      tick: { actions: ['reclaimUncertain', 'auditHolders', 'stopIdle', 'recallExcess'] },
      limited: { actions: ['rememberLimit', 'recallExcess', 'grantFree'] },
      lend: { actions: 'recallIdle' },
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
            { actions: ['reclaimUncertain', 'auditHolders', 'stopIdle', 'recallExcess'] },
          ],
          limited: { actions: ['rememberLimit', 'recallExcess', 'grantFree', 'placeMissing'] },
        },
      },
      saturated: {
        description:
          'The limit is reached; idle seats are called back, then what is left is throttled.',
        entry: ['noteTried', 'recallIdle'],
        always: { guard: 'isBelowLimit', target: 'serving' },
        on: {
          limited: { actions: ['rememberLimit', 'recallExcess', 'grantFree', 'placeMissing'] },
          want: { actions: ['record', 'grantFree', 'callOffSurplus', 'recallFromContent'] },
          stopped: { target: 'serving', actions: ['record', 'placeMissing'] },
          workerGone: { target: 'serving', actions: ['record', 'placeMissing'] },
          frontEndGone: { actions: ['record', 'reclaimUncertain', 'callOffSurplus'] },
          noRoom: [
            { guard: 'isStillPlacing', target: 'crowded', actions: 'record' },
            { actions: 'record' },
          ],
        },
        after: { grace: { target: 'serving', actions: ['throttleRest', 'callOffSurplus'] } },
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
            {
              guard: 'wantsMore',
              target: 'crowded',
              reenter: true,
              actions: ['throttleBeyond', 'placeOne'],
            },
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
          limited: { actions: ['rememberLimit', 'recallExcess'] },
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
