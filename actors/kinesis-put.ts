/**
 * Putting records.
 *
 *     partition key ──MD5──▶ open shard ──publish──▶ stored: its sequence number
 *                               ▲                │
 *                               └── newest map ◀─┘ closed meanwhile
 *
 * Source: Kinesis API reference, PutRecord and PutRecords; texts: kinesalite's test/putRecord.js, recorded against Kinesis.
 */
import type { NewRecord } from '../bus/shard-record.ts'
import type { PutOutcome } from '../bus/shard-write.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { explicitHashKey, hashKeyOf, openShardOf } from '../edges/aws/hash-key.ts'
import { isKinesisRefusal, type KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import { noSuchStream } from '../edges/aws/kinesis-names.ts'
import { readSequenceNumber, sequenceNumber } from '../edges/aws/sequence-number.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import { atMostLong, validationSentence } from '../edges/aws/validation-texts.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import {
  addressOf,
  internalFailure,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
  limitKeyOf,
  rateExceeded,
  refused,
  streamNameOf,
} from './kinesis-binding.ts'

/** A reshard takes milliseconds, an election of a replicated stream 4–7 s (reference nats.md §0.5). */
const PATIENCE_MS = 8_000
/** A shard that takes nothing may only have no leader at this moment. */
const TRY_AGAIN_MS = 100
/** A record that another front end, or a child of a moment ago, has given its time to is of no future. */
const CLOCKS_APART_MS = 3_000
/** Source: Kinesis Data Streams quotas, PutRecords: 10 MiB with partition keys. */
const mostBytesTogether = 10_485_760

type PutAnswer = { ShardId: string; SequenceNumber: string }
type Put = {
  hashKey: string
  record: NewRecord
  /** Within the limits of its shard; who was let through once does not ask again. */
  isAdmitted: boolean
  answer?: PutAnswer | KinesisRefusal
}

export function putOperations(
  binding: KinesisBinding,
): Record<'PutRecord' | 'PutRecords', KinesisHandler> {
  const { clock, streams, writer, limits, log } = binding

  /** A stream that is being made has no shards yet, and one that is being deleted takes nothing. */
  const writable = (name: string): StreamRecord => {
    const stream = streams.get(name)
    if (stream?.status === 'ACTIVE' || stream?.status === 'UPDATING') return stream
    throw new KinesisRefused(noSuchStream(name, binding.place))
  }

  const note = (stream: StreamRecord, shard: Shard, outcomes: readonly PutOutcome[]): void => {
    const failed = outcomes.filter((each) => each === 'unanswered' || isRefused(each))
    if (failed.length === 0) return
    const where = { stream: stream.name, shard: shard.index, records: failed.length }
    log.warn(
      { code: 'KINESIS_PUT_FAILED', ...where, outcome: failed[0] },
      'JetStream did not store records, or did not say that it did',
    )
  }

  const admit = (stream: StreamRecord, shard: Shard, put: Put): void => {
    // Recorded: nothing arrives in a shard before the second that it was made in, and children are made a little late.
    if (put.record.arrivalMs < shard.createdAtMs) {
      put.record = { ...put.record, arrivalMs: shard.createdAtMs }
    }
    // Who has it on demand has no limit of shards.
    put.isAdmitted ||=
      stream.mode === 'ON_DEMAND' || limits.mayWrite(limitKeyOf(stream, shard), bytesOf(put))
    if (!put.isAdmitted) put.answer = rateExceeded(binding, stream, shard)
  }

  /** Who has no answer after it was for a shard that is closed. */
  const putInto = async (stream: StreamRecord, shard: Shard, puts: Put[]): Promise<void> => {
    for (const put of puts) admit(stream, shard, put)
    const admitted = puts.filter(isUnanswered)
    const outcomes = await writer.putMany(
      addressOf(stream, shard),
      admitted.map(({ record }) => record),
    )
    note(stream, shard, outcomes)
    for (const [index, outcome] of outcomes.entries()) {
      const put = admitted[index] as Put
      if (outcome !== 'closed') put.answer = answerOf(shard, put, outcome)
    }
  }

  const putAll = async (name: string, puts: Put[]): Promise<void> => {
    const deadlineMs = clock.monotonicMs() + PATIENCE_MS
    for (;;) {
      const stream = writable(name)
      const groups = Map.groupBy(puts.filter(isUnanswered), ({ hashKey }) =>
        openShardOf(stream.shards, hashKey),
      )
      await Promise.all([...groups].map(([shard, group]) => shard && putInto(stream, shard, group)))
      const unanswered = puts.filter(isUnanswered)
      if (unanswered.length === 0) return
      if (clock.monotonicMs() >= deadlineMs) {
        for (const put of unanswered) put.answer = internalFailure()
        return
      }
      await streams.changed(name, stream, TRY_AGAIN_MS)
    }
  }

  const putOf = (input: Input): Put => ({
    hashKey: hashKeyIn(input),
    isAdmitted: false,
    record: {
      partitionKey: input['PartitionKey'] as string,
      arrivalMs: clock.nowMs(),
      data: input['Data'] as Uint8Array,
    },
  })

  const checkSize = (name: string, { record }: Put, at: string): void => {
    const { maxRecordKib } = writable(name)
    const most = Math.min(maxRecordKib * 1024, binding.mostRecordBytes)
    const { length } = record.data
    if (length <= most) return
    const value = `java.nio.HeapByteBuffer[pos=0 lim=${length} cap=${length}]`
    throw refused('ValidationException', validationSentence([atMostLong(value, at, most)]))
  }

  return {
    async PutRecord(input) {
      const name = streamNameOf(binding, input, 'PutRecord')
      writable(name)
      const put = putOf(input)
      checkOrdering(binding, name, input['SequenceNumberForOrdering'] as string | undefined)
      checkSize(name, put, 'data')
      await putAll(name, [put])
      return put.answer ?? internalFailure()
    },
    async PutRecords(input) {
      const name = streamNameOf(binding, input, 'PutRecords')
      writable(name)
      const puts = (input['Records'] as Input[]).map(putOf)
      for (const [index, put] of puts.entries()) {
        checkSize(name, put, `records.${index + 1}.member.data`)
      }
      if (puts.reduce((sum, put) => sum + bytesOf(put), 0) > mostBytesTogether) {
        throw refused('InvalidArgumentException', 'Records size exceeds 10 MB limit')
      }
      await putAll(name, puts)
      const answers = puts.map(({ answer = internalFailure() }) => answer)
      return {
        FailedRecordCount: answers.filter(isKinesisRefusal).length,
        Records: answers.map((answer) =>
          isKinesisRefusal(answer)
            ? {
                ErrorCode: answer.refused,
                ErrorMessage: answer.message || 'Internal service failure.',
              }
            : answer,
        ),
      }
    },
  }
}

const isRefused = (outcome: PutOutcome): boolean =>
  typeof outcome === 'object' && 'refused' in outcome

function answerOf(
  { index, createdAtMs }: Shard,
  { record }: Put,
  outcome: PutOutcome,
): PutAnswer | KinesisRefusal {
  if (typeof outcome === 'string' || 'refused' in outcome) return internalFailure()
  const at = { shardCreatedAtMs: createdAtMs, shard: index, arrivalMs: record.arrivalMs }
  return {
    ShardId: shardId(index),
    SequenceNumber: sequenceNumber({ ...at, counter: outcome.sequence }),
  }
}

const isUnanswered = ({ answer }: Put): boolean => answer === undefined

/** What AWS counts: the data and its key. */
const bytesOf = ({ record }: Put): number =>
  record.data.length + Buffer.byteLength(record.partitionKey)

function hashKeyIn(input: Input): string {
  const explicit = input['ExplicitHashKey'] as string | undefined
  if (explicit === undefined) return hashKeyOf(input['PartitionKey'] as string)
  const key = explicitHashKey(explicit)
  if (key !== undefined) return key
  throw refused(
    'InvalidArgumentException',
    `Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was ${explicit}`,
  )
}

/** Records of a shard are stored in the order in which they come, so what it asks for is so anyway. */
function checkOrdering(
  { clock, place }: KinesisBinding,
  name: string,
  given: string | undefined,
): void {
  if (given === undefined) return
  const read = readSequenceNumber(given)
  if (read !== undefined && read.arrivalMs <= clock.nowMs() + CLOCKS_APART_MS) return
  throw refused(
    'InvalidArgumentException',
    `ExclusiveMinimumSequenceNumber ${given} used in PutRecord on stream ${name} under account ${place.account} is invalid.`,
  )
}
