/**
 * What the OnFailure destination of a mapping is told of records that are given up: AWS's record, its keys in the recorded
 * order. It names the records and does not hold them.
 *
 *     condition                count       responseContext
 *     RetryAttemptsExhausted   retries+1   200, executedVersion, functionError: Unhandled, or null where the function only
 *                                          listed records that failed; absent where the batch was too large to be sent
 *     RecordAgeExceeded        attempts,   absent
 *                              1 if none
 *
 * Source: lambda-semantics.md §5.5 (recorded: LocalStack's test_kinesis_event_source_mapping_with_on_failure_destination_config,
 * test_kinesis_report_batch_item_failures, test_kinesis_maximum_record_age_exceeded; stackd's kinesis_oversized).
 */
import { functionArn, type Place } from './names.ts'

export type KinesisFailure = {
  place: Place
  /** The name alone: unlike that of a destination's record, this ARN has no qualifier. */
  functionName: string
  /** Of the last attempt. */
  requestId: string
  condition: 'RetryAttemptsExhausted' | 'RecordAgeExceeded'
  /** How often the batch was tried, as it is now. */
  invokeCount: number
  /** Of the last attempt, if the function was invoked; told of exhausted attempts only. */
  response?: { executedVersion: string; functionError: 'Unhandled' | null } | undefined
  timestampMs: number
  shardId: string
  streamArn: string
  batchSize: number
  first: FailedRecord
  last: FailedRecord
}
/** `sequenceNumber`: decimal. */
type FailedRecord = { sequenceNumber: string; arrivalMs: number }

/** As JSON. */
export function kinesisFailure(failure: KinesisFailure): string {
  const { requestId, condition, invokeCount, response, first, last } = failure
  const isAnswered = response !== undefined && condition === 'RetryAttemptsExhausted'
  return JSON.stringify({
    requestContext: {
      requestId,
      functionArn: functionArn(failure.place, failure.functionName),
      condition,
      // A batch that was never sent counts as one: test_kinesis_maximum_record_age_exceeded[expire-before-ingestion].
      approximateInvokeCount: Math.max(1, invokeCount),
    },
    ...(isAnswered ? { responseContext: contextOf(response) } : {}),
    version: '1.0',
    timestamp: iso(failure.timestampMs),
    KinesisBatchInfo: {
      shardId: failure.shardId,
      startSequenceNumber: first.sequenceNumber,
      endSequenceNumber: last.sequenceNumber,
      approximateArrivalOfFirstRecord: iso(first.arrivalMs),
      approximateArrivalOfLastRecord: iso(last.arrivalMs),
      batchSize: failure.batchSize,
      streamArn: failure.streamArn,
    },
  })
}

const contextOf = ({
  executedVersion,
  functionError,
}: NonNullable<KinesisFailure['response']>) => ({
  statusCode: 200,
  executedVersion,
  functionError,
})

const iso = (ms: number): string => new Date(ms).toISOString()
