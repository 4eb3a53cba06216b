/**
 * How the events of durable actors come to a process.
 *
 *     stream ──pull──▶ in hand ──▶ lane of its actor ──▶ handler ──▶ acknowledged: gone
 *                         │ nonsense                        │ throws
 *                         ▼                                 ▼
 *                     terminated                   given back, with a growing delay
 *
 * Everything in hand is claimed again and again ("working"), also what still waits in its lane: otherwise the server
 * would give it to somebody else while an earlier event of the same actor takes its time. An acknowledgement is not
 * waited for, and the server works it off some milliseconds after it has received it. If it is lost on the way, the event
 * comes again and the handler sees from `sequence` that it had it.
 *
 * Only what there is room for is asked for, one pull after the other. `consume()` of nats.js would keep a buffer that
 * nobody claims, and would sleep through the deletion of its consumer.
 * Source: reference nats.md §0.8, §2.5, §2.10.
 */
import {
  AckPolicy,
  type Consumer,
  type ConsumerMessages,
  JetStreamApiError,
  type JsMsg,
} from '@nats-io/jetstream'
import { nanos } from 'nats'
import type { Bus, Log } from './bus.ts'
import type { DurableEvent } from './durable-inbox.ts'
import { decodeToken, encodeToken } from './encoded-token.ts'
import { openGivenBack } from './given-back.ts'
import { insist } from './insist.ts'
import { openLanes } from './lanes.ts'
import {
  anyDurable,
  durableConsumer,
  durableStream,
  eventIdHeader,
  schedulerHeader,
  tokens,
} from './subjects.ts'

export type Delivery = {
  instance: string
  event: DurableEvent
  /** Position in the stream: grows, with gaps; the same when the event comes again. */
  sequence: number
  /** It came before, here or elsewhere: then it may have been handled. */
  redelivered: boolean
  /** What it was posted with. */
  id: string | undefined
  /** Which timer it comes from, if it does. */
  timer: string | undefined
  /** Claims it for another `ackWaitMs`. Done anyway while the handler runs, as long as the event loop turns. */
  working(): void
}

export type Handle = (delivery: Delivery) => Promise<void>

export type Consumption = {
  readonly counts: { readonly handled: number; readonly failed: number; readonly poisoned: number }
  /** Takes no more events, gives back those not begun, and waits for the running handlers and their acknowledgements. */
  stop(): Promise<void>
}

type Options = {
  machine: string
  handle: Handle
  concurrency: number
  ackWaitMs: number
  log?: Log
  /** Makes sure of the stream. */
  ensure(): Promise<unknown>
}

type InHand = { position: number; instance: string; event: DurableEvent; message: JsMsg }

// So that actors with many events waiting do not keep those of others out: a few more in hand than in work.
const IN_HAND_PER_HANDLER = 4
// A pull that the server has forgotten, because its leader changed, is noticed after two missed heartbeats.
const PULL_MS = 10_000
const PULL_HEARTBEAT_MS = 2_500
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 30_000
// Events may go to other processes and never come back; to forget their failures makes the next delay short, no more.
const REMEMBERED_FAILURES = 10_000
// An older event is due and not here yet: it is a matter of milliseconds.
const WAIT_MS = 20
// How late an event that was given back may be before it has gone to another process: the server is prompt to some ms.
const RETURN_MS = 1_000
const PULL_PAUSE_MS = 200
// nats-server, errors.json: the consumer exists with other settings.
const CONSUMER_EXISTS = 10148

