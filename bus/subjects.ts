/**
 * The address book. Every subject, stream and bucket in the system is spelled here and nowhere else: to learn who talks
 * to whom, read this file, then look for the callers of its functions.
 */
import { encodeToken } from './encoded-token.ts'

/** An id that would change the shape of a subject: empty, or holding white space, '.', '*' or '>'. */
export class BadSubjectToken extends Error {
  override readonly name = 'BadSubjectToken'
  readonly code = 'BUS_BAD_SUBJECT_TOKEN'
}

/** Source: NATS docs, "Subject-Based Messaging", which names the characters a token may hold. */
export const isToken = (text: unknown): text is string =>
  typeof text === 'string' && /^[^\s.*>]+$/.test(text)

/** The text itself. Throws BadSubjectToken. */
export function token(text: string): string {
  if (isToken(text)) return text
  throw new BadSubjectToken(`'${text}' cannot be one token of a subject`)
}

// ── The front door ─────────────────────────────────────────────────────────────────────────────────────────────────

/** `lambus.invoke.<function>[.<qualifier>]`: body = the event's JSON. With a reply subject a sync invoke, without one an Event. */
export const invoke = (functionName: string, qualifier?: string) =>
  qualifier === undefined
    ? `lambus.invoke.${token(functionName)}`
    : `lambus.invoke.${token(functionName)}.${token(qualifier)}`
export const anyInvoke = 'lambus.invoke.>'

/** `lambus.api.<Operation>`: takes and gives the JSON of the AWS operation of that name. */
export const api = (operation: string) => `lambus.api.${token(operation)}`
export const anyApi = 'lambus.api.>'

// ── Out of the house ───────────────────────────────────────────────────────────────────────────────────────────────

/** `lambus.sns.<topic>`: what is published to an SNS topic; body = the SNS notification. */
export const snsTopic = (topic: string) => `lambus.sns.${encodeToken(topic)}`
/** `lambus.events.<bus>`: what is put on an event bus, `default` among them; body = the EventBridge event. A bus may have dots and slashes in its name. */
export const eventBus = (bus: string) => `lambus.events.${encodeToken(bus)}`

/** `lambus.sqs.api.<Operation>`: takes and gives the JSON of the SQS operation of that name. */
export const sqsApi = (operation: string) => `lambus.sqs.api.${token(operation)}`
export const anySqsApi = 'lambus.sqs.api.*'

/** `lambus.kinesis.<stream>`: puts a record; header `Partition-Key`. A stream's name may have dots: all that follows is the name. */
export const kinesis = (stream: string) => `lambus.kinesis.${stream}`
export const anyKinesis = 'lambus.kinesis.>'
/** The name of the stream that a record is for. */
export const streamOfKinesis = (subject: string): string => subject.slice(kinesis('').length)

// ── Front end ↔ worker manager ↔ placement ↔ worker ────────────────────────────────────────────────────────────────

/** `lambus.pool.<partition>.<event>`: the owner of that partition of the worker manager hears it. */
export const pool = (partition: number, event: string) => `lambus.pool.${partition}.${token(event)}`
export const anyPool = (partition: number) => `lambus.pool.${partition}.*`

/** `lambus.front-end.<id>.<event>`: what the worker manager tells and asks one front end about its reservations. */
export const frontEnd = (id: string, event: string) =>
  `lambus.front-end.${token(id)}.${token(event)}`
export const anyFrontEnd = (id: string) => `lambus.front-end.${token(id)}.*`
/** Every front end answers with the reservations that it holds: how a new owner of a partition rebuilds its pools. */
export const heldReservations = 'lambus.front-end.held'
/** Every front end hears who subscribes to a shard: a consumer has one subscription of each. */
export const subscribedToShard = 'lambus.front-end.subscribed'

/** `lambus.placement.place`: asks any placement for room for one sandbox. */
export const place = 'lambus.placement.place'

