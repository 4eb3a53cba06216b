/** SQS in the whole system: what was sent is there after everything was ended and started again. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateQueueCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { expect, onTestFinished, test } from 'vitest'
import { openBus } from '../../bus/connection.ts'
import { pollsOf } from '../aws/sqs-door.ts'
import { until } from '../bus/waiting.ts'
import { type LambusProcess, startLambus } from './system.ts'

const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']

function clientOf({ http = '' }: LambusProcess): SQSClient {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const client = new SQSClient({ endpoint: http, region: 'us-east-1', credentials, maxAttempts: 1 })
  onTestFinished(() => client.destroy())
  return client
}

test('a message outlives the system, and a long poll does not hold it up', {
  timeout: 60_000,
}, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'lambus-system-'))
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }))
  const up = () => startLambus(['up', ...ports, '--data-dir', dataDir, '--workers', '1'])

  const first = await up()
  const before = clientOf(first)
  const made = await before.send(new CreateQueueCommand({ QueueName: 'orders' }))
  const other = await before.send(new CreateQueueCommand({ QueueName: 'empty' }))
  const asked = { QueueUrl: made.QueueUrl, MessageBody: 'hello' }
  const { MessageId } = await before.send(new SendMessageCommand(asked))
  const poll = new ReceiveMessageCommand({ QueueUrl: other.QueueUrl, WaitTimeSeconds: 20 })
  const polling = before.send(poll)
  const { user, password } = JSON.parse(readFileSync(join(dataDir, 'connection.json'), 'utf8'))
  const servers = first.nats.replace('://', `://${user}:${password}@`)
  const bus = await openBus({ servers, role: 'client', id: 'test' })
  await until(async () => (await pollsOf(bus, 'empty')) === 1)
  await bus.close()
  const endedAt = performance.now()
  expect(await first.end()).toBe(0)
  expect((await polling).Messages).toBeUndefined()
  expect(performance.now() - endedAt).toBeLessThan(15_000)

  const second = await up()
  onTestFinished(() => second.kill())
  const after = clientOf(second)
  const { QueueUrl } = await after.send(new GetQueueUrlCommand({ QueueName: 'orders' }))
  expect(QueueUrl).toBe(`${second.http}/000000000000/orders`)
  const received = await after.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }))
  expect(received.Messages).toMatchObject([{ MessageId, Body: 'hello' }])
  expect(await second.end()).toBe(0)
})
