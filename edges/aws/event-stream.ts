/**
 * AWS's event stream encoding: messages one behind another in the body of an answer that goes on.
 *
 *     length │ length of headers │ CRC │ headers │ payload │ CRC
 *          4 │                 4 │   4 │         │         │   4 bytes, big endian
 *
 * Each CRC is over all that stands before it. A header is `length, name, 7, length in two bytes, text`: texts are all that is
 * needed here. Source: Smithy specification, "Amazon Event Stream Specification".
 */
import { crc32 } from 'node:zlib'

const aroundBytes = 16
const typeText = 7

export function eventMessage(
  headers: Readonly<Record<string, string>>,
  payload: Uint8Array | string,
): Buffer {
  const head = Buffer.concat(Object.entries(headers).map(([name, value]) => header(name, value)))
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload
  const message = Buffer.allocUnsafe(head.length + body.length + aroundBytes)
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(head.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  head.copy(message, 12)
  message.set(body, 12 + head.length)
  const end = message.length - 4
  message.writeUInt32BE(crc32(message.subarray(0, end)), end)
  return message
}

function header(name: string, value: string): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.of(bytes.length >> 8, bytes.length & 0xff)
  return Buffer.concat([
    Buffer.of(name.length),
    Buffer.from(name),
    Buffer.of(typeText),
    length,
    bytes,
  ])
}
