/**
 * The state manager: which queues there are, which functions have one of their own, and how long events wait. Several may
 * run; one leads. Any of them answers who wants to look at events, or to put dead ones back.
 */
import { openEventDesk } from '../actors/event-desk.ts'
import { openLeadership } from '../actors/leadership.ts'
import { watchPeers } from '../actors/peer.ts'
import { openQueues } from '../actors/queue.ts'
import { openQueueChoice } from '../actors/queue-choice.ts'
import { openDirectory } from '../bus/directory.ts'
import { ensureEvents } from '../bus/event-stream.ts'
import { openFunctions } from '../bus/functions.ts'
import { queuesBucket } from '../bus/subjects.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { QueueRecord } from '../machines/queue.ts'
import { anyHost, openRoleLeases, type Process, type Role } from './role.ts'

const LOOK_EVERY_MS = 1_000

export async function startStateManager(process: Process): Promise<Role> {
  const { id, bus, config, clock, log, presence, newId } = process
  await ensureEvents(bus)
  const functions = await openFunctions<FunctionRecord>(bus)
  const registry = await functions.watch({ reconcileEveryMs: config.reconcileMs, clock, log })
  const directory = await openDirectory<QueueRecord>(bus, queuesBucket)
  const queues = openQueues({
    bus,
    clock,
    log,
    queues: directory,
    functions: { get: (name) => registry.get(name)?.value },
    sharedQueues: config.sharedQueues,
    lanes: config.lanesPerQueue,
    splitAt: config.splitAt,
    mergeAfterMs: config.mergeAfterMs,
    reconcileMs: config.reconcileMs,
    lookEveryMs: LOOK_EVERY_MS,
  })
  const leadership = openLeadership({
    bus,
    clock,
    log,
    leases: await openRoleLeases(process),
    office: 'state-manager',
    id,
    leaseTtlMs: config.leaseTtlMs,
    suspect: (other) => others.expect(other),
    lead: queues.lead,
    serve: queues.serve,
    follow: queues.follow,
  })
  const watching = { presence, clock, log, silenceMs: config.silenceMs, beatMs: config.beatMs }
  const pollers = watchPeers({ ...watching, role: 'poller', gone: queues.pollerGone })
  const others = watchPeers({
    ...watching,
    role: 'state-manager',
    appeared: () => leadership.livingAre(others.ids),
    gone: (other) => {
      leadership.livingAre(others.ids)
      leadership.gone(other)
    },
  })
  const choice = await openQueueChoice(bus, {
    queues: directory,
    sharedQueues: config.sharedQueues,
    reconcileMs: config.reconcileMs,
    clock,
    log,
  })
  const desk = openEventDesk(bus, { choose: choice.choose, clock, newId, log })
  await queues.join()
  await leadership.join()
  return {
    hosts: [anyHost(leadership.host), anyHost(queues.host)],
    status: () => ({ leads: leadership.isLeading }),
    ready: leadership.settled,
    async stop() {
      desk.stop()
      choice.stop()
      pollers.stop()
      others.stop()
      await leadership.stop()
      queues.stop()
      registry.stop()
    },
  }
}
