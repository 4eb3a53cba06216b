/**
 * The stream tracker: which Kinesis-style streams there are, and how they are cut into shards. Several may run; one leads.
 */
import { openLeadership } from '../actors/leadership.ts'
import { watchPeers } from '../actors/peer.ts'
import { openStreams } from '../actors/stream.ts'
import { openDirectory } from '../bus/directory.ts'
import { openLeases } from '../bus/leases.ts'
import { leasesBucket, streamsBucket } from '../bus/subjects.ts'
import type { StreamRecord } from '../machines/stream.ts'
import { anyHost, type Process, type Role } from './role.ts'

/** Shards whose records have all expired may be shown for as much longer. */
const LOOK_EVERY_MS = 10_000

export async function startStreamTracker({
  id,
  bus,
  config,
  clock,
  log,
  presence,
  newId,
}: Process): Promise<Role> {
  const streams = openStreams({
    bus,
    clock,
    log,
    // One token of a subject, and short: it is part of the subject of every record.
    newId: () => newId().slice(0, 8),
    streams: await openDirectory<StreamRecord>(bus, streamsBucket),
    place: { region: config.region, account: config.account },
    shardLimit: config.shardLimit,
    settleMs: config.streamSettleMs,
    reconcileMs: config.reconcileMs,
    lookEveryMs: LOOK_EVERY_MS,
    // Mappings hear of it here.
    changed: () => {},
  })
  const leadership = openLeadership({
    bus,
    clock,
    log,
    leases: await openLeases<string>(bus, {
      bucket: leasesBucket,
      ttlMs: config.leaseTtlMs,
      clock,
      log,
    }),
    office: 'stream-tracker',
    id,
    leaseTtlMs: config.leaseTtlMs,
    suspect: (other) => others.expect(other),
    // Mappings lead after the streams that they read, and follow with them.
    lead: streams.lead,
    follow: streams.follow,
  })
  const others = watchPeers({
    presence,
    clock,
    log,
    silenceMs: config.silenceMs,
    beatMs: config.beatMs,
    role: 'stream-tracker',
    appeared: () => leadership.livingAre(others.ids),
    gone: (other) => {
      leadership.livingAre(others.ids)
      leadership.gone(other)
    },
  })
  await streams.join()
  await leadership.join()
  return {
    hosts: [anyHost(leadership.host), anyHost(streams.host)],
    status: () => ({ leads: leadership.isLeading }),
    ready: leadership.settled,
    async stop() {
      others.stop()
      await leadership.stop()
      streams.stop()
    },
  }
}
