/**
 * What is told of records that are given up: AWS's record, on its way to the mapping's OnFailure destination.
 */
import { kinesisFailure } from '../edges/aws/kinesis-failure.ts'
import type { Place } from '../edges/aws/names.ts'
import { stableUuid } from '../edges/stable-uuid.ts'
import type { MappingRecord } from '../machines/mapping.ts'
import type { GivenUp } from '../machines/shard-reader.ts'
import type { BatchRecord } from './shard-batch.ts'

export type Failure = {
  /** The same however often it is told. */
  id: string
  functionName: string
  /** An ARN. */
  to: string
  /** JSON. */
  record: string
  endedAtMs: number
}

/** Of the last attempt, where the function was invoked. */
export type Answered = { executedVersion: string; functionError: 'Unhandled' | null }

export function failureOf(
  place: Place,
  mapping: MappingRecord,
  { shardId }: { shardId: string },
  ending: {
    condition: GivenUp
    invocations: number
    requestId: string
    answer: Answered | undefined
    records: readonly BatchRecord[]
    endedAtMs: number
  },
): Failure {
  const { condition, requestId, records, endedAtMs } = ending
  const [first] = records
  const last = records.at(-1)
  if (first === undefined || last === undefined) throw new Error('there is nothing to tell of')
  const { functionName } = mapping
  const record = kinesisFailure({
    place,
    functionName,
    requestId,
    condition,
    invokeCount: ending.invocations,
    response: ending.answer,
    timestampMs: endedAtMs,
    shardId,
    streamArn: mapping.sourceArn,
    batchSize: records.length,
    first,
    last,
  })
  const id = stableUuid(`${requestId}/${condition}/${last.sequence}`)
  return { id, functionName, to: mapping.settings.onFailure ?? '', record, endedAtMs }
}
