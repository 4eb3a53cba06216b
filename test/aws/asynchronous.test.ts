/**
 * An asynchronous invocation is accepted: lambda-semantics.md §1.1–1.4, §4.1. What comes of it is told in
 * asynchronous-retries.test.ts and asynchronous-ends.test.ts.
 */
import {
  InvokeAsyncCommand,
  InvokeCommand,
  type InvokeCommandInput,
  LambdaServiceException,
} from '@aws-sdk/client-lambda'
import { headers } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lambdaClient } from '../system/system.ts'
import { type Asynchronous, functionArn, startAsynchronous } from './asynchronous.ts'

let it: Asynchronous
beforeAll(async () => {
  it = await startAsynchronous()
  await it.deploy('accepts')
})
afterAll(() => it?.stop())

/** What came over the wire. */
type Answer = { statusCode: number; headers: Record<string, string>; body: string }

/** The SDK's request, and the answer before the SDK has read it; with a header of one's own if there is one. */
async function invoke(
  input: { [Member in keyof InvokeCommandInput]?: InvokeCommandInput[Member] | undefined },
  more: Record<string, string> = {},
): Promise<Answer> {
  const client = lambdaClient(it.system.http ?? '')
  let answer: Answer | undefined
  client.middlewareStack.add(
    (next) => async (given) => {
      Object.assign((given.request as { headers: object }).headers, more)
      return next(given)
    },
    { step: 'build' },
  )
  client.middlewareStack.add(
    (next) => async (given) => {
      const outcome = await next(given)
      const { statusCode, headers, body } = outcome.response as Answer & {
        body: AsyncIterable<Uint8Array>
      }
      const parts: Uint8Array[] = []
      for await (const part of body) parts.push(part)
      answer = { statusCode, headers, body: Buffer.concat(parts).toString() }
      throw new Error('enough')
    },
    { step: 'deserialize', priority: 'low' },
  )
  const usual = { FunctionName: 'accepts', InvocationType: 'Event', Payload: '{}' }
  const command = new InvokeCommand({ ...usual, ...input } as InvokeCommandInput)
  await client.send(command).catch(() => undefined)
  client.destroy()
  if (answer === undefined) throw new Error('no answer')
  return answer
}

const refusalOf = async (asking: Promise<unknown>): Promise<Record<string, unknown>> => {
  const error = await asking.then(
    () => undefined,
    (failure: unknown) => failure,
  )
  if (!(error instanceof LambdaServiceException)) throw new Error(`not refused: ${error}`)
  return { ...error, message: error.message, status: error.$metadata.httpStatusCode }
}
/** JSON of exactly so many bytes. */
const jsonOf = (bytes: number) => JSON.stringify('x'.repeat(bytes - 2))

async function runOf(requestId: string | undefined) {
  await expect
    .poll(() => it.runs('accepts').some(({ id }) => id === requestId), { timeout: 15_000 })
    .toBe(true)
  return it.runs('accepts').find(({ id }) => id === requestId)
}

