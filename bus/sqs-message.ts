/**
 * A message of an SQS queue, and how it is stored and removed.
 *
 * The body is stored as it is. What SQS tells beside it is in headers, but for message attributes, which may be larger than
 * headers may (64 kB): they are JSON in front of the body, and a header says how long that is.
 *
 * A message lives as long as its queue keeps messages, by a time to live of its own. A delayed one is a schedule until it
 * is due. Removing one is removing it from the stream by its sequence: an acknowledgement would do the same more cheaply,
 * but a server that was killed forgets deliveries of the last 100 ms, and then it ignores their acknowledgements.
 * Source: reference nats.md §0.8, §2.9; the ignoring was read in nats-server, consumer.go, processAckMsg.
 */
import { JetStreamApiError } from '@nats-io/jetstream'
import { headers, type Msg, type MsgHdrs } from 'nats'
import type { Bus } from './bus.ts'
import { insist } from './insist.ts'
import type { QueueRecord } from './sqs-queues.ts'
import { sqsDelayed, sqsQueue, sqsStream } from './subjects.ts'

/** AWS's own shape, binary values in base64. */
export type MessageAttribute = { DataType: string; StringValue?: string; BinaryValue?: string }
export type MessageAttributes = Record<string, MessageAttribute>

export type QueueMessage = {
  /** A UUID. */
  messageId: string
  body: Uint8Array
  attributes: MessageAttributes
  /** AWS's only system attribute that a sender may give. */
  traceHeader?: string
  sentAtMs: number
  /** How often it was received before it came to this queue. */
  earlierReceives?: number
  /** The queue that it failed in. */
  deadLetterSource?: string
}

export type StoreOptions = {
  delaySeconds?: number
  /** The same within ten minutes is stored once, unless the server was restarted and the first one is deleted. */
  deduplicationId?: string
  /** Absent: as long as the queue keeps its messages. */
  timeToLiveMs?: number
  patienceMs?: number
}

const idHeader = 'Lambus-Message-Id'
const sentHeader = 'Lambus-Sent-Ms'
const besideHeader = 'Lambus-Beside-Bytes'
const receivesHeader = 'Lambus-Earlier-Receives'
const sourceHeader = 'Lambus-Dead-Letter-Source'
// The shortest that NATS has: reference nats.md §0.3.
const SHORTEST_MS = 1_000
// nats-server, errors.json: no message found; sequence not found, when it is the last one or beyond.
const NO_MESSAGE: number[] = [10057, 10043]

/**
 * Stores a message; resolves when it is on disk. Once more when an answer does not come, so that it may be there twice
 * if it has no `deduplicationId`. Throws BusError BUS_STORE_UNAVAILABLE, BUS_PAYLOAD_TOO_LARGE.
 */
export async function storeMessage(
  bus: Bus,
  queue: QueueRecord,
  message: QueueMessage,
  options: StoreOptions = {},
): Promise<void> {
  const { name, incarnation } = queue
  const { delaySeconds = 0, deduplicationId } = options
  const target = sqsQueue(name, incarnation)
  const { payload, head } = written(message)
  const lifeMs = options.timeToLiveMs ?? queue.settings.retentionSeconds * 1000
  const ttl = `${Math.max(Math.ceil(lifeMs), SHORTEST_MS)}ms`
  const subject = delaySeconds === 0 ? target : sqsDelayed(name, incarnation, message.messageId)
  const at = new Date(message.sentAtMs + delaySeconds * 1000)
  await insist(
    bus,
    subject,
    () =>
      bus.jetstream.publish(subject, payload, {
        headers: head,
        // Ids are remembered by stream, and all queues are in one.
        ...(deduplicationId === undefined ? {} : { msgID: `${incarnation}:${deduplicationId}` }),
        ...(delaySeconds === 0 ? { ttl } : { schedule: { specification: at, target, ttl } }),
      }),
    options.patienceMs,
  )
}

/** Removes a message, wherever it is. That it is gone already is no error. Throws BusError BUS_STORE_UNAVAILABLE. */
export async function removeMessage(bus: Bus, sequence: number): Promise<void> {
  await insist(bus, sqsStream, async () => {
    const { streams } = await bus.jetstreamManager()
    try {
      await streams.deleteMessage(sqsStream, sequence, false)
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || !NO_MESSAGE.includes(error.code)) throw error
    }
  })
}

/** Whether it is still in that queue. Throws BusError BUS_STORE_UNAVAILABLE. */
export const messageExists = (bus: Bus, queue: QueueRecord, sequence: number): Promise<boolean> =>
  insist(bus, sqsStream, async () => {
    const { streams } = await bus.jetstreamManager()
    const found = await streams.getMessage(sqsStream, { seq: sequence })
    return found?.subject === sqsQueue(queue.name, queue.incarnation)
  })

function written(message: QueueMessage): { payload: Uint8Array; head: MsgHdrs } {
  const head = headers()
  head.set(idHeader, message.messageId)
  head.set(sentHeader, String(message.sentAtMs))
  const { earlierReceives, deadLetterSource, attributes, traceHeader, body } = message
  if (earlierReceives !== undefined) head.set(receivesHeader, String(earlierReceives))
  if (deadLetterSource !== undefined) head.set(sourceHeader, deadLetterSource)
  if (traceHeader === undefined && Object.keys(attributes).length === 0) {
    return { payload: body, head }
  }
  const beside = Buffer.from(JSON.stringify({ attributes, traceHeader }))
  head.set(besideHeader, String(beside.length))
  return { payload: Buffer.concat([beside, body]), head }
}

/** What a stored message says. */
export function readMessage({ data, headers: head }: Msg): QueueMessage {
  const header = (name: string): string | undefined => head?.get(name) || undefined
  const besideBytes = Number(header(besideHeader) ?? 0)
  const beside: Pick<QueueMessage, 'traceHeader'> & { attributes?: MessageAttributes } =
    besideBytes === 0 ? {} : JSON.parse(Buffer.from(data.subarray(0, besideBytes)).toString())
  const [earlierReceives, deadLetterSource] = [header(receivesHeader), header(sourceHeader)]
  return {
    messageId: header(idHeader) ?? '',
    body: data.subarray(besideBytes),
    attributes: beside.attributes ?? {},
    sentAtMs: Number(header(sentHeader)),
    ...(beside.traceHeader === undefined ? {} : { traceHeader: beside.traceHeader }),
    ...(earlierReceives === undefined ? {} : { earlierReceives: Number(earlierReceives) }),
    ...(deadLetterSource === undefined ? {} : { deadLetterSource }),
  }
}
