/**
 * The body of a request as bytes, never more of them than its operation takes.
 *
 * Of a body that is too large the rest is still read, and thrown away: a client that is answered while it sends, and then
 * cut off, sees a broken connection instead of the answer.
 */
import type { IncomingMessage } from 'node:http'

export type Body = Buffer | 'too large'

const nothing = Buffer.alloc(0)
/** How much more than anything AWS takes a client may waste our time with, before it is cut off after all. */
const patienceBytes = 268_435_456

/**
 * Calls back with the bytes, or with `'too large'` when there are more than `limitBytes`, after they have all come in.
 * Never, when the client goes away before: there is nobody to answer.
 */
export function readBody(
  request: IncomingMessage,
  limitBytes: number,
  hear: (body: Body) => void,
): void {
  const chunks: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= limitBytes) chunks.push(chunk)
    else chunks.length = 0
    if (bytes > patienceBytes) request.destroy()
  })
  request.on('end', () => {
    // Over HTTP/2 the end comes too when the client breaks off.
    if (request.aborted) return
    if (bytes > limitBytes) hear('too large')
    else hear(chunks.length > 1 ? Buffer.concat(chunks, bytes) : (chunks[0] ?? nothing))
  })
}
