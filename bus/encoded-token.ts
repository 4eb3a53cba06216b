/**
 * Any name as one token of a subject, a KV key and a consumer's name, and back.
 *
 * People name their actors as they like ("order 7/ü"), NATS allows few characters. Letters, digits, '-' and '_' stay;
 * every other byte of the name's UTF-8 becomes `=` and two hexadecimal digits; the empty name becomes `=`. Two names never
 * share a token.
 * Source: NATS ADR-6 (names) and ADR-8 (KV keys: `[-/=.\w]`); the scheme is quoted-printable's, RFC 2045 §6.7.
 */
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const encodeToken = (name: string): string =>
  name === ''
    ? '='
    : name.replace(/[^\w-]+/gu, (text) => encoder.encode(text).reduce(escapeByte, ''))

const escapeByte = (escaped: string, byte: number): string =>
  `${escaped}=${byte.toString(16).toUpperCase().padStart(2, '0')}`

/** The name, or undefined when `token` is not what `encodeToken` makes of any name. */
export function decodeToken(token: string): string | undefined {
  if (/^[\w-]+$/.test(token)) return token
  if (token === '=') return ''
  const bytes: number[] = []
  for (const [piece, hex] of token.matchAll(/=([0-9A-F]{2})|[\w-]|./gsu)) {
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16))
    else bytes.push(...encoder.encode(piece))
  }
  try {
    const name = decoder.decode(Uint8Array.from(bytes))
    return encodeToken(name) === token ? name : undefined
  } catch {
    return undefined
  }
}
