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

/** libuv writes text of up to 16 kB, headers included, from its stack: node's StreamBase::WriteString. */
const asTextBytes = 8_192

/** Nothing happens when the client is gone. */
export function write(response: ServerResponse, requestId: string, answer: Answer): void {
  if (response.headersSent || response.destroyed) return
  const { status, headers, body } = answer
  const lines: string[] = []
  for (const name in headers) lines.push(name, headers[name] as string)
  lines.push('x-amzn-requestid', requestId)
  if (status === 204) {
    response.writeHead(status, lines).end()
    return
  }
  lines.push('content-length', String(Buffer.byteLength(body)))
  response.writeHead(status, lines)
  if (typeof body === 'string' || body.length > asTextBytes) response.end(body)
  // Node sends text together with the headers in one piece; bytes would be a second one.
  else response.end(bufferOf(body).toString('latin1'), 'latin1')
}

const bufferOf = (bytes: Uint8Array) =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const json = 'application/json'

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
