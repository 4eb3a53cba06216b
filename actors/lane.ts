/**
 * The lanes that this poller was told to read: takes and renews their leases, opens them, and hands on what comes.
 */
import type { NewMessage } from '../bus/atomic-write.ts'
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import type { StoredEvent } from '../bus/event-packet.ts'
import { type EventRef, type Lane, openLane } from '../bus/lane.ts'
import type { Lease, Leases, LeaseWatch } from '../bus/leases.ts'
import { laneMachine } from '../machines/lane.ts'
import { type Host, host } from './actor.ts'

/** What the leasing service writes for pollers: who should read a lane. */
export type Assignment = { poller: string }

export type Lanes = {
  host: Host<typeof laneMachine>
  /** Begins to read what is assigned. */
  join(): Promise<void>
  /** See `Lane.finish`. */
  finish(
    lane: string,
    events: readonly EventRef[],
    follow: NewMessage[],
  ): Promise<'stored' | 'fenced'>
  /** Packets in hand of a lane, of at most `mostPackets`. */
  inHand(lane: string): number
  /** It is being left: what runs may end, and nothing begins. */
  isDraining(lane: string): boolean
  /** Readers hold back for a moment, or go on. */
  hold(isHeld: boolean): void
  /** Nothing of a lane is in hand any more. */
  emptied(lane: string): void
  /** Takes nothing new, and resolves when what runs has ended and all leases are given back. */
  stop(): Promise<void>
}

export type LanesBinding = {
  bus: Bus
  clock: Clock
  log: Log
  leases: Leases<string>
  assignments: Directory<Assignment>
  pollerId: string
  leaseTtlMs: number
  drainForMs: number
  reconcileMs: number
  /** After so long without a turn others give this process up. */
  silenceMs: number
  mostPackets: number
  take(lane: string, ref: EventRef, functionName: string, event: StoredEvent): void
  /** A lane is left: nothing in hand of it may be done or decided any more. */
  left(lane: string): void
  /** What waits in a lane is not to be begun any more; ends in `emptied`, at once if nothing runs. */
  drain(lane: string): void
}

/** A reader that leaves gives its lease back, and then it is ours within a watch's delay; this is for what is missed. */
const ASK_AGAIN_MS = 500

/** A lane's key is `<queue>.<lane>`, and its lease has that key with this before it. */
const leasePrefix = 'lane.'
export const leaseKey = (lane: string): string => `${leasePrefix}${lane}`
export const laneOfLeaseKey = (key: string): string | undefined =>
  key.startsWith(leasePrefix) ? key.slice(leasePrefix.length) : undefined
export const partsOfLane = (lane: string): { queue: string; lane: number } => {
  const dot = lane.lastIndexOf('.')
  return { queue: lane.slice(0, dot), lane: Number(lane.slice(dot + 1)) }
}

