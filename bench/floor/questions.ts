/**
 * Asks questions over a connection with an inbox of its own: one subscription, one map, one callback per question.
 * The cheapest way that nats.js has; `nc.request()` makes a promise, a timer and an Error for each.
 */
import { createInbox, type Msg, type NatsConnection } from 'nats'

export type Ask = (subject: string, payload: Uint8Array, hear: (answer: Msg) => void) => void

/** There is no deadline: an answer that never comes is found by whoever waits for the round to end. */
export function questions(nats: NatsConnection): Ask {
  const inbox = createInbox()
  const open = new Map<string, (answer: Msg) => void>()
  let asked = 0
  nats.subscribe(`${inbox}.*`, {
    callback: (error, answer) => {
      if (error) throw error
      const hear = open.get(answer.subject)
      open.delete(answer.subject)
      hear?.(answer)
    },
  })
  return (subject, payload, hear) => {
    asked += 1
    const reply = `${inbox}.${asked}`
    open.set(reply, hear)
    nats.publish(subject, payload, { reply })
  }
}
