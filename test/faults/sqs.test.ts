/**
 * SQS while nats-server and front ends are killed.
 *
 * Promise (SQS Developer Guide, "At-least-once delivery"): what SendMessage was answered for is received, and what
 * DeleteMessage was answered for does not come back once its visibility timeout is over.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { type LambusProcess, startLambus } from '../system/system.ts'

let nats: TestServer
const dataDir = mkdtempSync(join(tmpdir(), 'lambus-sqs-'))
const frontEnds: LambusProcess[] = []
const clients: SQSClient[] = []

async function startFrontEnd(): Promise<void> {
  const ports = ['--http-port', '0', '--inspector-port', '0']
  const args = ['start', 'front-end', '--nats', nats.url, '--data-dir', dataDir, ...ports]
  const process = await startLambus(args)
  frontEnds.push(process)
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const where = { endpoint: process.http ?? '', region: 'us-east-1', credentials }
  clients.push(new SQSClient({ ...where, maxAttempts: 1 }))
}

beforeAll(async () => {
  nats = await startNatsServer()
  await Promise.all([startFrontEnd(), startFrontEnd()])
}, 60_000)
afterAll(async () => {
  for (const client of clients) client.destroy()
  await Promise.all(frontEnds.map((process) => process.kill()))
  await nats?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

const visibilitySeconds = 2

test('nothing is lost, and nothing that was deleted comes back', { timeout: 90_000 }, async () => {
  const [doomed, kept] = clients as [SQSClient, SQSClient]
  const Attributes = { VisibilityTimeout: String(visibilitySeconds) }
  const { QueueUrl } = await kept.send(new CreateQueueCommand({ QueueName: 'q', Attributes }))

  const answered = new Set<string>()
  const received = new Set<string>()
  const deletedAt = new Map<string, number>()
  const cameBack: string[] = []
  let isSending = true
  let isTaking = true

  const sendLane = async (client: SQSClient, lane: string) => {
    for (let count = 0; isSending; count++) {
      const MessageBody = `${lane}${count}`
      const sent = client.send(new SendMessageCommand({ QueueUrl, MessageBody }))
      await sent.then(
        () => answered.add(MessageBody),
        () => wait(50),
      )
    }
  }
  const take = async (client: SQSClient, { Body = '', ReceiptHandle }: Message, asked: number) => {
    received.add(Body)
    // Asked for after its time was over, so that it cannot be a delivery from before.
    const overAt = (deletedAt.get(Body) ?? Number.POSITIVE_INFINITY) + visibilitySeconds * 1000
    if (asked > overAt) cameBack.push(Body)
    // Every other one is left to come again once.
    if (Body.endsWith('7') && !received.has(`again ${Body}`)) {
      received.add(`again ${Body}`)
      return
    }
    await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))
    deletedAt.set(Body, Date.now())
  }
  const takeLane = async (client: SQSClient) => {
    const poll = { QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }
    while (isTaking) {
      const asked = Date.now()
      const answer = await client.send(new ReceiveMessageCommand(poll)).catch(() => wait(50))
      const messages = answer?.Messages ?? []
      await Promise.all(messages.map((message) => take(client, message, asked).catch(() => {})))
    }
  }

  const sending = [sendLane(doomed, 'a'), sendLane(kept, 'b'), sendLane(kept, 'c')]
  const taking = [takeLane(doomed), takeLane(kept), takeLane(kept)]
  await wait(1_500)
  for (let round = 0; round < 3; round++) {
    await nats.kill()
    await nats.restart()
    await wait(1_000)
  }
  await frontEnds[0]?.kill()
  await wait(1_000)
  isSending = false
  await Promise.all(sending)

  const isThrough = () => [...answered].every((body) => deletedAt.has(body))
  await expect.poll(isThrough, { timeout: 20_000, interval: 200 }).toBe(true)
  await wait(visibilitySeconds * 1000 + 500)
  isTaking = false
  await Promise.all(taking)
  expect(answered.size).toBeGreaterThan(50)
  expect(cameBack).toEqual([])
  const AttributeNames = ['ApproximateNumberOfMessages' as const]
  const counts = await kept.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }))
  expect(counts.Attributes).toEqual({ ApproximateNumberOfMessages: '0' })
})
