/**
 * The short way through the HTTP door: Invoke (and InvokeAsync), straight from the server of node:http.
 *
 *     request line ─▶ body ─▶ signature ─▶ door.invoke ─▶ answer
 *
 * A callback each, without a promise, a router or a parser to find out what the request line already says: 72 µs of CPU
 * where Fastify's way took 132 and an echo on node:http 54. All other requests are left to whoever is asked next.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../bus/bus.ts'
import { isRefusal } from './aws/errors.ts'
import { type InvokeAnswer, type InvokeRequest, payloadLimitBytes } from './aws/invoke.ts'
import { findRoute } from './aws/operations.ts'
import { readQuery } from './aws/query.ts'
import type { Verify } from './aws/signature.ts'
import { refused } from './http-answer.ts'
import { type Body, readBody } from './http-body.ts'
import type { Exchange, Exchanges } from './http-exchange.ts'
import { tooLarge } from './http-failures.ts'
import { answerInvoke, readInvoke } from './http-invoke.ts'

/** Takes a request if it is an Invoke, and says whether it did. */
export type TakeInvoke = (request: IncomingMessage, response: ServerResponse) => boolean

export function invokeServer(options: {
  invoke: (request: InvokeRequest, answer: (answer: InvokeAnswer) => void) => void
  verify: Verify
  clock: Pick<Clock, 'nowMs'>
  newId: () => string
  exchanges: Exchanges
}): TakeInvoke {
  const { invoke, verify, clock, newId, exchanges } = options
  const lineOf = invokeLines()

  const serve = (exchange: Exchange, line: InvokeLine, request: IncomingMessage, body: Body) => {
    if (body === 'too large')
      return exchanges.answer(exchange, refused(tooLarge(line.isAsync ? 'InvokeAsync' : 'Invoke')))
    const { headers } = request
    const { path, query, functionName, qualifier, isAsync } = line
    const unsigned = verify({ method: 'POST', path, query, headers, body }, 'lambda')
    if (unsigned !== undefined) return exchanges.answer(exchange, refused(unsigned))
    const { requestId } = exchange
    const read = readInvoke({
      functionName,
      qualifier,
      headers,
      isAsync,
      payload: body,
      requestId,
      nowMs: clock.nowMs(),
    })
    if (isRefusal(read)) return exchanges.answer(exchange, refused(read))
    invoke(read, (told) => exchanges.answer(exchange, answerInvoke(told, read.traceId)))
  }

  return (request, response) => {
    if (request.method !== 'POST') return false
    const line = lineOf(request.url ?? '')
    if (line === undefined) return false
    readBody(request, payloadLimitBytes, (body) => {
      const { path } = line
      const exchange = { requestId: newId(), method: 'POST', path, body, response }
      try {
        serve(exchange, line, request, body)
      } catch (error) {
        exchanges.fail(exchange, error)
      }
    })
    return true
  }
}

/** What the URL of an Invoke says; path and query still percent-encoded. */
type InvokeLine = {
  path: string
  query: string
  functionName: string
  qualifier: string | undefined
  /** InvokeAsync, the older way to say Event. */
  isAsync: boolean
}

/** A busy front end's functions, and 256 kB of whatever else is asked for. */
const knownLines = 512
const knownLineCharacters = 512

/** Who invokes a function invokes it again: what its URL says is remembered. */
function invokeLines(): (url: string) => InvokeLine | undefined {
  const known = new Map<string, InvokeLine>()
  return (url) => {
    const before = known.get(url)
    if (before !== undefined) return before
    const line = readLine(url)
    if (line !== undefined && url.length <= knownLineCharacters) {
      if (known.size >= knownLines) known.clear()
      known.set(url, line)
    }
    return line
  }
}

function readLine(url: string): InvokeLine | undefined {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const query = mark === -1 ? '' : url.slice(mark + 1)
  const route = findRoute('POST', path, query)
  if (route === undefined || isRefusal(route)) return undefined
  const isAsync = route.operation === 'InvokeAsync'
  if (!isAsync && route.operation !== 'Invoke') return undefined
  const qualifier = query === '' ? undefined : readQuery(query)['Qualifier']
  return {
    path,
    query,
    functionName: route.parameters['FunctionName'] ?? '',
    isAsync,
    qualifier: Array.isArray(qualifier) ? qualifier.at(-1) : qualifier,
  }
}
