/**
 * A record of a shard, as the message that it is in its record stream: the body is the data as it came, so that anybody with
 * a NATS client can look at it; what goes beside it are two headers.
 */
import type { Msg, MsgHdrs } from 'nats'

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

/** `sequence` and `storedAtMs` are the server's: a record that somebody put there without us has no time of ours. */
export function readRecord(
  { headers, data }: { headers?: MsgHdrs | undefined; data: Uint8Array } | Msg,
  sequence: number,
  storedAtMs: number,
): StoredRecord {
  const arrivalMs = Number(headers?.get(arrivalHeader) || storedAtMs)
  return {
    sequence,
    partitionKey: decoded(headers?.get(keyHeader) ?? ''),
    arrivalMs: Number.isFinite(arrivalMs) ? arrivalMs : storedAtMs,
    data,
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