/** `lambus.worker.<id>.provision`: asks one worker to start a sandbox; it answers whether it has room. */
export const provision = (workerId: string) => `lambus.worker.${token(workerId)}.provision`
/**
 * `lambus.worker.<id>.sandbox.<sandbox>.<event>`: body of `invoke` = the event's JSON; it answers with the result. Body of
 * `takeBack` = a request id.
 */
export const sandbox = (workerId: string, sandboxId: string, event: string) =>
  `lambus.worker.${token(workerId)}.sandbox.${token(sandboxId)}.${token(event)}`
export const anySandbox = (workerId: string) => `lambus.worker.${token(workerId)}.sandbox.*.*`
/** Every worker answers with the sandboxes that it runs. */
export const runningSandboxes = 'lambus.worker.sandboxes'

// ── Front end ↔ poller ↔ leasing service ↔ state manager ───────────────────────────────────────────────────────────

/** `lambus.attempt.<front end>`: a poller asks one front end for one attempt of an event; body = the event's JSON. */
export const attempt = (frontEndId: string) => `lambus.attempt.${token(frontEndId)}`
/** `lambus.poller.<id>.report`: what a poller has in hand, by lane and function, about once a second. */
export const pollerReport = (pollerId: string) => `lambus.poller.${token(pollerId)}.report`
export const anyPollerReport = 'lambus.poller.*.report'
/** `lambus.backlog`: the leading state manager says how much waits in each lane, about once a second. */
export const backlog = 'lambus.backlog'
/** `lambus.overflow.<function>`: events of a function were set aside; somebody should look soon. */
export const overflow = (functionName: string) => `lambus.overflow.${token(functionName)}`
export const anyOverflow = 'lambus.overflow.*'
/** The leading state manager answers with its queues: their functions, backlog, ages. */
export const queues = 'lambus.queues'
/** `lambus.queues.events`: any state manager answers with a page of the events there are. */
export const queuedEvents = 'lambus.queues.events'
/** `lambus.queues.event`: any state manager answers with one event, its payload included. */
export const queuedEvent = 'lambus.queues.event'
/** `lambus.queues.redrive`: any state manager puts some of the dead events back, and says how many. */
export const redrive = 'lambus.queues.redrive'

// ── Front end ↔ control plane ↔ poller ↔ stream tracker ─────────────────────────────────────────────────────────────

/** `lambus.tracker.stream`: a change of a stream, for the leading stream tracker; body = a StreamCommand. */
export const trackerStream = 'lambus.tracker.stream'
/** `lambus.tracker.mapping`: a change of an event source mapping, for the same; body = a MappingCommand. */
export const trackerMapping = 'lambus.tracker.mapping'
/** `lambus.tracker.sync`: look at the shards of a stream now; body = `{"stream": "…"}`. */
export const trackerSync = 'lambus.tracker.sync'
/** `lambus.tracker.ended`: a poller has come to the end of a shard; body = `{"mapping": "…", "shard": 0}`. */
export const trackerEnded = 'lambus.tracker.ended'
/** `lambus.tracker.result`: how the last batches of a mapping went; body = `{"mapping": "…", "result": "OK"}`. */
export const trackerResult = 'lambus.tracker.result'
/** `lambus.poller.<id>.shards`: what a poller reads of which shard, and how far it is, about once a second. */
export const shardsReport = (pollerId: string) => `lambus.poller.${token(pollerId)}.shards`
export const anyShardsReport = 'lambus.poller.*.shards'
/** The leading stream tracker answers with its streams: shards, lineage, mappings, who reads, how far. */
export const trackedStreams = 'lambus.streams'

