/**
 * The front end: the HTTP and NATS doors, and the invocations that came through them.
 */

import { openAcceptance } from '../actors/acceptance.ts'
import { operate } from '../actors/api-call.ts'
import { openAttemptDoor } from '../actors/attempt-door.ts'
import { openInvocations } from '../actors/invocation.ts'
import { openKinesis } from '../actors/kinesis.ts'
import { openKinesisDoor } from '../actors/kinesis-door.ts'
import { openKnownStreams } from '../actors/known-streams.ts'
import { openNatsDoor } from '../actors/nats-door.ts'
import { storePackage } from '../actors/package-store.ts'
import { watchPeers } from '../actors/peer.ts'
import { poolOf } from '../actors/pool-messages.ts'
import { openQueueChoice } from '../actors/queue-choice.ts'
import { openReservations } from '../actors/reservations.ts'
import { noLimits, openShardLimits } from '../actors/shard-limits.ts'
import { openSqs } from '../actors/sqs.ts'
import { openSqsDoor } from '../actors/sqs-door.ts'
import { openAnswers } from '../bus/answers.ts'
import { openCode } from '../bus/code.ts'
import { openDirectory } from '../bus/directory.ts'
import { ensureEvents } from '../bus/event-stream.ts'
import { openEventWriter } from '../bus/event-writer.ts'
import { openFunctions } from '../bus/functions.ts'
import { openSqsMoves } from '../bus/sqs-moves.ts'
import { openSqsQueues } from '../bus/sqs-queues.ts'
import { queuesBucket } from '../bus/subjects.ts'
import { openHttpDoor } from '../edges/http-door.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { QueueRecord } from '../machines/queue.ts'
import { anyHost, type Process, type Role } from './role.ts'

