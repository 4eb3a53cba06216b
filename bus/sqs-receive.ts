/**
 * Taking messages out of an SQS queue: one pull on the consumer that all front ends share.
 *
 *     ask for n ──▶ what is there comes at once ─────────────▶ "404": that was all
 *           └─────▶ nothing there: wait ──▶ the first comes, and what came with it ──▶ "404"
 *                                     └───▶ time is over ──▶ "408"
 *
 * `no_wait` together with `expires` is exactly SQS's long poll: the server itself ends the pull, so that nothing is on its
 * way to somebody who has stopped listening. Who is called off listens until the server knows it, and gives back what
 * came meanwhile. What was sent into a connection that died comes again when its visibility timeout is over.
 * Source: nats-server, consumer.go (processNextMsgRequest, processWaiting); measured on 2.15.1.
 */
import { createInbox, type Msg } from 'nats'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'
import { inboxPrefix } from './delivered.ts'
import { type QueueMessage, readMessage } from './sqs-message.ts'
import { type QueueRecord, readQueue, type SqsQueues } from './sqs-queues.ts'
import { acknowledgement, nextMessages, sqsStream, tokens } from './subjects.ts'

/** One delivery of a message: what has to be said to speak of it again. */
export type Delivery = {
  consumer: string
  sequence: number
  /** How often it was delivered from this queue, this time included. */
  deliveries: number
  /** The tokens of its acknowledgement, behind stream and consumer. */
  tokens: string[]
}

export type Received = { delivery: Delivery; message: QueueMessage }

type Pull = { messages: Received[]; end: 'full' | 'over' | 'lost' | 'no consumer' | 'called off' }

// Beyond what was asked for: a server that does not end a pull is gone.
const GRACE_MS = 2_000
const PAUSE_MS = 100
// How long a receive that does not wait for messages waits for a server that has gone.
const PATIENCE_MS = 5_000

/**
 * Up to `most` messages, as soon as there is one; none when `waitMs` are over, `signal` says so, or the queue is deleted. Throws BusError
 * BUS_STORE_UNAVAILABLE when the server did not answer in that time (5 s at least), BUS_CLOSED.
 */
export async function receive(
  bus: Bus,
  queues: Pick<SqsQueues, 'consumer' | 'forgetConsumer' | 'read'>,
  queue: QueueRecord,
  options: { most: number; waitMs: number; signal?: AbortSignal | undefined },
): Promise<Received[]> {
  const { most, waitMs, signal } = options
  const started = performance.now()
  const leftMs = () => waitMs - (performance.now() - started)
  const patienceLeftMs = () => Math.max(waitMs, PATIENCE_MS) - (performance.now() - started)
  while (signal?.aborted !== true) {
    const consumer = await inTime(queues.consumer(queue), patienceLeftMs())
    if (consumer === undefined) throw unavailable(queue)
    const pulled = await pull(bus, consumer, { most, waitMs: Math.max(0, leftMs()), signal })
    if (pulled.messages.length > 0) return pulled.messages
    if (pulled.end === 'called off') return []
    if (pulled.end === 'over' && leftMs() <= 0) return []
    if (pulled.end !== 'over') {
      // Without a look, the consumer of a deleted queue would be made again.
      queues.forgetConsumer(queue)
      const there = bus.up ? await readQueue(bus, queue.name, PATIENCE_MS) : queue
      if (there?.incarnation !== queue.incarnation) return []
      if (patienceLeftMs() < 0) throw unavailable(queue)
      await pause(PAUSE_MS)
    }
  }
  return []
}

const unavailable = ({ name }: QueueRecord) =>
  new BusError('BUS_STORE_UNAVAILABLE', `${name}: JetStream did not answer`)

/** Undefined when it takes longer. */
async function inTime<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.max(0, ms))
  })
  promise.catch(() => {})
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

