/**
 * The seats of one front end: hears what pools grant, throttle and call back; asks for seats and gives them back,
 * and says what it holds when it is asked.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { partitionOf } from '../bus/partitions.ts'
import * as subjects from '../bus/subjects.ts'
import { reservationsMachine, type Seat } from '../machines/reservations.ts'
import { type Host, host } from './actor.ts'
import {
  eventOf,
  type FoundInPool,
  functionOf,
  isPool,
  partitionAsked,
  tellPool,
} from './pool-messages.ts'

export type Reservations = {
  host: Host<typeof reservationsMachine>
  want(pool: string, requestId: string): void
  withdraw(pool: string, requestId: string): void
  /** `tookMs`: from when the invocation had the seat for itself to its answer. */
  finished(pool: string, seat: Seat, tookMs: number): void
  lost(pool: string, seat: Seat): void
  workerGone(workerId: string): void
  workerDraining(workerId: string): void
  superseded(pool: string): void
  /** The reserved concurrency of a function has changed. */
  capped(functionName: string): void
  /** Gives every free seat back and stops. */
  stop(): void
}

export type ReservationsBinding = {
  bus: Bus
  frontEndId: string
  partitions: number
  clock: Clock
  log: Log
  /** Milliseconds. See config.ts. */
  lingerMs: number
  /** The reserved concurrency of a function, if it has one, as far as is known here. */
  capOf(functionName: string): number | undefined
  seated(requestId: string, seat: Seat): void
  sentAhead(requestId: string, seat: Seat): void
  begun(requestId: string): void
  calledBack(requestId: string): void
  forsaken(requestId: string): void
  throttled(requestId: string, reason: string): void
  redirected(requestId: string): void
  /** Seats on which an invocation runs right now. */
  inUse(): { pool: string; seat: Seat }[]
}

/** How often a wish that still holds is said again: a lost message or a new owner of the pool costs no more than this. */
const ASK_AGAIN_MS = 200
/**
 * What a seat's last invocation may have taken for the next to be sent ahead. What that saves, one way to a worker and back,
 * counts for quick functions; the longer one takes, the longer somebody might stand behind it.
 */
export const QUICK_MS = 25

export function openReservations(binding: ReservationsBinding): Reservations {
  const { bus, frontEndId, partitions, clock, log } = binding
  const tell = (pool: string, event: Parameters<typeof tellPool>[3]) =>
    tellPool(bus, partitions, pool, event)
  const release = (pool: string, seats: Seat[]) =>
    tell(pool, { type: 'released', frontEnd: frontEndId, seats, atMs: clock.nowMs() })

  const reservations = host(reservationsMachine, {
    clock,
    log,
    duties: {
      seat: ({ requestId, seat }) => binding.seated(requestId, seat),
      sendAhead: ({ requestId, seat }) => binding.sentAhead(requestId, seat),
      begin: ({ requestId }) => binding.begun(requestId),
      callBack: ({ requestId }) => binding.calledBack(requestId),
      forsake: ({ requestId }) => binding.forsaken(requestId),
      throttle: ({ requestId, reason }) => binding.throttled(requestId, reason),
      redirect: ({ requestId }) => binding.redirected(requestId),
      ask: (wish, pool) => tell(pool, { type: 'want', frontEnd: frontEndId, ...wish }),
      giveBack: ({ seats }, pool) => release(pool, seats),
      reportLost: ({ seat }, pool) => tell(pool, { type: 'doubted', frontEnd: frontEndId, seat }),
    },
  })

  const everyone = (send: (pool: string) => void) => {
    for (const pool of reservations.instances()) send(pool)
  }

  const hearing = bus.subscribe(subjects.anyFrontEnd(frontEndId), (message) => {
    const event = eventOf(message)
    const pool = String(event?.['pool'] ?? '')
    if (event?.type === 'audit' && isPool(pool)) {
      account(pool, String(event['owner']), Number(event['audit']))
      return
    }
    // Granted after we stopped caring: the seats must not be lost.
    if (event?.type === 'granted' && reservations.snapshot(pool) === undefined) {
      release(pool, event['seats'] as Seat[])
      return
    }
    reservations.hear(pool, event)
  })

  /** Also where nothing is held, or was ever: that is what a pool whose grant was lost has to hear. */
  const account = (pool: string, owner: string, audit: number): void => {
    const seats = held((each) => each === pool).map(({ sandboxId, workerId }) => ({
      sandboxId,
      workerId,
    }))
    tell(pool, { type: 'holding', frontEnd: frontEndId, owner, audit, seats })
  }

  const asked = bus.subscribe(subjects.heldReservations, (message) => {
    const partition = partitionAsked(message)
    if (partition === undefined) {
      reservations.hear('', undefined)
      return
    }
    const isThere = (pool: string) => partitionOf(functionOf(pool), partitions) === partition
    message.respond(JSON.stringify(held(isThere)))
  })

  const held = (isThere: (pool: string) => boolean): FoundInPool[] => {
    const standing = { is: 'held' as const, frontEnd: frontEndId, audits: 0 }
    const found: FoundInPool[] = binding
      .inUse()
      .filter(({ pool }) => isThere(pool))
      .map(({ pool, seat }) => ({ pool, ...seat, standing }))
    everyone((pool) => {
      if (!isThere(pool)) return
      for (const { sandboxId, workerId } of reservations.snapshot(pool)?.context.line.free ?? []) {
        found.push({ pool, sandboxId, workerId, standing })
      }
    })
    return found
  }

  let ageing: unknown
  const age = () => {
    everyone((pool) => reservations.send(pool, { type: 'aged' }))
    ageing = clock.setTimer(age, Math.max(1, binding.lingerMs))
  }
  age()

  return {
    host: reservations,
    want(pool, requestId) {
      if (reservations.snapshot(pool) === undefined) {
        reservations.start(pool, {
          askAgainMs: ASK_AGAIN_MS,
          quickMs: QUICK_MS,
          cap: binding.capOf(functionOf(pool)),
        })
      }
      reservations.send(pool, { type: 'wanted', requestId })
    },
    withdraw: (pool, requestId) => reservations.send(pool, { type: 'withdrawn', requestId }),
    finished: (pool, seat, tookMs) => reservations.send(pool, { type: 'finished', seat, tookMs }),
    lost: (pool, seat) => reservations.send(pool, { type: 'lost', seat }),
    workerGone: (workerId) =>
      everyone((pool) => reservations.send(pool, { type: 'workerGone', workerId })),
    workerDraining: (workerId) =>
      everyone((pool) => reservations.send(pool, { type: 'workerDraining', workerId })),
    superseded: (pool) => {
      if (reservations.snapshot(pool) !== undefined) {
        reservations.send(pool, { type: 'superseded' })
      }
    },
    capped(functionName) {
      const cap = binding.capOf(functionName)
      everyone((pool) => {
        if (functionOf(pool) === functionName) reservations.send(pool, { type: 'capped', cap })
      })
    },
    stop() {
      clock.clearTimer(ageing)
      everyone((pool) => reservations.send(pool, { type: 'superseded' }))
      hearing.stop()
      asked.stop()
    },
  }
}
