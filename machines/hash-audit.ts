/**
 * Looks whether every partition key has a shard that is, or will be, read: the ranges of all shards that have not ended must
 * leave no hash key out.
 *
 * Ranges may overlap: an open shard and its blocked children are both there.
 * Source: lambda-semantics.md §9, "periodic hash-range audit".
 */

/** Decimal texts, both ends belong to it. */
export type HashRange = { startHash: string; endHash: string }

const LAST_HASH = 2n ** 128n - 1n

/** The ranges that nobody covers. */
export function holesIn(ranges: readonly HashRange[]): HashRange[] {
  const sorted = ranges
    .map(({ startHash, endHash }) => ({ start: BigInt(startHash), end: BigInt(endHash) }))
    .sort((one, other) => (one.start < other.start ? -1 : 1))
  const holes: HashRange[] = []
  const note = (start: bigint, end: bigint) =>
    holes.push({ startHash: String(start), endHash: String(end) })
  let next = 0n
  for (const { start, end } of sorted) {
    if (start > next) note(next, start - 1n)
    if (end >= next) next = end + 1n
  }
  if (next <= LAST_HASH) note(next, LAST_HASH)
  return holes
}
