/**
 * The two consumers of a lane's reader: one for events, one for ends.
 *
 * They push, and notice by themselves when something is missing: messages are counted, and a lost one shows with the next,
 * or with the next heartbeat. They do not repair themselves: they say `broken` once, and their owner makes them anew. The
 * server holds back what there is no room for: at most `mostPackets` are out, however many wait.
 * Source: NATS docs, "Consumers" (push consumers, MaxAckPending); reference nats.md §0.6, §2.10.
 */
import { AckPolicy, JetStreamApiError } from '@nats-io/jetstream'
import { createInbox, type Msg, nanos } from 'nats'
import type { Bus, Subscription } from './bus.ts'
import { inboxPrefix, readDelivered } from './delivered.ts'
import { insist } from './insist.ts'
import { anyEndOf, anyPacketOf, eventStream, laneConsumer } from './subjects.ts'

/** Never by time: who reads is a matter of the lease. */
const ACK_WAIT_MS = 86_400_000
const HEARTBEAT_MS = 3_000
/** Two heartbeats are missing. */
const SILENCE_MS = 2 * HEARTBEAT_MS + 1_000
/** Consumers of readers that vanished. */
const ABANDONED_MS = 300_000
// nats-server, errors.json: another consumer takes some of the same subjects.
const OVERLAPS = 10100

export type Listening = { stop(): void }

export type LaneListener = {
  queue: string
  lane: number
  mostPackets: number
  /** Names the consumers; `former` are in the way. Empty: there are none. */
  reader: string
  former: string
}

const channels = ['events', 'ends'] as const
type Channel = (typeof channels)[number]

/** Makes the consumers in place of all others of the lane. Throws BusError BUS_STORE_UNAVAILABLE, BUS_CLOSED. */
export async function listenToLane(
  bus: Bus,
  lane: LaneListener,
  take: (message: Msg, sequence: number) => void,
  broken: (why: string) => void,
): Promise<Listening> {
  const open: Listening[] = []
  let isBroken = false
  const stop = () => {
    for (const each of open) each.stop()
  }
  const breakOff = (why: string) => {
    if (isBroken) return
    isBroken = true
    stop()
    broken(why)
  }
  try {
    for (const channel of channels) open.push(await listen(bus, lane, channel, take, breakOff))
  } catch (error) {
    stop()
    throw error
  }
  return { stop }
}

async function listen(
  bus: Bus,
  { queue, lane, mostPackets, reader, former }: LaneListener,
  channel: Channel,
  take: (message: Msg, sequence: number) => void,
  broken: (why: string) => void,
): Promise<Listening> {
  const inbox = createInbox(inboxPrefix(bus.nats))
  const consumer = laneConsumer(queue, lane, reader, channel)
  const filter = channel === 'events' ? anyPacketOf(queue, lane) : anyEndOf(queue, lane)
  let heard = 0
  let stopped = false
  let silence: NodeJS.Timeout | undefined

  const stop = () => {
    stopped = true
    clearTimeout(silence)
    subscription.stop()
  }
  const breakOff = (why: string) => {
    if (stopped) return
    stop()
    broken(why)
  }
  const heardSomething = () => {
    clearTimeout(silence)
    silence = setTimeout(() => breakOff('silence'), SILENCE_MS)
  }
  const control = ({ headers }: Msg): void => {
    if (headers?.code !== 100) breakOff(headers?.description ?? 'refused')
    // Heartbeats are sent only when nothing is waiting to be sent.
    else if (Number(headers.get('Nats-Last-Consumer')) !== heard) breakOff('a message is missing')
  }
  const hear = (message: Msg): void => {
    if (stopped) return
    heardSomething()
    if (message.subject === inbox) {
      control(message)
      return
    }
    const { count, sequence } = readDelivered(message)
    if (count !== heard + 1) {
      breakOff('a message is missing')
      return
    }
    heard = count
    take(message, sequence)
  }
  const subscription: Subscription = bus.subscribe(inbox, hear)
  try {
    await insist(bus, consumer, async () => {
      const { consumers } = await bus.jetstreamManager()
      if (former !== '') await removeConsumer(bus, laneConsumer(queue, lane, former, channel))
      const add = () =>
        consumers.add(eventStream, {
          durable_name: consumer,
          deliver_subject: inbox,
          filter_subject: filter,
          ack_policy: AckPolicy.Explicit,
          ack_wait: nanos(ACK_WAIT_MS),
          max_ack_pending: mostPackets,
          max_deliver: -1,
          idle_heartbeat: nanos(HEARTBEAT_MS),
          inactive_threshold: nanos(ABANDONED_MS),
          // What it would remember over a restart of the server is not trusted anyway.
          mem_storage: true,
          num_replicas: 1,
        })
      await add().catch(async (error) => {
        if (!(error instanceof JetStreamApiError) || error.code !== OVERLAPS) throw error
        await removeConsumersOf(bus, filter)
        return add()
      })
    })
  } catch (error) {
    stop()
    throw error
  }
  heardSomething()
  return { stop }
}

export async function removeReader(
  bus: Bus,
  queue: string,
  lane: number,
  reader: string,
): Promise<void> {
  for (const channel of channels) {
    await removeConsumer(bus, laneConsumer(queue, lane, reader, channel))
  }
}

async function removeConsumer(bus: Bus, consumer: string): Promise<void> {
  try {
    await (await bus.jetstreamManager()).consumers.delete(eventStream, consumer)
  } catch {
    // Gone already, or it will be when nobody has listened for a while.
  }
}

/** Those of readers that nobody remembers. */
async function removeConsumersOf(bus: Bus, filter: string): Promise<void> {
  const { consumers } = await bus.jetstreamManager()
  for await (const { name, config } of consumers.list(eventStream)) {
    if (config.filter_subject === filter) await removeConsumer(bus, name)
  }
}
