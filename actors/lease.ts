/**
 * The leases of one kind, of all lanes or of all shards, while this leasing service leads: who should read what is planned
 * here, written down for pollers, and taken back from the dead.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import type { Leases, LeaseWatch } from '../bus/leases.ts'
import { leaseMachine } from '../machines/lease.ts'
import { type Plan, type PlanRules, planOf } from '../machines/lease-plan.ts'
import { type Host, host } from './actor.ts'
import type { Assignment } from './holding.ts'
import { openOffers } from './offers.ts'

export type Leasing = {
  host: Host<typeof leaseMachine>
  /** Keeps copies of what there is, leading or not. */
  join(): Promise<void>
  /** From now on offers are written with that epoch. */
  lead(epoch: number): void
  follow(): void
  pollersAre(ids: readonly string[]): void
  pollerGone(id: string): void
  /** How much each poller is to read, as planned. */
  loads(): Map<string, number>
  /** Who reads what, and how its lease stands. */
  overview(): { key: string; poller: string | undefined; state: string }[]
  stop(): void
}

export type LeasingBinding<Entry> = {
  /** What its leases' keys begin with. */
  prefix: string
  clock: Clock
  log: Log
  leases: Leases<string>
  /** What there is to be read. */
  entries: Directory<Entry>
  /** Under which keys an entry is read now; none: it is not. */
  keysOf(key: string, entry: Entry): readonly string[]
  assignments: Directory<Assignment>
  groupOf?: PlanRules['groupOf']
  /** See `loads`: of the other kinds. */
  besides?(): ReadonlyMap<string, number>
  /** A lease names a poller that nobody has heard of: it may be dead. */
  suspect(pollerId: string): void
  reconcileMs: number
  moveForMs: number
}

const OFFER_AGAIN_MS = 2_000
/** A mapping of a thousand shards comes as a thousand entries; one plan does for as many as come within this. */
const PLAN_EVERY_MS = 20

export function openLeasing<Entry>(binding: LeasingBinding<Entry>): Leasing {
  const { prefix, clock, log, leases, assignments, groupOf } = binding
  /** By key, as the bucket says. */
  const holders = new Map<string, { poller: string; revision: number }>()
  const offers = openOffers(assignments)
  let pollers: string[] = []
  /** An id is used once. */
  const dead = new Set<string>()
  let plan: Plan = new Map()
  let planning: unknown
  let epoch: number | undefined
  let entries: DirectoryCopy<Entry> | undefined
  let offered: DirectoryCopy<Assignment> | undefined
  let watch: LeaseWatch<string> | undefined

  const machine = host(leaseMachine, {
    clock,
    log,
    duties: {
      offer: async ({ poller }, key) => {
        if (epoch !== undefined) await offers.write(key, { poller, epoch })
      },
      withdraw: async (_, key) => {
        if (epoch !== undefined) await offers.write(key, { poller: undefined, epoch })
      },
      evict: async ({ revision }, key) => {
        if (epoch !== undefined) await leases.evict(prefix + key, revision)
      },
    },
  })

  const wanted = (): string[] =>
    [...(entries?.entries() ?? [])].flatMap(([key, entry]) => binding.keysOf(key, entry)).sort()

  const tellHolder = (key: string): void => {
    const held = holders.get(key)
    if (held === undefined) return
    if (machine.snapshot(key) !== undefined) machine.send(key, { type: 'held', ...held })
    if (dead.has(held.poller)) machine.send(key, { type: 'gone', poller: held.poller })
    else if (!pollers.includes(held.poller)) binding.suspect(held.poller)
  }

  const rules = (): PlanRules => {
    const besides = binding.besides?.()
    return {
      ...(groupOf === undefined ? {} : { groupOf }),
      ...(besides === undefined ? {} : { besides }),
    }
  }

  const replan = (): void => {
    clock.clearTimer(planning)
    planning = undefined
    if (epoch === undefined) return
    const keys = wanted()
    // Nobody has been heard: what was planned before stands.
    if (pollers.length > 0) plan = planOf(keys, pollers, plan, rules())
    const all = new Set(keys)
    for (const key of [...machine.instances()]) {
      if (!all.has(key)) machine.send(key, { type: 'retire' })
    }
    for (const key of keys) {
      if (machine.snapshot(key) === undefined) {
        machine.start(key, { moveForMs: binding.moveForMs, offerAgainMs: OFFER_AGAIN_MS })
        tellHolder(key)
      }
      const poller = plan.get(key)
      if (machine.snapshot(key)?.context.assigned !== poller) {
        machine.send(key, { type: 'assign', poller })
      }
    }
    // Left by a leader that did not live to take them back.
    for (const [key] of offered?.entries() ?? []) {
      if (!all.has(key)) void offers.write(key, { poller: undefined, epoch }).catch(() => {})
    }
  }
  const replanSoon = (): void => {
    if (epoch !== undefined) planning ??= clock.setTimer(replan, PLAN_EVERY_MS)
  }

  return {
    host: machine,
    async join() {
      watch = await leases.watch((leaseKey, holding, revision) => {
        if (!leaseKey.startsWith(prefix)) return
        const key = leaseKey.slice(prefix.length)
        if (holding === undefined) holders.delete(key)
        else holders.set(key, { poller: holding.value, revision })
        // Also while another leads: when it is dead, its readers may be, too, and to find out takes its time.
        if (holding !== undefined) tellHolder(key)
        else if (machine.snapshot(key) !== undefined) machine.send(key, { type: 'vacant' })
      })
      const watching = { reconcileEveryMs: binding.reconcileMs, clock, log }
      offered = await assignments.watch(watching)
      entries = await binding.entries.watch({ onChange: replanSoon, ...watching })
    },
    lead(newEpoch) {
      epoch = newEpoch
      plan = new Map([...(offered?.entries() ?? [])].map(([key, { poller }]) => [key, poller]))
      replan()
    },
    follow() {
      epoch = undefined
      for (const key of [...machine.instances()]) machine.forget(key)
    },
    pollersAre(ids) {
      pollers = [...ids].sort()
      // Given up too early.
      for (const id of ids) dead.delete(id)
      replanSoon()
    },
    pollerGone(id) {
      pollers = pollers.filter((one) => one !== id)
      dead.add(id)
      for (const key of [...machine.instances()]) machine.send(key, { type: 'gone', poller: id })
      replan()
    },
    loads() {
      const loads = new Map<string, number>()
      for (const poller of plan.values()) loads.set(poller, (loads.get(poller) ?? 0) + 1)
      return loads
    },
    overview: () =>
      [...machine.instances()].map((key) => ({
        key,
        poller: holders.get(key)?.poller,
        state: String(machine.snapshot(key)?.value),
      })),
    stop() {
      clock.clearTimer(planning)
      watch?.stop()
      offered?.stop()
      entries?.stop()
    },
  }
}
