/**
 * The door over HTTP/2: AWS's SDK for JavaScript speaks to Kinesis in no other way, and the other services are there too. RFC
 * 9113 §3.3: prior knowledge.
 */
import { once } from 'node:events'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import {
  DescribeStreamCommand,
  GetRecordsCommand,
  KinesisClient,
  PutRecordsCommand,
  SubscribeToShardCommand,
} from '@aws-sdk/client-kinesis'
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { NodeHttp2Handler } from '@smithy/node-http-handler'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { KinesisEvents } from '../../../edges/http-kinesis.ts'
import { credentials, sendRaw } from './door.ts'
import { type KinesisDoor, openKinesisDoor } from './kinesis-door.ts'

let door: KinesisDoor
let client: KinesisClient
beforeEach(async () => {
  door = await openKinesisDoor({ requestTimeoutMs: 3_000 })
  client = new KinesisClient({
    endpoint: door.url,
    region: 'us-east-1',
    credentials,
    maxAttempts: 1,
  })
})
afterEach(async () => {
  client.destroy()
  await door.close()
})

describe("AWS's own client", () => {
  test('puts, reads and is refused', async () => {
    const ms = 1_545_084_650_987
    door.kinesis.answer = async (operation) =>
      operation === 'PutRecords'
        ? {
            FailedRecordCount: 0,
            Records: [{ ShardId: 'shardId-000000000000', SequenceNumber: '1' }],
          }
        : operation === 'GetRecords'
          ? {
              Records: [
                {
                  SequenceNumber: '1',
                  Data: Buffer.of(0, 255),
                  PartitionKey: 'k',
                  ApproximateArrivalTimestamp: ms,
                },
              ],
              NextShardIterator: 'n',
              MillisBehindLatest: 0,
            }
          : { refused: 'ResourceNotFoundException', status: 400, message: 'Stream s not found.' }
    const put = await client.send(
      new PutRecordsCommand({
        StreamName: 's',
        Records: [{ PartitionKey: 'k', Data: Buffer.alloc(1_000_000, 9) }],
      }),
    )
    expect(put.Records).toEqual([{ ShardId: 'shardId-000000000000', SequenceNumber: '1' }])
    expect(door.calls[0]?.input).toMatchObject({ Records: [{ Data: { length: 1_000_000 } }] })
    expect(put.$metadata.requestId).toBe(door.calls[0]?.requestId)
    const got = await client.send(new GetRecordsCommand({ ShardIterator: 'i' }))
    expect(got.Records?.[0]?.ApproximateArrivalTimestamp).toEqual(new Date(ms))
    expect([...(got.Records?.[0]?.Data ?? [])]).toEqual([0, 255])
    await expect(client.send(new DescribeStreamCommand({ StreamName: 's' }))).rejects.toMatchObject(
      {
        name: 'ResourceNotFoundException',
        message: 'Stream s not found.',
      },
    )
    await expect(client.send(new DescribeStreamCommand({}))).rejects.toMatchObject({
      name: 'ValidationException',
    })
  })

  test('has fifty requests at once on one connection', async () => {
    const many = new KinesisClient({
      endpoint: door.url,
      region: 'us-east-1',
      credentials,
      requestHandler: new NodeHttp2Handler({ disableConcurrentStreams: false }),
    })
    door.kinesis.answer = async () => ({ StreamDescription: { StreamName: 's' } })
    const told = await Promise.all(
      Array.from({ length: 50 }, () => many.send(new DescribeStreamCommand({ StreamName: 's' }))),
    )
    expect(told.every(({ StreamDescription }) => StreamDescription?.StreamName === 's')).toBe(true)
    many.destroy()
  })

  test('is told apart by its signature here, too', async () => {
    const stranger = new KinesisClient({
      endpoint: door.url,
      region: 'us-east-1',
      credentials: { ...credentials, secretAccessKey: 'other' },
      maxAttempts: 1,
    })
    await expect(
      stranger.send(new DescribeStreamCommand({ StreamName: 's' })),
    ).rejects.toMatchObject({ name: 'InvalidSignatureException' })
    expect(door.calls).toEqual([])
    stranger.destroy()
  })
})

test('the other services are served over HTTP/2, too', async () => {
  const lambda = new LambdaClient({
    endpoint: door.url,
    region: 'us-east-1',
    credentials,
    requestHandler: new NodeHttp2Handler(),
  })
  const told = await lambda.send(
    new InvokeCommand({ FunctionName: 'f', Payload: Buffer.from('{"a":1}') }),
  )
  expect(Buffer.from(told.Payload ?? []).toString()).toBe('{"a":1}')
  lambda.destroy()
  expect(await ask(openSession(), { ':path': '/_lambus/health' })).toEqual([200, '{"status":"ok"}'])
  expect(await ask(openSession(), { ':path': '/' })).toEqual([
    403,
    expect.stringContaining('Token'),
  ])
})

