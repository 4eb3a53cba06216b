/** The synchronous path on a NATS server that somebody else runs; test/containers/ runs it on the official image, too. */
import {
  InvokeCommand,
  UpdateFunctionCodeCommand,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { deploy, type System, startSystem, zipOf } from './system.ts'

let server: TestServer
let system: System
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  system = await startSystem(['--nats', server.url])
  bus = await openBus({ servers: server.url, role: 'client', id: 'test' })
  await deploy(
    system.lambda,
    'counts',
    'let n = 0; export const handler = ({ fail }) => { if (fail) throw new Error("asked to"); return ++n }',
  )
}, 120_000)
afterAll(async () => {
  await bus?.close()
  await system?.stop()
  await server?.stop()
})

const invoke = async (event: object) => {
  const { Payload, FunctionError } = await system.lambda.send(
    new InvokeCommand({ FunctionName: 'counts', Payload: JSON.stringify(event) }),
  )
  return { body: Buffer.from(Payload ?? []).toString(), FunctionError }
}
const ask = async (payload: string) => {
  const answer = await bus.request('lambus.invoke.counts', payload, { timeoutMs: 10_000 })
  if (typeof answer === 'string') throw new Error(answer)
  return answer
}

test('a function is invoked cold and warm, over HTTP and over NATS', async () => {
  expect((await invoke({})).body).toBe('1')
  expect((await ask('{}')).string()).toBe('2')
  expect((await invoke({})).body).toBe('3')
})

test('an error of the function and a refusal arrive as such', async () => {
  const { FunctionError, body } = await invoke({ fail: true })
  expect(FunctionError).toBe('Unhandled')
  expect(JSON.parse(body)).toMatchObject({ errorMessage: 'asked to' })
  expect((await ask('{')).headers?.get('Nats-Service-Error-Code')).toBe('400')
})

test('new code runs once the update is done', async () => {
  const ZipFile = zipOf({ 'index.mjs': 'export const handler = () => "new"' })
  await system.lambda.send(new UpdateFunctionCodeCommand({ FunctionName: 'counts', ZipFile }))
  await waitUntilFunctionUpdatedV2(
    { client: system.lambda, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 },
    { FunctionName: 'counts' },
  )
  expect((await invoke({})).body).toBe('"new"')
})

test('a burst is answered by as many sandboxes as it takes', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => invoke({})))
  expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 20 }, () => '"new"'))
})
