/**
 * Which shards of its stream a mapping reads, from where, and after which.
 *
 * All follows from the mapping and the stream's record as they are, whenever it is asked: the only thing that has to be kept
 * of the moment when a mapping began is how far the record stream was (`startsAfter`). What was put before is behind it in no
 * shard; a shard closed by then has nothing of interest; one that is made later begins behind it anyway.
 * Source: lambda-semantics.md §5.1 (StartingPosition), §5.7.
 */
import type { MappingRecord, ShardWork } from './mapping.ts'
import type { Shard, StreamRecord } from './stream.ts'

type Start = Pick<MappingRecord, 'startingPosition' | 'startingTimestampMs' | 'startsAfter'>

/** Whether there may be anything in the shard for the mapping. */
export const readsShard = ({ startsAfter = 0 }: Start, { until }: Shard): boolean =>
  until === undefined || startsAfter === 0 || until > startsAfter

/** Where the mapping begins in the shard. A shard made at that time or later is read from its beginning. */
export function startIn(
  { startingPosition, startingTimestampMs: atMs, startsAfter = 0 }: Start,
  { after, createdAtMs }: Shard,
): ShardWork['start'] {
  if (startingPosition === 'AT_TIMESTAMP' && atMs !== undefined && createdAtMs < atMs) {
    return { atMs }
  }
  return { after: Math.max(after, startsAfter) }
}

/** The parents that are to be read before the shard; one that the stream does not know any more is through. */
export function parentsOf(mapping: Start, stream: StreamRecord, shard: Shard): number[] {
  return [shard.parent, shard.adjacentParent].filter((index) => {
    const parent = stream.shards.find((one) => one.index === index)
    return parent !== undefined && readsShard(mapping, parent)
  }) as number[]
}

/** All that are read for the mapping, parents before children. */
export const shardsOf = (mapping: Start, stream: StreamRecord): Shard[] =>
  stream.shards
    .filter((shard) => readsShard(mapping, shard))
    // A child is made after its parents, and indices only grow.
    .sort((one, other) => one.index - other.index)

/** As others are to see it, but for its state. */
export const workOf = (mapping: MappingRecord, shard: Shard): Omit<ShardWork, 'state'> => ({
  mapping: mapping.uuid,
  stream: mapping.stream,
  incarnation: mapping.incarnation,
  shard: shard.index,
  start: startIn(mapping, shard),
})
