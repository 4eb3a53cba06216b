/**
 * A UUID that is the same for the same text: of what may be made twice and is one thing all the same.
 *
 * Source: RFC 9562, §5.8: version 8, with a hash of one's own choice.
 */
import { hash } from 'node:crypto'

export function stableUuid(text: string): string {
  const bytes = hash('sha256', text, 'buffer').subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}
