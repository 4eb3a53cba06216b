/**
 * The leases of all lanes, while this leasing service leads: who should read what is planned here, written down for
 * pollers, and taken back from the dead.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import type { Leases, LeaseWatch } from '../bus/leases.ts'
import { leaseMachine } from '../machines/lease.ts'
import { type Plan, planOf } from '../machines/lease-plan.ts'
import type { QueueRecord } from '../machines/queue.ts'
import { type Host, host } from './actor.ts'
import type { Assignment } from './holding.ts'
import { laneLeases } from './lane.ts'

export type LaneLeases = {
  host: Host<typeof leaseMachine>
  /** Keeps copies of what there is, leading or not. */
  join(): Promise<void>
  /** From now on offers are written with that epoch. */
  lead(epoch: number): void
  follow(): void
  pollersAre(ids: readonly string[]): void
  pollerGone(id: string): void
  /** Who reads which lane, and how its lease stands. */
  overview(): { lane: string; poller: string | undefined; state: string }[]
  stop(): void
}

export type LaneLeasesBinding = {
  clock: Clock
  log: Log
  leases: Leases<string>
  queues: Directory<QueueRecord>
  assignments: Directory<Assignment>
  /** A lease names a poller that nobody has heard of: it may be dead. */
  suspect(pollerId: string): void
  reconcileMs: number
  moveForMs: number
}

const OFFER_AGAIN_MS = 2_000

export function openLaneLeases(binding: LaneLeasesBinding): LaneLeases {
  const { clock, log, leases, assignments } = binding
  /** By lane, as the bucket says. */
  const holders = new Map<string, { poller: string; revision: number }>()
  let pollers: string[] = []
  /** An id is used once. */
  const dead = new Set<string>()
  let plan: Plan = new Map()
  let epoch: number | undefined
  let queues: DirectoryCopy<QueueRecord> | undefined
  let offers: DirectoryCopy<Assignment> | undefined
  let watch: LeaseWatch<string> | undefined

  const machine = host(leaseMachine, {
    clock,
    log,
    duties: {
      offer: async ({ poller }, lane) => {
        if (epoch !== undefined) await assignments.put(lane, { poller }, epoch)
      },
      withdraw: async (_, lane) => {
        if (epoch !== undefined) await assignments.remove(lane, epoch)
      },
      evict: async ({ revision }, lane) => {
        if (epoch !== undefined) await leases.evict(laneLeases + lane, revision)
      },
    },
  })

  const wanted = (): string[] =>
    [...(queues?.entries() ?? [])].flatMap(([queue, { lanes }]) =>
      Array.from({ length: lanes }, (_, lane) => `${queue}.${lane}`),
    )

  const tellHolder = (lane: string): void => {
    const held = holders.get(lane)
    if (held === undefined) return
    if (machine.snapshot(lane) !== undefined) machine.send(lane, { type: 'held', ...held })
    if (dead.has(held.poller)) machine.send(lane, { type: 'gone', poller: held.poller })
    else if (!pollers.includes(held.poller)) binding.suspect(held.poller)
  }

  const replan = (): void => {
    if (epoch === undefined) return
    const lanes = wanted().sort()
    // Nobody has been heard: what was planned before stands.
    if (pollers.length > 0) plan = planOf(lanes, pollers, plan)
    const all = new Set(lanes)
    for (const lane of [...machine.instances()]) {
      if (!all.has(lane)) machine.send(lane, { type: 'retire' })
    }
    for (const lane of lanes) {
      if (machine.snapshot(lane) === undefined) {
        machine.start(lane, { moveForMs: binding.moveForMs, offerAgainMs: OFFER_AGAIN_MS })
        tellHolder(lane)
      }
      machine.send(lane, { type: 'assign', poller: plan.get(lane) })
    }
    // Left by a leader that did not live to take them back.
    for (const [lane] of offers?.entries() ?? []) {
      if (!all.has(lane)) void assignments.remove(lane, epoch).catch(() => {})
    }
  }

  return {
    host: machine,
    async join() {
      watch = await leases.watch((key, holding, revision) => {
        if (!key.startsWith(laneLeases)) return
        const lane = key.slice(laneLeases.length)
        if (holding === undefined) holders.delete(lane)
        else holders.set(lane, { poller: holding.value, revision })
        // Also while another leads: when it is dead, its readers may be, too, and to find out takes its time.
        if (holding !== undefined) tellHolder(lane)
        else if (machine.snapshot(lane) !== undefined) machine.send(lane, { type: 'vacant' })
      })
      const watching = { reconcileEveryMs: binding.reconcileMs, clock, log }
      offers = await assignments.watch(watching)
      queues = await binding.queues.watch({ onChange: replan, ...watching })
    },
    lead(newEpoch) {
      epoch = newEpoch
      plan = new Map([...(offers?.entries() ?? [])].map(([lane, { poller }]) => [lane, poller]))
      replan()
    },
    follow() {
      epoch = undefined
      for (const lane of [...machine.instances()]) machine.forget(lane)
    },
    pollersAre(ids) {
      pollers = [...ids].sort()
      // Given up too early.
      for (const id of ids) dead.delete(id)
      replan()
    },
    pollerGone(id) {
      pollers = pollers.filter((one) => one !== id)
      dead.add(id)
      for (const lane of [...machine.instances()]) machine.send(lane, { type: 'gone', poller: id })
      replan()
    },
    overview: () =>
      [...machine.instances()].map((lane) => ({
        lane,
        poller: holders.get(lane)?.poller,
        state: String(machine.snapshot(lane)?.value),
      })),
    stop() {
      watch?.stop()
      offers?.stop()
      queues?.stop()
    },
  }
}
