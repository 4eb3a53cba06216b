import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  GetFunctionCommand,
  InvokeCommand,
  ListFunctionsCommand,
  PublishVersionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateFunctionCodeCommand,
} from '@aws-sdk/client-lambda'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { refuse, throttled } from '../../edges/aws/errors.ts'
import { openTestDoor, result, type TestDoor } from './aws-wire/door.ts'

let door: TestDoor
beforeAll(async () => {
  door = await openTestDoor()
})
afterAll(() => door.close())
beforeEach(() => {
  door.invokes.length = 0
  door.operations.length = 0
  door.packages.clear()
  door.behind.invoke = ({ payload }) => result(payload)
  door.behind.operate = () => ({ status: 200, body: '{}' })
})

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const zip = zipSync({ 'index.mjs': Buffer.from('export const handler = async () => 1') })
const role = 'arn:aws:iam::000000000000:role/r'
const create = {
  FunctionName: 'hello',
  Role: role,
  Runtime: 'nodejs24.x',
  Handler: 'index.handler',
} as const

describe('Invoke', () => {
  test('gives the payload as it came and brings the answer as it is', async () => {
    const payload = Buffer.from('{ "name":\t"Ada \\u00e9é" }')
    const answer = await door.client.send(
      new InvokeCommand({ FunctionName: 'hello', Payload: payload }),
    )
    expect(Buffer.from(door.invokes[0]?.payload ?? [])).toEqual(payload)
    expect(Buffer.from(answer.Payload ?? [])).toEqual(payload)
    expect(answer).toMatchObject({ StatusCode: 200, ExecutedVersion: '$LATEST' })
    expect(answer.FunctionError).toBeUndefined()
    expect(answer.$metadata.requestId).toBe(door.invokes[0]?.requestId)
  })

  test('reads every member of the request', async () => {
    const context = Buffer.from('{"custom":{"a":1}}').toString('base64')
    await door.client.send(
      new InvokeCommand({
        FunctionName: 'arn:aws:lambda:us-east-1:000000000000:function:hello',
        Qualifier: '$LATEST',
        InvocationType: 'RequestResponse',
        LogType: 'Tail',
        ClientContext: context,
      }),
    )
    expect(door.invokes[0]).toMatchObject({
      functionName: 'arn:aws:lambda:us-east-1:000000000000:function:hello',
      qualifier: '$LATEST',
      invocationType: 'RequestResponse',
      logType: 'Tail',
      clientContext: context,
    })
    expect(door.invokes[0]?.payload.length).toBe(0)
  })

  test('brings back a function error and the log', async () => {
    door.behind.invoke = () =>
      result('{"errorType":"Error"}', { functionError: 'Unhandled', logResult: 'TE9H' })
    const answer = await door.client.send(new InvokeCommand({ FunctionName: 'hello' }))
    expect(answer).toMatchObject({ FunctionError: 'Unhandled', LogResult: 'TE9H', StatusCode: 200 })
  })

  test('brings back a refusal as the exception that it is', async () => {
    door.behind.invoke = () => ({
      kind: 'refused',
      refusal: throttled('ReservedFunctionConcurrentInvocationLimitExceeded', 1),
    })
    await expect(
      door.client.send(new InvokeCommand({ FunctionName: 'hello' })),
    ).rejects.toMatchObject({
      name: 'TooManyRequestsException',
      message: 'Rate Exceeded.',
      Reason: 'ReservedFunctionConcurrentInvocationLimitExceeded',
      retryAfterSeconds: '1',
      $metadata: { httpStatusCode: 429 },
    })
  })

  test('takes 6 MB and not a byte more, and the client gets to read why', async () => {
    const most = Buffer.alloc(6_291_456, 0x20)
    most.write('1')
    const answer = await door.client.send(
      new InvokeCommand({ FunctionName: 'hello', Payload: most }),
    )
    expect(answer.Payload?.length).toBe(most.length)
    for (const bytes of [6_291_457, 30_000_000]) {
      await expect(
        door.client.send(
          new InvokeCommand({ FunctionName: 'hello', Payload: Buffer.alloc(bytes, 0x20) }),
        ),
      ).rejects.toMatchObject({
        name: 'RequestEntityTooLargeException',
        $metadata: { httpStatusCode: 413 },
      })
    }
  })

  test('makes a trace id when none was given, and keeps one that was', async () => {
    await door.client.send(new InvokeCommand({ FunctionName: 'hello' }))
    expect(door.invokes[0]?.traceId).toMatch(
      /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$/,
    )
    const command = new InvokeCommand({ FunctionName: 'hello' })
    command.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { headers: Record<string, string> }
        headers['x-amzn-trace-id'] = 'Root=1-abc'
        return next(args)
      },
      { step: 'build' },
    )
    await door.client.send(command)
    expect(door.invokes[1]?.traceId).toBe('Root=1-abc')
  })

  test('runs many at a time over few connections', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        door.client.send(new InvokeCommand({ FunctionName: 'hello', Payload: json({ n }) })),
      ),
    )
    expect(
      answers.map((answer) => JSON.parse(String(answer.Payload?.transformToString())).n),
    ).toEqual(Array.from({ length: 200 }, (_, n) => n))
  })
})

