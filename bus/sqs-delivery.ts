/**
 * Putting a message into an SQS queue of ours from outside the SQS API: dead letters and records of destinations.
 *
 * Needs no copy of the queues and no front end: one read of the queue's record and one write of the message.
 */
import type { Bus, Clock } from './bus.ts'
import { BusError } from './bus-error.ts'
import { type MessageAttributes, storeMessage } from './sqs-message.ts'
import { readQueue } from './sqs-queues.ts'

export type SqsDelivery = {
  queueName: string
  body: string
  messageAttributes?: MessageAttributes
  systemAttributes?: { AWSTraceHeader?: string }
  /** The same for one queue within ten minutes is stored once, however often it is delivered. */
  deduplicationId: string
}

/** `no such queue` and `too large` will not change by trying again; `unavailable` may have stored it all the same. */
export type SqsDelivered = { messageId: string } | 'no such queue' | 'too large' | 'unavailable'

export type DeliverToQueue = (delivery: SqsDelivery) => Promise<SqsDelivered>

const encoder = new TextEncoder()

/** Resolves with what became of it; `patienceMs` (default 30 s) is how long JetStream is asked until it answers. */
export function sqsDelivery(
  bus: Bus,
  options: { clock: Pick<Clock, 'nowMs'>; newId: () => string; patienceMs?: number },
): DeliverToQueue {
  const { clock, newId, patienceMs } = options
  return async (delivery) => {
    const body = encoder.encode(delivery.body)
    const attributes = delivery.messageAttributes ?? {}
    const traceHeader = delivery.systemAttributes?.AWSTraceHeader
    try {
      const queue = await readQueue(bus, delivery.queueName, patienceMs)
      if (queue === undefined) return 'no such queue'
      const bytes = messageBytes(body, attributes)
      if (bytes > queue.settings.maximumMessageBytes) return 'too large'
      const messageId = newId()
      await storeMessage(
        bus,
        queue,
        {
          messageId,
          body,
          attributes,
          sentAtMs: clock.nowMs(),
          ...(traceHeader === undefined ? {} : { traceHeader }),
        },
        {
          deduplicationId: delivery.deduplicationId,
          delaySeconds: queue.settings.delaySeconds,
          ...(patienceMs === undefined ? {} : { patienceMs }),
        },
      )
      return { messageId }
    } catch (error) {
      if (!(error instanceof BusError)) throw error
      if (error.code === 'BUS_STORE_UNAVAILABLE') return 'unavailable'
      if (error.code === 'BUS_PAYLOAD_TOO_LARGE') return 'too large'
      throw error
    }
  }
}

/**
 * What counts against a queue's maximum: the body, and of each attribute name, type and value.
 * Source: SQS Developer Guide, "Message quotas".
 */
export function messageBytes(body: Uint8Array, attributes: MessageAttributes): number {
  let bytes = body.length
  for (const [name, { DataType, StringValue, BinaryValue }] of Object.entries(attributes)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(DataType)
    if (StringValue !== undefined) bytes += Buffer.byteLength(StringValue)
    if (BinaryValue !== undefined) bytes += Buffer.byteLength(BinaryValue, 'base64')
  }
  return bytes
}
