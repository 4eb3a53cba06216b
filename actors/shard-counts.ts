/** Counts what becomes of the batches of a shard. */
import type { ShardCounts } from '../edges/stream-metrics.ts'
import type { BatchOutcome } from '../machines/shard-reader.ts'
import type { BatchRecord } from './shard-batch.ts'

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
