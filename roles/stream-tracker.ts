/**
 * The stream tracker: which Kinesis-style streams there are and how they are cut into shards, which mappings there are, and
 * which shards are to be read for them. Several may run; one leads.
 */
import type { Assignment } from '../actors/holding.ts'
import { openLeadership } from '../actors/leadership.ts'
import { openMappings } from '../actors/mapping.ts'
import { watchPeers } from '../actors/peer.ts'
import { openStreams } from '../actors/stream.ts'
import { serveTrackedStreams } from '../actors/tracked-streams.ts'
import { openCheckpoints } from '../bus/checkpoints.ts'
import { openDirectory } from '../bus/directory.ts'
import { lastSequenceOf } from '../bus/record-stream.ts'
import {
  mappingsBucket,
  shardAssignmentsBucket,
  shardsBucket,
  streamsBucket,
} from '../bus/subjects.ts'
import type { MappingRecord, ShardWork } from '../machines/mapping.ts'
import type { StreamRecord } from '../machines/stream.ts'
import { anyHost, openRoleLeases, type Process, type Role } from './role.ts'

/** Shards whose records have all expired may be shown for as much longer. */
const LOOK_AT_STREAMS_EVERY_MS = 10_000
/** What a lost message would have said is found out after that. */
const LOOK_AT_SHARDS_EVERY_MS = 2_000

export async function startStreamTracker(process: Process): Promise<Role> {
  const { id, bus, config, clock, log, presence, newId } = process
  const leases = await openRoleLeases(process)
  const directory = await openDirectory<StreamRecord>(bus, streamsBucket)
  const works = await openDirectory<ShardWork>(bus, shardsBucket)
  const mappings = openMappings({
    bus,
    clock,
    log,
    leases,
    streams: directory,
    mappings: await openDirectory<MappingRecord>(bus, mappingsBucket),
    works,
    assignments: await openDirectory<Assignment>(bus, shardAssignmentsBucket),
    checkpoints: await openCheckpoints(bus),
    lastSequence: (stream) => lastSequenceOf(bus, stream),
    streamSettleMs: config.streamSettleMs,
    reconcileMs: config.reconcileMs,
    lookEveryMs: LOOK_AT_SHARDS_EVERY_MS,
  })
  const streams = openStreams({
    bus,
    clock,
    log,
    // One token of a subject, and short: it is part of the subject of every record.
    newId: () => newId().slice(0, 8),
    streams: directory,
    place: { region: config.region, account: config.account },
    shardLimit: config.shardLimit,
    settleMs: config.streamSettleMs,
    reconcileMs: config.reconcileMs,
    lookEveryMs: LOOK_AT_STREAMS_EVERY_MS,
    changed: mappings.streamChanged,
  })
  const leadership = openLeadership({
    bus,
    clock,
    log,
    leases,
    office: 'stream-tracker',
    id,
    leaseTtlMs: config.leaseTtlMs,
    suspect: (other) => others.expect(other),
    lead: async (epoch) => {
      await streams.lead(epoch)
      await mappings.lead(epoch)
    },
    serve: () => {
      mappings.serve()
      answers.leads()
    },
    follow: () => {
      answers.follows()
      mappings.follow()
      streams.follow()
    },
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
  await mappings.join()
  const workCopy = await works.watch({ reconcileEveryMs: config.reconcileMs, clock, log })
  const answers = serveTrackedStreams(bus, {
    clock,
    tracked: () => ({
      streams: streams.all(),
      mappings: mappings.overview().map(({ record }) => record),
      works: [...workCopy.entries()].map(([, work]) => work),
    }),
  })
  await leadership.join()
  return {
    hosts: [anyHost(leadership.host), anyHost(streams.host), ...mappings.hosts.map(anyHost)],
    status: () => ({ leads: leadership.isLeading, mappings: mappings.counts() }),
    ready: leadership.settled,
    async stop() {
      others.stop()
      await leadership.stop()
      answers.stop()
      workCopy.stop()
      mappings.stop()
      streams.stop()
    },
  }
}