// ── Presence ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** `lambus.beat.<role>.<id>`: says "I am alive" several times a second. */
export const beat = (role: string, id: string) => `lambus.beat.${token(role)}.${token(id)}`
export const anyBeat = 'lambus.beat.*.*'
export const beatsOf = (role: string) => `lambus.beat.${token(role)}.*`
/** A newcomer asks everyone to beat now. */
export const hello = 'lambus.hello'
/** `lambus.ping.<id>`: answered by the process of that id; "no responders" means that its connection is gone. */
export const ping = (id: string) => `lambus.ping.${token(id)}`
/** Every process answers with its roles, its machines and their counts. */
export const status = 'lambus.status'

// ── Destinations ───────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Whether somebody may have records of their invocations published there: to be read by people, not by us or by the
 * server. SNS topics and EventBridge buses are people's, though their subjects begin like ours.
 */
export function isDestination(subject: string): boolean {
  if (/\p{Cc}/u.test(subject) || !subject.split('.').every(isToken)) return false
  if (/^lambus\.(sns|events)\.[^.]+$/.test(subject)) return true
  return !/^(\$|_INBOX|lambus(\.|$))/.test(subject)
}

// ── Actors of anybody ──────────────────────────────────────────────────────────────────────────────────────────────

/** `lambus.actor.<machine>.<instance>.<event>`: an event for one instance of a hosted machine; body = its JSON fields. */
export const actor = (machine: string, instance: string, event: string) =>
  `lambus.actor.${token(machine)}.${token(instance)}.${token(event)}`
export const anyActor = (machine: string) => `lambus.actor.${token(machine)}.>`

// ── Streams ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Events for durable actors: a work queue, so that an acknowledged event is gone and an unacknowledged one comes again. */
export const durableStream = 'LAMBUS_DURABLE'
/** `lambus.durable.<machine>.<instance>`: the inbox of one durable actor. */
export const durable = (machine: string, instance: string) =>
  `lambus.durable.${token(machine)}.${token(instance)}`
export const anyDurable = (machine: string) => `lambus.durable.${token(machine)}.*`
export const everyDurable = 'lambus.durable.*.*'
/** The consumer that all processes hosting a machine share. */
export const durableConsumer = (machine: string) => `host_${token(machine)}`
/** `lambus.alarm.<machine>.<instance>.<timer>`: a message scheduled into a durable actor's inbox; its timers. */
export const alarm = (machine: string, instance: string, timer: string) =>
  `lambus.alarm.${token(machine)}.${token(instance)}.${token(timer)}`
export const anyAlarm = 'lambus.alarm.*.*.*'

/** Header: the id that an event for a durable actor was posted with. */
export const eventIdHeader = 'Lambus-Event-Id'
/** Header set by nats-server: the subject of the schedule that a message comes from. Source: NATS ADR-51. */
export const schedulerHeader = 'Nats-Scheduler'

/** `lambus.answer.<process>.<id>`: a durable actor's answer to whoever commanded it. */
export const answer = (processId: string, id: string) =>
  `lambus.answer.${token(processId)}.${token(id)}`
export const anyAnswer = (processId: string) => `lambus.answer.${token(processId)}.*`

/**
 * Asynchronous events, their retries and their ends: one work queue, so that whatever is decided about an event can be
 * stored in one write, and what is done with is gone.
 */
export const eventStream = 'LAMBUS_EVENTS'
/**
 * `lambus.event.<queue>.<lane>.<function>.<count>`: a packet of that many events of a function. A lane is what one poller
 * reads; a queue has one or several.
 */
export const eventPacket = (queue: string, lane: number, functionName: string, count: number) =>
  `lambus.event.${token(queue)}.${lane}.${token(functionName)}.${count}`
export const anyPacketOf = (queue: string, lane: number) => `lambus.event.${token(queue)}.${lane}.>`
export const anyPacket = 'lambus.event.>'
export const packetsOf = (functionName: string) => `lambus.event.*.*.${token(functionName)}.*`
/**
 * `lambus.end.<queue>.<lane>.<function>.<count>`: a packet of events that have ended, and whose end is to be told. Beside the
 * others, so that it need not wait for all that waits.
 */
