/**
 * The partitions of one worker manager: takes, renews and gives up their leases, and rebuilds their pools from what
 * workers and front ends say there is.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { Lease, Leases, LeaseWatch } from '../bus/leases.ts'
import { preferredOwner } from '../bus/partitions.ts'
import * as subjects from '../bus/subjects.ts'
import { partitionMachine } from '../machines/partition.ts'
import { type Host, host } from './actor.ts'
import type { Pools } from './pool.ts'
import type { FoundInPool } from './pool-messages.ts'

export type Partitions = {
  host: Host<typeof partitionMachine>
  /** Begins to look for partitions to own. */
  join(): Promise<void>
  /** Partitions served here. */
  readonly serving: number
  /** Resolves when every partition is served by somebody. */
  settled(): Promise<void>
  /** The worker managers that are alive, this one among them. */
  livingAre(ids: string[]): void
  managerGone(id: string): void
  /** Gives every lease back. */
  stop(): Promise<void>
}

export type PartitionsBinding = {
  bus: Bus
  clock: Clock
  log: Log
  leases: Leases<string>
  pools: Pools
  managerId: string
  partitions: number
  leaseTtlMs: number
  /** A lease names a worker manager that nobody has heard of: it may be dead. Ends in `managerGone`, or in its heartbeat. */
  suspect(managerId: string): void
  /** How many workers and front ends are expected to answer. */
  expected(): { workers: number; frontEnds: number }
}

/** One who is alive answers in a few milliseconds; on a busy machine in some tens. */
const REBUILD_WAIT_MS = 300
const VACANCY_MS = 1_000

const keyOf = (partition: number): string => `worker-manager.${partition}`
const partitionOfKey = (key: string): number | undefined =>
  key.startsWith('worker-manager.') ? Number(key.slice('worker-manager.'.length)) : undefined