export function openLanes(binding: LanesBinding): Lanes {
  const { bus, clock, log, leases, pollerId, leaseTtlMs } = binding
  const held = new Map<string, Lease<string>>()
  const open = new Map<string, Lane>()
  const whenNone: (() => void)[] = []
  let assignments: DirectoryCopy<Assignment> | undefined
  let leaseWatch: LeaseWatch<string> | undefined
  let isLeaving = false

  const answer = async (
    lane: string,
    ask: () => Promise<Lease<string> | 'none'>,
    as: 'acquired' | 'renewed',
  ) => {
    const askedAtMs = clock.monotonicMs()
    const lease = await ask()
    if (lease === 'none') lanes.send(lane, { type: as === 'acquired' ? 'taken' : 'lost' })
    else {
      held.set(lane, lease)
      lanes.send(lane, { type: as, tookMs: clock.monotonicMs() - askedAtMs })
    }
  }

  const lanes = host(laneMachine, {
    clock,
    log,
    duties: {
      acquire: (_, lane) =>
        answer(
          lane,
          async () =>
            (await leases.acquire(leaseKey(lane), pollerId).catch(() => undefined)) ?? 'none',
          'acquired',
        ),
      renew: (_, lane) =>
        answer(
          lane,
          async () => {
            const lease = held.get(lane)
            if (lease === undefined) return 'none'
            const renewed = await leases.renew(lease)
            return renewed === 'lost' ? 'none' : renewed
          },
          'renewed',
        ),
      release: async (_, lane) => {
        // What is in hand is let go first: `close` comes before.
        await closing.get(lane)
        const lease = held.get(lane)
        held.delete(lane)
        if (lease !== undefined) await leases.release(lease)
      },
      open: (_, lane) => openIt(lane),
      drain: (_, lane) => {
        open.get(lane)?.pause()
        binding.drain(lane)
      },
      close: (_, lane) => {
        binding.left(lane)
        const it = open.get(lane)
        open.delete(lane)
        if (it === undefined) return
        const closed = it.close().catch((error) => {
          log.warn({ code: 'LANE_NOT_CLOSED', lane, err: error }, 'a lane was left unclosed')
        })
        closing.set(lane, closed)
        void closed.then(() => closing.delete(lane))
      },
    },
    ended: (lane) => {
      if (lanes.size === 0) for (const tell of whenNone.splice(0)) tell()
      // Assigned again while it was being left.
      if (!isLeaving && assignments?.get(lane)?.poller === pollerId) begin(lane)
    },
  })
  const closing = new Map<string, Promise<void>>()

  const openIt = async (lane: string): Promise<void> => {
    const lease = held.get(lane)
    if (lease === undefined) return
    const opened = await openLane(bus, {
      ...partsOfLane(lane),
      epoch: lease.epoch,
      mostPackets: binding.mostPackets,
      take: (ref, functionName, event) => binding.take(lane, ref, functionName, event),
      lost: () => lanes.send(lane, { type: 'fenced' }),
      clock,
      log,
    }).catch((error) => {
      log.warn({ code: 'LANE_NOT_OPENED', lane, err: error }, 'a lane could not be opened')
      return 'fenced' as const
    })
    if (opened === 'fenced') return lanes.send(lane, { type: 'fenced' })
    if (held.get(lane) !== lease && held.get(lane)?.epoch !== lease.epoch) return opened.close()
    open.set(lane, opened)
    try {
      await opened.read()
    } catch (error) {
      log.warn({ code: 'LANE_NOT_OPENED', lane, err: error }, 'a lane could not be opened')
      lanes.send(lane, { type: 'fenced' })
      return
    }
    log.debug({ lane, epoch: lease.epoch }, 'a lane is read here')
    lanes.send(lane, { type: 'opened' })
  }

  const begin = (lane: string): void =>
    lanes.start(lane, {
      ttlMs: leaseTtlMs,
      renewEveryMs: leaseTtlMs / 3,
      askAgainMs: ASK_AGAIN_MS,
      drainForMs: binding.drainForMs,
    })

  /** Told by a timer that comes late, before anything that has come in meanwhile is heard. */
  const wakeEveryMs = binding.silenceMs / 3
  let wokenAtMs = clock.monotonicMs()
  let waking: unknown
  const wake = (): void => {
    const nowMs = clock.monotonicMs()
    if (nowMs - wokenAtMs > binding.silenceMs) {
      log.warn({ code: 'POLLER_OVERSLEPT', ms: nowMs - wokenAtMs }, 'lanes are given back')
      for (const lane of [...lanes.instances()]) lanes.send(lane, { type: 'overslept' })
    }
    wokenAtMs = nowMs
    waking = clock.setTimer(wake, wakeEveryMs)
  }

  const assigned = (lane: string, assignment: Assignment | undefined): void => {
    const isHere = lanes.snapshot(lane) !== undefined
    if (assignment?.poller === pollerId && !isLeaving) {
      if (isHere) lanes.send(lane, { type: 'offered' })
      else begin(lane)
    } else if (isHere) lanes.send(lane, { type: 'withdrawn' })
  }

  return {
    host: lanes,
    async join() {
      wake()
      leaseWatch = await leases.watch((key, holding) => {
        const lane = laneOfLeaseKey(key)
        if (lane === undefined || lanes.snapshot(lane) === undefined) return
        if (holding === undefined) lanes.send(lane, { type: 'vacant' })
        // Taken from us while we believed in it.
        else if (held.has(lane) && holding.epoch > (held.get(lane)?.epoch ?? 0)) {
          lanes.send(lane, { type: 'lost' })
        }
      })
      assignments = await binding.assignments.watch({
        onChange: assigned,
        reconcileEveryMs: binding.reconcileMs,
        clock,
        log,
      })
    },
    async finish(lane, events, follow) {
      const it = open.get(lane)
      const lease = held.get(lane)
      if (it === undefined || lease === undefined) return 'fenced'
      if (clock.nowMs() < lease.heldUntil) return it.finish(events, follow)
      // From then on nothing may be done in the lease's name, whatever the ledger would still take.
      lanes.send(lane, { type: 'lost' })
      return 'fenced'
    },
    inHand: (lane) => open.get(lane)?.size ?? 0,
    isDraining: (lane) => lanes.snapshot(lane)?.matches('draining') === true,
    hold(isHeld) {
      for (const lane of open.values()) lane.hold(isHeld)
    },
    emptied(lane) {
      if (lanes.snapshot(lane) !== undefined) lanes.send(lane, { type: 'drained' })
    },
    async stop() {
      isLeaving = true
      for (const lane of [...lanes.instances()]) lanes.send(lane, { type: 'withdrawn' })
      if (lanes.size > 0) await new Promise<void>((resolve) => whenNone.push(resolve))
      await Promise.allSettled([...closing.values()])
      clock.clearTimer(waking)
      leaseWatch?.stop()
      assignments?.stop()
    },
  }
}
