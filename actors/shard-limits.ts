/**
 * What a shard takes and gives in a second, for who wants to see his program meet Kinesis's limits: buckets that are filled
 * again at a steady rate. A bucket may be left in debt by what is larger than it, as AWS lends, too.
 *
 *     written   1 MiB and 1,000 records     read   2 MiB and 5 GetRecords
 *
 * Source: lambda-semantics.md §8.2 (shard write limit, and that bursts are borrowed).
 */
import type { Clock } from '../bus/bus.ts'

/** `shard` is a key of its own for each shard of each stream. False: it has had enough for now. */
export type ShardLimits = {
  mayWrite(shard: string, bytes: number): boolean
  mayRead(shard: string): boolean
  /** What a read that was allowed gave. */
  hasRead(shard: string, bytes: number): void
}

export const noLimits: ShardLimits = {
  mayWrite: () => true,
  mayRead: () => true,
  hasRead() {},
}

const perSecond = {
  bytesWritten: 1_048_576,
  recordsWritten: 1_000,
  bytesRead: 2_097_152,
  reads: 5,
}
type Kind = keyof typeof perSecond
type Bucket = { level: number; atMs: number }

/** More than have been used in the same second: then those that are full again are forgotten. */
const MOST_REMEMBERED = 10_000

export function openShardLimits(clock: Pick<Clock, 'monotonicMs'>): ShardLimits {
  const buckets = new Map<string, Bucket>()

  const levelOf = (kind: Kind, { level, atMs }: Bucket): number => {
    const most = perSecond[kind]
    return Math.min(most, level + ((clock.monotonicMs() - atMs) / 1000) * most)
  }

  const bucketOf = (kind: Kind, shard: string): Bucket => {
    const key = `${kind} ${shard}`
    const known = buckets.get(key)
    if (known !== undefined) {
      known.level = levelOf(kind, known)
      known.atMs = clock.monotonicMs()
      return known
    }
    if (buckets.size >= MOST_REMEMBERED) forgetFull()
    const made = { level: perSecond[kind], atMs: clock.monotonicMs() }
    buckets.set(key, made)
    return made
  }

  const forgetFull = () => {
    for (const [key, bucket] of buckets) {
      const kind = key.slice(0, key.indexOf(' ')) as Kind
      if (levelOf(kind, bucket) >= perSecond[kind]) buckets.delete(key)
    }
  }

  return {
    mayWrite(shard, bytes) {
      const ofBytes = bucketOf('bytesWritten', shard)
      const ofRecords = bucketOf('recordsWritten', shard)
      const isEnough = ofBytes.level >= Math.min(bytes, perSecond.bytesWritten)
      if (!isEnough || ofRecords.level < 1) return false
      ofBytes.level -= bytes
      ofRecords.level -= 1
      return true
    },
    mayRead(shard) {
      const reads = bucketOf('reads', shard)
      if (reads.level < 1 || bucketOf('bytesRead', shard).level <= 0) return false
      reads.level -= 1
      return true
    },
    hasRead(shard, bytes) {
      bucketOf('bytesRead', shard).level -= bytes
    },
  }
}
