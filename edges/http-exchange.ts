/**
 * One request and its answer: who waits for it, what is sent whatever happens, and what the log is told.
 */
import type { ServerResponse } from 'node:http'
import type { Log } from '../bus/bus.ts'
import { type Answer, refused, write } from './http-answer.ts'
import type { Body } from './http-body.ts'
import { internalFailure } from './http-failures.ts'

export type Exchange = {
  requestId: string
  method: string
  path: string
  body: Body
  response: ServerResponse
}

/** Neither throws. */
export type Exchanges = {
  answer(exchange: Exchange, answer: Answer): void
  /** `told`: what the service says of its own failures. */
  fail(exchange: Exchange, error: unknown, told?: Answer): void
}

/** `isOpen` says whether a client may ask again on the same connection. */
export function exchangesOf({ log, isOpen }: { log: Log; isOpen: () => boolean }): Exchanges {
  const answer = (exchange: Exchange, told: Answer): void => {
    const { requestId, method, path, body, response } = exchange
    try {
      if (!isOpen()) response.shouldKeepAlive = false
      write(response, requestId, told)
    } catch (error) {
      log.error({ requestId, err: error, code: 'HTTP_DOOR_FAILED' }, 'an answer could not be sent')
      response.destroy()
    }
    if (log.isLevelEnabled?.('debug')) {
      const bytes = { in: body.length, out: Buffer.byteLength(told.body) }
      log.debug({ requestId, method, path, status: told.status, bytes }, 'HTTP')
    }
  }
  return {
    answer,
    fail(exchange, error, told = refused(internalFailure())) {
      const { requestId } = exchange
      log.error(
        { requestId, err: error, code: 'HTTP_DOOR_FAILED' },
        'a request could not be served',
      )
      answer(exchange, told)
    },
  }
}
