/**
 * Asking JetStream until it answers.
 *
 * A request to JetStream can end without an answer: the link broke, the server restarts, a replicated stream has no
 * leader for 4–7 s (reference measurement, three replicas, kill -9 of the leader). Then nobody knows whether it was carried
 * out. Whoever can bear its being carried out twice, because of a message id, an expected revision or its nature, insists:
 * waits for the link, and asks again.
 */
import { JetStreamApiError } from '@nats-io/jetstream'
import { errors } from 'nats'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'

// Several elections of a replicated stream, or a restart of a server with a large store.
const PATIENCE_MS = 30_000
// The client gives a question 5 s; a link that is cut and back is noticed at once, see below.
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1_000

/** Whether this ended a request without saying what became of it, so that asking again makes sense. */
export function isUnanswered(error: unknown): boolean {
  if (error instanceof LinkCameBack || error instanceof errors.TimeoutError) return true
  if (error instanceof errors.RequestError) return error.isNoResponders()
  // 503 is JetStream's own "not now": no leader yet, still recovering. Source: nats-server, errors.json.
  if (error instanceof JetStreamApiError) return error.status === 503
  // How nats.js puts "no responders" to a publish: no stream takes the subject, or it has no leader. Not exported.
  return error instanceof Error && error.name === 'JetStreamNotEnabled'
}

/**
 * Carries out `attempt` again and again until it ends with an answer, which may be an error. Attempts are told how many
 * went before them unanswered. Throws BusError BUS_STORE_UNAVAILABLE when there is no answer within `patienceMs` (default
 * 30 s); an attempt may then have been carried out all the same. Throws BUS_CLOSED, and BUS_PAYLOAD_TOO_LARGE.
 */
export async function insist<T>(
  bus: Bus,
  what: string,
  attempt: (unanswered: number) => Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + patienceMs
  let pauseMs = FIRST_PAUSE_MS
  for (let unanswered = 0; ; unanswered++) {
    try {
      await within(linked(bus), deadline)
      return await unlessCut(bus, within(attempt(unanswered), deadline))
    } catch (error) {
      if (error instanceof OutOfPatience) throw unavailable(what, error)
      if (!isUnanswered(error)) throw known(what, error)
      if (performance.now() + pauseMs >= deadline) throw unavailable(what, error)
      // A link that has just come back needs no pause.
      if (!(error instanceof LinkCameBack)) {
        await pause(pauseMs)
        pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
      }
    }
  }
}

/** Carries out `attempt` once, when the link is up. Throws BusError BUS_STORE_UNAVAILABLE when no answer came. */
export async function askOnce<T>(
  bus: Bus,
  what: string,
  attempt: () => Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  try {
    await within(linked(bus), performance.now() + patienceMs)
    return await attempt()
  } catch (error) {
    if (error instanceof OutOfPatience || isUnanswered(error)) throw unavailable(what, error)
    throw known(what, error)
  }
}

class LinkCameBack extends Error {}
class OutOfPatience extends Error {}

const unavailable = (what: string, cause: unknown): BusError =>
  new BusError('BUS_STORE_UNAVAILABLE', `${what}: JetStream did not answer`, cause)

function known(what: string, error: unknown): unknown {
  if (error instanceof errors.ClosedConnectionError) {
    return new BusError('BUS_CLOSED', `${what}: the bus is closed`, error)
  }
  if (error instanceof errors.InvalidArgumentError) {
    return new BusError('BUS_PAYLOAD_TOO_LARGE', `${what}: over the server's max_payload`, error)
  }
  return error
}

/** A closed bus never becomes ready. */
const linked = (bus: Bus): Promise<void> =>
  bus.nats.isClosed() ? Promise.reject(new errors.ClosedConnectionError()) : bus.ready()

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function within<T>(promise: Promise<T>, deadline: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new OutOfPatience()), Math.max(0, deadline - performance.now()))
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** nats.js lets a request that was cut off wait for its timeout; the answer will not come on the new link. */
async function unlessCut<T>(bus: Bus, answer: Promise<T>): Promise<T> {
  let forget = () => {}
  const cut = new Promise<never>((_, reject) => {
    forget = bus.onReconnect(() => reject(new LinkCameBack()))
  })
  try {
    return await Promise.race([answer, cut])
  } finally {
    forget()
    answer.catch(() => {})
  }
}
