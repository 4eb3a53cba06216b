/**
 * The pools of one worker manager: those of the partitions that it owns. Hears front ends and workers, grants seats,
 * asks placement for room.
 *
 * The pools of one function share its limit, and are always owned together. After each event for one of them the others
 * are told what it leaves them, before they hear anything else: so together they never grant more.
 */
import type { Bus, Clock, Log, Subscription } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import type { FunctionRecord, Generation } from '../machines/function.ts'
import { type PoolEvent, type PoolLimit, poolMachine } from '../machines/pool.ts'
import { inUse } from '../machines/pool-ledger.ts'
import type { Seat } from '../machines/reservations.ts'
import { type Host, host } from './actor.ts'
import { allotments } from './allotments.ts'
import {
  eventOf,
  type FoundInPool,
  functionOf,
  generationOf,
  isPool,
  type RoomAnswer,
  type SandboxAnswer,
} from './pool-messages.ts'

export type Pools = {
  host: Host<typeof poolMachine>
  /** Makes the pools of a partition from what was found, and hears its messages. `epoch` tells this owner from others. */
  serve(partition: number, epoch: string, found: FoundInPool[]): void
  /** Forgets a partition's pools at once: they are somebody else's. */
  leave(partition: number): void
  frontEndGone(frontEnd: string): void
  workerGone(workerId: string): void
  workerDraining(workerId: string): void
  /** A function has changed; undefined: it is gone. */
  functionChanged(name: string, record: FunctionRecord | undefined): void
  stop(): void
}

export type PoolsBinding = {
  bus: Bus
  clock: Clock
  log: Log
  /** The original of a record. */
  read(name: string): Promise<FunctionRecord | undefined>
  /** The registry's watched copy. */
  known(name: string): FunctionRecord | undefined
  /** What all functions share that have no reserved concurrency, and these with the reserved ones. See config.ts. */
  accountConcurrency: number
  /** Worker managers that are alive, this one among them. */
  managers(): number
  /** Milliseconds. See config.ts. */
  keepAliveMs: number
}

/** Enough for idle seats elsewhere to be called back: a message there and one back. */
const GRACE_MS = 50
/** How soon workers without room are asked again. */
const ROOM_AGAIN_MS = 500
const TICK_MS = 1_000
/** Placement answers after it has asked every worker, each for half a second at most. */
const PLACEMENT_TIMEOUT_MS = 5_000

