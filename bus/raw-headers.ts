/**
 * The headers of a message as they came, for whoever reads thousands of messages a second and wants two of their headers.
 *
 * `message.headers` makes a map of lists, with every name brought into a canonical form, which shows in a profile of a shard
 * that is read fast. nats.js keeps what came in; where it does not, its own way is taken.
 */
import type { Msg } from 'nats'

type Inside = { _msg?: { hdr?: number }; _rdata?: Uint8Array }

/** `NATS/1.0\r\nName: value\r\n…\r\n`, bytes as characters; empty when there are none. */
export function rawHeaders(message: Msg): string {
  const { _msg: head, _rdata: bytes } = message as unknown as Inside
  if (head?.hdr !== undefined && bytes !== undefined) {
    if (head.hdr <= 0) return ''
    return Buffer.from(bytes.buffer, bytes.byteOffset, head.hdr).toString('latin1')
  }
  const lines = message.headers?.keys().map((name) => `${name}: ${message.headers?.get(name)}\r\n`)
  return lines === undefined ? '' : `NATS/1.0\r\n${lines.join('')}\r\n`
}

/** The value of the first header of exactly that name. */
export function rawHeader(headers: string, name: string): string | undefined {
  const at = headers.indexOf(`\r\n${name}:`)
  if (at === -1) return undefined
  const end = headers.indexOf('\r\n', at + 2)
  return headers.slice(at + name.length + 3, end === -1 ? undefined : end).trim()
}