export async function startFrontEnd({
  id,
  bus,
  config,
  clock,
  log,
  presence,
  newId,
  intake,
  attemptDoors,
}: Process): Promise<Role> {
  const place = { region: config.region, account: config.account }
  const functions = await openFunctions<FunctionRecord>(bus)
  const code = await openCode(bus)
  /** The pool of each function that serves, to know when another one does. */
  const serving = new Map<string, string>()
  const caps = new Map<string, number>()

  // While nothing is reserved yet, nothing is superseded or capped.
  let superseded = (_pool: string): void => {}
  let capped = (_functionName: string): void => {}
  const noteCap = (name: string, cap: number | undefined) => {
    if (caps.get(name) === cap) return
    if (cap === undefined) caps.delete(name)
    else caps.set(name, cap)
    capped(name)
  }
  const noteServing = (name: string, record: FunctionRecord | undefined) => {
    const pool = record?.serving && poolOf(record, record.serving)
    const before = serving.get(name)
    if (pool === undefined) serving.delete(name)
    else serving.set(name, pool)
    if (before !== undefined && before !== pool) superseded(before)
    noteCap(name, record?.reservedConcurrency)
  }
  const registry = await functions.watch({
    onChange: noteServing,
    reconcileEveryMs: config.reconcileMs,
    clock,
    log,
  })
  const known = {
    get: (name: string) => registry.get(name)?.value,
    read: async (name: string) => (await functions.read(name))?.value,
  }
  // The two need each other: nothing may wait between them, or a message would find one without the other.
  const reservations = openReservations({
    bus,
    frontEndId: id,
    partitions: config.partitions,
    clock,
    log,
    lingerMs: config.lingerMs,
    capOf: (name) => caps.get(name),
    seated: (requestId, seat) => invocations.seated(requestId, seat),
    sentAhead: (requestId, seat) => invocations.sentAhead(requestId, seat),
    begun: (requestId) => invocations.begun(requestId),
    calledBack: (requestId) => invocations.calledBack(requestId),
    forsaken: (requestId) => invocations.forsaken(requestId),
    throttled: (requestId, reason) => invocations.throttled(requestId, reason),
    redirected: (requestId) => invocations.redirected(requestId),
    inUse: () => invocations.inUse(),
  })
  superseded = reservations.superseded
  capped = reservations.capped
  const invocations = openInvocations({
    bus,
    clock,
    log,
    place,
    functions: known,
    reservations,
    reservationTimeoutMs: config.reservationTimeoutMs,
  })

  const workers = watchPeers({
    presence,
    role: 'worker',
    clock,
    log,
    silenceMs: config.silenceMs,
    beatMs: config.beatMs,
    beat: (workerId, { isDraining }) => {
      if (isDraining === true) reservations.workerDraining(workerId)
    },
    gone: (workerId) => {
      invocations.workerGone(workerId)
      reservations.workerGone(workerId)
    },
  })

  const answers = openAnswers(bus, clock)
  await ensureEvents(bus)
  const choice = await openQueueChoice(bus, {
    queues: await openDirectory<QueueRecord>(bus, queuesBucket),
    sharedQueues: config.sharedQueues,
    reconcileMs: config.reconcileMs,
    clock,
    log,
  })
  const acceptance = openAcceptance({
    clock,
    log,
    place,
    functions: known,
    writer: openEventWriter(bus, choice),
    intake,
    invocations,
  })
  const attemptDoor = openAttemptDoor(bus, { invocations, answers, frontEndId: id })
  attemptDoors.set(id, attemptDoor)

  const kept = { clock, newId, log, reconcileEveryMs: config.reconcileMs }
  const queues = await openSqsQueues(bus, kept)
  const moves = await openSqsMoves(bus, kept)
  const sqs = openSqs({ bus, queues, moves, place, frontEndId: id, clock, newId, log })

  const streams = await openKnownStreams(bus, {
    reconcileEveryMs: config.reconcileMs,
    clock,
    log,
  })
  const kinesis = openKinesis({
    bus,
    streams,
    limits: config.shardLimits === 'on' ? openShardLimits(clock) : noLimits,
    shardLimit: config.shardLimit,
    place,
    frontEndId: id,
    clock,
    newId,
    log,
  })
  const kinesisDoor = openKinesisDoor(bus, { call: kinesis.call, newId, log })

  const natsDoor = openNatsDoor(bus, { invocations: acceptance, answers, clock, newId, log })
  const httpDoor = await openHttpDoor({
    host: config.httpHost,
    port: config.httpPort,
    ...place,
    credentials: { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey },
    clock,
    newId,
    log,
    door: {
      invoke: acceptance.invoke,
      operate: (operation, input) => operate(bus, registry, operation, input),
      code: code.get,
      storeCode: (zip) => storePackage(code, zip),
      sqs: sqs.call,
      kinesis: kinesis.call,
    },
  })
  const sqsDoor = openSqsDoor(bus, { sqs, newId, origin: httpDoor.url })

  return {
    hosts: [anyHost(invocations.host), anyHost(reservations.host)],
    address: httpDoor.url,
    status: () => ({
      doors: { ...natsDoor.counts, ...attemptDoor.counts },
      functions: registry.size,
      sqs: sqs.counts,
      kinesis: { ...kinesis.counts, ...kinesisDoor.counts },
    }),
    async drain() {
      natsDoor.stop()
      await kinesisDoor.stop()
      kinesis.drain()
      await sqs.stop()
      await sqsDoor.stop()
      await httpDoor.close()
      await acceptance.idle()
      // Pollers of other processes find another front end for what they ask from now on.
      attemptDoor.stop()
      await invocations.idle()
      reservations.stop()
    },
    async stop() {
      natsDoor.stop()
      await kinesisDoor.stop()
      await sqs.stop()
      await sqsDoor.stop()
      await httpDoor.close()
      await kinesis.stop()
      streams.stop()
      reservations.stop()
      workers.stop()
      registry.stop()
      attemptDoor.stop()
      answers.stop()
      choice.stop()
      queues.stop()
      moves.stop()
    },
  }
}
