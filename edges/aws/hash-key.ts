/**
 * Hash keys: which shard a record belongs to.
 *
 * A partition key is the MD5 of its UTF-8, read as an unsigned number of 128 bits; shards share those numbers among them. They
 * are kept here as 32 hex digits, which sort as the numbers do.
 * Source: Kinesis API reference, PutRecord ("An MD5 hash function is used to map partition keys to 128-bit integer values");
 * lambda-semantics.md §8.3.
 */
import { hash } from 'node:crypto'
import type { Shard } from '../../machines/stream.ts'

export const hashKeyOf = (partitionKey: string): string => hash('md5', partitionKey, 'hex')

const moreThanLargest = 1n << 128n

/** Of an ExplicitHashKey or a HashKeyRange, which are decimal. Undefined when it is over 2^128 − 1. */
export function explicitHashKey(decimal: string): string | undefined {
  const number = BigInt(decimal)
  return number < moreThanLargest ? number.toString(16).padStart(32, '0') : undefined
}

type Range = { start: string; end: string; shard: Shard }

const ranges = new WeakMap<readonly Shard[], Range[]>()

function rangesOf(shards: readonly Shard[]): Range[] {
  const known = ranges.get(shards)
  if (known !== undefined) return known
  const made = shards
    .filter(({ closedAtMs }) => closedAtMs === undefined)
    .map((shard) => ({
      start: explicitHashKey(shard.startHash) ?? '',
      end: explicitHashKey(shard.endHash) ?? '',
      shard,
    }))
    .sort((one, other) => (one.start < other.start ? -1 : 1))
  ranges.set(shards, made)
  return made
}

/** The open shard that has a hash key. `shards`: of one record of a stream, which is never changed in place. */
export function openShardOf(shards: readonly Shard[], hashKey: string): Shard | undefined {
  const sorted = rangesOf(shards)
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as Range).start <= hashKey) low = middle + 1
    else high = middle
  }
  const found = sorted[low - 1]
  return found !== undefined && hashKey <= found.end ? found.shard : undefined
}
