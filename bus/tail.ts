/**
 * The messages of a stream, as they are stored: from a sequence on, or first the newest of each subject.
 *
 * It is an ephemeral push consumer that notices by itself when it is not what it should be. Messages are counted by the
 * consumer, so a lost one shows with the next, or with the next heartbeat, which carries the count. (The consumers of
 * nats.js ignore it there, and a message lost in a dying connection stays lost until the next one comes.) It does not
 * repair itself: it says `broken` once, and its owner opens another one where this one ended.
 * Source: NATS docs, "Consumers"; nats-server, consumer.go (subjects and headers of flow control and heartbeats).
 */
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream'
import { createInbox, type Msg, nanos, nuid } from 'nats'
import type { Bus } from './bus.ts'
import { inboxPrefix, readDelivered } from './delivered.ts'
import { insist } from './insist.ts'

export type Tail = {
  /** Hears no more, and takes the consumer away: a stream has room for 1000 by default (nats-server 2.15). */
  stop(): void
}

export type TailListener = {
  message(message: Msg, sequence: number): void
  /** Everything that was there when the tail was opened has been heard, or is not there any more. Once. */
  caughtUp(): void
  /** Something was lost, or the consumer is gone. Nothing is heard after this. */
  broken(why: string): void
}

const HEARTBEAT_MS = 5_000
// A process that vanished leaves its consumer behind for this long.
const ABANDONED_MS = 30_000

/** `from` absent: the newest of each subject, then what follows. Throws BusError BUS_STORE_UNAVAILABLE. */
export async function openTail(
  bus: Bus,
  where: { stream: string; subject: string; from: number | undefined },
  listener: TailListener,
): Promise<Tail> {
  const { stream, subject, from } = where
  const inbox = createInbox(inboxPrefix(bus.nats))
  const name = `lambus_tail_${nuid.next()}`
  let heard = 0
  let stopped = false
  let caughtUp = false

  const stop = () => {
    if (stopped) return
    stopped = true
    subscription.stop()
    if (bus.up) void remove(bus, stream, name)
  }
  const broken = (why: string) => {
    stop()
    listener.broken(why)
  }
  const nothingPending = () => {
    if (caughtUp) return
    caughtUp = true
    listener.caughtUp()
  }

  const control = (message: Msg) => {
    if (message.headers?.code !== 100) {
      return broken(message.headers?.description ?? 'refused')
    }
    // With a reply it is flow control's question whether we have come this far.
    if (message.reply) return void message.respond()
    const stalled = message.headers.get('Nats-Consumer-Stalled')
    if (stalled !== '') bus.publish(stalled)
    // Heartbeats are sent only when nothing is waiting to be sent.
    if (Number(message.headers.get('Nats-Last-Consumer')) !== heard)
      return broken('a message is missing')
    nothingPending()
  }

  const subscription = bus.subscribe(inbox, (message) => {
    if (stopped) return
    if (message.subject === inbox) return control(message)
    const delivery = readDelivered(message)
    if (delivery.count !== heard + 1) return broken('a message is missing')
    heard = delivery.count
    listener.message(message, delivery.sequence)
    if (delivery.pending === 0 && !stopped) nothingPending()
  })

  try {
    const created = await insist(bus, `a consumer of ${stream}`, async () => {
      const manager = await bus.jetstreamManager()
      return await manager.consumers.add(stream, {
        name,
        deliver_subject: inbox,
        filter_subject: subject,
        ...(from === undefined
          ? { deliver_policy: DeliverPolicy.LastPerSubject }
          : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from }),
        ack_policy: AckPolicy.None,
        max_deliver: 1,
        flow_control: true,
        idle_heartbeat: nanos(HEARTBEAT_MS),
        inactive_threshold: nanos(ABANDONED_MS),
        num_replicas: 1,
        mem_storage: true,
      })
    })
    // Zero pending and something delivered: that is still on its way to us.
    if (!stopped && created.num_pending === 0 && created.delivered.consumer_seq === 0) {
      nothingPending()
    }
  } catch (error) {
    stop()
    throw error
  }
  return { stop }
}

async function remove(bus: Bus, stream: string, name: string): Promise<void> {
  try {
    const manager = await bus.jetstreamManager()
    await manager.consumers.delete(stream, name)
  } catch {
    // Gone already, or it will be when nobody has listened for a while.
  }
}
