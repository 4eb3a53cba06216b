/**
 * The leasing service: says which poller reads which lane of a queue and which shard of a mapping, and takes them back from
 * the dead. Several may run; one leads.
 */
import { type Assignment, shardLeases } from '../actors/holding.ts'
import { laneLeases, partsOfLane } from '../actors/lane.ts'
import { openLeadership } from '../actors/leadership.ts'
import { type Leasing, openLeasing } from '../actors/lease.ts'
import { watchPeers } from '../actors/peer.ts'
import { openDirectory } from '../bus/directory.ts'
import {
  assignmentsBucket,
  queuesBucket,
  shardAssignmentsBucket,
  shardsBucket,
} from '../bus/subjects.ts'
import type { ShardWork } from '../machines/mapping.ts'
import type { QueueRecord } from '../machines/queue.ts'
import { anyHost, openRoleLeases, type Process, type Role } from './role.ts'

/**
 * Two beats missing, and a poller is asked whether it is there: its lanes should be read by another in less than 2 s, and
 * finding out is most of that.
 */
const BEATS_MISSED = 2
/** A reader that drains has this much longer than it gives itself. */
const MOVE_SLACK_MS = 5_000

export async function startLeasing(process: Process): Promise<Role> {
  const { id, bus, config, clock, log, presence } = process
  const joinedAtMs = clock.monotonicMs()
  const leases = await openRoleLeases(process)
  const ofAnyKind = {
    clock,
    log,
    leases,
    suspect: (pollerId: string) => pollers.expect(pollerId),
    reconcileMs: config.reconcileMs,
    moveForMs: config.drainTimeoutMs + MOVE_SLACK_MS,
  }
  const lanes = openLeasing<QueueRecord>({
    ...ofAnyKind,
    prefix: laneLeases,
    entries: await openDirectory(bus, queuesBucket),
    keysOf: (queue, record) =>
      Array.from({ length: record.lanes }, (_, lane) => `${queue}.${lane}`),
    assignments: await openDirectory<Assignment>(bus, assignmentsBucket),
    groupOf: (lane) => partsOfLane(lane).queue,
  })
  const shards = openLeasing<ShardWork>({
    ...ofAnyKind,
    prefix: shardLeases,
    entries: await openDirectory(bus, shardsBucket),
    keysOf: (shard, { state }) => (state === 'open' ? [shard] : []),
    assignments: await openDirectory<Assignment>(bus, shardAssignmentsBucket),
    besides: lanes.loads,
  })
  const kinds: Leasing[] = [lanes, shards]
  const leadership = openLeadership({
    bus,
    clock,
    log,
    leases,
    office: 'leasing',
    id,
    leaseTtlMs: config.leaseTtlMs,
    suspect: (other) => others.expect(other),
    lead: async (epoch) => {
      // Who plans before it has heard everybody moves lanes for nothing.
      const heardForMs = clock.monotonicMs() - joinedAtMs
      const untilHeardMs = BEATS_MISSED * config.beatMs - heardForMs
      if (untilHeardMs > 0) {
        await new Promise<void>((resolve) => clock.setTimer(resolve, untilHeardMs))
      }
      for (const kind of kinds) kind.lead(epoch)
    },
    follow: () => {
      for (const kind of kinds) kind.follow()
    },
  })
  const watching = { presence, clock, log, silenceMs: config.silenceMs, beatMs: config.beatMs }
  const pollers = watchPeers({
    ...watching,
    role: 'poller',
    silenceMs: Math.min(config.silenceMs, BEATS_MISSED * config.beatMs),
    appeared: () => {
      for (const kind of kinds) kind.pollersAre(pollers.ids)
    },
    gone: (pollerId) => {
      for (const kind of kinds) kind.pollerGone(pollerId)
    },
  })
  const others = watchPeers({
    ...watching,
    role: 'leasing',
    appeared: () => leadership.livingAre(others.ids),
    gone: (other) => {
      leadership.livingAre(others.ids)
      leadership.gone(other)
    },
  })
  for (const kind of kinds) await kind.join()
  await leadership.join()
  return {
    hosts: [anyHost(leadership.host), ...kinds.map(({ host }) => anyHost(host))],
    status: () => ({
      leads: leadership.isLeading,
      leases: lanes.overview(),
      shards: tallyOf(shards.overview()),
    }),
    ready: leadership.settled,
    async stop() {
      pollers.stop()
      others.stop()
      await leadership.stop()
      for (const kind of kinds) kind.stop()
    },
  }
}

/** There may be thousands: how many, by how their leases stand and by who reads them. */
function tallyOf(leases: ReturnType<Leasing['overview']>): Record<string, Record<string, number>> {
  const states: Record<string, number> = {}
  const readers: Record<string, number> = {}
  for (const { state, poller } of leases) {
    states[state] = (states[state] ?? 0) + 1
    if (poller !== undefined) readers[poller] = (readers[poller] ?? 0) + 1
  }
  return { states, readers }
}