export const endPacket = (queue: string, lane: number, functionName: string, count: number) =>
  `lambus.end.${token(queue)}.${lane}.${token(functionName)}.${count}`
export const anyEndOf = (queue: string, lane: number) => `lambus.end.${token(queue)}.${lane}.>`
export const anyEnd = 'lambus.end.>'
/** `lambus.retry.<queue>.<lane>.<function>.<request>`: an event scheduled into its lane. Nobody may consume it. */
export const retry = (queue: string, lane: number, functionName: string, requestId: string) =>
  `lambus.retry.${token(queue)}.${lane}.${token(functionName)}.${token(requestId)}`
export const anyRetry = 'lambus.retry.>'
export const retriesOf = (functionName: string) => `lambus.retry.*.*.${token(functionName)}.*`
export const retryWith = (requestId: string) => `lambus.retry.*.*.*.${token(requestId)}`
/** `lambus.ledger.<queue>.<lane>`: who reads the lane, and what it has decided about packets that are still there. */
export const ledger = (queue: string, lane: number) => `lambus.ledger.${token(queue)}.${lane}`
export const anyLedger = 'lambus.ledger.>'
/** `lambus.dead.<function>.<request>`: an event whose end nobody was told, kept for whoever looks. */
export const dead = (functionName: string, requestId: string) =>
  `lambus.dead.${token(functionName)}.${token(requestId)}`
export const deadOf = (functionName: string) => `lambus.dead.${token(functionName)}.*`
export const deadWith = (requestId: string) => `lambus.dead.*.${token(requestId)}`
export const anyDead = 'lambus.dead.>'
/** The consumers of a lane, by who reads it: an older reader's acknowledgements go to ones that are no more. */
export const laneConsumer = (queue: string, lane: number, reader: string, of: 'events' | 'ends') =>
  `lane_${token(queue)}_${lane}_${reader}_${of}`

/** The messages of all SQS queues: a work queue, with a consumer for each queue. */
export const sqsStream = 'LAMBUS_SQS'
/** `lambus.sqs.queue.<queue>.<incarnation>`: what a queue holds. A queue that is made again has other subjects. */
export const sqsQueue = (queue: string, incarnation: string) =>
  `lambus.sqs.queue.${token(queue)}.${token(incarnation)}`
export const anySqsQueue = 'lambus.sqs.queue.*.*'
/** `lambus.sqs.delayed.<queue>.<incarnation>.<message>`: a message scheduled into its queue. */
export const sqsDelayed = (queue: string, incarnation: string, messageId: string) =>
  `lambus.sqs.delayed.${token(queue)}.${token(incarnation)}.${token(messageId)}`
export const sqsDelayedOf = (queue: string, incarnation: string) =>
  `lambus.sqs.delayed.${token(queue)}.${token(incarnation)}.*`
export const anySqsDelayed = 'lambus.sqs.delayed.*.*.*'
/** The consumer that all front ends share for one queue. */
export const sqsConsumer = (queue: string, incarnation: string) =>
  `${token(queue)}_${token(incarnation)}`

/** Every front end answers how many messages of a queue it has given out that are still invisible; body = incarnation. */
export const sqsInFlight = 'lambus.sqs.in-flight'

/** `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`: asks for messages; they come to the reply subject. */
export const nextMessages = (stream: string, consumer: string) =>
  `$JS.API.CONSUMER.MSG.NEXT.${token(stream)}.${token(consumer)}`