describe('an Event', () => {
  // §1.2, test_invocation_type_event: 202, Payload ''; stackd's event_config_timing: content-length 0
  test('is answered with 202, no body and no executed version', async () => {
    const { statusCode, headers: got, body } = await invoke({})
    expect({ statusCode, body }).toEqual({ statusCode: 202, body: '' })
    expect(got['x-amz-executed-version']).toBeUndefined()
    expect(got['x-amz-function-error']).toBeUndefined()
    expect(got).toMatchObject({ 'content-length': '0', 'x-amzn-remapped-content-length': '0' })
    await runOf(got['x-amzn-requestid'])
  })

  // §4.1: answered before it runs
  test('is answered before the function has run', async () => {
    const id = await it.send('accepts', { sleepMs: 1_000 })
    expect((await runOf(id))?.event).toEqual({ sleepMs: 1_000 })
  })

  // §1.2, test_request_id_async_invoke_with_retry
  test('has the request id of its answer in the function', async () => {
    const { headers: got } = await invoke({ Payload: '{"n":1}' })
    expect(got['x-amzn-requestid']).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect((await runOf(got['x-amzn-requestid']))?.event).toEqual({ n: 1 })
  })

  // §1.1: "passed on to the runtime"; stackd's event_config_timing: the Root of the answer is the function's
  test('carries its trace header into the function', async () => {
    const root = 'Root=1-6aba3a9c-0ad723aa6f28be0c1799046b;Parent=4bc416e7d2fef21a;Sampled=0'
    const given = await invoke({}, { 'X-Amzn-Trace-Id': root })
    const run = await runOf(given.headers['x-amzn-requestid'])
    expect(run?.traceId).toMatch(new RegExp(`^${root};Lineage=1:[0-9a-f]{8}:0$`))
    const made = await invoke({})
    const own = await runOf(made.headers['x-amzn-requestid'])
    expect(own?.traceId.startsWith(made.headers['x-amzn-trace-id'] ?? 'none')).toBe(true)
  })

  // §1.1: "Lambda passes the ClientContext object to your function for synchronous invocations only"
  test('takes a client context, and does not pass it on', async () => {
    const ClientContext = Buffer.from('{"custom":{"a":"b"}}').toString('base64')
    const given = await invoke({ ClientContext })
    expect(given.statusCode).toBe(202)
    expect((await runOf(given.headers['x-amzn-requestid']))?.clientContext).toBeUndefined()
  })

  // §1.8: invokedFunctionArn keeps the qualifier that was asked for
  test('keeps the qualifier that was asked for', async () => {
    const unqualified = await it.send('accepts')
    expect((await runOf(unqualified))?.arn).toBe(functionArn('accepts'))
    const qualified = await it.send('accepts', {}, { Qualifier: '$LATEST' })
    expect((await runOf(qualified))?.arn).toBe(`${functionArn('accepts')}:$LATEST`)
  })

  // Lambda API, Invoke: the payload is not required
  test('without a payload is an empty object', async () => {
    const { headers: got } = await invoke({ Payload: undefined })
    expect((await runOf(got['x-amzn-requestid']))?.event).toEqual({})
  })

  // §1.1: Tail is for synchronous invocations; §1.2: LogResult is not among what 202 has
  test('that asks for the log gets none', async () => {
    const { statusCode, headers: got } = await invoke({ LogType: 'Tail' })
    expect(statusCode).toBe(202)
    expect(got['x-amz-log-result']).toBeUndefined()
    await runOf(got['x-amzn-requestid'])
  })
})

describe('an Event is refused', () => {
  // §1.4, stackd's invoke_async: the same sentence as for a synchronous one
  test('when its payload is no JSON', async () => {
    const { statusCode, headers: got, body } = await invoke({ Payload: '{"broken":' })
    expect(statusCode).toBe(400)
    expect(got['x-amzn-errortype']).toBe('InvalidRequestContentException')
    expect(JSON.parse(body)).toEqual({
      Type: 'User',
      message:
        'Could not parse request body into json: Could not parse payload into json: Unexpected end-of-input within/between Object entries\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 11]',
    })
  })

  // §1.4: 1,048,576 bytes since October 2025, and the sentence
  test('above 1,048,576 bytes', async () => {
    const most = await invoke({ Payload: jsonOf(1_048_576) })
    expect(most.statusCode).toBe(202)
    expect((await runOf(most.headers['x-amzn-requestid']))?.event).toBe('long')
    const { statusCode, headers: got, body } = await invoke({ Payload: jsonOf(1_048_577) })
    expect(statusCode).toBe(413)
    expect(got['x-amzn-errortype']).toBe('RequestEntityTooLargeException')
    expect(JSON.parse(body)).toEqual({
      Message:
        '1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)',
    })
  })

  // §1.8, test_invoke_exceptions: the qualified ARN
  test('when there is no such function', async () => {
    const { statusCode, headers: got, body } = await invoke({ FunctionName: 'nope' })
    expect(statusCode).toBe(404)
    expect(got['x-amzn-errortype']).toBe('ResourceNotFoundException')
    expect(body).toBe(
      JSON.stringify({
        Type: 'User',
        Message: `Function not found: ${functionArn('nope')}:$LATEST`,
      }),
    )
  })

  // §1.8, test_invoke_exceptions
  test('when there is no such version or alias', async () => {
    const { statusCode, body } = await invoke({ Qualifier: 'live' })
    expect(statusCode).toBe(404)
    expect(JSON.parse(body).Message).toBe(`Function not found: ${functionArn('accepts')}:live`)
  })

  // §1.1, test_invoke_exceptions
  test('when its type is none of three', async () => {
    const type = 'Later' as InvokeCommandInput['InvocationType']
    const { statusCode, body } = await invoke({ InvocationType: type })
    expect(statusCode).toBe(400)
    expect(JSON.parse(body).message).toBe(
      "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
    )
  })
})

