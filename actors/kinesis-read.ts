/**
 * Reading shards by iterators.
 *
 * Source: Kinesis API reference, GetShardIterator and GetRecords; texts: kinesalite's test/getShardIterator.js and
 * test/getRecords.js, recorded against Kinesis.
 */
import type { StoredRecord } from '../bus/shard-record.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { noSuchShard, unknownShard } from '../edges/aws/kinesis-names.ts'
import { childShards, isOpen } from '../edges/aws/kinesis-shapes.ts'
import { sequenceNumber } from '../edges/aws/sequence-number.ts'
import { shardIndex } from '../edges/aws/shard-id.ts'
import { readShardIterator, shardIterator } from '../edges/aws/shard-iterator.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import {
  addressOf,
  allowed,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
  limitKeyOf,
  rateExceeded,
  refused,
  streamNamedBy,
  streamNameOf,
} from './kinesis-binding.ts'
import { startOf } from './kinesis-position.ts'

/** Source: Kinesis API reference, GetRecords. */
const mostRecords = 10_000
const mostBytes = 10_485_760

export function readOperations(
  binding: KinesisBinding,
): Record<'GetShardIterator' | 'GetRecords', KinesisHandler> {
  const { clock, reader, limits } = binding

  return {
    async GetShardIterator(input) {
      const name = streamNameOf(binding, input, 'GetShardIterator')
      const { stream, shard } = shardOf(binding, name, input['ShardId'] as string)
      const position = {
        type: input['ShardIteratorType'] as string,
        sequenceNumber: input['StartingSequenceNumber'] as string | undefined,
        timestampMs: input['Timestamp'] as number | undefined,
      }
      const where = { stream, shard }
      const from = allowed(await startOf(binding, where, position, 'GetShardIterator'))
      return { ShardIterator: iteratorAt(binding, stream, shard, from) }
    },
    async GetRecords(input) {
      const { stream, shard, from } = placeOf(binding, input)
      const key = limitKeyOf(stream, shard)
      if (!limits.mayRead(key)) return rateExceeded(binding, stream, shard)
      const most = (input['Limit'] as number | undefined) ?? mostRecords
      const page = await reader.read(addressOf(stream, shard), { from, most, mostBytes })
      const { records, pending } = page
      const bytes = records.reduce((sum, { data }) => sum + data.length, 0)
      limits.hasRead(key, bytes)
      const last = records.at(-1)
      const next = last === undefined ? from : last.sequence + 1
      // Recorded: what has records goes on, and the end is told with nothing else.
      const isEnd = last === undefined && (await isOver(binding, stream, shard, next))
      return {
        Records: records.map((record) => recordAnswer(shard, record)),
        ...(isEnd
          ? childShards(stream, shard)
          : { NextShardIterator: iteratorAt(binding, stream, shard, next) }),
        MillisBehindLatest: pending === 0 ? 0 : behindMs(last, clock.nowMs()),
      }
    },
  }
}

export const recordAnswer = (
  { index, createdAtMs }: Shard,
  { sequence, arrivalMs, partitionKey, data }: StoredRecord,
): object => ({
  SequenceNumber: sequenceNumber({
    shardCreatedAtMs: createdAtMs,
    shard: index,
    counter: sequence,
    arrivalMs,
  }),
  ApproximateArrivalTimestamp: arrivalMs,
  Data: data,
  PartitionKey: partitionKey,
})

export const behindMs = (last: StoredRecord | undefined, nowMs: number): number =>
  last === undefined ? 0 : Math.max(0, nowMs - last.arrivalMs)

/** Whether a closed shard has nothing from that sequence on, and never will. */
export async function isOver(
  { reader }: Pick<KinesisBinding, 'reader'>,
  stream: StreamRecord,
  shard: Shard,
  from: number,
): Promise<boolean> {
  if (isOpen(shard)) return false
  if (shard.until !== undefined && from > shard.until) return true
  return await reader.isOver(addressOf(stream, shard), from)
}

/** The shard of a name that may be written in several ways. Throws KinesisRefused. */
export function shardOf(
  { streams, place }: KinesisBinding,
  name: string,
  id: string,
): { stream: StreamRecord; shard: Shard } {
  const index = shardIndex(id)
  if (index === undefined) throw new KinesisRefused(unknownShard(id, name, place))
  const stream = streams.get(name)
  const shard = stream?.shards.find((each) => each.index === index)
  if (stream !== undefined && shard !== undefined) return { stream, shard }
  throw new KinesisRefused(noSuchShard(index, name, place))
}

function placeOf(binding: KinesisBinding, input: Input) {
  const { clock, place, streams } = binding
  const position = allowed(readShardIterator(input['ShardIterator'] as string, clock.nowMs()))
  const { stream: name, incarnation, shard: index, from } = position
  const arn = input['StreamARN'] as string | undefined
  if (arn !== undefined && streamNamedBy(binding, arn, 'GetRecords') !== name) {
    throw refused('InvalidArgumentException', 'Invalid ShardIterator.')
  }
  const stream = streams.get(name)
  const shard = stream?.shards.find((each) => each.index === index)
  if (stream === undefined || shard === undefined || stream.incarnation !== incarnation) {
    throw new KinesisRefused(noSuchShard(index, name, place))
  }
  return { stream, shard, from }
}

const iteratorAt = (
  { clock }: KinesisBinding,
  stream: StreamRecord,
  shard: Shard,
  from: number,
): string =>
  shardIterator(
    { stream: stream.name, incarnation: stream.incarnation, shard: shard.index, from },
    clock.nowMs(),
  )
