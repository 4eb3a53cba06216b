/**
 * Tells one destination, or one dead-letter queue, how an event has ended.
 *
 *     SQS queue         the record, or the event with three attributes      stored once
 *     SNS topic         a notification of the same, on `lambus.sns.<topic>`  as below
 *     event bus         the record in an envelope, on `lambus.events.<bus>`  as below
 *     lambus:nats       the record, on that subject                          a stream stores it once; subscribers may hear it twice
 *     Lambda function   the record, as an event of that function             accepted once for each delivery
 *
 * Whatever comes of one end has the same ids, however often it is delivered. They hold the moment of that end, because an
 * event that was put back (`lambus events redrive`) ends again under its request id, and that is to be told, too.
 *
 * The trace goes along, with the invocation that ended counted in it: so a loop through a queue or a destination is found.
 * Source: lambda-semantics.md §4.4, §4.5, §4.6; DESIGN §3 for the subjects.
 */
import {
  type Announcement,
  announce,
  askUntilHeard,
  denied,
  serviceError,
} from '../bus/announce.ts'
import type { Bus } from '../bus/bus.ts'
import { BusError } from '../bus/bus-error.ts'
import type { StoredEvent, Telling } from '../bus/event-packet.ts'
import type { DeliverToQueue } from '../bus/sqs-delivery.ts'
import * as subjects from '../bus/subjects.ts'
import { deadLetter, type MessageAttributes } from '../edges/aws/dead-letter.ts'
import { destinationRecord, type EventEnd } from '../edges/aws/destination-record.ts'
import { type Target, targetOf } from '../edges/aws/destinations.ts'
import { eventEnd } from '../edges/aws/event-end.ts'
import { eventBridgeEnvelope } from '../edges/aws/eventbridge-envelope.ts'
import * as lineage from '../edges/aws/lineage.ts'
import { functionArn, type Place } from '../edges/aws/names.ts'
import { snsNotification } from '../edges/aws/sns-notification.ts'
import { makeTraceId } from '../edges/aws/trace-id.ts'
import { stableUuid } from '../edges/stable-uuid.ts'

export type DeliveryBinding = {
  bus: Bus
  deliverToQueue: DeliverToQueue
  place: Place
  /** Default 2000: how long "nobody listens" is not believed. */
  patienceMs?: number
}

export type Recipient = Telling['to'][number]

/** `mayPass`: trying again later may help; otherwise the destination has to be changed, or made. */
export type Delivered = 'delivered' | { undeliverable: string; mayPass: boolean }

export type Delivery = {
  /** The event has a `telling`. Waits for the link as long as it takes. Throws BusError BUS_CLOSED. */
  deliver(functionName: string, event: StoredEvent, to: Recipient): Promise<Delivered>
}

/** A stream on the same server answers within milliseconds; whoever only listens never does. */
const LISTEN_MS = 300
/** Longer than a front end tries to store an event. */
const ACCEPT_MS = 15_000
const PATIENCE_MS = 2_000

/** What is told, whatever the way: `id` is that of this end to this recipient. */
type Letter = {
  id: string
  end: EventEnd
  traceId: string
  body: Uint8Array
  attributes: MessageAttributes
}

export function openDelivery(binding: DeliveryBinding): Delivery {
  return {
    async deliver(functionName, event, to) {
      const target = targetOf(to.arn, binding.place)
      if (target === undefined) return hopeless(`'${to.arn}' names nothing that is here`)
      if (to.as === 'dead letter' && !takesDeadLetters(target)) {
        return hopeless('dead letters go to queues and topics only')
      }
      const letter = letterOf(binding.place, functionName, event, to)
      try {
        return await hand(binding, letter, target, to.arn)
      } catch (error) {
        if (!(error instanceof BusError)) throw error
        if (error.code === 'BUS_PAYLOAD_TOO_LARGE') return hopeless(tooLarge)
        if (error.code === 'BUS_BAD_SUBJECT') return hopeless(error.message)
        throw error
      }
    },
  }
}

const hopeless = (why: string): Delivered => ({ undeliverable: why, mayPass: false })
const tooLarge = 'it is larger than a message there may be'

/** Lambda API, DeadLetterConfig: "the Amazon Resource Name (ARN) of an Amazon SQS queue or Amazon SNS topic". */
const takesDeadLetters = ({ kind }: Target): boolean => kind === 'queue' || kind === 'topic'

