/**
 * What an OnFailure destination is told of a batch, and what a function answers to one. Sections are those of
 * lambda-semantics.md; tests named in brackets are LocalStack's, recorded on AWS (2025-11).
 */
import { describe, expect, test } from 'vitest'
import {
  firstFailed,
  readBatchResponse,
  readWindowState,
  windowStateLimitBytes,
} from '../../../edges/aws/batch-response.ts'
import { type KinesisFailure, kinesisFailure } from '../../../edges/aws/kinesis-failure.ts'

const exhausted: KinesisFailure = {
  place: { region: 'us-east-1', account: '000000000000' },
  functionName: 'f',
  requestId: 'c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5',
  condition: 'RetryAttemptsExhausted',
  invokeCount: 2,
  response: { executedVersion: '$LATEST', functionError: 'Unhandled' },
  timestampMs: Date.parse('2019-11-14T00:38:06.021Z'),
  shardId: 'shardId-000000000000',
  streamArn: 'arn:aws:kinesis:us-east-1:000000000000:stream/s',
  batchSize: 2,
  first: { sequenceNumber: '4959', arrivalMs: Date.parse('2019-11-14T00:38:04.835Z') },
  last: { sequenceNumber: '4960', arrivalMs: Date.parse('2019-11-14T00:38:05.580Z') },
}
const batch =
  '"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KinesisBatchInfo":{"shardId":"shardId-000000000000","startSequenceNumber":"4959","endSequenceNumber":"4960","approximateArrivalOfFirstRecord":"2019-11-14T00:38:04.835Z","approximateArrivalOfLastRecord":"2019-11-14T00:38:05.580Z","batchSize":2,"streamArn":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}}'
const head = (condition: string, count: number) =>
  `{"requestContext":{"requestId":"c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f","condition":"${condition}","approximateInvokeCount":${count}},`

describe('the record of a batch that is given up (§5.5)', () => {
  // test_kinesis_event_source_mapping_with_on_failure_destination_config
  test('after exceptions has the last answer, and the function’s ARN without a qualifier', () => {
    expect(kinesisFailure(exhausted)).toBe(
      `${head('RetryAttemptsExhausted', 2)}"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},${batch}`,
    )
  })

  // test_kinesis_report_batch_item_failures
  test('after batchItemFailures has no error: null', () => {
    const response = { executedVersion: '$LATEST', functionError: null }
    expect(kinesisFailure({ ...exhausted, invokeCount: 4, response })).toBe(
      `${head('RetryAttemptsExhausted', 4)}"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":null},${batch}`,
    )
  })

  // test_kinesis_maximum_record_age_exceeded[expire-while-retrying]
  test('that grew too old has no answer', () => {
    const failure = { ...exhausted, condition: 'RecordAgeExceeded', invokeCount: 8 } as const
    expect(kinesisFailure(failure)).toBe(`${head('RecordAgeExceeded', 8)}${batch}`)
  })

  // test_kinesis_maximum_record_age_exceeded[expire-before-ingestion]
  test('that was never sent counts one invocation', () => {
    const { response: _, ...never } = exhausted
    const failure = { ...never, condition: 'RecordAgeExceeded', invokeCount: 0 } as const
    expect(kinesisFailure(failure)).toBe(`${head('RecordAgeExceeded', 1)}${batch}`)
  })

  // stackd: kinesis_oversized.json, kinesis_oversized_retries.json
  test('that was too large to be sent has no answer', () => {
    const { response: _, ...oversized } = exhausted
    expect(kinesisFailure({ ...oversized, invokeCount: 3 })).toBe(
      `${head('RetryAttemptsExhausted', 3)}${batch}`,
    )
  })
})

const read = (answer: string) => readBatchResponse(Buffer.from(answer))

describe('an answer to a batch (§5.6)', () => {
  // test_kinesis_report_batch_item_success_scenarios
  test.each([
    ['empty_string', '""'],
    ['empty_list', '[]'],
    ['null', 'null'],
    ['empty_dict', '{}'],
    ['empty_batch_item_failure', '{"batchItemFailures": []}'],
    ['null_batch_item_failure', '{"batchItemFailures": null}'],
    ['nothing at all', ''],
    ['something else', '{"ok": true}'],
  ])('is a complete success: %s', (_, answer) => {
    expect(read(answer)).toEqual({ kind: 'success' })
  })

  // test_kinesis_report_batch_item_failure_scenarios
  test.each([
    ['empty_string_item_identifier', '{"batchItemFailures":[{"itemIdentifier":""}]}'],
    ['null_item_identifier', '{"batchItemFailures":[{"itemIdentifier":null}]}'],
    ['invalid_key_foo', '{"batchItemFailures":[{"foo":"4959"}]}'],
    ['invalid_key_foo_null_value', '{"batchItemFailures":[{"foo":null}]}'],
    ['one of two', '{"batchItemFailures":[{"itemIdentifier":"4959"},{"foo":"4960"}]}'],
    ['no list', '{"batchItemFailures":"4959"}'],
    ['no JSON', 'oops'],
  ])('is a complete failure: %s', (_, answer) => {
    expect(read(answer)).toEqual({ kind: 'failure' })
  })

  test('names the records that failed', () => {
    const answer = '{"batchItemFailures":[{"itemIdentifier":"4960"},{"itemIdentifier":"4959"}]}'
    expect(read(answer)).toEqual({ kind: 'partial', identifiers: ['4960', '4959'] })
  })

  test('has the batch go on at the lowest of them', () => {
    expect(firstFailed(['4962', '4960'], ['4959', '4960', '4961', '4962'])).toBe(1)
  })

  // test_kinesis_report_batch_item_failure_scenarios[item_identifier_not_present]
  test('has all of the batch come again when one is not in it', () => {
    expect(firstFailed(['4961', '1'], ['4959', '4960', '4961'])).toBe(0)
  })
})

describe('the state of a tumbling window (§5.8)', () => {
  const state = (answer: string) => readWindowState(Buffer.from(answer))

  test('is what the function answers as such', () => {
    expect(state('{"state": {"sum": [1, 2]}, "batchItemFailures": []}')).toEqual({
      state: '{"sum":[1,2]}',
      isTooLarge: false,
    })
  })

  test.each(['null', '{}', '', 'oops', '[]'])('is empty when it answers %s', (answer) => {
    expect(state(answer)).toEqual({ state: '{}', isTooLarge: false })
  })

  test('may have 1 MB', () => {
    const ofBytes = (bytes: number) => state(`{"state":${JSON.stringify('x'.repeat(bytes - 2))}}`)
    expect(ofBytes(windowStateLimitBytes).isTooLarge).toBe(false)
    expect(ofBytes(windowStateLimitBytes + 1).isTooLarge).toBe(true)
  })
})