export function openPartitions(binding: PartitionsBinding): Partitions {
  const { bus, clock, log, leases, pools, managerId, partitions, leaseTtlMs } = binding
  const held = new Map<number, Lease<string>>()
  /** Who holds what, as the bucket says. */
  const holders = new Map<number, { holder: string; revision: number }>()
  const whenSettled: (() => void)[] = []
  let living = [managerId]

  const lose = (partition: number) => machine.send(String(partition), { type: 'lost' })

  const machine = host(partitionMachine, {
    clock,
    log,
    duties: {
      acquire: async (_, id) => {
        const askedAtMs = clock.monotonicMs()
        const lease = await leases
          .acquire(keyOf(Number(id)), managerId)
          .catch(() => 'unanswered' as const)
        if (lease === undefined) machine.send(id, { type: 'taken' })
        else if (lease === 'unanswered') machine.send(id, { type: 'unanswered' })
        else {
          held.set(Number(id), lease)
          machine.send(id, { type: 'acquired', tookMs: clock.monotonicMs() - askedAtMs })
        }
      },
      renew: async (_, id) => {
        const lease = held.get(Number(id))
        if (lease === undefined) return
        const askedAtMs = clock.monotonicMs()
        const renewed = await leases.renew(lease)
        // Given up in the meantime, and perhaps acquired anew: what became of the old one says nothing of that.
        if (held.get(Number(id)) !== lease) return
        if (renewed === 'lost') lose(Number(id))
        else {
          held.set(Number(id), renewed)
          machine.send(id, { type: 'renewed', tookMs: clock.monotonicMs() - askedAtMs })
        }
      },
      release: async (_, id) => {
        const lease = held.get(Number(id))
        held.delete(Number(id))
        if (lease !== undefined) await leases.release(lease)
        // What had run out before it was given back was heard of before, too.
        if (!holders.has(Number(id))) machine.send(id, { type: 'vacant' })
      },
      evict: async ({ revision }, id) => {
        await leases.evict(keyOf(Number(id)), revision)
      },
      rebuild: async (_, id) => {
        found.set(Number(id), await findAll(Number(id)))
        machine.send(id, { type: 'rebuilt' })
      },
      serve: (_, id) => {
        const partition = Number(id)
        const epoch = held.get(partition)?.epoch ?? 0
        pools.serve(partition, epoch.toString(36), found.get(partition) ?? [])
        found.delete(partition)
        log.info({ partition, epoch }, 'partition served here')
        settle()
      },
      stopServing: (_, id) => pools.leave(Number(id)),
    },
  })
  const found = new Map<number, FoundInPool[]>()

  /** What workers run and front ends hold; a front end's word counts more: it knows that it uses a seat. */
  const findAll = async (partition: number): Promise<FoundInPool[]> => {
    const question = JSON.stringify({ partition })
    const { workers, frontEnds } = binding.expected()
    const ask = (subject: string, expected: number) =>
      bus.askAll(subject, question, { waitMs: REBUILD_WAIT_MS, expected: Math.max(1, expected) })
    const [running, inUse] = await Promise.all([
      ask(subjects.runningSandboxes, workers),
      ask(subjects.heldReservations, frontEnds),
    ])
    const bySandbox = new Map<string, FoundInPool>()
    for (const answer of [...running, ...inUse]) {
      for (const one of answer.json<FoundInPool[]>()) bySandbox.set(one.sandboxId, one)
    }
    return [...bySandbox.values()]
  }

  const settle = () => {
    if (isSettled()) for (const tell of whenSettled.splice(0)) tell()
  }
  const isSettled = () =>
    Array.from({ length: partitions }, (_, partition) => partition).every(
      (partition) => isServedHere(partition) || isHeldElsewhere(partition),
    )
  const isServedHere = (partition: number) =>
    machine.snapshot(String(partition))?.matches({ owned: 'serving' }) === true
  const isHeldElsewhere = (partition: number) => {
    const holder = holders.get(partition)?.holder
    return holder !== undefined && holder !== managerId
  }

  const prefer = () => {
    for (const id of machine.instances()) {
      const isOurs = preferredOwner(Number(id), living) === managerId
      machine.send(id, { type: 'preferred', isOurs })
    }
  }

  let watch: LeaseWatch<string> | undefined
  const join = async (): Promise<void> => {
    for (let partition = 0; partition < partitions; partition++) {
      machine.start(String(partition), {
        partition,
        ttlMs: leaseTtlMs,
        renewEveryMs: leaseTtlMs / 3,
        vacancyMs: VACANCY_MS,
      })
    }
    watch = await leases.watch((key, holding, revision) => {
      const partition = partitionOfKey(key)
      if (partition === undefined || partition >= partitions) return
      if (holding === undefined) {
        holders.delete(partition)
        machine.send(String(partition), { type: 'vacant' })
        return
      }
      const holder = holding.value
      holders.set(partition, { holder, revision })
      if (holder !== managerId && !living.includes(holder)) binding.suspect(holder)
      machine.send(String(partition), { type: 'held', byUs: holder === managerId })
      settle()
    })
    prefer()
    for (let partition = 0; partition < partitions; partition++) {
      if (!holders.has(partition)) machine.send(String(partition), { type: 'vacant' })
    }
  }

  return {
    host: machine,
    join,
    get serving() {
      return [...machine.instances()].filter((id) => isServedHere(Number(id))).length
    },
    settled: () =>
      isSettled() ? Promise.resolve() : new Promise((resolve) => whenSettled.push(resolve)),
    livingAre(ids) {
      living = [...new Set([managerId, ...ids])]
      prefer()
    },
    managerGone(id) {
      // A lease of the dead need not run out.
      for (const [partition, { holder, revision }] of holders) {
        if (holder === id) machine.send(String(partition), { type: 'holderGone', revision })
      }
    },
    async stop() {
      const leaving = [...held.values()]
      for (const id of [...machine.instances()]) machine.send(id, { type: 'stop' })
      await Promise.allSettled(leaving.map((lease) => leases.release(lease)))
      watch?.stop()
      pools.stop()
    },
  }
}
