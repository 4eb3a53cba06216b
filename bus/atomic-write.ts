/**
 * Several messages of one stream in one write: all of them are stored, or none.
 *
 * Only headers: the client's own batch ignores expectations and schedules, and hides why it was refused.
 * Source: NATS ADR-50 (atomic batch publish), ADR-51 (schedules); reference nats.md §0.12, §2.4.
 */
import { type Msg, nuid } from 'nats'
import type { Bus, Outcome } from './bus.ts'
import { sentHeaders } from './sent-headers.ts'

export type NewMessage = {
  subject: string
  body: Uint8Array | string
  headers?: Record<string, string>
}

/** nats-server: at most 1000 messages in a batch. */
export const mostMessages = 1000

/**
 * `sequence`: of the last message; those before it have the numbers before. `refused`: JetStream's own error code.
 * `unanswered`: nobody knows whether it was stored.
 */
export type WriteOutcome = { sequence: number } | { refused: number; why: string } | 'unanswered'

const ANSWER_TIMEOUT_MS = 2_000

/** Asks once. A single message is an ordinary publish: a batch of one would cost the server four writes instead of one. */
export const writeTogether = async (
  bus: Bus,
  messages: readonly NewMessage[],
): Promise<WriteOutcome> => outcomeOf(await sendTogether(bus, messages))

/** The same, with the bare answer. */
export function sendTogether(
  bus: Pick<Bus, 'publish' | 'request'>,
  messages: readonly NewMessage[],
): Promise<Outcome> {
  const batch = messages.length > 1 ? nuid.next() : undefined
  const last = messages.length - 1
  for (const [index, message] of messages.entries()) {
    const pairs = Object.entries(message.headers ?? {})
    if (batch !== undefined) {
      pairs.push(['Nats-Batch-Id', batch], ['Nats-Batch-Sequence', String(index + 1)])
      if (index === last) pairs.push(['Nats-Batch-Commit', '1'])
    }
    const head = sentHeaders(...pairs)
    if (index === last) {
      const options = { headers: head, timeoutMs: ANSWER_TIMEOUT_MS }
      return bus.request(message.subject, message.body, options)
    }
    bus.publish(message.subject, message.body, { headers: head })
  }
  throw new Error('nothing to write')
}

/** JetStream's answer to a publish. */
export type PublishAnswer = {
  seq?: number
  error?: { code: number; err_code: number; description: string }
}

function outcomeOf(answer: Msg | 'no responders' | 'timeout'): WriteOutcome {
  if (typeof answer === 'string') return 'unanswered'
  const { seq = 0, error } = answer.json<PublishAnswer>()
  if (error === undefined) return { sequence: seq }
  // 503 is JetStream's own "not now": no leader yet, still recovering.
  return error.code === 503 ? 'unanswered' : { refused: error.err_code, why: error.description }
}
