/**
 * The names of shards: `shardId-000000000007` is the one with index 7.
 *
 * Kinesis takes anything that has the number after its first hyphen, or is a number alone: `shardId-7`, `shard-7`, `7`.
 * Source: lambda-semantics.md §8.3; kinesalite's test/getShardIterator.js, recorded against Kinesis.
 */

const digits = 12
/** Kinesis: 2^31 − 1. */
const largestIndex = 2_147_483_647

/** A negative index is no shard; a sequence number can hold one all the same, and is quoted like that. */
export const shardId = (index: number): string =>
  index < 0
    ? `shardId--${String(-index).padStart(digits - 1, '0')}`
    : `shardId-${String(index).padStart(digits, '0')}`

/** Undefined for what names no shard at all. */
export function shardIndex(text: string): number | undefined {
  const number = text.split('-')[1] || text
  if (!/^\d+$/.test(number)) return undefined
  const index = Number(number)
  return index <= largestIndex ? index : undefined
}
