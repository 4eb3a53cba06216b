/**
 * Questions and answers over one inbox.
 *
 * One subscription on `<inbox prefix>.<nuid>.*` serves every question of this process; the last token of a reply says
 * which one it answers. `nats.request()` would make an Error, a timer and two promises per call: in a prototype the
 * Error alone took 11 % of the front end's CPU.
 *
 * Only three things end a question: an answer, the server's word that nobody listens (an empty message with status
 * 503), and the deadline. A link that drops does not: the answer may still come after the reconnect, or was lost with
 * the link, and only the caller knows how long that is worth waiting for. For the same reason nobody learns here that
 * the process which was to answer has died: that takes heartbeats.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from 'nats'
import type { Bus, Log } from './bus.ts'
import { FleetingMap } from './fleeting-map.ts'
import type { Gate } from './gate.ts'

export type Questions = Pick<Bus, 'ask' | 'request' | 'askAll'> & {
  /** Ends every open question as a timeout: nobody will answer any more. */
  close(): void
}

/** Calls what others gave us; what it throws is logged here, once, and goes no further into nats.js' reader. */
export type Guarded = <T>(hear: (heard: T) => unknown, heard: T, subject: string) => void

export function openQuestions(
  nats: NatsConnection,
  options: { gate: Gate; log: Log; inboxPrefix: string; publish: Bus['publish']; guarded: Guarded },
): Questions {
  const { gate, log, publish, guarded } = options
  const inbox = createInbox(options.inboxPrefix)
  /** By reply subject. Hears an answer, or undefined when no answer can come any more. */
  const open = new FleetingMap<(answer: Msg | undefined) => void>()
  let asked = 0

  nats.subscribe(`${inbox}.*`, {
    callback: (error, answer) => {
      if (error === null) open.get(answer.subject)?.(answer)
    },
  })

  const replySubject = () => `${inbox}.${(asked++).toString(36)}`

  function send(
    reply: string,
    subject: string,
    payload: Uint8Array | string | undefined,
    headers: MsgHdrs | undefined,
  ): void {
    if (gate.up) {
      publish(subject, payload, { reply, headers })
      return
    }
    const whenUp = () => {
      if (open.has(reply)) publish(subject, payload, { reply, headers })
    }
    gate
      .ready()
      .then(whenUp)
      .catch((error) => {
        // A closed bus has ended the question already.
        if (!open.has(reply)) return
        log.error({ code: 'BUS_HANDLER_FAILED', subject, err: error }, 'a question was not sent')
      })
  }

  const ask: Bus['ask'] = (subject, payload, { headers, timeoutMs }, hear) => {
    const reply = replySubject()
    let deadline: NodeJS.Timeout | undefined
    const forget = () => {
      clearTimeout(deadline)
      open.delete(reply)
    }
    open.set(reply, (answer) => {
      forget()
      const outcome =
        answer === undefined ? 'timeout' : isNoResponders(answer) ? 'no responders' : answer
      guarded(hear, outcome, subject)
    })
    try {
      send(reply, subject, payload, headers)
    } catch (error) {
      forget()
      throw error
    }
    if (timeoutMs !== undefined) {
      deadline = setTimeout(() => {
        // Where this process stood still, an answer that was there in time is heard only after the timers.
        setImmediate(() => open.get(reply)?.(undefined))
      }, timeoutMs)
    }
    return forget
  }

  return {
    ask,
    request: (subject, payload, options = {}) =>
      new Promise((resolve) => void ask(subject, payload, options, resolve)),
    askAll: (subject, payload, { waitMs, expected = Number.POSITIVE_INFINITY }) =>
      new Promise((resolve, reject) => {
        const reply = replySubject()
        const answers: Msg[] = []
        const finish = () => {
          clearTimeout(deadline)
          open.delete(reply)
          resolve(answers)
        }
        const deadline = setTimeout(() => setImmediate(finish), waitMs)
        open.set(reply, (answer) => {
          if (answer === undefined || isNoResponders(answer)) return finish()
          answers.push(answer)
          if (answers.length >= expected) finish()
        })
        try {
          send(reply, subject, payload, undefined)
        } catch (error) {
          clearTimeout(deadline)
          open.delete(reply)
          reject(error)
        }
      }),
    close() {
      for (const reply of [...open.keys()]) open.get(reply)?.(undefined)
    },
  }
}

/** Source: NATS docs, "Request-Reply", no responders. Headers are decoded only when the message is empty. */
const isNoResponders = (message: Msg): boolean =>
  message.data.length === 0 && message.headers?.code === 503
