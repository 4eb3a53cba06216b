/**
 * Placement: decides on which worker a new sandbox should live.
 */
import { watchPeers } from '../actors/peer.ts'
import { openPlacement } from '../actors/placement.ts'
import { anyHost, type Process, type Role } from './role.ts'

export async function startPlacement({
  bus,
  config,
  clock,
  log,
  presence,
}: Process): Promise<Role> {
  const placement = openPlacement({ bus, clock, log })
  const workers = watchPeers({
    presence,
    role: 'worker',
    clock,
    log,
    silenceMs: config.silenceMs,
    beatMs: config.beatMs,
    beat: placement.workerBeat,
    gone: placement.workerGone,
  })
  return {
    hosts: [anyHost(placement.host)],
    status: () => ({ workers: workers.ids.length }),
    async stop() {
      workers.stop()
      placement.stop()
    },
  }
}
