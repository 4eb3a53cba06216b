/** lambda-semantics.md §4.4, §1.7: the record that a destination gets. */
import { describe, expect, test } from 'vitest'
import {
  destinationRecord,
  type EventAnswer,
  type EventEnd,
} from '../../../edges/aws/destination-record.ts'

const bytes = (text: string) => Buffer.from(text)
const error = '{"errorMessage":"no","errorType":"Exception"}'
const failed: EventAnswer = {
  statusCode: 200,
  executedVersion: '$LATEST',
  functionError: 'Unhandled',
  payload: bytes(error),
}
const common = {
  requestId: 'c109a9c6-44f8-4e11-8b81-c39c6e430ea0',
  functionArn: 'arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST',
  approximateInvokeCount: 1,
  timestampMs: Date.UTC(2019, 10, 14, 18, 16, 5, 568),
  requestPayload: bytes('{"raise_error":1}'),
}
const end = (more: object): EventEnd => ({ ...common, condition: 'Success', ...more }) as EventEnd
const record = (more: object) => Buffer.from(destinationRecord(end(more))).toString()
const head = (condition: string, count: number) =>
  `{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"c109a9c6-44f8-4e11-8b81-c39c6e430ea0","functionArn":"arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST","condition":"${condition}","approximateInvokeCount":${count}},"requestPayload":{"raise_error":1}`

describe('an event that ran', () => {
  // LocalStack, test_assess_lambda_destination_invocation[payload1], test_retries
  test('and failed: keys in the order recorded', () => {
    expect(
      record({ condition: 'RetriesExhausted', approximateInvokeCount: 3, response: failed }),
    ).toBe(
      `${head('RetriesExhausted', 3)},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":${error}}`,
    )
  })

  // LocalStack, test_assess_lambda_destination_invocation[payload0]
  test('and succeeded has no functionError', () => {
    const response = { statusCode: 200, executedVersion: '$LATEST', payload: bytes('{"a":1}') }
    expect(record({ condition: 'Success', approximateInvokeCount: 1, response })).toBe(
      `${head('Success', 1)},"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":{"a":1}}`,
    )
  })

  // LocalStack, test_maxeventage: the last error, when its next retry would come too late
  test('and is too old for a retry tells its last error', () => {
    expect(
      JSON.parse(
        record({ condition: 'EventAgeExceeded', approximateInvokeCount: 2, response: failed }),
      ),
    ).toMatchObject({
      requestContext: { condition: 'EventAgeExceeded', approximateInvokeCount: 2 },
      responseContext: { statusCode: 200, functionError: 'Unhandled' },
      responsePayload: { errorMessage: 'no' },
    })
  })

  // stackd, streaming_async: "requestPayload":{"mode": "throw_after", …} with the caller's spaces
  test('has its payloads byte for byte', () => {
    const requestPayload = bytes('{ "ü": 1.0,\n "a": 12345678901234567890 }')
    const response = { ...failed, payload: bytes(' [1.50] ') }
    const text = record({ condition: 'RetriesExhausted', requestPayload, response })
    expect(text).toContain('"requestPayload":{ "ü": 1.0,\n "a": 12345678901234567890 },')
    expect(text).toContain('"responsePayload": [1.50] }')
  })

  // §1.7; recorded to the letter in stackd, streaming_async
  test('and answered what is not JSON: no responsePayload, a deliveryError', () => {
    const response = {
      statusCode: 200,
      executedVersion: '$LATEST',
      payload: Buffer.from([0x41, 0, 0xff, 0x0a]),
    }
    expect(record({ condition: 'Success', approximateInvokeCount: 1, response })).toBe(
      `${head('Success', 1)},"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"deliveryError":{"statusCode":400,"errorCode":"InvalidRequestContentException","errorMessage":"The function response payload could not be parsed as JSON."}}`,
    )
  })
})

describe('an event that did not run', () => {
  // stackd, outcomes_expiry
  test('throttled until it was too old: 429 and nothing more', () => {
    const response = { statusCode: 429, message: 'Rate Exceeded.' }
    expect(record({ condition: 'EventAgeExceeded', approximateInvokeCount: 0, response })).toBe(
      `${head('EventAgeExceeded', 0)},"responseContext":{"statusCode":429}}`,
    )
  })

  // stackd, async_deleted_dlq
  test('because its function was deleted: RetriesExhausted and 404', () => {
    expect(
      record({
        condition: 'RetriesExhausted',
        approximateInvokeCount: 1,
        response: { statusCode: 404 },
      }),
    ).toBe(`${head('RetriesExhausted', 1)},"responseContext":{"statusCode":404}}`)
  })

  // LocalStack, test_reserved_concurrency
  test('because nothing is reserved for it: no response at all', () => {
    expect(record({ condition: 'ZeroReservedConcurrency', approximateInvokeCount: 0 })).toBe(
      `${head('ZeroReservedConcurrency', 0)}}`,
    )
  })
})

// Lambda API, Invoke: the payload is not required
test('an event without a payload is an empty object', () => {
  const text = record({ condition: 'Success', requestPayload: bytes(''), response: failed })
  expect(JSON.parse(text).requestPayload).toEqual({})
})
