/**
 * The worker manager: owns partitions of the functions and counts who uses their sandboxes.
 */
import { openPartitions } from '../actors/partition.ts'
import { watchPeers } from '../actors/peer.ts'
import { openPools } from '../actors/pool.ts'
import { openFunctions } from '../bus/functions.ts'
import type { FunctionRecord } from '../machines/function.ts'
import { anyHost, openRoleLeases, type Process, type Role } from './role.ts'

export async function startWorkerManager(process: Process): Promise<Role> {
  const { id, bus, config, clock, log, presence } = process
  const functions = await openFunctions<FunctionRecord>(bus)
  const pools = openPools({
    bus,
    clock,
    log,
    read: async (name) => (await functions.read(name))?.value,
    known: (name) => registry.get(name)?.value,
    accountConcurrency: config.accountConcurrency,
    managers: () => managers.ids.length,
    keepAliveMs: config.keepAliveMs,
  })
  const registry = await functions.watch({
    onChange: (name, record) => pools.functionChanged(name, record),
    reconcileEveryMs: config.reconcileMs,
    clock,
    log,
  })
  const watching = { presence, clock, log, silenceMs: config.silenceMs, beatMs: config.beatMs }
  const frontEnds = watchPeers({ ...watching, role: 'front-end', gone: pools.frontEndGone })
  const workers = watchPeers({
    ...watching,
    role: 'worker',
    gone: pools.workerGone,
    beat: (workerId, { isDraining }) => {
      if (isDraining === true) pools.workerDraining(workerId)
    },
  })
  const partitions = openPartitions({
    bus,
    clock,
    log,
    leases: await openRoleLeases(process),
    pools,
    managerId: id,
    partitions: config.partitions,
    leaseTtlMs: config.leaseTtlMs,
    suspect: (managerId) => managers.expect(managerId),
    expected: () => ({ workers: workers.ids.length, frontEnds: frontEnds.ids.length }),
  })
  const managers = watchPeers({
    ...watching,
    role: 'worker-manager',
    appeared: () => partitions.livingAre(managers.ids),
    gone: (managerId) => {
      partitions.livingAre(managers.ids)
      partitions.managerGone(managerId)
    },
  })
  await partitions.join()
  return {
    hosts: [anyHost(pools.host), anyHost(partitions.host)],
    status: () => ({ partitions: partitions.serving }),
    ready: partitions.settled,
    async stop() {
      for (const peers of [frontEnds, workers, managers]) peers.stop()
      await partitions.stop()
      registry.stop()
    },
  }
}