/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<count>.<time>.<pending>`: what is said of one delivery. The
 * server reads this form whichever it writes itself. Source: NATS ADR-15, nats-server consumer.go.
 */
export const acknowledgement = (stream: string, consumer: string, delivery: readonly string[]) =>
  `$JS.ACK.${token(stream)}.${token(consumer)}.${delivery.map(token).join('.')}`

/** `$JS.API.DIRECT.GET.<stream>`: asks for stored messages; they come to the reply subject. */
export const directGet = (stream: string) => `$JS.API.DIRECT.GET.${token(stream)}`

/**
 * `LAMBUS_KINESIS_<stream>`: the records of one Kinesis stream, with a subject for each open shard. What takes a subject away
 * from it closes that shard: nothing can be stored there any more, by whoever believes what.
 */
export const recordStream = (stream: string) => `LAMBUS_KINESIS_${encodeToken(stream)}`
/** `$JS.API.STREAM.UPDATE.<stream>`: asks JetStream to make a stream as its configuration, the whole of it, says. */
export const updateOfStream = (stream: string) => `$JS.API.STREAM.UPDATE.${token(stream)}`
/** `lambus.shard.<stream>.<incarnation>.<shard>`: the records of one shard. A stream that is made again has other subjects. */
export const shard = (stream: string, incarnation: string, index: number) =>
  `lambus.shard.${encodeToken(stream)}.${token(incarnation)}.${index}`

export const logStream = 'LAMBUS_LOGS'
/** `lambus.log.<function>`: what a function's sandboxes wrote, in the order of each sandbox. */
export const log = (functionName: string) => `lambus.log.${token(functionName)}`
export const anyLog = 'lambus.log.*'

// ── Buckets ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const functionsBucket = 'lambus_functions'
export const workersBucket = 'lambus_workers'
export const leasesBucket = 'lambus_leases'
/** Which queues there are, with their lanes: written by the state manager, watched by whoever accepts or leases. */
export const queuesBucket = 'lambus_queues'
/** Which poller should read which lane: written by the leasing service, watched by pollers. */
export const assignmentsBucket = 'lambus_assignments'
/** Which Kinesis streams there are, with their shards: written by the leading stream tracker, watched by front ends and pollers. */
export const streamsBucket = 'lambus_streams'
/** Which event source mappings there are: written by the leading stream tracker, watched by control planes and pollers. */
export const mappingsBucket = 'lambus_mappings'
/** Which shard is to be read for which mapping: written by the leading stream tracker, watched by the leasing service. */
export const shardsBucket = 'lambus_shards'
/** Which poller should read which shard for which mapping: written by the leasing service, watched by pollers. */
export const shardAssignmentsBucket = 'lambus_shard_assignments'
/** How far each shard is read for each mapping: written by whoever reads it, fenced by its lease's epoch. */
export const checkpointsBucket = 'lambus_checkpoints'
export const actorsBucket = 'lambus_actors'
export const codeBucket = 'lambus_code'
export const sqsBucket = 'lambus_sqs'
export const sqsMovesBucket = 'lambus_sqs_moves'

/** `$KV.<bucket>.<key>`: a KV entry as the stream subject that it is; needed for CAS together with a TTL. */
export const kvEntry = (bucket: string, key: string) => `$KV.${bucket}.${key}`
export const anyKvEntry = (bucket: string) => `$KV.${bucket}.>`
/** `KV_<bucket>`: the stream that a bucket is. */
export const kvStream = (bucket: string) => `KV_${bucket}`

/** `OBJ_<bucket>`: the stream that an object store is. Source: NATS ADR-20, "JetStream based Object Stores". */
export const objectStream = (bucket: string) => `OBJ_${bucket}`
/** `$O.<bucket>.M.<name as base64url>`: what is known of one object; an object without it does not exist. */
export const objectMeta = (bucket: string, name: string) => {
  // ADR-20 pads, which Node's base64url does not.
  const encoded = Buffer.from(name).toString('base64url')
  return `$O.${bucket}.M.${encoded.padEnd(Math.ceil(encoded.length / 4) * 4, '=')}`
}
/** `$O.<bucket>.C.<upload>`: the bytes of one upload, in order. */
export const objectChunks = (bucket: string, upload: string) => `$O.${bucket}.C.${token(upload)}`
export const anyObject = (bucket: string) => [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`]

/** Tokens a subject is made of, for reading addresses back. */
export const tokens = (subject: string): string[] => subject.split('.')
