/**
 * The MD5 sums by which SDKs see that a message arrived as they sent it.
 *
 * Of attributes: in the order of their names, each name, type and value with its length in four bytes in front, and between
 * type and value one byte that says whether the value is a text (1) or bytes (2).
 * Source: SQS Developer Guide, "Calculating the MD5 message digest for message attributes".
 */
import { createHash, hash } from 'node:crypto'
import type { MessageAttributes } from '../../bus/sqs-message.ts'

export const md5OfBody = (body: Uint8Array): string => hash('md5', body, 'hex')

/** `undefined` when there are none: SQS leaves the sum out then. */
export function md5OfAttributes(attributes: MessageAttributes): string | undefined {
  const names = Object.keys(attributes).sort()
  if (names.length === 0) return undefined
  const sum = createHash('md5')
  const add = (bytes: Buffer) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    sum.update(length).update(bytes)
  }
  for (const name of names) {
    const { DataType = '', StringValue, BinaryValue = '' } = attributes[name] ?? {}
    add(Buffer.from(name))
    add(Buffer.from(DataType))
    sum.update(Buffer.of(StringValue === undefined ? 2 : 1))
    add(StringValue === undefined ? Buffer.from(BinaryValue, 'base64') : Buffer.from(StringValue))
  }
  return sum.digest('hex')
}
