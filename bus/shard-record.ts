/**
 * A record of a shard, as the message that it is in its record stream: the body is the data as it came, so that anybody with
 * a NATS client can look at it; what goes beside it are two headers.
 */
import type { Msg } from 'nats'
import { rawHeader, rawHeaders } from './raw-headers.ts'

/** Of which stream of that name, and which of its shards. */
export type ShardAddress = { stream: string; incarnation: string; shard: number }

export type NewRecord = {
  partitionKey: string
  /** Milliseconds since the epoch; stands in its sequence number, so it is decided before it is stored. */
  arrivalMs: number
  data: Uint8Array
}

/** `sequence`: of the record stream. */
export type StoredRecord = NewRecord & { sequence: number }

/** Any text, percent-encoded: a header holds neither line ends nor what is no ASCII. */
const keyHeader = 'Lambus-Partition-Key'
const arrivalHeader = 'Lambus-Arrival'

export const recordHeaders = ({
  partitionKey,
  arrivalMs,
}: Pick<NewRecord, 'partitionKey' | 'arrivalMs'>): Record<string, string> => ({
  [keyHeader]: encodeURIComponent(partitionKey.toWellFormed()),
  [arrivalHeader]: String(arrivalMs),
})

type FromServer = {
  sequence: number
  /** When the server stored it: for a record that somebody put there without us, which has no time of ours. */
  storedAtMs: number
}

export function readRecord(message: Msg, { sequence, storedAtMs }: FromServer): StoredRecord {
  const headers = rawHeaders(message)
  const arrivalMs = Number(rawHeader(headers, arrivalHeader) || storedAtMs)
  return {
    sequence,
    partitionKey: decoded(rawHeader(headers, keyHeader) ?? ''),
    arrivalMs: Number.isFinite(arrivalMs) ? arrivalMs : storedAtMs,
    data: message.data,
  }
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
