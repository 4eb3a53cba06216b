/**
 * Where somebody begins to read a shard: the five types of a shard iterator, as sequences of its record stream.
 *
 * Source: Kinesis API reference, GetShardIterator and StartingPosition; texts: kinesalite's test/getShardIterator.js, recorded
 * against Kinesis.
 */
import type { ShardReader } from '../bus/shard-read.ts'
import type { KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import { refuseKinesis } from '../edges/aws/kinesis-errors.ts'
import { readSequenceNumber } from '../edges/aws/sequence-number.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import { addressOf, internalFailure, type KinesisBinding } from './kinesis-binding.ts'

export type Position = {
  type: string
  sequenceNumber: string | undefined
  timestampMs: number | undefined
}

const invalid = (message: string) => refuseKinesis('InvalidArgumentException', message)

/** What has this sequence or a later one is what is read. `action`: `GetShardIterator`, for the texts. */
export async function startOf(
  binding: KinesisBinding,
  { stream, shard }: { stream: StreamRecord; shard: Shard },
  position: Position,
  action: string,
): Promise<number | KinesisRefusal> {
  const { reader } = binding
  const { type, sequenceNumber } = position
  const isBySequence = type === 'AT_SEQUENCE_NUMBER' || type === 'AFTER_SEQUENCE_NUMBER'
  if (isBySequence !== (sequenceNumber !== undefined)) return mismatched(position)
  if (sequenceNumber !== undefined) {
    const counter = counterIn(binding, { stream, shard }, sequenceNumber, action)
    return typeof counter === 'number' && type === 'AFTER_SEQUENCE_NUMBER' ? counter + 1 : counter
  }
  if (type === 'TRIM_HORIZON') return shard.after + 1
  const end = await endOf(reader, stream, shard)
  if (type === 'LATEST') return end
  const bad = checkTimestamp(binding, position)
  if (bad !== undefined) return bad
  const first = await reader.firstSince(addressOf(stream, shard), position.timestampMs ?? 0)
  // What was stored since `end` was asked for is behind it.
  return first ?? end
}

const endOf = async (reader: ShardReader, stream: StreamRecord, shard: Shard): Promise<number> =>
  ((await reader.newest(addressOf(stream, shard))) ?? shard.after) + 1

const mismatched = ({ type, sequenceNumber }: Position): KinesisRefusal =>
  invalid(
    `Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified ${type} and ${sequenceNumber === undefined ? 'no' : 'also a'} StartingSequenceNumber.`,
  )

function checkTimestamp(
  { clock }: KinesisBinding,
  { timestampMs }: Position,
): KinesisRefusal | undefined {
  if (timestampMs === undefined) {
    return invalid(
      'Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.',
    )
  }
  const nowMs = clock.nowMs()
  return timestampMs > nowMs
    ? invalid(
        `The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: ${timestampMs}, currentTimestampInMillis: ${nowMs}`,
      )
    : undefined
}

/** Where JetStream's numbers end for us; that of a closed shard's end is far behind. */
const largest = BigInt(Number.MAX_SAFE_INTEGER - 1)

function counterIn(
  { place }: KinesisBinding,
  { stream, shard }: { stream: StreamRecord; shard: Shard },
  text: string,
  action: string,
): number | KinesisRefusal {
  const read = readSequenceNumber(text)
  const used = `StartingSequenceNumber ${text} used in ${action} on shard ${shardId(shard.index)} in stream ${stream.name} under account ${place.account} is invalid`
  if (read === undefined) return invalid(`${used}.`)
  if (read.shard !== shard.index) {
    return invalid(
      `Invalid StartingSequenceNumber. It encodes ${shardId(read.shard)}, while it was used in a call to a shard with ${shardId(shard.index)}`,
    )
  }
  const createdAtMs = Math.floor(shard.createdAtMs / 1000) * 1000
  if (read.version === 2 && read.shardCreatedAtMs === createdAtMs) {
    return Number(read.counter < largest ? read.counter : largest)
  }
  // Recorded, too: what AWS does not understand of the oldest numbers is its own failure.
  if (read.version === 0) return internalFailure()
  return invalid(`${used} because it did not come from this stream.`)
}
