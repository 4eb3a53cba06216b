/**
 * What this poller was told to work on: it takes and renews the leases of that, opens it, and leaves it again. Lanes of
 * queues are held in this way, and shards of mappings.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import type { Lease, Leases, LeaseWatch } from '../bus/leases.ts'
import { holdingMachine } from '../machines/holding.ts'
import { type Host, host } from './actor.ts'

/** What the keys of shards' leases begin with; the rest is `<mapping>.<shard>`. */
export const shardLeases = 'shard.'

/** What the leasing service writes for pollers: who should read something. */
export type Assignment = { poller: string }

/** Something open, in the name of one lease. */
export type Reader = {
  /** Begins to read. What it throws gives the lease back. */
  read(): Promise<void>
  /** Takes nothing new; what is in hand may end. */
  pause(): void
  /** Forgets what is in hand, and stores what was decided. */
  close(): Promise<void>
}

export type Holdings<Opened extends Reader> = {
  host: Host<typeof holdingMachine>
  /** Begins to read what is assigned. */
  join(): Promise<void>
  /** What is open under that key, from when it is opened until it is left. */
  get(key: string): Opened | undefined
  opened(): IterableIterator<Opened>
  /** It is being left: what runs may end, and nothing begins. */
  isDraining(key: string): boolean
  /**
   * Whether something may still be done in the lease's name. When not, whatever the store would still take, it is given up
   * here and now.
   */
  isHeld(key: string): boolean
  /** Of the lease that is believed in. */
  epochOf(key: string): number | undefined
  /** Nothing of it is in hand any more. */
  emptied(key: string): void
  /** Takes nothing new, and resolves when what runs has ended and all leases are given back, as far as the server is there. */
  stop(): Promise<void>
}

export type HoldingsBinding<Opened extends Reader> = {
  /** What its leases' keys begin with: `lane.` or `shard.`. */
  prefix: string
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
  /** Takes it over. `lost` may be called later: somebody with a later epoch is there. What it throws gives the lease back. */
  open(key: string, epoch: number, lost: () => void): Promise<Opened | 'fenced'>
  /** It is left: nothing in hand of it may be done or decided any more. */
  left(key: string): void
  /** What waits there is not to be begun any more; ends in `emptied`, at once if nothing runs. */
  drain(key: string): void
}

/** A reader that leaves gives its lease back, and then it is ours within a watch's delay; this is for what is missed. */
const ASK_AGAIN_MS = 500
/** A server that is there takes a lease back in milliseconds; one that is not would keep us for as long as leases live. */
const GIVE_BACK_MS = 2_000

