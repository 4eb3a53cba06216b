/**
 * The poller: reads the lanes and shards that it is assigned, has what is in them invoked through the front ends, and tells
 * the ends of events.
 */
import { openAttempts } from '../actors/attempt.ts'
import { openDelivery } from '../actors/delivery.ts'
import { openEvents } from '../actors/event.ts'
import type { Assignment } from '../actors/holding.ts'
import { openLanes } from '../actors/lane.ts'
import { watchPeers } from '../actors/peer.ts'
import { openDwell, reportRegularly } from '../actors/poller-report.ts'
import { openQueueChoice } from '../actors/queue-choice.ts'
import { openShardReaders } from '../actors/shard-reader.ts'
import { reportShards } from '../actors/shards-report.ts'
import { openCheckpoints } from '../bus/checkpoints.ts'
import { openDirectory } from '../bus/directory.ts'
import { storeEnd } from '../bus/end-writer.ts'
import { ensureEvents } from '../bus/event-stream.ts'
import { openFunctions } from '../bus/functions.ts'
import { sqsDelivery } from '../bus/sqs-delivery.ts'
import {
  assignmentsBucket,
  mappingsBucket,
  overflow,
  queuesBucket,
  shardAssignmentsBucket,
  shardsBucket,
  streamsBucket,
} from '../bus/subjects.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { MappingRecord, ShardWork } from '../machines/mapping.ts'
import type { QueueRecord } from '../machines/queue.ts'
import type { StreamRecord } from '../machines/stream.ts'
import { anyHost, openRoleLeases, type Process, type Role } from './role.ts'

/** Packets of a lane that are in hand at the same time: what a reader keeps in memory, and gives back when it dies. */
const MOST_PACKETS = 128
/** Of what the server takes; nats.js knows it from the server's first words. */
const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576

export async function startPoller(process: Process): Promise<Role> {
  const { id, bus, config, clock, log, presence, newId, intake, attemptDoors } = process
  await ensureEvents(bus)
  const copying = { reconcileEveryMs: config.reconcileMs, clock, log }
  const functions = await openFunctions<FunctionRecord>(bus)
  const registry = await functions.watch(copying)
  const choice = await openQueueChoice(bus, {
    queues: await openDirectory<QueueRecord>(bus, queuesBucket),
    sharedQueues: config.sharedQueues,
    reconcileMs: config.reconcileMs,
    clock,
    log,
  })
  const frontEnds = watchPeers({
    presence,
    role: 'front-end',
    clock,
    log,
    silenceMs: config.silenceMs,
    beatMs: config.beatMs,
    gone: (frontEndId) => attempts.frontEndGone(frontEndId),
  })
  const attempts = openAttempts(bus, { frontEnds: () => frontEnds.ids, here: attemptDoors })
  const dwell = openDwell()
  const place = { region: config.region, account: config.account }
  /** What is held here is held in one way. */
  const holding = {
    bus,
    clock,
    log,
    leases: await openRoleLeases(process),
    pollerId: id,
    leaseTtlMs: config.leaseTtlMs,
    drainForMs: config.drainTimeoutMs,
    reconcileMs: config.reconcileMs,
    silenceMs: Math.min(config.silenceMs, 2 * config.beatMs),
    reservationTimeoutMs: config.reservationTimeoutMs,
  }
  const lanes = openLanes({
    ...holding,
    assignments: await openDirectory<Assignment>(bus, assignmentsBucket),
    mostPackets: MOST_PACKETS,
    take: (lane, ref, functionName, event) => events.take(lane, ref, functionName, event),
    left: (lane) => events.left(lane),
    drain: (lane) => events.drain(lane),
  })
  const known = { get: (name: string) => registry.get(name)?.value }
  const events = openEvents({
    ...holding,
    lanes,
    attempts,
    delivery: openDelivery({ bus, place, deliverToQueue: sqsDelivery(bus, { clock, newId }) }),
    functions: known,
    overflowed: (functionName) => bus.publish(overflow(functionName)),
    begun: dwell.begun,
    lanesPerQueue: config.lanesPerQueue,
    mostPackets: MOST_PACKETS,
    maxPayloadBytes: () => bus.nats.info?.max_payload ?? DEFAULT_MAX_PAYLOAD_BYTES,
    retryWaitsMs: [config.firstRetryMs, config.secondRetryMs],
    backOffMs: config.eventBackOffMs,
    longestBackOffMs: config.eventLongestBackOffMs,
    tellForMs: config.tellForMs,
    deadKeptMs: config.deadKeptMs,
  })
  await openCheckpoints(bus)
  const shards = openShardReaders({
    ...holding,
    place,
    assignments: await openDirectory<Assignment>(bus, shardAssignmentsBucket),
    works: await openDirectory<ShardWork>(bus, shardsBucket),
    mappings: await openDirectory<MappingRecord>(bus, mappingsBucket),
    streams: await openDirectory<StreamRecord>(bus, streamsBucket),
    functions: known,
    attempts,
    tell: ({ id: end, functionName, to, record, endedAtMs }) =>
      storeEnd(bus, choice.choose(functionName, 1), functionName, {
        id: end,
        acceptedAtMs: endedAtMs,
        attempts: 0,
        putOff: 0,
        telling: { condition: 'RetriesExhausted', endedAtMs, to: [{ as: 'record', arn: to }] },
        payload: Buffer.from(record),
      }),
    backOffMs: config.recordBackOffMs,
    longestBackOffMs: config.recordLongestBackOffMs,
  })
  intake.onHold(lanes.hold)
  await lanes.join()
  await shards.join()
  const stopReporting = reportRegularly(bus, {
    clock,
    pollerId: id,
    report: () => ({
      lanes: [...lanes.host.instances()],
      inHand: events.inHand(),
      firstAttempts: dwell.summary(),
    }),
  })
  const stopReportingShards = reportShards(bus, { clock, pollerId: id, held: shards.held })
  let leaving: Promise<void> | undefined
  const leave = () => {
    leaving ??= Promise.all([lanes.stop(), shards.stop()]).then(() => {})
    return leaving
  }
  return {
    hosts: [
      anyHost(lanes.host),
      anyHost(events.host),
      anyHost(events.flows),
      anyHost(shards.holdings),
      anyHost(shards.sources),
      anyHost(shards.ends),
      anyHost(shards.host),
    ],
    status: () => ({
      events: events.counts,
      lanes: lanes.host.size,
      shards: [...shards.held()].length,
    }),
    drain: leave,
    async stop() {
      await leave()
      stopReporting()
      stopReportingShards()
      attempts.stop()
      frontEnds.stop()
      choice.stop()
      registry.stop()
    },
  }
}
