/**
 * Web pages of other origins may ask Kinesis: their browser asks first, unsigned, and is told that they may. What they ask then
 * has to be signed like anything else.
 *
 * Source: kinesalite's tests of connections (test/connection.js), recorded from AWS: which headers, and how long it holds.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Answer } from './http-answer.ts'

const anybody = { 'access-control-allow-origin': '*' }
const shown =
  'x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date'

/** The answer to a browser that asks whether a page may ask; nothing for any other request. */
export function preflight(method: string, headers: IncomingHttpHeaders): Answer | undefined {
  if (method !== 'OPTIONS' || headers.origin === undefined) return undefined
  const asked = {
    'access-control-allow-headers': headers['access-control-request-headers'],
    'access-control-allow-methods': headers['access-control-request-method'],
  }
  const allowed = Object.entries(asked).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  )
  return {
    status: 200,
    headers: {
      ...anybody,
      ...Object.fromEntries(allowed),
      'access-control-max-age': '172800',
    },
    body: '',
  }
}

/** What every other answer to a page says beside the rest. */
export const crossOrigin = (headers: IncomingHttpHeaders): Record<string, string> =>
  headers.origin === undefined ? {} : { ...anybody, 'access-control-expose-headers': shown }
