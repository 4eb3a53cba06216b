/**
 * Leadership: of several processes that could do it, one does, by lease. The lease's epoch tells its writes from those of a
 * leader before it.
 *
 * It is the machine of a partition (machines/partition.ts) with a single piece to own, and other duties.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { Lease, Leases, LeaseWatch } from '../bus/leases.ts'
import { preferredOwner } from '../bus/partitions.ts'
import { partitionMachine } from '../machines/partition.ts'
import { type Host, host } from './actor.ts'

export type Leadership = {
  host: Host<typeof partitionMachine>
  readonly isLeading: boolean
  /** Begins to look whether there is a leader. */
  join(): Promise<void>
  /** Resolves when somebody leads. */
  settled(): Promise<void>
  livingAre(ids: string[]): void
  gone(id: string): void
  /** Gives the lease back. */
  stop(): Promise<void>
}

export type LeadershipBinding = {
  clock: Clock
  log: Log
  bus: Bus
  leases: Leases<string>
  /** Names what is led: `leasing`, `state-manager`. */
  office: string
  id: string
  leaseTtlMs: number
  /** The lease names a process that nobody has heard of: it may be dead. */
  suspect(id: string): void
  /** Leads from now on. Called before anything is decided; what it returns is waited for. */
  lead(epoch: number): Promise<void>
  /** Leads, and what `lead` began is done. */
  serve?(): void
  /** Leads no more. */
  follow(): void
}

const VACANCY_MS = 1_000
const INSTANCE = 'leader'

export function openLeadership(binding: LeadershipBinding): Leadership {
  const { clock, log, leases, office, id } = binding
  const key = `leader.${office}`
  const whenSettled: (() => void)[] = []
  let held: Lease<string> | undefined
  let holder: { id: string; revision: number } | undefined
  let living = [id]
  let watch: LeaseWatch<string> | undefined

  const machine = host(partitionMachine, {
    clock,
    log,
    duties: {
      acquire: async () => {
        const askedAtMs = clock.monotonicMs()
        const lease = await leases.acquire(key, id).catch(() => 'unanswered' as const)
        if (lease === undefined) machine.send(INSTANCE, { type: 'taken' })
        else if (lease === 'unanswered') machine.send(INSTANCE, { type: 'unanswered' })
        else {
          held = lease
          machine.send(INSTANCE, { type: 'acquired', tookMs: clock.monotonicMs() - askedAtMs })
        }
      },
      renew: async () => {
        const lease = held
        if (lease === undefined) return
        const askedAtMs = clock.monotonicMs()
        const renewed = await leases.renew(lease)
        // Given up in the meantime, and perhaps acquired anew: what became of the old one says nothing of that.
        if (held !== lease) return
        if (renewed === 'lost') machine.send(INSTANCE, { type: 'lost' })
        else {
          held = renewed
          machine.send(INSTANCE, { type: 'renewed', tookMs: clock.monotonicMs() - askedAtMs })
        }
      },
      release: async () => {
        const lease = held
        held = undefined
        if (lease !== undefined) await leases.release(lease)
        // What had run out before it was given back was heard of before, too.
        if (holder === undefined) machine.send(INSTANCE, { type: 'vacant' })
      },
      evict: async ({ revision }) => {
        await leases.evict(key, revision)
      },
      rebuild: async () => {
        await binding.lead(held?.epoch ?? 0)
        machine.send(INSTANCE, { type: 'rebuilt' })
      },
      serve: () => {
        log.info({ office, epoch: held?.epoch }, 'leads')
        binding.serve?.()
        settle()
      },
      stopServing: () => binding.follow(),
    },
  })

  const isLeading = () => machine.snapshot(INSTANCE)?.matches({ owned: 'serving' }) === true
  const isSettled = () => isLeading() || (holder !== undefined && holder.id !== id)
  const settle = () => {
    if (isSettled()) for (const tell of whenSettled.splice(0)) tell()
  }
  const prefer = () =>
    machine.send(INSTANCE, { type: 'preferred', isOurs: preferredOwner(0, living) === id })

  return {
    host: machine,
    get isLeading() {
      return isLeading()
    },
    async join() {
      machine.start(INSTANCE, {
        partition: 0,
        ttlMs: binding.leaseTtlMs,
        renewEveryMs: binding.leaseTtlMs / 3,
        vacancyMs: VACANCY_MS,
      })
      watch = await leases.watch((changed, holding, revision) => {
        if (changed !== key) return
        if (holding === undefined) {
          holder = undefined
          machine.send(INSTANCE, { type: 'vacant' })
          return
        }
        holder = { id: holding.value, revision }
        if (holder.id !== id) {
          if (!living.includes(holder.id)) binding.suspect(holder.id)
          machine.send(INSTANCE, { type: 'held', byUs: false })
        }
        settle()
      })
      prefer()
      if (holder === undefined) machine.send(INSTANCE, { type: 'vacant' })
    },
    settled: () =>
      isSettled() ? Promise.resolve() : new Promise((resolve) => whenSettled.push(resolve)),
    livingAre(ids) {
      living = [...new Set([id, ...ids])]
      // A leader that does its work stays: preference is for vacancies only.
      if (!isLeading()) prefer()
    },
    gone(gone) {
      if (holder?.id === gone) {
        machine.send(INSTANCE, { type: 'holderGone', revision: holder.revision })
      }
    },
    async stop() {
      const lease = held
      machine.send(INSTANCE, { type: 'stop' })
      if (lease !== undefined) await leases.release(lease).catch(() => {})
      watch?.stop()
    },
  }
}