// §1.3
test('a DryRun is 204, and nothing runs', async () => {
  const before = it.runs('accepts').length
  const { statusCode, body, headers: got } = await invoke({ InvocationType: 'DryRun' })
  expect({ statusCode, body }).toEqual({ statusCode: 204, body: '' })
  const id = await it.send('accepts')
  await runOf(id)
  expect(it.runs('accepts').some((run) => run.id === got['x-amzn-requestid'])).toBe(false)
  expect(it.runs('accepts').length).toBe(before + 1)
})

describe('InvokeAsync, the older operation,', () => {
  const invokeAsync = (InvokeArgs: string, FunctionName = 'accepts') =>
    it.system.lambda.send(new InvokeAsyncCommand({ FunctionName, InvokeArgs }))

  // stackd's invoke_async: 202, and it runs
  test('is an Event', async () => {
    const answer = await invokeAsync('{"old":true}')
    expect(answer.Status).toBe(202)
    expect((await runOf(answer.$metadata.requestId))?.event).toEqual({ old: true })
  })

  // stackd's invoke_async: "262153 byte payload is too large for the Event invocation type (limit 262144 bytes)"
  test('takes 262,144 bytes and not one more', async () => {
    expect((await invokeAsync(jsonOf(262_144))).Status).toBe(202)
    expect(await refusalOf(invokeAsync(jsonOf(262_145)))).toMatchObject({
      name: 'RequestEntityTooLargeException',
      status: 413,
      message:
        '262145 byte payload is too large for the Event invocation type (limit 262144 bytes)',
    })
  })

  // stackd's invoke_async: invalid_json
  test('refuses what is no JSON', async () => {
    expect(await refusalOf(invokeAsync('{'))).toMatchObject({
      name: 'InvalidRequestContentException',
      status: 400,
    })
  })

  // §1.8
  test('refuses a function that is not there', async () => {
    expect(await refusalOf(invokeAsync('{}', 'nope'))).toMatchObject({
      name: 'ResourceNotFoundException',
      status: 404,
    })
  })
})

// The same operation through the other door: DESIGN §3.
describe('over NATS', () => {
  const asEvent = () => {
    const made = headers()
    made.set('X-Amz-Invocation-Type', 'Event')
    return made
  }
  const ask = async (name: string, payload: string, made = asEvent()) => {
    const outcome = await it.bus.request(`lambus.invoke.${name}`, payload, {
      headers: made,
      timeoutMs: 15_000,
    })
    if (typeof outcome === 'string') throw new Error(outcome)
    return outcome
  }

  test('an Event that is awaited is answered when it is accepted, with its request id', async () => {
    const answer = await ask('accepts', '{"over":"nats"}')
    expect(answer.data.length).toBe(0)
    expect(answer.headers?.get('X-Amz-Executed-Version')).toBeFalsy()
    expect((await runOf(answer.headers?.get('X-Amzn-RequestId')))?.event).toEqual({ over: 'nats' })
  })

  test('a message without a reply subject is an Event', async () => {
    const root = 'Root=1-6aba3a9c-1ad723aa6f28be0c1799046b;Parent=4bc416e7d2fef21a;Sampled=0'
    const made = headers()
    made.set('X-Amzn-Trace-Id', root)
    it.bus.publish('lambus.invoke.accepts', '{"nobody":"waits"}', { headers: made })
    await expect
      .poll(() => it.runs('accepts').find(({ traceId }) => traceId.startsWith(root))?.event, {
        timeout: 15_000,
      })
      .toEqual({ nobody: 'waits' })
  })

  test('an Event is refused as over HTTP', async () => {
    const told = async (name: string, payload: string) => {
      const answer = await ask(name, payload)
      return [
        answer.headers?.get('Nats-Service-Error-Code'),
        answer.headers?.get('X-Amzn-ErrorType'),
      ]
    }
    expect(await told('accepts', '{')).toEqual(['400', 'InvalidRequestContentException'])
    expect(await told('nope', '{}')).toEqual(['404', 'ResourceNotFoundException'])
    expect(await told('accepts.live', '{}')).toEqual(['404', 'ResourceNotFoundException'])
    expect(await told('accepts', jsonOf(1_048_577))).toEqual([
      '413',
      'RequestEntityTooLargeException',
    ])
  })
})
