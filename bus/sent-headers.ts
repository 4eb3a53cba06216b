/**
 * Headers that are only sent, never read here.
 *
 * nats.js' own are a map that looks up, checks and encodes, on every invocation twice. Publishing
 * asks them for their bytes and for nothing else, and those of a few names and values that we make ourselves are one
 * string. Whoever has to read headers, or takes them from others, uses `headers()`.
 * Source: nats-core 3.4, ProtocolHandler.publish: `headers.encode()`; NATS docs, "Client protocol", HPUB.
 */
import type { MsgHdrs } from 'nats'

/** Names and values without line breaks. Throws when a value has one: it would begin a header of its own. */
export function sentHeaders(...pairs: (readonly [name: string, value: string])[]): MsgHdrs {
  let text = 'NATS/1.0\r\n'
  for (const [name, value] of pairs) {
    if (value.includes('\n') || value.includes('\r'))
      throw new RangeError(`${name} has a line break`)
    text += `${name}: ${value}\r\n`
  }
  const bytes = Buffer.from(`${text}\r\n`)
  return { encode: () => bytes } as unknown as MsgHdrs
}