export async function consume(bus: Bus, options: Options): Promise<Consumption> {
  const { machine, handle, concurrency, ackWaitMs, log } = options
  const counts = { handled: 0, failed: 0, poisoned: 0 }
  const inHand = new Map<number, InHand>()
  const givenBack = openGivenBack(RETURN_MS)
  /** By sequence. The server's count of deliveries will not do: it also counts those that only had to wait. */
  const failures = new Map<number, number>()
  const acknowledging = new Set<Promise<void>>()
  const mostInHand = concurrency * IN_HAND_PER_HANDLER
  let stopping = false
  let pulling: ConsumerMessages | undefined
  let roomMade = () => {}

  const letGo = (event: InHand) => {
    inHand.delete(event.position)
    roomMade()
  }

  /** Gives an event to whoever is next. */
  const handOver = (event: InHand) => {
    letGo(event)
    quietly(() => event.message.nak())
  }

  /** Gives an event back for a while; younger ones of its actor wait for it. */
  const putOff = (event: InHand, delayMs: number) => {
    letGo(event)
    givenBack.add(event.instance, event.position, performance.now() + delayMs)
    quietly(() => event.message.nak(delayMs))
  }

  const acknowledge = (event: InHand) => {
    // On a bus that was closed meanwhile nothing is acknowledged, and the event comes again.
    const done = bus.ready().then(
      () => quietly(() => event.message.ack()),
      () => {},
    )
    acknowledging.add(done)
    void done.then(() => acknowledging.delete(done))
  }

  const failed = (event: InHand, error: unknown) => {
    counts.failed += 1
    const earlier = failures.get(event.position) ?? 0
    if (failures.size >= REMEMBERED_FAILURES) failures.clear()
    failures.set(event.position, earlier + 1)
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** earlier, LONGEST_RETRY_MS)
    log?.warn(
      { code: 'BUS_EVENT_GIVEN_BACK', machine, sequence: event.position, delayMs, err: error },
      'an event was not handled and comes again',
    )
    for (const each of [event, ...lanes.takeBack(event.instance)]) putOff(each, delayMs)
  }

  const work = async (event: InHand) => {
    try {
      await handle(deliver(event))
      counts.handled += 1
      failures.delete(event.position)
      acknowledge(event)
      letGo(event)
    } catch (error) {
      failed(event, error)
    }
  }
  const lanes = openLanes<InHand>(concurrency, work)

  const take = (message: JsMsg) => {
    const held = inHand.get(message.seq)
    if (held !== undefined) {
      // The server gave up on us too early. Whichever delivery is acknowledged, the event is gone.
      held.message = message
      return
    }
    const event = read(message)
    if (typeof event === 'string') {
      counts.poisoned += 1
      log?.error(
        { code: 'BUS_POISON', subject: message.subject, sequence: message.seq, reason: event },
        'an event that no actor can take was removed',
      )
      quietly(() => message.term(event))
      return
    }
    if (stopping) return handOver(event)
    const nowMs = performance.now()
    const dueMs = givenBack.arrived(event.instance, event.position, nowMs)
    if (dueMs !== undefined) return putOff(event, Math.max(dueMs - nowMs, WAIT_MS))
    inHand.set(event.position, event)
    lanes.add(event.instance, event)
  }

  const pull = async () => {
    let consumer: Consumer | undefined
    while (!stopping && !bus.nats.isClosed()) {
      // Fewer, larger pulls when there is much to do.
      while (inHand.size > mostInHand / 2 && !stopping) {
        await new Promise<void>((resolve) => {
          roomMade = resolve
        })
      }
      if (stopping) return
      try {
        consumer ??= await ensureConsumer(bus, options)
        pulling = await consumer.fetch({
          max_messages: mostInHand - inHand.size,
          expires: PULL_MS,
          idle_heartbeat: PULL_HEARTBEAT_MS,
        })
        // stop() may have been called while the pull was being made.
        if (stopping) void pulling.close()
        for await (const message of pulling) take(message)
      } catch (error) {
        // Deleted, without a leader, unreachable: asking for the consumer again waits for whatever it takes.
        consumer = undefined
        if (stopping || bus.nats.isClosed()) return
        log?.warn({ code: 'BUS_PULL_ENDED', machine, err: error }, 'pulling events begins anew')
        await new Promise((resolve) => setTimeout(resolve, PULL_PAUSE_MS))
      }
    }
  }

  await ensureConsumer(bus, options)
  const forget = bus.onReconnect(() => void pulling?.close())
  const claiming = setInterval(() => {
    if (bus.nats.isClosed()) clearInterval(claiming)
    for (const event of inHand.values()) quietly(() => event.message.working())
    givenBack.tidy(performance.now())
  }, ackWaitMs / 3)
  const pulled = pull()

  const stop = async () => {
    stopping = true
    forget()
    roomMade()
    // In this order: an open pull would get back at once what is given back.
    void pulling?.close()
    for (const event of lanes.takeBackAll()) handOver(event)
    while (inHand.size > 0) {
      await new Promise<void>((resolve) => {
        roomMade = resolve
      })
    }
    await pulled
    clearInterval(claiming)
    if (!bus.up) return
    await Promise.all(acknowledging)
    await bus.nats.flush().catch(() => {})
  }
  let stopped: Promise<void> | undefined
  return {
    counts,
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}

function deliver({ message, instance, event, position }: InHand): Delivery {
  const schedule = message.headers?.get(schedulerHeader)
  return {
    instance,
    event,
    sequence: position,
    redelivered: message.redelivered,
    id: message.headers?.get(eventIdHeader) || undefined,
    timer: schedule ? decodeToken(tokens(schedule).at(-1) ?? '') : undefined,
    working: () => quietly(() => message.working()),
  }
}

/** The event of a message, or what is wrong with it. */
function read(message: JsMsg): InHand | string {
  const instance = decodeToken(tokens(message.subject).at(-1) ?? '')
  if (instance === undefined) return 'its subject names no actor'
  try {
    const event = message.json<DurableEvent>()
    if (typeof event?.type !== 'string') return 'it has no type'
    if (event.type.startsWith('xstate.')) return "its type is one of XState's own"
    return { position: message.seq, instance, event, message }
  } catch {
    return 'it is not JSON'
  }
}

const ensureConsumer = (bus: Bus, { machine, ackWaitMs, ensure }: Options): Promise<Consumer> => {
  const name = encodeToken(machine)
  const settings = {
    durable_name: durableConsumer(name),
    filter_subject: anyDurable(name),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    // Events that were given back count as pending, and must not keep others out.
    max_ack_pending: -1,
    max_deliver: -1,
  }
  return insist(bus, settings.durable_name, async () => {
    const { consumers } = await bus.jetstreamManager()
    await ensure()
    const info = await consumers.add(durableStream, settings).catch((error) => {
      if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_EXISTS) throw error
      return consumers.update(durableStream, settings.durable_name, { ack_wait: settings.ack_wait })
    })
    return bus.jetstream.consumers.getConsumerFromInfo(info)
  })
}

/** What is said to a server that we lost is lost; the event comes again. */
function quietly(say: () => void): void {
  try {
    say()
  } catch {}
}
