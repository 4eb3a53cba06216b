/**
 * The runtime's end of the frames (the host's is edges/frames.ts; a test runs both against each other).
 *
 * It reads and writes blocking, on purpose. A runtime has nothing to do between two invocations: on AWS it is frozen
 * there, here it stands in read(2), its timers and sockets with it, and wakes straight into the next event. A write that
 * blocks is the back-pressure for a function that logs faster than its worker reads.
 *
 * One socket each way: on a socket for both, the kernel also wakes who stands in read(2) when the host has taken what
 * was written, for nothing.
 *
 *     u32 bytes that follow | u8 kind | u32 bytes of meta | meta, ASCII | payload, UTF-8        (big endian)
 */
'use strict'
const { readSync, writeSync, fstatSync } = require('node:fs')

const { byteLength } = Buffer

const headerBytes = 9
const inboxBytes = 65_536
// Where one write of the function becomes several frames, so that the host never collects a long one.
const outputPieceBytes = 65_536

const toRuntime = Object.freeze({ init: 1, invoke: 2 })
const toHost = Object.freeze({ ready: 1, initFailed: 2, result: 3, error: 4, output: 5 })

/** @typedef {{ kind: number, meta: string, payload: string }} Frame */

/** @param {number} source @param {number} sink blocking sockets */
function openChannel(source, sink) {
  const identity = fstatSync(sink).ino
  const inbox = Buffer.allocUnsafeSlow(inboxBytes)
  const outbox = Buffer.allocUnsafeSlow(inboxBytes)
  let start = 0
  let end = 0

  /** @param {Buffer} into @param {number} from @param {number} atLeast @returns {number} where it stopped; short at end of file */
  function fill(into, from, atLeast) {
    let at = from
    while (at < atLeast) {
      const read = readSync(source, into, at, into.length - at, null)
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

  /** The text of a frame too long for the inbox, in memory of its own. @param {number} bytes */
  function gatherLong(bytes) {
    const body = Buffer.allocUnsafeSlow(bytes)
    const had = inbox.copy(body, 0, start, end)
    start = end = 0
    return fill(body, had, bytes) === bytes ? body.toString() : undefined
  }

  /** @param {number} bytes */
  function gatherText(bytes) {
    if (bytes > inbox.length) return gatherLong(bytes)
    if (!gather(bytes)) return undefined
    start += bytes
    return inbox.toString('utf8', start - bytes, start)
  }

  /** Waits for the next frame; undefined when the host is gone. @returns {Frame | undefined} */
  function read() {
    if (start === end) start = end = 0
    if (!gather(headerBytes)) return undefined
    const bodyBytes = inbox.readUInt32BE(start) - (headerBytes - 4)
    const kind = inbox.readUInt8(start + 4)
    // One character each, so that the frame is one text with one cut.
    const metaBytes = inbox.readUInt32BE(start + 5)
    start += headerBytes
    const text = gatherText(bodyBytes)
    if (text === undefined) return undefined
    return { kind, meta: text.slice(0, metaBytes), payload: text.slice(metaBytes) }
  }

  /** @param {Uint8Array} bytes @param {number} length */
  function writeAll(bytes, length) {
    let at = 0
    while (at < length) at += writeSync(sink, bytes, at, length - at)
  }

  /** @param {number} kind @param {string} meta ASCII @param {string} payload */
  function write(kind, meta, payload) {
    const text = meta + payload
    const most = headerBytes + text.length * 3
    const frame =
      most <= outbox.length ? outbox : Buffer.allocUnsafeSlow(headerBytes + byteLength(text))
    const length = headerBytes + frame.write(text, headerBytes)
    writeHeader(frame, kind, meta.length, length)
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
      return fstatSync(sink).ino === identity
    } catch {
      return false
    }
  }

  return { read, write, writeOutput, isOurs }
}

/** @param {Buffer} frame @param {number} kind @param {number} metaBytes @param {number} length of the whole frame */
function writeHeader(frame, kind, metaBytes, length) {
  frame.writeUInt32BE(length - 4, 0)
  frame.writeUInt8(kind, 4)
  frame.writeUInt32BE(metaBytes, 5)
}

module.exports = { openChannel, toRuntime, toHost }
