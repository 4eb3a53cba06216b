/**
 * Receipt handles: which delivery of which message, when, and a checksum over it, so that what was made up or cut off is
 * recognised. Opaque to whoever holds one. It is good for the queue that gave it, and not for one of the same name that
 * was made later.
 */
import { hash } from 'node:crypto'
import type { Delivery } from '../../bus/sqs-receive.ts'
import { refuseSqs, type SqsRefusal } from './sqs-errors.ts'

export type Receipt = { delivery: Delivery; receivedAtMs: number }

const checksumCharacters = 16
const checksum = (text: string) => hash('sha256', text, 'hex').slice(0, checksumCharacters)

export function writeReceipt({ delivery, receivedAtMs }: Receipt): string {
  const text = [delivery.consumer, receivedAtMs, ...delivery.tokens].join('.')
  return Buffer.from(`${checksum(text)}.${text}`).toString('base64')
}

/** `consumer`: that of the queue that the handle is shown to. */
export function readReceipt(handle: string, consumer: string): Receipt | SqsRefusal {
  const text = Buffer.from(handle, 'base64').toString('latin1')
  const [sum, itsConsumer = '', receivedAt, ...tokens] = text.split('.')
  const isOurs = sum === checksum(text.slice(checksumCharacters + 1)) && itsConsumer === consumer
  if (!isOurs) {
    return refuseSqs(
      'ReceiptHandleIsInvalid',
      `The input receipt handle "${handle}" is not a valid receipt handle.`,
    )
  }
  const [deliveries, sequence] = tokens.map(Number)
  return {
    delivery: { consumer, deliveries: deliveries ?? 0, sequence: sequence ?? 0, tokens },
    receivedAtMs: Number(receivedAt),
  }
}