/** Gives up soon: for those who are to be given up on. */
async function openImpatientDoor(): Promise<KinesisDoor> {
  const impatient = await openKinesisDoor({ requestTimeoutMs: 400 })
  onTestFinished(() => impatient.close())
  return impatient
}

const sessions: ClientHttp2Session[] = []
afterEach(() => {
  for (const session of sessions.splice(0)) session.destroy()
})
function openSession({ url } = door): ClientHttp2Session {
  const session = connectHttp2(url)
  session.on('error', () => {})
  sessions.push(session)
  return session
}

async function ask(session: ClientHttp2Session, headers: Record<string, string>) {
  const stream = session.request(headers)
  const chunks: Buffer[] = []
  stream.on('data', (chunk) => chunks.push(chunk))
  const [[told]] = await Promise.all([once(stream, 'response'), once(stream, 'close')])
  return [told[':status'], Buffer.concat(chunks).toString()]
}

describe('a connection', () => {
  test('may say its first bytes one at a time, in either version', async () => {
    for (const text of [
      'GET /_lambus/health HTTP/1.1\r\nhost: x\r\n\r\n',
      'PUT / HTTP/1.1\r\nhost: x\r\n\r\n',
    ]) {
      const socket = connect(door.port, '127.0.0.1')
      for (const byte of text) {
        socket.write(byte)
        await new Promise((resolve) => setImmediate(resolve))
      }
      const [answer] = await once(socket, 'data')
      expect(String(answer)).toMatch(/^HTTP\/1\.1 (200|403)/)
      socket.destroy()
    }
    const socket = connect(door.port, '127.0.0.1')
    for (const part of ['P', 'R', 'I * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
      socket.write(part)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const [settings] = await once(socket, 'data')
    // Frame type 4: SETTINGS, with which a server begins.
    expect((settings as Buffer)[3]).toBe(4)
    socket.destroy()
  })

  test('that says nothing is hung up on', async () => {
    const { port } = await openImpatientDoor()
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'close')
  })

  test('that says nonsense after the preface harms nobody', async () => {
    await sendRaw(door.port, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'x'.repeat(100)}`)
    await sendRaw(door.port, 'PRI nonsense')
    expect(await ask(openSession(), { ':path': '/_lambus/health' })).toEqual([
      200,
      '{"status":"ok"}',
    ])
  })

  test('whose request never ends is given up on', async () => {
    const stream = openSession(await openImpatientDoor()).request(
      { ':method': 'POST', ':path': '/', 'content-type': 'application/x-amz-json-1.1' },
      { endStream: false },
    )
    stream.on('error', () => {})
    stream.write('{')
    await once(stream, 'close')
    expect(stream.rstCode).toBe(8)
  })

  test('that is cut off in the middle of a body has asked for nothing', async () => {
    const headers = { ':method': 'POST', ':path': '/2015-03-31/functions/f/invocations' }
    const session = openSession()
    const stream = session.request(headers, { endStream: false })
    stream.on('error', () => {})
    stream.write('{}')
    await new Promise((resolve) => setTimeout(resolve, 20))
    session.destroy()
    expect((await ask(openSession(), { ':path': '/_lambus/health' }))[0]).toBe(200)
    expect([door.invokes, door.errors]).toEqual([[], []])
  })
})

describe('a door that closes', () => {
  test('lets what it has in hand end, and no connection keep it', async () => {
    const idle = openSession()
    expect((await ask(idle, { ':path': '/_lambus/health' }))[0]).toBe(200)
    const silent = connect(door.port, '127.0.0.1')
    await once(silent, 'connect')
    const waiting: (() => void)[] = []
    door.kinesis.answer = () =>
      new Promise((resolve) => waiting.push(() => resolve({ StreamDescription: {} })))
    const described = client.send(new DescribeStreamCommand({ StreamName: 's' }))
    await expect.poll(() => waiting.length).toBe(1)
    const closed = door.stop()
    await new Promise((resolve) => setTimeout(resolve, 50))
    waiting[0]?.()
    expect((await described).StreamDescription).toEqual({})
    await closed
  })

  test.each(['HTTP/2', 'HTTP/1.1'])('ends subscriptions over %s', async (version) => {
    let stopped = 0
    door.kinesis.answer = async (): Promise<KinesisEvents> => ({
      events: () => ({ stop: () => stopped++ }),
    })
    if (version === 'HTTP/2') {
      const told = await client.send(new SubscribeToShardCommand(subscription))
      const closed = door.stop()
      for await (const _ of told.EventStream ?? []) expect.unreachable()
      await closed
    } else {
      const told = door.askJson('SubscribeToShard', subscription)
      await expect.poll(() => door.calls.length).toBe(1)
      await door.stop()
      expect((await told).status).toBe(200)
    }
    expect(stopped).toBe(1)
  })
})

const subscription = {
  ConsumerARN: 'arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1545084650',
  ShardId: 'shardId-000000000000',
  StartingPosition: { Type: 'TRIM_HORIZON' as const },
}
