/**
 * Answers as they go over the wire: AWS's headers, in AWS's lower case. Source: lambda-semantics.md §1.2 and §2.1.
 */
import type { ServerResponse } from 'node:http'
import type { Refusal } from './aws/errors.ts'

export type Answer = {
  status: number
  headers: Record<string, string>
  body: Uint8Array | string
}

const json = 'application/json'

/** Nothing happens when the client is gone. */
export function write(response: ServerResponse, requestId: string, answer: Answer): void {
  if (response.headersSent || response.destroyed) return
  const { status, headers, body } = answer
  const hasBody = status !== 204
  response.writeHead(status, {
    ...headers,
    'x-amzn-requestid': requestId,
    ...(hasBody && { 'content-length': Buffer.byteLength(body) }),
  })
  response.end(hasBody ? body : undefined)
}

export const refused = (refusal: Refusal): Answer => ({
  status: refusal.status,
  headers: { 'content-type': json, 'x-amzn-errortype': refusal.code, ...refusal.headers },
  body: refusal.body,
})

export const ofJson = (
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Answer => ({
  status,
  headers: { ...(status === 204 ? {} : { 'content-type': json }), ...headers },
  body,
})

/** What AWS puts on an answer without an error: it has no use here, but it is there. */
export const remapped = { 'x-amzn-remapped-content-length': '0' }
