/**
 * The leasing service: says which poller reads which lane, and takes lanes back from the dead. Several may run; one leads.
 */
import type { Assignment } from '../actors/holding.ts'
import { openLeadership } from '../actors/leadership.ts'
import { openLaneLeases } from '../actors/lease.ts'
import { watchPeers } from '../actors/peer.ts'
import { openDirectory } from '../bus/directory.ts'
import { openLeases } from '../bus/leases.ts'
import { assignmentsBucket, leasesBucket, queuesBucket } from '../bus/subjects.ts'
import type { QueueRecord } from '../machines/queue.ts'
import { anyHost, type Process, type Role } from './role.ts'

/**
 * Two beats missing, and a poller is asked whether it is there: its lanes should be read by another in less than 2 s, and
 * finding out is most of that.
 */
const BEATS_MISSED = 2
/** A reader that drains has this much longer than it gives itself. */
const MOVE_SLACK_MS = 5_000

export async function startLeasing({
  id,
  bus,
  config,
  clock,
  log,
  presence,
}: Process): Promise<Role> {
  const joinedAtMs = clock.monotonicMs()
  const leases = await openLeases<string>(bus, {
    bucket: leasesBucket,
    ttlMs: config.leaseTtlMs,
    clock,
    log,
  })
  const laneLeases = openLaneLeases({
    clock,
    log,
    leases,
    queues: await openDirectory<QueueRecord>(bus, queuesBucket),
    assignments: await openDirectory<Assignment>(bus, assignmentsBucket),
    suspect: (pollerId) => pollers.expect(pollerId),
    reconcileMs: config.reconcileMs,
    moveForMs: config.drainTimeoutMs + MOVE_SLACK_MS,
  })
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
      laneLeases.lead(epoch)
    },
    follow: laneLeases.follow,
  })
  const watching = { presence, clock, log, silenceMs: config.silenceMs, beatMs: config.beatMs }
  const pollers = watchPeers({
    ...watching,
    role: 'poller',
    silenceMs: Math.min(config.silenceMs, BEATS_MISSED * config.beatMs),
    appeared: () => laneLeases.pollersAre(pollers.ids),
    gone: laneLeases.pollerGone,
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
  await laneLeases.join()
  await leadership.join()
  return {
    hosts: [anyHost(leadership.host), anyHost(laneLeases.host)],
    status: () => ({ leads: leadership.isLeading, leases: laneLeases.overview() }),
    ready: leadership.settled,
    async stop() {
      pollers.stop()
      others.stop()
      await leadership.stop()
      laneLeases.stop()
    },
  }
}
