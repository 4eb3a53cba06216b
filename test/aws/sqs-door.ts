/** SQS on a real nats-server behind a real HTTP door: all that it takes of a front end. */
import { randomUUID } from 'node:crypto'
import { SQSClient } from '@aws-sdk/client-sqs'
import { openSqs, type Sqs } from '../../actors/sqs.ts'
import { openSqsDoor } from '../../actors/sqs-door.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openSqsMoves } from '../../bus/sqs-moves.ts'
import { openSqsQueues, readQueue, type SqsQueues } from '../../bus/sqs-queues.ts'
import { sqsConsumer, sqsStream } from '../../bus/subjects.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { openHttpDoor } from '../../edges/http-door.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

export const place = { region: 'us-east-1', account: '000000000000' }
export const arnOf = (name: string) => `arn:aws:sqs:us-east-1:000000000000:${name}`
export const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
const log = { debug() {}, info() {}, warn() {}, error: console.error }

/** How many long polls wait at a queue. */
export async function pollsOf(bus: Bus, queue: string): Promise<number> {
  const record = await readQueue(bus, queue)
  if (record === undefined) throw new Error(`no queue ${queue}`)
  const { consumers } = await bus.jetstreamManager()
  const consumer = sqsConsumer(queue, record.incarnation)
  // It is made by the first one.
  return await consumers.info(sqsStream, consumer).then(
    (info) => info.num_waiting,
    () => 0,
  )
}

export type SqsFrontEnd = {
  client: SQSClient
  bus: Bus
  sqs: Sqs
  queues: SqsQueues
  url: string
  /** What a front end does when it is told to end. */
  drain(): Promise<void>
  stop(): Promise<void>
}

export async function startSqsFrontEnd(servers: string, id = 'f1'): Promise<SqsFrontEnd> {
  const bus = await openBus({ servers, role: 'front-end', id })
  const kept = { clock, newId: randomUUID, log, reconcileEveryMs: 60_000 }
  const queues = await openSqsQueues(bus, kept)
  const moves = await openSqsMoves(bus, kept)
  const sqs = openSqs({ bus, queues, moves, place, frontEndId: id, clock, newId: randomUUID, log })
  const none = () => Promise.reject(new Error('not here'))
  const door = await openHttpDoor({
    host: '127.0.0.1',
    port: 0,
    ...place,
    credentials,
    clock,
    newId: randomUUID,
    log,
    door: { invoke: () => {}, operate: none, storeCode: none, code: none, sqs: sqs.call },
  })
  const sqsDoor = openSqsDoor(bus, { sqs, newId: randomUUID, origin: door.url })
  const client = new SQSClient({
    endpoint: door.url,
    region: place.region,
    credentials,
    maxAttempts: 1,
  })
  let drained: Promise<void> | undefined
  const drain = () => {
    drained ??= (async () => {
      await sqs.stop()
      await sqsDoor.stop()
      await door.close()
    })()
    return drained
  }
  return {
    client,
    bus,
    sqs,
    queues,
    url: door.url,
    drain,
    async stop() {
      client.destroy()
      await drain()
      queues.stop()
      moves.stop()
      await bus.close()
    },
  }
}

export async function startSqs(): Promise<SqsFrontEnd & { server: TestServer }> {
  const server = await startNatsServer()
  const frontEnd = await startSqsFrontEnd(server.url)
  return {
    ...frontEnd,
    server,
    async stop() {
      await frontEnd.stop()
      await server.stop()
    },
  }
}
