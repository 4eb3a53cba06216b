/**
 * What has become of the batches of one shard, since it is held here.
 */
import type { BatchOutcome } from '../machines/shard-reader.ts'
import type { BatchRecord } from './shard-batch.ts'

export type ShardCounts = {
  /** Attempts, whatever came of them. */
  batches: number
  /** Of all attempts, repeated ones too. */
  recordsTried: number
  /** Those that the function was done with. */
  records: number
  retries: number
  invokeErrors: number
  throttles: number
  /** Records that were given up. */
  discarded: number
  /** Records that no filter let through. */
  filtered: number
  /** Of the last record of the last batch, when it was done with. Source: lambda-semantics.md §5.7. */
  iteratorAgeMs: number
}

export const noCounts = (): ShardCounts => ({
  batches: 0,
  recordsTried: 0,
  records: 0,
  retries: 0,
  invokeErrors: 0,
  throttles: 0,
  discarded: 0,
  filtered: 0,
  iteratorAgeMs: 0,
})

export function count(
  counts: ShardCounts,
  records: readonly BatchRecord[],
  { kind }: BatchOutcome,
  nowMs: number,
): void {
  counts.batches++
  counts.recordsTried += records.length
  if (kind === 'throttled') counts.throttles++
  if (kind === 'failed') counts.invokeErrors++
  if (kind !== 'succeeded' && kind !== 'overflown') {
    counts.retries++
    return
  }
  counts.records += records.length
  const last = records.at(-1)
  if (last !== undefined) counts.iteratorAgeMs = Math.max(0, nowMs - last.arrivalMs)
}
