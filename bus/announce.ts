/**
 * Saying something on a subject and learning whether anybody heard it.
 *
 *     a stream takes the subject            it answers: stored, or why not
 *     only subscribers                      nobody answers, and the server was there all the time: they have it
 *     nobody                                the server says so at once
 *     nobody may, with our permissions      the server says so, though not as an answer
 *     the link broke, or the server hangs   nothing is known: it is said again
 *
 * So a message may be heard twice by subscribers; a stream knows it by its `Nats-Msg-Id` and stores it once.
 * Source: NATS docs, "Request-Reply" (no responders), "JetStream publish"; all of it in test/bus/announce.test.ts.
 */
import { errors, type QueuedIterator, type Status } from 'nats'
import type { Bus, Msg, Outcome } from './bus.ts'
import { sentHeaders } from './sent-headers.ts'

export type Announcement = {
  subject: string
  body: Uint8Array | string
  headers: Record<string, string>
  /** How long an answer is waited for. */
  waitMs: number
  /** How long "nobody" is asked again: after a restart or an election those who listen come back one by one. */
  patienceMs: number
}

/** `passing`: it may be taken later. */
export type Announced = 'heard' | 'nobody' | { refused: string; passing: boolean }

const PAUSE_MS = 200

/** Throws BusError BUS_CLOSED, BUS_PAYLOAD_TOO_LARGE, BUS_BAD_SUBJECT. */
export async function announce(bus: Bus, announcement: Announcement): Promise<Announced> {
  const outcome = await askUntilHeard(bus, announcement)
  if (outcome === 'no responders') return 'nobody'
  if (outcome === 'timeout') return 'heard'
  if (outcome === 'denied') return denied(announcement)
  return serviceError(outcome) ?? storeError(outcome) ?? 'heard'
}

export const denied = ({ subject }: Announcement) => ({
  refused: `NATS denies us ${subject}`,
  passing: false,
})

/**
 * `no responders`: nobody listened for as long as there was patience. `timeout`: the server passed the message on, and
 * nobody answered. Throws as `announce` does.
 */
export async function askUntilHeard(
  bus: Bus,
  announcement: Announcement,
): Promise<Outcome | 'denied'> {
  const deadline = performance.now() + announcement.patienceMs
  for (;;) {
    await bus.ready()
    const outcome = await askOverOneLink(bus, announcement)
    if (outcome === 'link broke') continue
    if (outcome !== 'no responders' || performance.now() >= deadline) return outcome
    await pause(PAUSE_MS)
  }
}

async function askOverOneLink(
  bus: Bus,
  { subject, body, headers, waitMs }: Announcement,
): Promise<Outcome | 'denied' | 'link broke'> {
  let isBroken = !bus.up
  const forget = bus.onReconnect(() => {
    isBroken = true
  })
  const denials = hearDenials(bus)
  const answer = Promise.withResolvers<Outcome>()
  let forgetQuestion = () => {}
  try {
    const options = { headers: sentHeaders(...Object.entries(headers)) }
    forgetQuestion = bus.ask(subject, body, options, answer.resolve)
    const inTime = await Promise.race([answer.promise, pause(waitMs)])
    if (inTime !== undefined) return inTime
    if (!(await serverIsThere(bus)) || !bus.up || isBroken) return 'link broke'
    // Where this process stood still, an answer that was there in time is heard only now.
    const late = await Promise.race([answer.promise, pause(0)])
    if (late !== undefined) return late
    return (await denials.include(subject)) ? 'denied' : 'timeout'
  } finally {
    forgetQuestion()
    denials.stop()
    forget()
  }
}

const pause = (ms: number) =>
  new Promise<undefined>((resolve) => setTimeout(resolve, ms, undefined))

/** What the server forbids: nats.js tells it to no publisher. */
function hearDenials(bus: Bus) {
  const subjects = new Set<string>()
  const statuses = bus.nats.status() as QueuedIterator<Status>
  void (async () => {
    for await (const status of statuses) {
      if (status.type === 'error' && status.error instanceof errors.PermissionViolationError) {
        subjects.add(status.error.subject)
      }
    }
  })()
  return {
    async include(subject: string): Promise<boolean> {
      // What has come in is heard in the turns that follow.
      await new Promise(setImmediate)
      return subjects.has(subject)
    },
    stop: () => statuses.stop(),
  }
}

/** Silence says something only if the server is there; it answers in the order of what it was sent. */
const serverIsThere = (bus: Bus): Promise<boolean> =>
  bus.nats.flush().then(
    () => true,
    () => false,
  )

/** What a service refuses with. Source: NATS ADR-32. */
export function serviceError({ headers }: Msg): { refused: string; passing: boolean } | undefined {
  const code = headers?.get('Nats-Service-Error-Code') ?? ''
  if (code === '') return undefined
  const status = Number(code)
  return {
    refused: headers?.get('Nats-Service-Error') || code,
    passing: status === 429 || status >= 500,
  }
}

/** What a stream refuses with; whatever else somebody answers is none of our business. */
function storeError(answer: Msg): { refused: string; passing: boolean } | undefined {
  const { error } = read(answer) ?? {}
  if (error === undefined || typeof error.err_code !== 'number') return undefined
  return { refused: error.description ?? String(error.err_code), passing: error.code === 503 }
}

type StoreAnswer = { error?: { code?: number; err_code?: number; description?: string } }

function read(answer: Msg): StoreAnswer | undefined {
  try {
    return answer.json<StoreAnswer | null>() ?? undefined
  } catch {
    return undefined
  }
}
