/**
 * Presence: every process says several times a second that it is there, and answers when it is asked.
 *
 * Only messages are carried here. Who is dead is decided by whoever listens (machines/peer.ts), and for that it must
 * know when its own ears were open: silence means nothing while our link is down, just after it came back, or when this
 * very process has not had a turn. `listeningSinceMs` says since when it has heard everything.
 *
 * Beats stop while the link is down and begin at once when it is back. A newcomer says hello, and everyone beats who
 * has not just done so.
 */
import type { Bus, Clock, Log, Subscription } from './bus.ts'
import { beat, beatsOf, hello, ping, tokens } from './subjects.ts'

/** What a process says about itself with each beat: what it is, how loaded. */
export type Description = Record<string, unknown>

/**
 * `gone`: its connection is not there. It may be dialling again, so look twice. `silent`: it is there and does not answer,
 * or its connection broke while it was asked. `unknown`: our own link was down meanwhile.
 */
export type Probed = 'alive' | 'gone' | 'silent' | 'unknown'

export type Presence = {
  /**
   * Hears the beats of everyone of a role, our own too when we have that role; the first ones within a third of a beat. A
   * lost beat is not repeated. `isLeaving`: it goes by its own will, so there is no need to wait for its silence. The function returned
   * hears no more.
   */
  onBeat(
    role: string,
    hear: (id: string, description: Description, isLeaving: boolean) => void,
  ): () => void
  /** Asks one process whether it is there. */
  probe(id: string, timeoutMs: number): Promise<Probed>
  /**
   * Since when (`Clock.monotonicMs`) nothing can have been missed: the link has been up and this process has had its turns.
   * Undefined while the link is down.
   */
  listeningSinceMs(): number | undefined
  /** Beats now: something about us has changed that others should know soon. */
  beatNow(): void
  /** Beats that are not beats: somebody else's messages on our subjects. */
  readonly malformed: number
  /** A last beat that says we are leaving; then no more, and no answer to a probe. */
  goodbye(): Promise<void>
}

// Of a beat: many who start together make everyone beat at most this much more often.
const HELLO_SPREAD = 1 / 3
// A timer this many beats late means that the process was stopped, or busy, and others' beats may wait unread.
const STALLED_BEATS = 1

/**
 * Begins to beat. `roles`: what this process is; each has its own subject. `id`: the same for all of them, and unique.
 * `beatMs`: LAMBUS_BEAT_MS. `describe` is called for each beat and should be cheap; it must be JSON.
 */
export function openPresence(
  bus: Bus,
  options: {
    roles: readonly string[]
    id: string
    beatMs: number
    describe: () => Description
    clock: Clock
    log?: Log
  },
): Presence {
  const { roles, id, beatMs, describe, clock, log } = options
  const subjects = roles.map((role) => beat(role, id))
  const subscriptions = new Set<Subscription>()
  let malformed = 0
  let beatenMs = Number.NEGATIVE_INFINITY
  let dueMs = 0
  let timer: unknown
  let listeningSinceMs = clock.monotonicMs()
  let left = false

  const say = (leaving: boolean) => {
    const said: Beat = { leaving, about: describe() }
    const payload = JSON.stringify(said)
    for (const subject of subjects) bus.publish(subject, payload)
  }

  const schedule = (delayMs: number) => {
    clock.clearTimer(timer)
    dueMs = clock.monotonicMs() + delayMs
    timer = clock.setTimer(tick, delayMs)
  }

  const tick = () => {
    const nowMs = clock.monotonicMs()
    if (nowMs - dueMs > STALLED_BEATS * beatMs) listeningSinceMs = nowMs
    beatNow()
  }

  const beatNow = () => {
    if (left) return
    schedule(beatMs)
    if (!bus.up) return
    beatenMs = clock.monotonicMs()
    say(false)
  }

  const beatSoon = () => {
    if (left) return
    const earliestMs = beatenMs + HELLO_SPREAD * beatMs
    const nowMs = clock.monotonicMs()
    if (earliestMs <= nowMs) beatNow()
    else if (earliestMs < dueMs) schedule(earliestMs - nowMs)
  }

  const forget = bus.onReconnect(() => {
    listeningSinceMs = clock.monotonicMs()
    beatNow()
  })
  subscriptions.add(bus.subscribe(hello, beatSoon))
  subscriptions.add(
    bus.subscribe(ping(id), (question) => {
      question.respond()
    }),
  )
  beatNow()

  const read = (payload: Uint8Array, subject: string): Beat | undefined => {
    const said = readBeat(payload)
    if (said !== undefined) return said
    malformed += 1
    if (malformed === 1) log?.warn({ code: 'BUS_BAD_BEAT', subject }, 'a beat that is none')
    return undefined
  }

  return {
    get malformed() {
      return malformed
    },
    onBeat(role, hear) {
      const heard = bus.subscribe(beatsOf(role), (message) => {
        const said = read(message.data, message.subject)
        if (said === undefined) return
        hear(tokens(message.subject).at(-1) ?? '', said.about, said.leaving)
      })
      subscriptions.add(heard)
      bus.publish(hello)
      return () => {
        subscriptions.delete(heard)
        heard.stop()
      }
    },
    async probe(other, timeoutMs) {
      const askedMs = clock.monotonicMs()
      const outcome = bus.up ? await bus.request(ping(other), '', { timeoutMs }) : 'timeout'
      if (outcome === 'no responders') return 'gone'
      if (outcome !== 'timeout') return 'alive'
      return bus.up && listeningSinceMs <= askedMs ? 'silent' : 'unknown'
    },
    listeningSinceMs: () => (bus.up ? listeningSinceMs : undefined),
    beatNow,
    async goodbye() {
      if (left) return
      left = true
      clock.clearTimer(timer)
      forget()
      for (const subscription of subscriptions) subscription.stop()
      if (!bus.up) return
      say(true)
      await bus.nats.flush().catch(() => {})
    },
  }
}

type Beat = { leaving: boolean; about: Description }

const decoder = new TextDecoder()

function readBeat(payload: Uint8Array): Beat | undefined {
  try {
    const said = JSON.parse(decoder.decode(payload)) as Beat
    const isBeat =
      typeof said.leaving === 'boolean' && typeof said.about === 'object' && said.about !== null
    return isBeat ? said : undefined
  } catch {
    return undefined
  }
}
