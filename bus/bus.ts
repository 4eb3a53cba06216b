/**
 * The bus: what actors see of NATS.
 *
 * An interface and not a connection, so that the same actors run against a real server and in a simulated world. What it
 * promises is what core NATS promises, and no more: at most once, in order from one publisher to one subscriber, and
 * what is published while the link is down is lost (nats.js clears its outbound buffer when it dials again). Whoever
 * cannot live with that waits for `ready()`, asks with `ask()`, or uses a stream.
 */
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import type { Msg, MsgHdrs, NatsConnection } from 'nats'

export type { Msg, MsgHdrs }

/** What became of a question: an answer, nobody there to hear it, or silence until the deadline. */
export type Outcome = Msg | 'no responders' | 'timeout'

export type Subscription = {
  /** Takes no more messages. Those already received are still handled. */
  stop(): void
}

export type Bus = {
  /** The connection itself, for JetStream, KV and the object store. */
  readonly nats: NatsConnection
  readonly jetstream: JetStreamClient
  readonly jetstreamManager: () => Promise<JetStreamManager>

  /** Whether the link is up at this moment. */
  readonly up: boolean
  /** Resolves as soon as the link is up; at once when it is. Rejects with BUS_CLOSED once the bus is closed. */
  ready(): Promise<void>
  /** Calls back each time the link has come back: the moment to restart watches from their last revision + 1. */
  onReconnect(listener: () => void): () => void

  publish(subject: string, payload?: Uint8Array | string, options?: PublishOptions): void
  subscribe(
    subject: string,
    hear: (message: Msg) => void,
    options?: { queue?: string },
  ): Subscription

  /**
   * Asks once and calls back once. Cheaper than a promise and, unlike `nats.request()`, makes no Error per call: this is
   * the way of the hot path. `timeoutMs` absent: waits until an answer or "no responders", and the caller keeps the
   * deadline; the function returned forgets the question. A question outlives its link: the answer may come after the
   * reconnect. One asked while the link is down is sent when it is back, unless it was forgotten by then; right after a
   * reconnect "no responders" may only mean that the others are not back yet.
   */
  ask(
    subject: string,
    payload: Uint8Array | string | undefined,
    options: { headers?: MsgHdrs | undefined; timeoutMs?: number },
    hear: (outcome: Outcome) => void,
  ): () => void
  /** The same as a promise, for everything that is not hot. */
  request(
    subject: string,
    payload?: Uint8Array | string,
    options?: { headers?: MsgHdrs | undefined; timeoutMs?: number },
  ): Promise<Outcome>
  /** Asks everybody; resolves with what came in within `waitMs`, or as soon as `expected` have answered. */
  askAll(
    subject: string,
    payload: Uint8Array | string | undefined,
    options: { waitMs: number; expected?: number },
  ): Promise<Msg[]>

  /** Handles what has been received, sends what is buffered, closes. */
  close(): Promise<void>
}

export type PublishOptions = { headers?: MsgHdrs | undefined; reply?: string | undefined }

/**
 * Time, as an argument: the real clock in production, a simulated one where time is virtual. `nowMs()` is milliseconds
 * since the epoch and may jump; `monotonicMs()` has fractions, an origin of its own, and never goes back: for durations.
 * `setTimer` calls back once.
 */
export type Clock = {
  nowMs(): number
  monotonicMs(): number
  setTimer(callback: () => void, delayMs: number): unknown
  clearTimer(timer: unknown): void
}

/** What we ask of a logger: pino's shape, so that pino fits as it is. */
export type Log = {
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
  isLevelEnabled?(level: string): boolean
}