describe('the other operations', () => {
  test('keep the zip out of the message and name it by its hash', async () => {
    door.behind.operate = () => ({ status: 201, body: '{"FunctionName":"hello"}' })
    const answer = await door.client.send(
      new CreateFunctionCommand({ ...create, Code: { ZipFile: zip } }),
    )
    expect(answer).toMatchObject({ FunctionName: 'hello', $metadata: { httpStatusCode: 201 } })
    const { input } = door.operations[0] ?? {}
    expect(input).toMatchObject({ ...create, Code: { Stored: { sizeBytes: zip.length } } })
    expect(door.packages.size).toBe(1)
  })

  test('put the new package of UpdateFunctionCode beside the other members', async () => {
    await door.client.send(
      new UpdateFunctionCodeCommand({ FunctionName: 'hello', ZipFile: zip, RevisionId: 'r' }),
    )
    expect(door.operations[0]).toMatchObject({
      operation: 'UpdateFunctionCode',
      input: { FunctionName: 'hello', RevisionId: 'r', Stored: { sizeBytes: zip.length } },
    })
  })

  test('read what comes in the query', async () => {
    await door.client.send(
      new ListFunctionsCommand({ MaxItems: 3, Marker: 'a b', FunctionVersion: 'ALL' }),
    )
    const Resource = 'arn:aws:lambda:us-east-1:000000000000:function:hello'
    await door.client.send(new UntagResourceCommand({ Resource, TagKeys: ['a', 'b&c'] }))
    await door.client.send(new TagResourceCommand({ Resource, Tags: { a: '1' } }))
    expect(door.operations.map(({ input }) => input)).toEqual([
      { MaxItems: 3, Marker: 'a b', FunctionVersion: 'ALL' },
      { Resource, TagKeys: ['a', 'b&c'] },
      { Resource, Tags: { a: '1' } },
    ])
  })

  test('answer 204 without a body', async () => {
    door.behind.operate = () => ({ status: 204, body: '' })
    const answer = await door.client.send(new DeleteFunctionCommand({ FunctionName: 'hello' }))
    expect(answer.$metadata.httpStatusCode).toBe(204)
  })

  test('bring back a refusal of the control plane', async () => {
    const { status, body, code } = refuse('ResourceNotFoundException', 'Function not found: x')
    door.behind.operate = () => ({ status, body, errorType: code })
    await expect(
      door.client.send(new GetFunctionCommand({ FunctionName: 'hello' })),
    ).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'Function not found: x',
      Type: 'User',
    })
  })

  test('give a Location from which the package can be fetched without credentials', async () => {
    const hex = 'ab'.repeat(32)
    door.packages.set(hex, zip)
    door.behind.operate = () => ({
      status: 200,
      body: JSON.stringify({ Code: { RepositoryType: 'S3', Location: `lambus:code:${hex}` } }),
    })
    const { Code } = await door.client.send(new GetFunctionCommand({ FunctionName: 'hello' }))
    const fetched = await fetch(String(Code?.Location))
    expect(fetched.status).toBe(200)
    expect(Buffer.from(await fetched.arrayBuffer())).toEqual(Buffer.from(zip))
    const forged = await fetch(String(Code?.Location).replace('abab', 'abac'))
    expect([forged.status, forged.headers.get('x-amzn-errortype')]).toEqual([
      403,
      'InvalidSignatureException',
    ])
  })

  test('that are not built are refused by name', async () => {
    await expect(
      door.client.send(new PublishVersionCommand({ FunctionName: 'hello' })),
    ).rejects.toMatchObject({
      name: 'UnknownOperationException',
      message: 'lambus does not implement the operation PublishVersion yet.',
      $metadata: { httpStatusCode: 404 },
    })
    expect(door.operations).toEqual([])
  })

  test('store nothing of a request that is refused for what it says', async () => {
    const bad = { ...create, Code: { ZipFile: zip }, MemorySize: 64 }
    await expect(door.client.send(new CreateFunctionCommand(bad))).rejects.toMatchObject({
      name: 'ValidationException',
      message:
        "1 validation error detected: Value '64' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128",
    })
    expect(door.packages.size).toBe(0)
    expect(door.operations).toEqual([])
  })
})

test('an answer in hand when the door closes is given, and its connection keeps nothing open', async () => {
  const closing = await openTestDoor()
  const { promise: asked, resolve: ask } = Promise.withResolvers<() => void>()
  closing.behind.answerLater = ask
  const sent = closing.client.send(new InvokeCommand({ FunctionName: 'hello' }))
  const answer = await asked
  const closed = closing.stop()
  answer()
  expect((await sent).StatusCode).toBe(200)
  await closed
  closing.client.destroy()
})

test('the health check needs no signature', async () => {
  const answer = await fetch(`${door.url}/_lambus/health`)
  expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok' }])
})

test('what fails behind the door is a ServiceException, logged once', async () => {
  door.behind.operate = () => {
    throw new Error('bang')
  }
  await expect(
    door.client.send(new GetFunctionCommand({ FunctionName: 'hello' })),
  ).rejects.toMatchObject({ name: 'ServiceException', $metadata: { httpStatusCode: 500 } })
  expect(door.errors).toHaveLength(1)
})
