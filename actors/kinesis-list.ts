/**
 * Streams described and listed, and their tags.
 *
 * Source: Kinesis API reference of each operation; lambda-semantics.md §8.2; kinesalite's tests of the same names.
 */
import type { Input } from '../edges/aws/constraints.ts'
import { noSuchConsumer } from '../edges/aws/kinesis-names.ts'
import { nextToken, readNextToken } from '../edges/aws/kinesis-next-token.ts'
import {
  isOpen,
  streamDescription,
  streamDescriptionSummary,
  streamSummary,
} from '../edges/aws/kinesis-shapes.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import {
  allowed,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
  knownStream,
  namedBy,
  refused,
  streamOf,
} from './kinesis-binding.ts'
import { consumerNamed } from './kinesis-consumers.ts'

type ListOperation =
  | 'DescribeStream'
  | 'DescribeStreamSummary'
  | 'DescribeLimits'
  | 'ListStreams'
  | 'ListTagsForStream'
  | 'ListTagsForResource'

/** Source: Kinesis API reference, DescribeStream and ListStreams: 100 by default. */
const defaultLimit = 100
/** Source: Kinesis API reference, ListTagsForStream: at most 50 tags a stream, and all of them by default. */
const mostTags = 50
/** Source: Kinesis API reference, DescribeLimits. */
const mostOnDemandStreams = 50

export function listOperations(binding: KinesisBinding): Record<ListOperation, KinesisHandler> {
  const { clock, place, streams } = binding

  return {
    async DescribeStream(input) {
      const stream = streamOf(binding, input, 'DescribeStream')
      const after = (input['ExclusiveStartShardId'] as string | undefined) ?? ''
      const limit = (input['Limit'] as number | undefined) ?? defaultLimit
      const found = [...stream.shards]
        .sort((one, other) => one.index - other.index)
        .filter(({ index }) => shardId(index) > after)
      // Recorded: none while it is being made.
      const shards = stream.status === 'CREATING' ? [] : found.slice(0, limit)
      const hasMore = stream.status !== 'CREATING' && found.length > limit
      return { StreamDescription: streamDescription(place, stream, { shards, hasMore }) }
    },
    async DescribeStreamSummary(input) {
      const stream = streamOf(binding, input, 'DescribeStreamSummary')
      return { StreamDescriptionSummary: streamDescriptionSummary(place, stream) }
    },
    async DescribeLimits() {
      const all = streams.all()
      return {
        ShardLimit: binding.shardLimit,
        OpenShardCount: all.reduce((sum, { shards }) => sum + shards.filter(isOpen).length, 0),
        OnDemandStreamCount: all.filter(({ mode }) => mode === 'ON_DEMAND').length,
        OnDemandStreamCountLimit: mostOnDemandStreams,
      }
    },
    async ListStreams(input) {
      const after = startOfList(input, clock.nowMs())
      const limit = (input['Limit'] as number | undefined) ?? defaultLimit
      const found = streams.all().filter(({ name }) => name > after)
      const page = found.slice(0, limit)
      const last = page.at(-1)
      const hasMore = found.length > limit
      return {
        StreamNames: page.map(({ name }) => name),
        HasMoreStreams: hasMore,
        ...(hasMore && last !== undefined
          ? { NextToken: nextToken('ListStreams', { after: last.name }, clock.nowMs()) }
          : {}),
        StreamSummaries: page.map((stream) => streamSummary(place, stream)),
      }
    },
    async ListTagsForStream(input) {
      const { tags } = streamOf(binding, input, 'ListTagsForStream')
      const after = input['ExclusiveStartTagKey'] as string | undefined
      const limit = (input['Limit'] as number | undefined) ?? mostTags
      const found = tagList(tags).filter(({ Key }) => after === undefined || Key > after)
      return { Tags: found.slice(0, limit), HasMoreTags: found.length > limit }
    },
    async ListTagsForResource(input) {
      const arn = input['ResourceARN'] as string
      const named = namedBy(binding, arn, 'ListTagsForResource')
      const stream = knownStream(binding, named.stream)
      if (named.consumer === undefined) return { Tags: tagList(stream.tags) }
      const consumer = consumerNamed(stream, named.consumer)
      if (consumer === undefined) {
        throw new KinesisRefused(noSuchConsumer(arn, stream.name, place))
      }
      return { Tags: tagList(consumer.tags) }
    },
  }
}

/** In the order of their keys' code units, as AWS has them. */
const tagList = (tags: Record<string, string>) =>
  Object.entries(tags)
    .map(([Key, Value]) => ({ Key, Value }))
    .sort((one, other) => (one.Key < other.Key ? -1 : 1))

function startOfList(input: Input, nowMs: number): string {
  const token = input['NextToken'] as string | undefined
  const start = input['ExclusiveStartStreamName'] as string | undefined
  if (token === undefined) return start ?? ''
  if (start !== undefined) {
    throw refused(
      'InvalidArgumentException',
      'NextToken and ExclusiveStartStreamName cannot be provided together.',
    )
  }
  return allowed(readNextToken<{ after: string }>('ListStreams', token, nowMs)).after
}