export function openHoldings<Opened extends Reader>(
  binding: HoldingsBinding<Opened>,
): Holdings<Opened> {
  const { prefix, clock, log, leases, pollerId, leaseTtlMs } = binding
  const open = new Map<string, Opened>()
  /** What is still to be stored and given back. */
  const leaving = new Map<string, Promise<void>>()
  const whenNone: (() => void)[] = []
  /** Nothing is assigned to one that leaves. */
  let assignments: DirectoryCopy<Assignment> | undefined
  let leaseWatch: LeaseWatch<string> | undefined

  const holdings = host(holdingMachine, {
    clock,
    log,
    duties: {
      acquire: async (_, key) => {
        // A lease that we are giving back would be in the way.
        await leaving.get(key)
        const askedAtMs = clock.monotonicMs()
        const lease = await leases.acquire(prefix + key, pollerId).catch(() => undefined)
        if (lease === undefined) holdings.send(key, { type: 'taken' })
        else
          holdings.send(key, { type: 'acquired', lease, tookMs: clock.monotonicMs() - askedAtMs })
      },
      renew: async ({ lease }, key) => {
        const askedAtMs = clock.monotonicMs()
        const renewed = await leases.renew(lease)
        if (renewed === 'lost') holdings.send(key, { type: 'lost', epoch: lease.epoch })
        else {
          const tookMs = clock.monotonicMs() - askedAtMs
          holdings.send(key, { type: 'renewed', lease: renewed, tookMs })
        }
      },
      release: ({ lease }, key) => {
        // What is in hand is let go first: `close` comes before.
        const closed = leaving.get(key) ?? Promise.resolve()
        const released = closed.then(() => leases.release(lease))
        remember(key, released)
        return released
      },
      open: ({ epoch }, key) => take(key, epoch),
      drain: (_, key) => {
        open.get(key)?.pause()
        binding.drain(key)
      },
      close: (_, key) => {
        binding.left(key)
        const reader = open.get(key)
        open.delete(key)
        if (reader !== undefined) close(key, reader)
      },
    },
    ended: (key) => {
      if (holdings.size === 0) for (const tell of whenNone.splice(0)) tell()
      // Assigned again while it was being left.
      if (assignments?.get(key)?.poller === pollerId) begin(key)
    },
  })

  const leaseOf = (key: string): Lease<string> | undefined => holdings.snapshot(key)?.context.lease

  const remember = (key: string, work: Promise<void>): void => {
    const done = Promise.allSettled([leaving.get(key), work]).then(() => {
      if (leaving.get(key) === done) leaving.delete(key)
    })
    leaving.set(key, done)
  }

  const close = (key: string, reader: Opened): void => {
    const closed = reader.close().catch((error) => {
      log.warn(
        { code: 'HOLDING_NOT_CLOSED', key: prefix + key, err: error },
        'it was left unclosed',
      )
    })
    remember(key, closed)
  }

  const take = async (key: string, epoch: number): Promise<void> => {
    const fenced = () => holdings.send(key, { type: 'fenced', epoch })
    try {
      const reader = await binding.open(key, epoch, fenced)
      if (reader === 'fenced') return fenced()
      // Left while it was being opened.
      if (leaseOf(key)?.epoch !== epoch) return close(key, reader)
      open.set(key, reader)
      await reader.read()
    } catch (error) {
      log.warn({ code: 'HOLDING_NOT_OPENED', key: prefix + key, err: error }, 'it cannot be opened')
      return fenced()
    }
    log.debug({ key: prefix + key, epoch }, 'it is read here')
    holdings.send(key, { type: 'opened', epoch })
  }

  const begin = (key: string): void =>
    holdings.start(key, {
      ttlMs: leaseTtlMs,
      renewEveryMs: leaseTtlMs / 3,
      askAgainMs: ASK_AGAIN_MS,
      drainForMs: binding.drainForMs,
    })

  /**
   * Told by a timer that comes late, most often before anything that has come in meanwhile is heard. A process that was stopped
   * while it read from its socket goes on reading, so whoever is to begin something asks as well: see `isHeld`.
   */
  let wokenAtMs = clock.monotonicMs()
  let waking: unknown
  const seeWhetherOverslept = (): void => {
    const nowMs = clock.monotonicMs()
    const ms = Math.round(nowMs - wokenAtMs)
    wokenAtMs = nowMs
    if (ms <= binding.silenceMs) return
    log.warn({ code: 'POLLER_OVERSLEPT', ms, prefix }, 'what is read here is given back')
    for (const key of [...holdings.instances()]) holdings.send(key, { type: 'overslept' })
  }
  const wake = (): void => {
    seeWhetherOverslept()
    waking = clock.setTimer(wake, binding.silenceMs / 3)
  }

  const heard = (leaseKey: string, epoch: number | undefined): void => {
    if (!leaseKey.startsWith(prefix)) return
    const key = leaseKey.slice(prefix.length)
    if (holdings.snapshot(key) === undefined) return
    const ours = leaseOf(key)
    if (epoch === undefined) holdings.send(key, { type: 'vacant' })
    // Taken from us while we believed in it.
    else if (ours !== undefined && epoch > ours.epoch) {
      holdings.send(key, { type: 'lost', epoch: ours.epoch })
    }
  }

  const assigned = (key: string, assignment: Assignment | undefined): void => {
    const isHere = holdings.snapshot(key) !== undefined
    if (assignment?.poller === pollerId) {
      if (isHere) holdings.send(key, { type: 'offered' })
      else begin(key)
    } else if (isHere) holdings.send(key, { type: 'withdrawn' })
  }

  return {
    host: holdings,
    async join() {
      wake()
      leaseWatch = await leases.watch((key, holding) => heard(key, holding?.epoch))
      assignments = await binding.assignments.watch({
        onChange: assigned,
        reconcileEveryMs: binding.reconcileMs,
        clock,
        log,
      })
    },
    get: (key) => open.get(key),
    opened: () => open.values(),
    isDraining: (key) => holdings.snapshot(key)?.matches('draining') === true,
    isHeld(key) {
      seeWhetherOverslept()
      const lease = leaseOf(key)
      if (lease === undefined) return false
      if (clock.nowMs() < lease.heldUntil) return true
      holdings.send(key, { type: 'lost', epoch: lease.epoch })
      return false
    },
    epochOf: (key) => leaseOf(key)?.epoch,
    emptied(key) {
      if (holdings.snapshot(key) !== undefined) holdings.send(key, { type: 'drained' })
    },
    async stop() {
      assignments?.stop()
      assignments = undefined
      for (const key of [...holdings.instances()]) holdings.send(key, { type: 'withdrawn' })
      if (holdings.size > 0) await new Promise<void>((resolve) => whenNone.push(resolve))
      await within(Promise.all(leaving.values()), GIVE_BACK_MS, clock)
      clock.clearTimer(waking)
      leaseWatch?.stop()
    },
  }
}

/** Resolves when the work is done, at the latest then. */
function within(work: Promise<unknown>, mostMs: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(resolve, mostMs)
    void work.then(() => {
      clock.clearTimer(timer)
      resolve()
    })
  })
}
