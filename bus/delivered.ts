/**
 * What JetStream puts around a message that it delivers to a consumer.
 */
import type { Msg, NatsConnection } from 'nats'

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
export function readDelivered({ reply = '' }: Msg): Delivered {
  // From behind: what stands in front differs, and a list of all its parts would be made for each record of a shard.
  const beforePending = reply.lastIndexOf('.')
  const beforeTime = reply.lastIndexOf('.', beforePending - 1)
  const beforeCount = reply.lastIndexOf('.', beforeTime - 1)
  const beforeSequence = reply.lastIndexOf('.', beforeCount - 1)
  return {
    sequence: Number(reply.slice(beforeSequence + 1, beforeCount)),
    count: Number(reply.slice(beforeCount + 1, beforeTime)),
    pending: Number(reply.slice(beforePending + 1)),
    storedAtMs: Math.floor(Number(reply.slice(beforeTime + 1, beforePending)) / 1e6),
  }
}

/** Where a role may listen. nats.js keeps it, and its own packages read it there too. */
export const inboxPrefix = (nats: NatsConnection): string | undefined =>
  (nats as unknown as { options: { inboxPrefix?: string } }).options.inboxPrefix
