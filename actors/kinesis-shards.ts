/**
 * ListShards: which shards there are, were at some time, or have been since.
 *
 * Source: Kinesis API reference, ListShards and ShardFilter; texts: lambda-semantics.md §8.2, kinesalite's test/listShards.js.
 */
import type { Input } from '../edges/aws/constraints.ts'
import { isKinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import { noSuchStream } from '../edges/aws/kinesis-names.ts'
import { nextToken, readNextToken } from '../edges/aws/kinesis-next-token.ts'
import { describeShard, isOpen } from '../edges/aws/kinesis-shapes.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import {
  allowed,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
  knownStream,
  refused,
  streamNameOf,
  streamOf,
} from './kinesis-binding.ts'

/** What a list is of. It is kept in its tokens, so that all pages are of the same. */
type List = {
  stream: string
  incarnation: string
  filter: Filter
  /** The id of the last shard that was told. */
  after: string
}
type Filter = { type: string; timestampMs?: number }

/** Source: Kinesis API reference, ListShards: 1,000 in an answer, whatever is asked for. */
const mostShards = 1_000

export function shardOperations(binding: KinesisBinding): Record<'ListShards', KinesisHandler> {
  const { clock } = binding
  return {
    async ListShards(input) {
      const list = input['NextToken'] === undefined ? newList(binding, input) : goOn(binding, input)
      const stream = knownStream(binding, list.stream)
      if (stream.incarnation !== list.incarnation) {
        throw new KinesisRefused(noSuchStream(list.stream, binding.place))
      }
      const matches = filterOf(stream, list.filter, clock.nowMs())
      const found = [...stream.shards]
        .sort((one, other) => one.index - other.index)
        .filter((shard) => shardId(shard.index) > list.after && matches(shard))
      const most = Math.min((input['MaxResults'] as number | undefined) ?? mostShards, mostShards)
      const page = found.slice(0, most)
      const last = page.at(-1)
      return {
        Shards: page.map(describeShard),
        ...(last === undefined || page.length === found.length
          ? {}
          : {
              NextToken: nextToken(
                'ListShards',
                { ...list, after: shardId(last.index) },
                clock.nowMs(),
              ),
            }),
      }
    },
  }
}

const invalid = (message: string) => refused('InvalidArgumentException', message)

/** What a token settles already. `StreamName` and `StreamARN` may be said again (recorded in September 2026). */
const settledByToken = ['ShardFilter', 'ExclusiveStartShardId', 'StreamCreationTimestamp']

const together = 'NextToken and StreamName cannot be provided together.'

function goOn(binding: KinesisBinding, input: Input): List {
  const twice = settledByToken.find((member) => input[member] !== undefined)
  if (twice !== undefined) throw invalid(`NextToken and ${twice} cannot be provided together.`)
  const token = input['NextToken'] as string
  const list = readNextToken<List>('ListShards', token, binding.clock.nowMs())
  const isNamed = input['StreamName'] !== undefined || input['StreamARN'] !== undefined
  if (!isNamed) return allowed(list)
  // Recorded in 2020 of any token, and true still of one that is not of that stream.
  if (isKinesisRefusal(list) && list.refused === 'InvalidArgumentException') throw invalid(together)
  if (streamNameOf(binding, input, 'ListShards') !== allowed(list).stream) throw invalid(together)
  return allowed(list)
}

function newList(binding: KinesisBinding, input: Input): List {
  if (input['StreamName'] === undefined && input['StreamARN'] === undefined) {
    throw invalid('Either NextToken or StreamName should be provided.')
  }
  const filter = (input['ShardFilter'] ?? { Type: 'FROM_TRIM_HORIZON' }) as Input
  const stream = checkedStream(binding, input)
  const list = {
    stream: stream.name,
    incarnation: stream.incarnation,
    after: (input['ExclusiveStartShardId'] as string | undefined) ?? '',
    filter: { type: filter['Type'] as string },
  }
  if (list.filter.type === 'AFTER_SHARD_ID') {
    const id = filter['ShardId'] as string | undefined
    if (id === undefined) {
      throw invalid('ShardId must be provided when the ShardFilter Type is AFTER_SHARD_ID.')
    }
    return { ...list, after: id > list.after ? id : list.after }
  }
  if (!list.filter.type.endsWith('_TIMESTAMP')) return list
  const timestampMs = checkedTimestamp(binding, filter, stream)
  return { ...list, filter: { ...list.filter, timestampMs } }
}

function checkedStream(binding: KinesisBinding, input: Input): StreamRecord {
  const stream = streamOf(binding, input, 'ListShards')
  const createdAtMs = input['StreamCreationTimestamp'] as number | undefined
  // Whoever has it from JSON may have it with fewer decimals.
  const isAnother = createdAtMs !== undefined && Math.abs(createdAtMs - stream.createdAtMs) >= 1000
  if (isAnother) throw new KinesisRefused(noSuchStream(stream.name, binding.place))
  return stream
}

function checkedTimestamp({ clock }: KinesisBinding, filter: Input, stream: StreamRecord): number {
  const timestampMs = filter['Timestamp'] as number | undefined
  if (timestampMs === undefined) {
    throw invalid(`Timestamp must be provided when the ShardFilter Type is ${filter['Type']}.`)
  }
  if (timestampMs < horizonOf(stream, clock.nowMs())) {
    throw invalid('ShardFilter Timestamp cannot be older than TRIM_HORIZON of the stream.')
  }
  if (timestampMs > clock.nowMs()) {
    throw invalid('ShardFilter Timestamp must not be greater than current time.')
  }
  return timestampMs
}

/** Where a stream's oldest records may be: a young stream has none before it was made. */
const horizonOf = ({ createdAtMs, retentionHours }: StreamRecord, nowMs: number): number =>
  Math.max(createdAtMs, nowMs - retentionHours * 3_600_000)

function filterOf(
  stream: StreamRecord,
  { type, timestampMs }: Filter,
  nowMs: number,
): (shard: Shard) => boolean {
  const horizonMs = horizonOf(stream, nowMs)
  const isSince = (atMs: number) => (shard: Shard) =>
    shard.closedAtMs === undefined || shard.closedAtMs >= atMs
  // A child opens when its parents are closed, whatever second stands in its sequence numbers.
  const openedAtMs = ({ parent, createdAtMs }: Shard) =>
    stream.shards.find(({ index }) => index === parent)?.closedAtMs ?? createdAtMs
  const isAt = (atMs: number) => (shard: Shard) =>
    openedAtMs(shard) <= atMs && (shard.closedAtMs === undefined || shard.closedAtMs > atMs)
  switch (type) {
    case 'AT_LATEST':
      return isOpen
    case 'AT_TRIM_HORIZON':
      return isAt(horizonMs)
    case 'AT_TIMESTAMP':
      return isAt(timestampMs ?? nowMs)
    case 'FROM_TIMESTAMP':
      return isSince(timestampMs ?? nowMs)
    default:
      return isSince(horizonMs)
  }
}
