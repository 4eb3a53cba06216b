import {
  DeleteFunctionCommand,
  GetFunctionCommand,
  InvokeCommand,
  UpdateFunctionCodeCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda'
import { headers } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { deploy, type System, startSystem, zipOf } from './system.ts'

let system: System
let bus: Bus
beforeAll(async () => {
  system = await startSystem()
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
})
afterAll(async () => {
  await bus?.close()
  await system?.stop()
})

const text = (payload: Uint8Array | undefined) => Buffer.from(payload ?? []).toString()
const invoke = async (name: string, event: unknown, more: object = {}) => {
  const answer = await system.lambda.send(
    new InvokeCommand({ FunctionName: name, Payload: JSON.stringify(event), ...more }),
  )
  return { ...answer, body: text(answer.Payload) }
}
const ask = async (subject: string, payload: string, made = headers()) => {
  const outcome = await bus.request(subject, payload, { headers: made, timeoutMs: 15_000 })
  if (typeof outcome === 'string') throw new Error(outcome)
  return outcome
}

const settled = (name: string) =>
  waitUntilFunctionUpdatedV2(
    { client: system.lambda, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 },
    { FunctionName: name },
  )

describe('a function', () => {
  test('is invoked cold, then warm in the same sandbox', async () => {
    await deploy(system.lambda, 'counts', 'let n = 0; export const handler = () => ++n')
    expect(await invoke('counts', {})).toMatchObject({
      StatusCode: 200,
      ExecutedVersion: '$LATEST',
      body: '1',
    })
    expect((await invoke('counts', {})).body).toBe('2')
  })

  test('gets its event as it was sent, and its context', async () => {
    await deploy(
      system.lambda,
      'echo',
      `export const handler = async (event, context) => ({ event, arn: context.invokedFunctionArn,
         id: context.awsRequestId, memory: context.memoryLimitInMB, client: context.clientContext,
         left: context.getRemainingTimeInMillis() > 0, env: process.env.COLOUR, ours: Object.keys(process.env).filter((k) => k.startsWith('LAMBUS')) })`,
      { Environment: { Variables: { COLOUR: 'green' } }, MemorySize: 256 },
    )
    const ClientContext = Buffer.from('{"custom":{"a":"b"}}').toString('base64')
    const { body, $metadata } = await invoke('echo', { greet: 'ünïcode' }, { ClientContext })
    expect(JSON.parse(body)).toEqual({
      event: { greet: 'ünïcode' },
      arn: 'arn:aws:lambda:us-east-1:000000000000:function:echo',
      id: $metadata.requestId,
      memory: '256',
      client: { custom: { a: 'b' } },
      left: true,
      env: 'green',
      ours: [],
    })
  })

  test('that throws answers 200 with FunctionError Unhandled (lambda-semantics §1.5)', async () => {
    await deploy(
      system.lambda,
      'throws',
      `export const handler = async () => { throw new TypeError('no') }`,
    )
    const { FunctionError, StatusCode, body } = await invoke('throws', {})
    expect({ FunctionError, StatusCode }).toEqual({ FunctionError: 'Unhandled', StatusCode: 200 })
    expect(JSON.parse(body)).toMatchObject({ errorType: 'TypeError', errorMessage: 'no' })
  })

  test('that takes too long is timed out, loses its globals and works again (§1.5)', async () => {
    await deploy(
      system.lambda,
      'slow',
      `let n = 0; export const handler = async ({ wait }) => { n++; if (wait) await new Promise((r) => setTimeout(r, 60000)); return n }`,
      { Timeout: 1 },
    )
    expect((await invoke('slow', {})).body).toBe('1')
    const { body, FunctionError, $metadata } = await invoke('slow', { wait: true })
    expect(FunctionError).toBe('Unhandled')
    expect(body).toBe(
      `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ${$metadata.requestId} Error: Task timed out after 1.00 seconds"}`,
    )
    expect((await invoke('slow', {})).body).toBe('1')
  })

  test('that kills its process answers Runtime.ExitError and works again (§1.5)', async () => {
    await deploy(
      system.lambda,
      'dies',
      `export const handler = async ({ code }) => { if (code !== undefined) process.exit(code); return 'alive' }`,
    )
    const { body, $metadata } = await invoke('dies', { code: 3 })
    expect(JSON.parse(body)).toEqual({
      errorType: 'Runtime.ExitError',
      errorMessage: `RequestId: ${$metadata.requestId} Error: Runtime exited with error: exit status 3`,
    })
    expect((await invoke('dies', {})).body).toBe('"alive"')
  })

  test('whose import fails answers the import error, at each invoke (§3.4)', async () => {
    const ZipFile = zipOf({ 'index.js': `require('nope')` })
    await deploy(system.lambda, 'broken', '', { Code: { ZipFile } })
    for (const _ of [1, 2]) {
      const { body, FunctionError } = await invoke('broken', {})
      expect(FunctionError).toBe('Unhandled')
      expect(JSON.parse(body).errorType).toBe('Runtime.ImportModuleError')
    }
  })

  test('shows the end of its log to a caller who asks (§1.6, §7.6)', async () => {
    await deploy(
      system.lambda,
      'speaks',
      `export const handler = async () => { console.log('hello', { a: 1 }); return 1 }`,
    )
    const { LogResult, $metadata } = await invoke('speaks', {}, { LogType: 'Tail' })
    const id = $metadata.requestId
    const lines = Buffer.from(LogResult ?? '', 'base64')
      .toString()
      .split('\n')
    expect(lines[0]).toBe(`START RequestId: ${id} Version: $LATEST`)
    expect(lines[1]).toMatch(
      new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z\t${id}\tINFO\thello { a: 1 }$`),
    )
    expect(lines[2]).toBe(`END RequestId: ${id}`)
    expect(lines[3]).toMatch(
      /^REPORT RequestId: \S+\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t$/,
    )
    const warm = await invoke('speaks', {}, { LogType: 'Tail' })
    expect(Buffer.from(warm.LogResult ?? '', 'base64').toString()).not.toContain('Init Duration')
  })

  test('runs its new code as soon as the update is said to be successful', async () => {
    await deploy(system.lambda, 'changes', 'export const handler = () => 1')
    for (const answer of ['2', '3', '4']) {
      await system.lambda.send(
        new UpdateFunctionCodeCommand({
          FunctionName: 'changes',
          ZipFile: zipOf({ 'index.mjs': `export const handler = () => ${answer}` }),
        }),
      )
      await settled('changes')
      expect((await invoke('changes', {})).body).toBe(answer)
    }
  })

  test('runs with its new configuration as soon as the update is said to be successful', async () => {
    await deploy(system.lambda, 'tuned', 'export const handler = () => process.env.COUNT ?? null')
    expect((await invoke('tuned', {})).body).toBe('null')
    await system.lambda.send(
      new UpdateFunctionConfigurationCommand({
        FunctionName: 'tuned',
        Environment: { Variables: { COUNT: 'one' } },
      }),
    )
    await settled('tuned')
    expect((await invoke('tuned', {})).body).toBe('"one"')
  })

  test('that is deleted is not found any more', async () => {
    await deploy(system.lambda, 'leaves', 'export const handler = () => 1')
    await invoke('leaves', {})
    await system.lambda.send(new DeleteFunctionCommand({ FunctionName: 'leaves' }))
    await expect(invoke('leaves', {})).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'Function not found: arn:aws:lambda:us-east-1:000000000000:function:leaves:$LATEST',
    })
  })

  test('that is made anew under an old name becomes active, and runs the new code at once', async () => {
    for (const answer of ['1', '2', '3']) {
      await deploy(system.lambda, 'again', `export const handler = () => ${answer}`)
      expect((await invoke('again', {})).body).toBe(answer)
      await system.lambda.send(new DeleteFunctionCommand({ FunctionName: 'again' }))
    }
  })

  test('has its package at Code.Location', async () => {
    await deploy(system.lambda, 'fetched', 'export const handler = () => 1')
    const { Code, Configuration } = await system.lambda.send(
      new GetFunctionCommand({ FunctionName: 'fetched' }),
    )
    const zip = new Uint8Array(await (await fetch(Code?.Location ?? '')).arrayBuffer())
    expect(zip.length).toBe(Configuration?.CodeSize)
  })

  test('answers a 6 MB event with a 6 MB result', async () => {
    await deploy(system.lambda, 'large', 'export const handler = (event) => event', {
      MemorySize: 512,
    })
    const event = 'x'.repeat(6 * 1024 * 1024 - 2)
    expect((await invoke('large', event)).body.length).toBe(6 * 1024 * 1024)
  })
})

test('sandboxes that nobody uses make room for other functions', async () => {
  const small = await startSystem([], { LAMBUS_WORKER_MEMORY_MB: '256' })
  try {
    const names = ['first', 'second', 'third', 'fourth']
    for (const name of names) {
      await deploy(small.lambda, name, `export const handler = () => '${name}'`)
      const { Payload } = await small.lambda.send(new InvokeCommand({ FunctionName: name }))
      expect(text(Payload)).toBe(`"${name}"`)
    }
  } finally {
    await small.stop()
  }
})

test('100 simultaneous invokes of a function that never ran get 100 right answers', async () => {
  await deploy(
    system.lambda,
    'burst',
    'export const handler = async ({ n }) => { await new Promise((r) => setTimeout(r, 20)); return n * 2 }',
  )
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, n) => invoke('burst', { n }).then(({ body }) => Number(body))),
  )
  expect(answers).toEqual(Array.from({ length: 100 }, (_, n) => n * 2))
})

describe('over NATS', () => {
  test('a request is a synchronous invoke, with AWS headers in the answer', async () => {
    await deploy(system.lambda, 'doubles', 'export const handler = ({ n }) => n * 2')
    const answer = await ask('lambus.invoke.doubles', '{"n":21}')
    expect(answer.string()).toBe('42')
    expect(answer.headers?.get('X-Amz-Executed-Version')).toBe('$LATEST')
    expect(answer.headers?.get('X-Amzn-RequestId')).toMatch(/^[0-9a-f-]{36}$/)
    expect((await ask('lambus.invoke.doubles.$LATEST', '{"n":1}')).string()).toBe('2')
  })

  test('headers ask for the log and for a dry run', async () => {
    const tail = headers()
    tail.set('X-Amz-Log-Type', 'Tail')
    const answer = await ask('lambus.invoke.doubles', '{"n":1}', tail)
    const log = Buffer.from(answer.headers?.get('X-Amz-Log-Result') ?? '', 'base64').toString()
    expect(log).toContain('REPORT RequestId')
    const dry = headers()
    dry.set('X-Amz-Invocation-Type', 'DryRun')
    expect((await ask('lambus.invoke.doubles', '{"n":1}', dry)).string()).toBe('')
  })

  test.each([
    ['lambus.invoke.nobody', '{}', '404', 'ResourceNotFoundException: Function not found'],
    ['lambus.invoke.doubles.other', '{}', '404', 'ResourceNotFoundException: Function not found'],
    ['lambus.invoke.doubles', '{"n":', '400', 'InvalidRequestContentException: Could not parse'],
  ])('a refusal of %s %s is a service error', async (subject, payload, code, error) => {
    const answer = await ask(subject, payload)
    expect(answer.headers?.get('Nats-Service-Error-Code')).toBe(code)
    expect(answer.headers?.get('Nats-Service-Error')).toContain(error)
    expect(answer.json()).toBeTypeOf('object')
  })

  test('what cannot be answered or addressed is dropped and harms nobody', async () => {
    bus.publish('lambus.invoke.doubles', 'no event')
    bus.publish('lambus.invoke.a.b.c.d', '{}')
    bus.publish('lambus.invoke.doubles.x.y', 'not json')
    expect((await ask('lambus.invoke.doubles', '{"n":2}')).string()).toBe('4')
    await expect.poll(() => system.log()).toContain('DOOR_MALFORMED_SUBJECT')
    await expect.poll(() => system.log()).toContain('DOOR_EVENT_REFUSED')
  })

  test('lambus.api.<Operation> is the AWS operation', async () => {
    const answer = await ask('lambus.api.GetFunctionConfiguration', '{"FunctionName":"doubles"}')
    expect(answer.json()).toMatchObject({ FunctionName: 'doubles', State: 'Active' })
    const missing = await ask('lambus.api.GetFunction', '{"FunctionName":"nobody"}')
    expect(missing.headers?.get('Nats-Service-Error-Code')).toBe('404')
  })
})