async function pull(
  bus: Bus,
  consumer: string,
  options: { most: number; waitMs: number; signal: AbortSignal | undefined },
): Promise<Pull> {
  const { most, waitMs, signal } = options
  await readyUnless(bus, signal)
  if (signal?.aborted === true) return { messages: [], end: 'called off' }
  if (!bus.up) return { messages: [], end: 'lost' }
  const inbox = createInbox(inboxPrefix(bus.nats))
  const messages: Received[] = []
  return await new Promise<Pull>((resolve) => {
    let ended = false
    const finish = (end: Pull['end']) => {
      if (ended) return
      ended = true
      clearTimeout(deadline)
      forget()
      signal?.removeEventListener('abort', callOff)
      // What the server sends before it knows that nobody listens any more is still heard.
      subscription.stop()
      if (end === 'called off')
        for (const { delivery } of messages.splice(0)) giveBack(bus, delivery)
      resolve({ messages, end })
    }
    const callOff = () => finish('called off')
    const subscription = bus.subscribe(inbox, (message) => {
      const delivery = deliveryOf(message)
      if (delivery === undefined) return finish(endOf(message.headers?.code))
      if (ended) return giveBack(bus, delivery)
      messages.push({ delivery, message: readMessage(message) })
      if (messages.length === most) finish('full')
    })
    const deadline = setTimeout(() => finish('lost'), waitMs + GRACE_MS)
    const forget = bus.onReconnect(() => finish('lost'))
    signal?.addEventListener('abort', callOff)
    const asked = { batch: most, no_wait: true, ...expires(waitMs) }
    bus.publish(nextMessages(sqsStream, consumer), JSON.stringify(asked), { reply: inbox })
  })
}

/** In nanoseconds; the server takes one of less than a millisecond for none. */
const expires = (waitMs: number) => (waitMs < 1 ? {} : { expires: Math.ceil(waitMs) * 1_000_000 })

/** 404: no messages, or no more. 408: the time is over. 503: nobody listens there. 409: the consumer or server is going. */
const endOf = (code: number | undefined): Pull['end'] =>
  code === 404 || code === 408 ? 'over' : code === 503 ? 'no consumer' : 'lost'

/** Gives a message to whoever asks next. */
export function giveBack(bus: Bus, delivery: Delivery): void {
  bus.publish(subjectOf(delivery), '-NAK')
}

/**
 * Makes a message visible again in `delayMs` from now; 0: at once. Resolves when the server has it. Nothing happens to one
 * that is gone. Throws BusError BUS_STORE_UNAVAILABLE.
 */
export async function makeVisibleIn(bus: Bus, delivery: Delivery, delayMs: number): Promise<void> {
  const said = delayMs === 0 ? '-NAK' : `-NAK ${JSON.stringify({ delay: delayMs * 1_000_000 })}`
  const answer = await bus.request(subjectOf(delivery), said, { timeoutMs: PATIENCE_MS })
  if (typeof answer === 'string') {
    throw new BusError('BUS_STORE_UNAVAILABLE', `${delivery.consumer}: ${answer}`)
  }
}

const subjectOf = ({ consumer, tokens: of }: Delivery) => acknowledgement(sqsStream, consumer, of)

/** Where the reply of a message says that it comes from; nothing when it is a word of the server's. */
function deliveryOf(message: Msg): Delivery | undefined {
  const parts = tokens(message.reply ?? '')
  if (parts.length < 9) return undefined
  // From nats-server 2.16 on domain and account stand in front of the stream.
  const from = parts.length === 9 ? 2 : 4
  const [, consumer = '', ...rest] = parts.slice(from, from + 7)
  return {
    consumer,
    deliveries: Number(rest[0]),
    sequence: Number(rest[1]),
    tokens: rest,
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits for the link, until somebody says otherwise or it takes too long. */
async function readyUnless(bus: Bus, signal: AbortSignal | undefined): Promise<void> {
  if (bus.up) return
  let stopWaiting = () => {}
  const enough = new Promise<void>((resolve) => {
    stopWaiting = resolve
  })
  const timer = setTimeout(stopWaiting, PATIENCE_MS)
  signal?.addEventListener('abort', stopWaiting)
  try {
    await Promise.race([bus.ready(), enough])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stopWaiting)
  }
}