export function openPools(binding: PoolsBinding): Pools {
  const { bus, clock, log, keepAliveMs } = binding
  const allotted = allotments(binding.accountConcurrency)
  const served = new Map<number, { epoch: string; hearing: Subscription; pools: Set<string> }>()
  const generations = new Map<string, Generation>()
  /** The pools of each function that has any. */
  const families = new Map<string, Set<string>>()
  let made = 0

  const tellFrontEnd = (frontEnd: string, event: string, fields: object) =>
    bus.publish(subjects.frontEnd(frontEnd, event), JSON.stringify(fields))
  const tellSandbox = (workerId: string, sandboxId: string, event: string) =>
    bus.publish(subjects.sandbox(workerId, sandboxId, event))

  const pools = host(poolMachine, {
    clock,
    log,
    duties: {
      grant: ({ frontEnd, seats }, pool) => tellFrontEnd(frontEnd, 'granted', { pool, seats }),
      throttle: ({ frontEnd, keep, reason }, pool) =>
        tellFrontEnd(frontEnd, 'throttled', { pool, keep, reason }),
      recall: ({ frontEnd, count }, pool) => tellFrontEnd(frontEnd, 'recalled', { pool, count }),
      borrow: ({ count }, pool) => {
        for (const other of families.get(functionOf(pool)) ?? []) {
          if (other !== pool) pools.send(other, { type: 'lend', count })
        }
      },
      audit: ({ frontEnd, owner, audit }, pool) =>
        tellFrontEnd(frontEnd, 'audit', { pool, owner, audit }),
      place: ({ sandboxId }, pool) => place(sandboxId, pool),
      stop: ({ workerId, sandboxId }) => tellSandbox(workerId, sandboxId, 'stop'),
      callOff: ({ workerId, sandboxId }) => tellSandbox(workerId, sandboxId, 'callOff'),
      reclaim: async ({ workerId, sandboxId }, pool) => {
        const outcome = await bus.request(subjects.sandbox(workerId, sandboxId, 'reclaim'), '', {
          timeoutMs: TICK_MS,
        })
        if (outcome === 'timeout') return
        const isGone = outcome === 'no responders' || !outcome.json<SandboxAnswer>().isHere
        if (isGone) tell(pool, { type: 'stopped', sandboxId, workerId })
      },
    },
    ended: (pool) => forget(pool),
  })

  const forget = (pool: string): void => {
    generations.delete(pool)
    const functionName = functionOf(pool)
    const family = families.get(functionName)
    family?.delete(pool)
    if (family?.size === 0) families.delete(functionName)
    for (const { pools: its } of served.values()) its.delete(pool)
  }

  /** An event, and what follows from it for the other pools of the function. */
  const tell = (pool: string, event: PoolEvent): void => {
    pools.send(pool, event)
    shareOut(functionOf(pool))
  }

  const usedIn = (pool: string): number => {
    const ledger = pools.snapshot(pool)?.context.ledger
    return ledger === undefined ? 0 : inUse(ledger)
  }

  /** What a pool may have of its function's limit, now. */
  const limitOf = (pool: string): PoolLimit => {
    const functionName = functionOf(pool)
    const { limit, reason } = allotted.of(functionName)
    const family = families.get(functionName)
    if (family === undefined || family.size < 2) return { limit, elsewhere: 0, reason }
    let elsewhere = 0
    for (const other of family) if (other !== pool) elsewhere += usedIn(other)
    return { limit, elsewhere, reason }
  }

  const isUpToDate = (pool: string, { limit, elsewhere, reason }: PoolLimit): boolean => {
    const known = pools.snapshot(pool)?.context
    return (
      known === undefined ||
      (known.limit === limit && known.elsewhere === elsewhere && known.reason === reason)
    )
  }

  /**
   * Each pool of a function hears what the others leave it. One that is told of more may take it, and the next one is told
   * of what is left then: so it goes round until nobody has news.
   */
  const shareOut = (functionName: string): void => {
    const family = [...(families.get(functionName) ?? [])]
    for (let left = family.length + 1, isNews = true; isNews && left > 0; left--) {
      isNews = false
      for (const pool of family) {
        const limit = limitOf(pool)
        if (isUpToDate(pool, limit)) continue
        isNews = true
        pools.send(pool, { type: 'limited', ...limit })
      }
    }
  }

  /** Sandboxes of functions that share what the reservations leave. */
  const placedUnreserved = (): number => {
    let sum = 0
    for (const pool of pools.instances()) {
      if (allotted.of(functionOf(pool)).isReserved) continue
      sum += Object.keys(pools.snapshot(pool)?.context.ledger.sandboxes ?? {}).length
    }
    return sum
  }

  /** This owner's part. Equal parts are exact with one worker manager, and never too much with several. */
  const share = (): number => Math.floor(allotted.unreserved / Math.max(1, binding.managers()))

  const place = async (sandboxId: string, pool: string): Promise<void> => {
    const generation = generations.get(pool)
    const functionName = functionOf(pool)
    if (!allotted.of(functionName).isReserved && placedUnreserved() > share()) {
      log.warn({ code: 'ACCOUNT_LIMIT', pool, share: share() }, 'no more sandboxes here')
      pools.send(pool, { type: 'noRoom', sandboxId })
      return
    }
    const order = { sandboxId, pool, functionName, generation }
    const outcome = await bus.request(subjects.place, JSON.stringify(order), {
      timeoutMs: PLACEMENT_TIMEOUT_MS,
    })
    const answer = typeof outcome === 'string' ? { noRoom: true } : outcome.json<RoomAnswer>()
    if ('placed' in answer) {
      tell(pool, { type: 'placed', sandboxId, workerId: answer.placed })
    } else {
      log.debug({ pool, sandboxId, outcome: typeof outcome }, 'no room')
      tell(pool, { type: 'noRoom', sandboxId })
    }
  }

  const make = (partition: number, pool: string, generation: Generation, found: FoundInPool[]) => {
    const mine = served.get(partition)
    if (mine === undefined || pools.snapshot(pool) !== undefined) return
    mine.pools.add(pool)
    generations.set(pool, generation)
    const functionName = functionOf(pool)
    const family = families.get(functionName) ?? new Set()
    families.set(functionName, family.add(pool))
    const prefix = `${generation.id.slice(0, 8)}-${mine.epoch}-${made++}`
    pools.start(pool, {
      ...limitOf(pool),
      prefix,
      keepAliveMs,
      graceMs: GRACE_MS,
      roomAgainMs: ROOM_AGAIN_MS,
      found,
    })
    shareOut(functionName)
  }

  /** The generation of a pool while it is the one that serves: only such a pool is made. */
  const servingOf = async (pool: string): Promise<Generation | undefined> => {
    const wanted = generationOf(pool)
    const name = functionOf(pool)
    const copy = binding.known(name)?.serving
    if (copy?.id === wanted) return copy
    const original = (await binding.read(name))?.serving
    return original?.id === wanted ? original : undefined
  }

  const hear = (partition: number) => async (message: Parameters<typeof eventOf>[0]) => {
    const event = eventOf(message)
    const pool = String(event?.['pool'] ?? '')
    if (event === undefined || !isPool(pool)) {
      pools.hear(pool, undefined)
      return
    }
    if (event.type === 'want' && pools.snapshot(pool) === undefined) {
      const generation = await servingOf(pool)
      // Not ours to make: the front end asks again, and by then knows of the new generation.
      if (generation === undefined) return
      make(partition, pool, generation, [])
    }
    // What shows itself to a pool that is no more is of no use to anybody.
    const strays = pools.snapshot(pool) === undefined ? unusedIn(event) : []
    for (const { workerId, sandboxId } of strays) tellSandbox(workerId, sandboxId, 'stop')
    if (strays.length > 0) return
    pools.hear(pool, event)
    shareOut(functionOf(pool))
  }

  const everyPool = (send: (pool: string) => void) => {
    for (const pool of pools.instances()) send(pool)
  }

  let ticking: unknown
  const tick = () => {
    const atMs = clock.nowMs()
    everyPool((pool) => tell(pool, { type: 'tick', atMs }))
    ticking = clock.setTimer(tick, TICK_MS)
  }
  tick()

  return {
    host: pools,
    serve(partition, epoch, found) {
      const hearing = bus.subscribe(subjects.anyPool(partition), hear(partition))
      served.set(partition, { epoch, hearing, pools: new Set() })
      for (const [pool, its] of byPool(found)) {
        const generation = binding.known(functionOf(pool))?.serving
        const isCurrent = generation?.id === generationOf(pool)
        // A pool of a generation that serves no longer is made all the same, so that its sandboxes are stopped.
        const stale = { id: generationOf(pool) } as Generation
        make(partition, pool, isCurrent && generation !== undefined ? generation : stale, its)
        if (!isCurrent) tell(pool, { type: 'retired' })
      }
    },
    leave(partition) {
      const left = served.get(partition)
      served.delete(partition)
      left?.hearing.stop()
      for (const pool of left?.pools ?? []) {
        pools.forget(pool)
        forget(pool)
      }
    },
    frontEndGone: (frontEnd) => everyPool((pool) => tell(pool, { type: 'frontEndGone', frontEnd })),
    workerGone: (workerId) => everyPool((pool) => tell(pool, { type: 'workerGone', workerId })),
    workerDraining: (workerId) =>
      everyPool((pool) => tell(pool, { type: 'workerDraining', workerId })),
    functionChanged(name, record) {
      everyPool((pool) => {
        const isOther = functionOf(pool) === name && generationOf(pool) !== record?.serving?.id
        if (isOther) tell(pool, { type: 'retired' })
      })
      const isNewsToAll = allotted.note(name, record?.reservedConcurrency)
      for (const functionName of isNewsToAll ? [...families.keys()] : [name]) shareOut(functionName)
    },
    stop() {
      clock.clearTimer(ticking)
      for (const { hearing } of served.values()) hearing.stop()
    },
  }
}

/** Sandboxes that a message shows to be there, and in nobody's use. */
function unusedIn(event: { type: string; [field: string]: unknown }): Seat[] {
  const { type, seats, sandboxId, workerId } = event
  const named = type === 'ready' ? [{ sandboxId, workerId }] : seats
  const isMeant = type === 'ready' || type === 'freed' || type === 'released'
  return isMeant && Array.isArray(named) ? named.filter(isSeat) : []
}

const isSeat = (given: unknown): given is Seat => {
  const { sandboxId, workerId } = (given ?? {}) as Partial<Seat>
  return subjects.isToken(sandboxId) && subjects.isToken(workerId)
}

function byPool(found: FoundInPool[]): Map<string, FoundInPool[]> {
  const pools = new Map<string, FoundInPool[]>()
  for (const one of found) pools.set(one.pool, [...(pools.get(one.pool) ?? []), one])
  return pools
}
