/**
 * The gate: whether the link is up, and word when it is again.
 *
 * nats.js drops what is published while the link is down and lets the caller time out, so whoever is about to store
 * something waits here first. It also hears what the server has to say about our permissions, which nats.js tells no
 * publisher.
 */
import { errors, type NatsConnection, type Status } from 'nats'
import type { Log } from './bus.ts'
import { BusError } from './bus-error.ts'

export type Gate = {
  readonly up: boolean
  ready(): Promise<void>
  onReconnect(listener: () => void): () => void
  /** Notes a message that was not sent because the link is down. */
  dropped(subject: string): void
  close(): void
}

// Denials repeat with every message; a subject may hold ids, so what was logged cannot be remembered for ever.
const REMEMBERED_DENIALS = 1_000

export function openGate(nats: NatsConnection, log: Log): Gate {
  let up = true
  let droppedMessages = 0
  const waiting: PromiseWithResolvers<void>[] = []
  const listeners = new Set<() => void>()
  const denials = new Set<string>()
  let lastServerError = ''

  const cameBack = () => {
    up = true
    log.info({ server: nats.getServer(), droppedMessages }, 'the link to NATS is back')
    droppedMessages = 0
    lastServerError = ''
    for (const waiter of waiting.splice(0)) waiter.resolve()
    for (const listener of [...listeners]) {
      try {
        listener()
      } catch (error) {
        log.error({ code: 'BUS_HANDLER_FAILED', err: error }, 'a listener for reconnects threw')
      }
    }
  }

  const refused = (error: Error) => {
    if (!(error instanceof errors.PermissionViolationError)) {
      // A server that refuses us says so at each dial.
      if (error.message !== lastServerError) {
        log.warn({ code: 'BUS_SERVER_ERROR', err: error }, 'NATS reports an error')
      }
      lastServerError = error.message
      return
    }
    const { operation, subject, queue } = error
    const denial = `${operation} ${subject} ${queue ?? ''}`
    if (denials.has(denial)) return
    if (denials.size >= REMEMBERED_DENIALS) denials.clear()
    denials.add(denial)
    log.error(
      { code: 'BUS_PERMISSION_DENIED', operation, subject, queue },
      'NATS denies us a subject: messages there are lost',
    )
  }

  const hear = (status: Status) => {
    if (status.type === 'disconnect' && up) {
      up = false
      log.warn({ code: 'BUS_LINK_DOWN', server: status.server }, 'the link to NATS is down')
    } else if (status.type === 'reconnect') cameBack()
    else if (status.type === 'error') refused(status.error)
  }
  const closed = () => new BusError('BUS_CLOSED', 'the bus is closed')
  void (async () => {
    for await (const status of nats.status()) hear(status)
    up = false
    for (const waiter of waiting.splice(0)) waiter.reject(closed())
  })()

  function ready(): Promise<void> {
    if (up) return Promise.resolve()
    if (nats.isClosed()) return Promise.reject(closed())
    const waiter = Promise.withResolvers<void>()
    waiting.push(waiter)
    return waiter.promise
  }

  return {
    get up() {
      return up
    },
    ready,
    onReconnect(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    dropped(subject) {
      droppedMessages += 1
      if (droppedMessages > 1 || nats.isClosed()) return
      log.warn(
        { code: 'BUS_MESSAGE_DROPPED', subject },
        'the link to NATS is down: messages are dropped until it is back',
      )
    },
    close() {
      up = false
      for (const waiter of waiting.splice(0)) waiter.reject(closed())
      listeners.clear()
    },
  }
}
