/**
 * What JetStream puts around a message that it delivers to a consumer.
 */
import type { Msg, NatsConnection } from 'nats'
import { tokens } from './subjects.ts'

export type Delivered = {
  /** Of the stream. */
  sequence: number
  /** Of the consumer: deliveries so far, this one included. */
  count: number
  /** Messages of the stream still to be delivered after this one. */
  pending: number
  /** When the server stored it; milliseconds since the epoch, by its clock. */
  storedAtMs: number
}

/**
 * The reply of a delivered message says where it comes from: `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<count>.
 * <time>.<pending>`, and from nats-server 2.16 on with domain and account in front of the stream.
 */
export function readDelivered(message: Msg): Delivered {
  const parts = tokens(message.reply ?? '')
  const shift = parts.length === 9 ? 0 : 2
  return {
    sequence: Number(parts[5 + shift]),
    count: Number(parts[6 + shift]),
    pending: Number(parts[8 + shift]),
    storedAtMs: Math.floor(Number(parts[7 + shift]) / 1e6),
  }
}

/** Where a role may listen. nats.js keeps it, and its own packages read it there too. */
export const inboxPrefix = (nats: NatsConnection): string | undefined =>
  (nats as unknown as { options: { inboxPrefix?: string } }).options.inboxPrefix
