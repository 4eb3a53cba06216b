/**
 * Frames between a worker and the runtime in a sandbox, over the sockets that the child inherits: it reads descriptor 3
 * and writes descriptor 4.
 *
 *     u32 bytes that follow | u8 kind | u32 bytes of meta | meta, ASCII | payload        (big endian)
 *
 * The payload goes through as the bytes that came: never parsed, and never copied on the way in unless it came in
 * pieces. The runtime's end is runtimes/node/channel.cjs, which cannot import this file; a test runs both against each
 * other. What the child sends is not trusted: a malformed frame is a FrameError, which ends the child and nobody else.
 */
import type { Writable } from 'node:stream'

/**
 * Kinds of frames to the runtime. `init`: payload JSON {taskRoot, handler, compileCacheDir?}. `invoke`: meta a line each of
 * request id, deadline (epoch ms), ARN, trace id and client context (base64), the last two maybe empty; payload the event.
 */
export const toRuntime = { init: 1, invoke: 2 } as const

/**
 * Kinds of frames to the host. `ready`: empty. `initFailed`: meta the error's type, payload its JSON. `result` and
 * `error`: meta a line each of request id, largest resident memory (bytes) and, of an error, its type; payload the answer.
 * `output`: payload what the function printed. Types of errors are percent-encoded.
 */
export const toHost = { ready: 1, initFailed: 2, result: 3, error: 4, output: 5 } as const

/**
 * The longest frame taken: AWS's response limit of 6,291,556 bytes (lambda-semantics §1.4), which the runtime itself
 * keeps, and room for the meta.
 */
export const maxFrameBytes = 6_291_556 + 65_536

const headerBytes = 9
// Below this a copy into one buffer is no dearer than a write of two, at 64 kB it is (measured).
const copyBelowBytes = 16_384

/** The other end broke the protocol; what it says next means nothing. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
  readonly code = 'FRAME_MALFORMED'
}

/** One frame as one or two buffers; the second, if any, is `payload` itself. */
export function encodeFrame(kind: number, meta: string, payload: Uint8Array): Uint8Array[] {
  const metaBytes = Buffer.byteLength(meta)
  const copies = payload.length < copyBelowBytes
  const head = Buffer.allocUnsafe(headerBytes + metaBytes + (copies ? payload.length : 0))
  head.writeUInt32BE(headerBytes - 4 + metaBytes + payload.length, 0)
  head.writeUInt8(kind, 4)
  head.writeUInt32BE(metaBytes, 5)
  head.write(meta, headerBytes)
  if (!copies) return [head, payload]
  head.set(payload, headerBytes + metaBytes)
  return [head]
}

/** Writes one frame in one system call. */
export function writeFrame(to: Writable, kind: number, meta: string, payload: Uint8Array): void {
  const [head, rest] = encodeFrame(kind, meta, payload)
  if (rest === undefined) {
    to.write(head)
    return
  }
  to.cork()
  to.write(head)
  to.write(rest)
  to.uncork()
}

export type HearFrame = (kind: number, meta: Buffer, payload: Buffer) => void

/**
 * Cuts a stream of bytes into frames, whatever the pieces in which it comes. `meta` and `payload` are views of what was
 * pushed and may be kept. The function returned throws FrameError; after that the stream is of no more use.
 */
export function frameReader(hear: HearFrame): (chunk: Buffer) => void {
  let pieces: Buffer[] = []
  let gatheredBytes = 0
  let wantedBytes = 4

  return (chunk) => {
    let rest = chunk
    if (gatheredBytes > 0) {
      pieces.push(chunk)
      gatheredBytes += chunk.length
      if (gatheredBytes < wantedBytes) return
      rest = Buffer.concat(pieces, gatheredBytes)
      pieces = []
      gatheredBytes = 0
    }
    for (;;) {
      wantedBytes = frameBytes(rest)
      if (rest.length < wantedBytes) break
      hearFrame(rest.subarray(0, wantedBytes), hear)
      rest = rest.subarray(wantedBytes)
    }
    if (rest.length === 0) return
    pieces = [rest]
    gatheredBytes = rest.length
  }
}

/** How long the frame is that `bytes` begin with: the header's length as long as that is all one can know. */
function frameBytes(bytes: Buffer): number {
  if (bytes.length < headerBytes) return headerBytes
  const total = bytes.readUInt32BE(0) + 4
  if (total > maxFrameBytes) throw new FrameError(`a frame of ${total} bytes is too long`)
  if (total < headerBytes) throw new FrameError(`a frame of ${total} bytes is too short`)
  return total
}

function hearFrame(frame: Buffer, hear: HearFrame): void {
  const payloadAt = headerBytes + frame.readUInt32BE(5)
  if (payloadAt > frame.length) throw new FrameError('the meta is longer than its frame')
  hear(frame.readUInt8(4), frame.subarray(headerBytes, payloadAt), frame.subarray(payloadAt))
}
