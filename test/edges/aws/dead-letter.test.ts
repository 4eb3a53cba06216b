/** lambda-semantics.md §4.5: what a dead-letter queue gets. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deadLetter } from '../../../edges/aws/dead-letter.ts'
import type { EventEnd } from '../../../edges/aws/destination-record.ts'

const letter = (more: object) =>
  deadLetter({
    requestId: 'r1',
    functionArn: 'arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST',
    condition: 'RetriesExhausted',
    approximateInvokeCount: 1,
    timestampMs: 0,
    requestPayload: Buffer.from('{ "raise_error": 1 }'),
    ...more,
  } as EventEnd)
const failed = (payload: string) => ({
  statusCode: 200,
  executedVersion: '$LATEST',
  functionError: 'Unhandled',
  payload: Buffer.from(payload),
})
const messageOf = (payload: string) =>
  letter({ response: failed(payload) }).attributes['ErrorMessage']?.StringValue

describe('the attributes', () => {
  // LocalStack, test_dead_letter_queue
  test('of a function error: 200 and its errorMessage', () => {
    const response = failed('{"errorMessage":"intentional","errorType":"Exception"}')
    const { body, attributes } = letter({ response })
    expect(Buffer.from(body).toString()).toBe('{ "raise_error": 1 }')
    expect(attributes).toEqual({
      RequestID: { DataType: 'String', StringValue: 'r1' },
      ErrorCode: { DataType: 'Number', StringValue: '200' },
      ErrorMessage: { DataType: 'String', StringValue: 'intentional' },
    })
  })

  // stackd, async_deleted_dlq: occupied_age
  test('of one that was throttled until it was too old: 429', () => {
    expect(
      letter({ condition: 'EventAgeExceeded', response: { statusCode: 429 } }).attributes,
    ).toMatchObject({
      ErrorCode: { DataType: 'Number', StringValue: '429' },
      ErrorMessage: { DataType: 'String', StringValue: 'Rate Exceeded.' },
    })
  })

  // stackd, async_deleted_dlq: deleted_before_entry
  test('of one whose function is gone: 404 and the qualified ARN', () => {
    expect(letter({ response: { statusCode: 404 } }).attributes).toMatchObject({
      ErrorCode: { StringValue: '404' },
      ErrorMessage: {
        StringValue: 'Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST',
      },
    })
  })

  // §4.5, sic
  test('of one with nothing reserved: no ErrorCode', () => {
    expect(letter({ condition: 'ZeroReservedConcurrency' }).attributes).toEqual({
      RequestID: { DataType: 'String', StringValue: 'r1' },
      ErrorMessage: {
        DataType: 'String',
        StringValue:
          'Function not invoked. Function isconfigured with zero reserved concurrent executions',
      },
    })
  })

  // §4.6: "async event → DLQ/OnFailure"
  test('of a recursive one: 400 and why', () => {
    const response = { statusCode: 400 }
    expect(letter({ condition: 'RecursiveInvocation', response }).attributes).toMatchObject({
      ErrorCode: { StringValue: '400' },
      ErrorMessage: { StringValue: expect.stringMatching(/recursive loop/) },
    })
  })

  test('say what the refusal said, if that is known', () => {
    const response = { statusCode: 500, message: 'Something of ours failed.' }
    expect(letter({ response }).attributes).toMatchObject({
      ErrorCode: { StringValue: '500' },
      ErrorMessage: { StringValue: 'Something of ours failed.' },
    })
  })
})

describe('the ErrorMessage', () => {
  test('of a payload without errorMessage is the payload', () => {
    for (const payload of ['"no"', '{"errorMessage":7}', '[]', 'null', 'not JSON']) {
      expect(messageOf(payload)).toBe(payload)
    }
  })

  // SQS API, SendMessage: an attribute's value may not be empty
  test('is left out when there is nothing to say', () => {
    expect(messageOf('{"errorMessage":""}')).toBeUndefined()
  })

  // AWS Lambda Developer Guide, "Dead-letter queues": "the first 1 KB"
  test('is cut at 1,024 bytes, between two characters', () => {
    expect(messageOf(JSON.stringify({ errorMessage: 'x'.repeat(2000) }))).toBe('x'.repeat(1024))
    expect(messageOf(JSON.stringify({ errorMessage: `xx${'€'.repeat(400)}` }))).toBe(
      `xx${'€'.repeat(340)}`,
    )
  })

  // SQS API, SendMessage: the characters that a message may hold
  test('is always one that SQS takes, and begins as the error begins', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 1500 }), (text) => {
        const message = messageOf(JSON.stringify({ errorMessage: text })) ?? ''
        expect(message.isWellFormed()).toBe(true)
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1024)
        expect(message).toMatch(/^[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]+$/u)
        if (/^[ -~]*$/.test(text)) expect(text.startsWith(message)).toBe(true)
      }),
    )
  })
})
