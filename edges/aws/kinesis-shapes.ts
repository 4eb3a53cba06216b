/**
 * How Kinesis describes streams, shards and consumers in its answers. Times are milliseconds; the wire makes seconds of them.
 *
 * Source: Kinesis API reference, data types; lambda-semantics.md §8.2 (recorded: DescribeStreamSummary).
 */
import type { Shard, StreamConsumer, StreamRecord } from '../../machines/stream.ts'
import { consumerArn, streamArn } from './kinesis-names.ts'
import type { Place } from './names.ts'
import { endingCounter, sequenceNumber } from './sequence-number.ts'
import { shardId } from './shard-id.ts'

export const isOpen = ({ closedAtMs }: Shard): boolean => closedAtMs === undefined

const hashKeyRange = ({ startHash, endHash }: Shard) => ({
  StartingHashKey: startHash,
  EndingHashKey: endHash,
})

export function describeShard(shard: Shard): object {
  const { index, createdAtMs, closedAtMs, parent, adjacentParent } = shard
  const at = (counter: number | bigint, arrivalMs: number) =>
    sequenceNumber({ shardCreatedAtMs: createdAtMs, shard: index, counter, arrivalMs })
  return {
    ShardId: shardId(index),
    ...(parent === undefined ? {} : { ParentShardId: shardId(parent) }),
    ...(adjacentParent === undefined ? {} : { AdjacentParentShardId: shardId(adjacentParent) }),
    HashKeyRange: hashKeyRange(shard),
    SequenceNumberRange: {
      StartingSequenceNumber: at(0, createdAtMs),
      ...(closedAtMs === undefined ? {} : { EndingSequenceNumber: at(endingCounter, closedAtMs) }),
    },
  }
}

/** What a reader at the end of a closed shard goes on with; nothing when there are none. */
export function childShards(
  { shards }: StreamRecord,
  { index }: Shard,
): { ChildShards?: object[] } {
  const children = shards.filter(
    ({ parent, adjacentParent }) => parent === index || adjacentParent === index,
  )
  if (children.length === 0) return {}
  return {
    ChildShards: children.map((child) => ({
      ShardId: shardId(child.index),
      ParentShards: [child.parent, child.adjacentParent]
        .filter((parent) => parent !== undefined)
        .map(shardId),
      HashKeyRange: hashKeyRange(child),
    })),
  }
}

/** What all descriptions of a stream have in common. */
export const streamSummary = (place: Place, { name, status, mode, createdAtMs }: StreamRecord) => ({
  StreamName: name,
  StreamARN: streamArn(place, name),
  StreamStatus: status,
  StreamModeDetails: { StreamMode: mode },
  StreamCreationTimestamp: createdAtMs,
})

const settingsOf = ({ retentionHours }: StreamRecord) => ({
  RetentionPeriodHours: retentionHours,
  EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
  EncryptionType: 'NONE',
})

/** `shards`: a page of them. */
export const streamDescription = (
  place: Place,
  stream: StreamRecord,
  { shards, hasMore }: { shards: readonly Shard[]; hasMore: boolean },
): object => ({
  ...streamSummary(place, stream),
  ...settingsOf(stream),
  Shards: shards.map(describeShard),
  HasMoreShards: hasMore,
})

export const streamDescriptionSummary = (place: Place, stream: StreamRecord): object => ({
  ...streamSummary(place, stream),
  ...settingsOf(stream),
  // Recorded: absent while there are none yet.
  ...(stream.status === 'CREATING' ? {} : { OpenShardCount: stream.shards.filter(isOpen).length }),
  ConsumerCount: stream.consumers.length,
  MaxRecordSizeInKiB: stream.maxRecordKib,
})

export const describeConsumer = (
  place: Place,
  stream: string,
  consumer: StreamConsumer,
): Record<string, unknown> => ({
  ConsumerName: consumer.name,
  ConsumerARN: consumerArn(place, stream, consumer),
  ConsumerStatus: consumer.status,
  ConsumerCreationTimestamp: consumer.createdAtMs,
})
