/** What AWS has against an Invoke request itself: lambda-semantics.md §1.1, §1.4. */
import { describe, expect, test } from 'vitest'
import {
  checkInvoke,
  checkPayload,
  payloadOrEmptyObject,
  type UncheckedInvoke,
} from '../../edges/aws/invoke.ts'

const request = (more: Partial<UncheckedInvoke> = {}): UncheckedInvoke => ({
  requestId: 'r',
  functionName: 'f',
  qualifier: undefined,
  invocationType: 'RequestResponse',
  logType: 'None',
  clientContext: undefined,
  traceId: undefined,
  payload: Buffer.from('{}'),
  ...more,
})
const base64 = (text: string) => Buffer.from(text).toString('base64')
const at = (column: number) =>
  `\n at [Source: REDACTED (\`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION\` disabled); line: 1, column: ${column}]`

describe('the payload', () => {
  // §1.4
  test('may have 6,291,456 bytes', () => {
    expect(checkInvoke(request({ payload: Buffer.alloc(6_291_456) }))).toBeUndefined()
    expect(checkInvoke(request({ payload: Buffer.alloc(6_291_457) }))).toMatchObject({
      status: 413,
      code: 'RequestEntityTooLargeException',
      body: '{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}',
    })
  })

  // §1.4, test_lambda_invoke_payload_encoding_error
  test('that is no UTF-8 is told where', () => {
    expect(checkPayload(Buffer.from([0x6e, 0x87, 0x72, 0x9e, 0xe9]))).toMatchObject({
      status: 400,
      code: 'InvalidRequestContentException',
      body: JSON.stringify({
        Type: 'User',
        message: `Could not parse request body into json: Could not parse payload into json: Invalid UTF-8 start byte 0x87${at(3)}`,
      }),
    })
    expect(checkPayload(Buffer.from([0x99, 0xeb, 0x2c, 0x6a]))?.message).toBe(
      `Could not parse request body into json: Could not parse payload into json: Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')${at(1)}`,
    )
  })

  // §1.4, recorded by stackd
  test('that ends too early is told where', () => {
    expect(checkPayload(Buffer.from('{"broken":'))?.message).toBe(
      `Could not parse request body into json: Could not parse payload into json: Unexpected end-of-input within/between Object entries${at(11)}`,
    )
  })

  // Lambda API, Invoke: the payload is not required; LocalStack and SAM give the function an empty object
  test('that is empty is an empty object', () => {
    expect(checkPayload(Buffer.alloc(0))).toBeUndefined()
    expect(Buffer.from(payloadOrEmptyObject(Buffer.alloc(0))).toString()).toBe('{}')
  })

  // Lambda API, Invoke: "the JSON that you want to provide"
  test('may be any JSON value', () => {
    for (const json of ['null', '1', '"a"', '[]', ' {} ', '"\\ud800"']) {
      expect(checkPayload(Buffer.from(json))).toBeUndefined()
    }
  })
})

// §1.1; the order is that of the service model's enum
test('an invocation type is one of three', () => {
  expect(checkInvoke(request({ invocationType: 'Sync' }))).toMatchObject({
    code: 'ValidationException',
    status: 400,
    body: JSON.stringify({
      message:
        "1 validation error detected: Value 'Sync' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
    }),
  })
})

// §1.1
test('a log type is one of two, and both complaints come at once', () => {
  expect(checkInvoke(request({ invocationType: 'A', logType: 'All' }))?.message).toBe(
    "2 validation errors detected: Value 'A' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]; Value 'All' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]",
  )
})

describe('the client context', () => {
  // §1.1
  test('is base64 of a JSON object', () => {
    expect(checkInvoke(request({ clientContext: base64('{"custom":{}}') }))).toBeUndefined()
  })

  // public reports of raw bodies, where Type is null
  test.each(['{}', '%%%', base64('nonsense'), base64('[1]'), base64('null'), ''])(
    'as %j is refused',
    (clientContext) => {
      expect(checkInvoke(request({ clientContext }))).toMatchObject({
        status: 400,
        code: 'InvalidRequestContentException',
        body: '{"Type":null,"message":"Client context must be a valid Base64-encoded JSON object."}',
      })
    },
  )

  // Lambda API, Invoke: up to 3,583 bytes of base64-encoded data
  test('has at most 3,583 bytes', () => {
    const padded = (bytes: number) => base64(`{"a":"${'x'.repeat(bytes)}"}`)
    expect(checkInvoke(request({ clientContext: padded(2_670) }))).toBeUndefined()
    expect(checkInvoke(request({ clientContext: padded(2_690) }))).toMatchObject({ status: 400 })
  })
})
