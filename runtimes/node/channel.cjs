/**
 * The runtime's end of the frames (the host's is edges/frames.ts; a test runs both against each other).
 *
 * It reads and writes blocking, on purpose. A runtime has nothing to do between two invocations: on AWS it is frozen
 * there, here it stands in read(2), its timers and sockets with it, and wakes straight into the next event. A write that
 * blocks is the back-pressure for a function that logs faster than its worker reads.
 *
 *     u32 bytes that follow | u8 kind | u32 bytes of meta | meta, JSON | payload        (big endian)
 */
'use strict'
const { readSync, writeSync, fstatSync } = require('node:fs')

const headerBytes = 9
const inboxBytes = 65_536
// Where one write of the function becomes several frames, so that the host never collects a long one.
const outputPieceBytes = 65_536

const toRuntime = Object.freeze({ init: 1, invoke: 2 })
const toHost = Object.freeze({ ready: 1, initFailed: 2, result: 3, error: 4, output: 5 })

/**
 * @typedef {{ kind: number, meta: Buffer, payload: Buffer }} Frame
 * Views of the channel's own memory, good until the next `read`.
 */

/** @param {number} fd a blocking socket */
function openChannel(fd) {
  const identity = fstatSync(fd).ino
  const inbox = Buffer.allocUnsafeSlow(inboxBytes)
  const outbox = Buffer.allocUnsafeSlow(inboxBytes)
  let start = 0
  let end = 0

  /** @param {Buffer} into @param {number} from @param {number} atLeast @returns {number} where it stopped; short at end of file */
  function fill(into, from, atLeast) {
    let at = from
    while (at < atLeast) {
      const read = readSync(fd, into, at, into.length - at, null)
      if (read === 0) break
      at += read
    }
    return at
  }

  /** Waits until `bytes` stand in the inbox; false at end of file. @param {number} bytes */
  function gather(bytes) {
    if (end - start >= bytes) return true
    if (start + bytes > inbox.length) {
      inbox.copyWithin(0, start, end)
      end -= start
      start = 0
    }
    end = fill(inbox, end, start + bytes)
    return end - start >= bytes
  }

  /** @param {number} bytes */
  function gatherShort(bytes) {
    if (!gather(bytes)) return undefined
    start += bytes
    return inbox.subarray(start - bytes, start)
  }

  /** The body of a frame too long for the inbox, in memory of its own. @param {number} bytes */
  function gatherLong(bytes) {
    const body = Buffer.allocUnsafeSlow(bytes)
    const had = inbox.copy(body, 0, start, end)
    start = end = 0
    return fill(body, had, bytes) === bytes ? body : undefined
  }

  /** Waits for the next frame; undefined when the host is gone. @returns {Frame | undefined} */
  function read() {
    if (start === end) start = end = 0
    if (!gather(headerBytes)) return undefined
    const bodyBytes = inbox.readUInt32BE(start) - (headerBytes - 4)
    const kind = inbox.readUInt8(start + 4)
    const metaBytes = inbox.readUInt32BE(start + 5)
    start += headerBytes
    const body = bodyBytes > inboxBytes ? gatherLong(bodyBytes) : gatherShort(bodyBytes)
    if (body === undefined) return undefined
    return { kind, meta: body.subarray(0, metaBytes), payload: body.subarray(metaBytes) }
  }

  /** @param {Uint8Array} bytes @param {number} length */
  function writeAll(bytes, length) {
    let at = 0
    while (at < length) at += writeSync(fd, bytes, at, length - at)
  }

  /** @param {number} kind @param {string} meta @param {string} payload */
  function write(kind, meta, payload) {
    const most = headerBytes + (meta.length + payload.length) * 3
    const frame = most <= outbox.length ? outbox : Buffer.allocUnsafeSlow(sizeOf(meta, payload))
    const metaBytes = frame.write(meta, headerBytes)
    const length = headerBytes + metaBytes + frame.write(payload, headerBytes + metaBytes)
    writeHeader(frame, kind, metaBytes, length)
    writeAll(frame, length)
  }

  /** @param {Uint8Array | string} output */
  function writeOutput(output) {
    if (typeof output === 'string' && output.length * 3 < outputPieceBytes) {
      return write(toHost.output, '', output)
    }
    const bytes = typeof output === 'string' ? Buffer.from(output) : output
    for (let at = 0; at < bytes.length; at += outputPieceBytes) {
      const piece = bytes.subarray(at, at + outputPieceBytes)
      const frame = Buffer.allocUnsafe(headerBytes + piece.length)
      writeHeader(frame, toHost.output, 0, frame.length)
      frame.set(piece, headerBytes)
      writeAll(frame, frame.length)
    }
  }

  // A function that closes descriptors it does not own would otherwise have its answer written into a file.
  const isOurs = () => {
    try {
      return fstatSync(fd).ino === identity
    } catch {
      return false
    }
  }

  return { read, write, writeOutput, isOurs }
}

/** @param {string} meta @param {string} payload */
const sizeOf = (meta, payload) => headerBytes + Buffer.byteLength(meta) + Buffer.byteLength(payload)

/** @param {Buffer} frame @param {number} kind @param {number} metaBytes @param {number} length of the whole frame */
function writeHeader(frame, kind, metaBytes, length) {
  frame.writeUInt32BE(length - 4, 0)
  frame.writeUInt8(kind, 4)
  frame.writeUInt32BE(metaBytes, 5)
}

module.exports = { openChannel, toRuntime, toHost }
