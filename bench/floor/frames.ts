/**
 * Frames: four bytes of length (big endian), then the payload. What the bare path puts on the socket between its worker
 * and a child; nothing but bytes, so that nothing cheaper could be put in its place.
 */
import type { Socket } from 'node:net'

const headerBytes = 4

/** One write per frame: a second write would be a second system call. */
export function writeFrame(socket: Socket, payload: Uint8Array): void {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length)
  frame.writeUInt32BE(payload.length, 0)
  frame.set(payload, headerBytes)
  socket.write(frame)
}

/** Calls `hear` with each whole payload, in order. */
export function readFrames(socket: Socket, hear: (payload: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (bytes.length >= headerBytes) {
      const end = headerBytes + bytes.readUInt32BE(0)
      if (bytes.length < end) break
      hear(bytes.subarray(headerBytes, end))
      bytes = bytes.subarray(end)
    }
    rest = bytes
  })
}
