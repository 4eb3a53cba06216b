/**
 * Every role in a process of its own, each with a user of its own, on a server that runs on nats.conf: what its permissions
 * leave out would show here.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PutFunctionEventInvokeConfigCommand } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { startServerOnConf, urlOf } from '../nats-conf.ts'
import type { TestServer } from '../nats-server.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from './system.ts'

const roles = [
  'control-plane',
  'placement',
  'worker-manager',
  'worker',
  'state-manager',
  'stream-tracker',
  'leasing',
  'front-end',
  'poller',
  'inspector',
]

const dataDir = mkdtempSync(join(tmpdir(), 'lambus-own-users-'))
let server: TestServer
let people: Bus
const running = new Map<string, LambusProcess>()

const start = async (role: string, as = role) => {
  const where = ['--nats', urlOf(server, role.replaceAll('-', '_')), '--data-dir', dataDir]
  const args = ['start', role, ...where, '--http-port', '0', '--inspector-port', '0']
  const shortly = { LAMBUS_FIRST_RETRY_MS: '300', LAMBUS_SECOND_RETRY_MS: '300' }
  running.set(as, await startLambus(args, shortly))
}

beforeAll(async () => {
  server = await startServerOnConf()
  // In any order: whoever comes first makes the streams.
  await Promise.all(roles.map((role) => start(role)))
  people = await openBus({ servers: urlOf(server, 'client'), role: 'client', id: 'test' })
}, 60_000)
afterAll(async () => {
  await people?.close()
  await Promise.all([...running.values()].map((process) => process.kill()))
  await server?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

async function ask<Answer>(subject: string, input: object): Promise<Answer> {
  const answer = await people.request(subject, JSON.stringify(input), { timeoutMs: 30_000 })
  if (typeof answer === 'string') throw new Error(`${subject}: ${answer}`)
  expect(answer.headers?.get('Nats-Service-Error') ?? '').toBe('')
  return answer.json<Answer>()
}

/** An operation of SQS, over NATS. */
const sqs = <Answer>(operation: string, input: object): Promise<Answer> =>
  ask(`lambus.sqs.api.${operation}`, input)

async function nextRecord(): Promise<object> {
  const asked = { QueueUrl: 'failed', WaitTimeSeconds: 20 }
  const end = performance.now() + 50_000
  while (performance.now() < end) {
    const { Messages = [] } = await sqs<{ Messages?: { Body: string; ReceiptHandle: string }[] }>(
      'ReceiveMessage',
      asked,
    )
    const [message] = Messages
    if (message === undefined) continue
    const { ReceiptHandle } = message
    await sqs('DeleteMessage', { QueueUrl: 'failed', ReceiptHandle })
    return JSON.parse(message.Body)
  }
  throw new Error('no record came')
}

const denials = () =>
  [...running].flatMap(([role, process]) =>
    process
      .log()
      .split('\n')
      .filter((line) => line.includes('BUS_PERMISSION_DENIED'))
      .map((line) => `${role}: ${line}`),
  )

test('an event is invoked, one that fails is tried again, and how it ended is told to a queue', async () => {
  await sqs('CreateQueue', { QueueName: 'failed' })
  const lambda = lambdaClient(running.get('front-end')?.http ?? '')
  await deploy(
    lambda,
    'f',
    'export const handler = ({ n, fail }) => { if (fail) throw new Error("asked to"); return n }',
  )
  const place = 'us-east-1:000000000000'
  await lambda.send(
    new PutFunctionEventInvokeConfigCommand({
      FunctionName: 'f',
      DestinationConfig: {
        OnSuccess: { Destination: `arn:aws:sns:${place}:done` },
        OnFailure: { Destination: `arn:aws:sqs:${place}:failed` },
      },
    }),
  )
  const told = new Promise<object>((tell) => {
    people.subscribe('lambus.sns.done', (message) => tell(message.json()))
  })
  await people.nats.flush()
  people.publish('lambus.invoke.f', '{"n":1}')
  const { Message } = (await told) as { Message: string }
  expect(JSON.parse(Message)).toMatchObject({ requestPayload: { n: 1 }, responsePayload: 1 })

  people.publish('lambus.invoke.f', '{"n":2,"fail":true}')
  expect(await nextRecord()).toMatchObject({
    requestContext: { condition: 'RetriesExhausted', approximateInvokeCount: 3 },
    requestPayload: { n: 2 },
    responsePayload: { errorMessage: 'asked to' },
  })
  expect(denials()).toEqual([])
}, 60_000)

test('an event whose end nobody wanted to hear of is found, and put back', async () => {
  const lambda = lambdaClient(running.get('front-end')?.http ?? '')
  await deploy(lambda, 'g', 'export const handler = () => { throw new Error("always") }')
  people.publish('lambus.invoke.g', '{}')
  const find = async () => {
    const asked = { state: 'dead', functionName: 'g' }
    return (await ask<{ events: { requestId: string }[] }>('lambus.queues.events', asked)).events
  }
  await vi.waitUntil(async () => (await find()).length === 1, 30_000)
  const requestIds = (await find()).map(({ requestId }) => requestId)
  const put = await ask<{ redriven: string[] }>('lambus.queues.redrive', { requestIds })
  expect(put.redriven).toEqual(requestIds)
  expect(denials()).toEqual([])
}, 60_000)

test('when poller, leasing service and state manager are killed, others may do what they did', async () => {
  const successors = ['state-manager', 'leasing', 'poller']
  await Promise.all(successors.map((role) => start(role, `second ${role}`)))
  await Promise.all(successors.map((role) => running.get(role)?.kill()))
  people.publish('lambus.invoke.f', '{"n":3,"fail":true}')
  expect(await nextRecord()).toMatchObject({ requestPayload: { n: 3 } })
  // Only a leader answers, and the next one is about to lead.
  const queues = await vi.waitUntil(async () => {
    const answer = await people.request('lambus.queues', '', { timeoutMs: 300 })
    return typeof answer === 'string' ? undefined : answer.json<{ queues: { queue: string }[] }>()
  }, 30_000)
  expect(queues?.queues.map(({ queue }) => queue)).toContain('shared-0')
  expect(denials()).toEqual([])
}, 60_000)