function letterOf(
  place: Place,
  functionName: string,
  event: StoredEvent,
  { as }: Recipient,
): Letter {
  const { telling } = event
  if (telling === undefined) throw new Error(`of event ${event.id} there is nothing to tell`)
  const end = eventEnd(place, functionName, event, telling)
  const traceId = event.traceId ?? makeTraceId(event.id, event.acceptedAtMs)
  return {
    ...said(as, event, end),
    // A record is told once, however often somebody came to the same end.
    id: as === 'record' ? event.id : `${event.id}:${as}:${telling.endedAtMs}`.replace(' ', '-'),
    end,
    traceId: lineage.next(traceId, functionArn(place, functionName)),
  }
}

function said(
  as: Recipient['as'],
  event: StoredEvent,
  end: EventEnd,
): { body: Uint8Array; attributes: MessageAttributes } {
  if (as === 'dead letter') return deadLetter(end)
  return { body: as === 'record' ? event.payload : destinationRecord(end), attributes: {} }
}

function hand(
  binding: DeliveryBinding,
  letter: Letter,
  target: Target,
  arn: string,
): Promise<Delivered> {
  switch (target.kind) {
    case 'queue':
      return putIntoQueue(binding, letter, target.name)
    case 'topic':
      return say(binding, letter, subjects.snsTopic(target.name), notification(letter, arn))
    case 'bus':
      return say(binding, letter, subjects.eventBus(target.name), envelope(letter, arn))
    case 'subject':
      return say(binding, letter, target.subject, letter.body)
    case 'function':
      return invoke(binding, letter, target)
  }
}

async function putIntoQueue(
  { deliverToQueue }: DeliveryBinding,
  { id, body, attributes, traceId }: Letter,
  queueName: string,
): Promise<Delivered> {
  const outcome = await deliverToQueue({
    queueName,
    body: Buffer.from(body).toString(),
    messageAttributes: attributes,
    systemAttributes: { AWSTraceHeader: traceId },
    deduplicationId: id,
  })
  if (typeof outcome === 'object') return 'delivered'
  if (outcome === 'no such queue') return hopeless(`there is no queue '${queueName}'`)
  if (outcome === 'too large') return hopeless(tooLarge)
  return { undeliverable: `queue '${queueName}' does not answer`, mayPass: true }
}

const notification = ({ id, body, attributes, end }: Letter, topicArn: string) =>
  snsNotification({
    messageId: stableUuid(id),
    topicArn,
    message: body,
    timestampMs: end.timestampMs,
    attributes,
  })

const envelope = ({ id, body, end }: Letter, busArn: string) =>
  eventBridgeEnvelope({
    id: stableUuid(id),
    busArn,
    functionArn: end.functionArn,
    condition: end.condition,
    timestampMs: end.timestampMs,
    record: body,
  })

async function say(
  { bus, patienceMs = PATIENCE_MS }: DeliveryBinding,
  { id, traceId }: Letter,
  subject: string,
  body: Uint8Array | string,
): Promise<Delivered> {
  const headers = { 'Nats-Msg-Id': id, 'X-Amzn-Trace-Id': traceId }
  const announced = await announce(bus, { subject, body, headers, waitMs: LISTEN_MS, patienceMs })
  if (announced === 'heard') return 'delivered'
  if (announced === 'nobody')
    return { undeliverable: `nobody listens on ${subject}`, mayPass: true }
  return { undeliverable: announced.refused, mayPass: announced.passing }
}

async function invoke(
  { bus, patienceMs = PATIENCE_MS }: DeliveryBinding,
  { traceId, body }: Letter,
  { name, qualifier }: { name: string; qualifier: string | undefined },
): Promise<Delivered> {
  const asked: Announcement = {
    subject: subjects.invoke(name, qualifier),
    body,
    headers: { 'X-Amz-Invocation-Type': 'Event', 'X-Amzn-Trace-Id': traceId },
    waitMs: ACCEPT_MS,
    patienceMs,
  }
  const answer = await askUntilHeard(bus, asked)
  if (answer === 'no responders') return { undeliverable: 'there is no front end', mayPass: true }
  if (answer === 'timeout') return { undeliverable: 'no front end answered', mayPass: true }
  const error = answer === 'denied' ? denied(asked) : serviceError(answer)
  return error === undefined
    ? 'delivered'
    : { undeliverable: error.refused, mayPass: error.passing }
}
