/**
 * What goes wrong before or beside an operation: requests that are too large or no requests, and failures of our own.
 */
import type { Socket } from 'node:net'
import { type Refusal, refuse } from './aws/errors.ts'
import { payloadLimitBytes } from './aws/invoke.ts'
import type { Operation } from './aws/operations.ts'

/** AWS's own limit for CreateFunction: base64 of 50 MB and some. lambda-semantics.md §1.4. */
const uploadLimitBytes = 70_167_211
const uploads = new Set(['CreateFunction', 'UpdateFunctionCode'])

/** By the end of the path, because it is asked of every request; that a few others may be as long harms nobody. */
export function limitOf(url: string): number {
  const path = url.split('?', 1)[0] ?? ''
  return /\/(functions|code)\/?$/.test(path) ? uploadLimitBytes : payloadLimitBytes
}

/** AWS calls Invoke by the name of its permission here. */
export function tooLarge(operation: Operation | 'Unknown'): Refusal {
  const name = operation === 'Invoke' ? 'InvokeFunction' : operation
  const limit = uploads.has(operation) ? uploadLimitBytes : payloadLimitBytes
  return refuse(
    'RequestEntityTooLargeException',
    `Request must be smaller than ${limit} bytes for the ${name} operation`,
  )
}

export const internalFailure = (): Refusal =>
  refuse('ServiceException', 'An error occurred and the request cannot be processed.')

/** What Fastify gave up on, by the status that it would answer. */
export function refusalFor(status: number, contentType: string | undefined): Refusal {
  if (status === 415) {
    return refuse(
      'UnsupportedMediaTypeException',
      `The content type of the request body is not supported: ${contentType}`,
    )
  }
  return status < 500
    ? refuse('MalformedHttpRequestException', 'The request cannot be understood.')
    : internalFailure()
}

/** Bytes that are no HTTP, or a request that took too long: there is no request to answer, only a socket. */
export function hangUp(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const refusal =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? refuse('RequestTimeoutException', 'The request did not arrive in time.')
      : refuse('MalformedHttpRequestException', 'The request is not HTTP.')
  socket.end(
    `HTTP/1.1 ${refusal.status} ${refusal.status === 408 ? 'Request Timeout' : 'Bad Request'}\r\nconnection: close\r\ncontent-type: application/json\r\nx-amzn-errortype: ${refusal.code}\r\ncontent-length: ${refusal.body.length}\r\n\r\n${refusal.body}`,
  )
}
