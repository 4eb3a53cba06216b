/**
 * SubscribeToShard: an answer that goes on. Smithy specification, "Amazon Event Stream Specification"; Kinesis API,
 * SubscribeToShard. AWS's own clients read it: JavaScript over HTTP/2, Python over HTTP/1.1.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:http2'
import { promisify } from 'node:util'
import { KinesisClient, SubscribeToShardCommand } from '@aws-sdk/client-kinesis'
import { cbor, tag } from '@smithy/core/cbor'
import { EventStreamCodec } from '@smithy/core/event-streams'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventMessage } from '../../../edges/aws/event-stream.ts'
import type { KinesisEvents } from '../../../edges/http-kinesis.ts'
import { credentials } from './door.ts'
import { amzCbor, json, type KinesisDoor, openKinesisDoor } from './kinesis-door.ts'

type Tell = Parameters<KinesisEvents['events']>[0]

let door: KinesisDoor
let client: KinesisClient
let seen: string[] = []
beforeAll(async () => {
  door = await openKinesisDoor()
  client = new KinesisClient({
    endpoint: door.url,
    region: 'us-east-1',
    credentials,
    maxAttempts: 1,
  })
})
afterAll(async () => {
  client.destroy()
  await door.close()
})
beforeEach(() => {
  seen = []
})

const input = {
  ConsumerARN: 'arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1545084650',
  ShardId: 'shardId-000000000000',
  StartingPosition: { Type: 'AT_TIMESTAMP' as const, Timestamp: new Date(1_545_084_650_987) },
}
const arrivalMs = 1_545_084_650_987
const event = (number: number, data = Buffer.of(0, 255)) => ({
  Records: [
    {
      SequenceNumber: String(number),
      ApproximateArrivalTimestamp: arrivalMs,
      Data: data,
      PartitionKey: 'k',
    },
  ],
  ContinuationSequenceNumber: String(number),
  MillisBehindLatest: 0,
})

/** Answers with what `tell` is told, and notes what it is asked for. */
const subscribe = (play: (tell: Tell) => void) => {
  door.kinesis.answer = async (): Promise<KinesisEvents> => ({
    events: (tell) => {
      play(tell)
      return {
        stop: () => seen.push('stop'),
        pause: () => seen.push('pause'),
        resume: () => seen.push('resume'),
      }
    },
  })
}

describe("AWS's client over HTTP/2", () => {
  test('gets the events in their order, and then the end', async () => {
    subscribe((tell) => {
      tell.event(event(1))
      setTimeout(() => {
        tell.event(event(2))
        tell.ended()
        tell.event(event(3))
      }, 20)
    })
    const told = await client.send(new SubscribeToShardCommand(input))
    const events = []
    for await (const one of told.EventStream ?? []) events.push(one.SubscribeToShardEvent)
    expect(events.map((one) => one?.ContinuationSequenceNumber)).toEqual(['1', '2'])
    expect(events[0]?.Records?.[0]).toMatchObject({
      ApproximateArrivalTimestamp: new Date(arrivalMs),
      Data: Uint8Array.of(0, 255),
    })
    expect(door.calls.at(-1)?.input['StartingPosition']).toEqual({
      Type: 'AT_TIMESTAMP',
      Timestamp: arrivalMs,
    })
    expect(seen).toEqual([])
  })

  test('gets an exception after the events before it', async () => {
    subscribe((tell) => {
      tell.event(event(1))
      tell.failed({ refused: 'InternalFailure', status: 500, message: 'It broke.' })
    })
    const told = await client.send(new SubscribeToShardCommand(input))
    let count = 0
    const read = async () => {
      for await (const _ of told.EventStream ?? []) count++
    }
    await expect(read()).rejects.toMatchObject({
      name: 'InternalFailureException',
      message: 'It broke.',
    })
    expect(count).toBe(1)
  })

  test('that goes away stops the backend', async () => {
    subscribe((tell) => tell.event(event(1)))
    const plain = { ...input, StartingPosition: { Type: 'LATEST' } }
    const { headers } = await door.sign('SubscribeToShard', plain)
    const session = connect(door.url)
    const stream = session.request({ ':method': 'POST', ...headers })
    stream.on('error', () => {})
    stream.end(JSON.stringify(plain))
    await once(stream, 'data')
    session.destroy()
    await expect.poll(() => seen).toEqual(['stop'])
    expect(door.calls.at(-1)?.signal.aborted).toBe(true)
  })

  test('is refused before there is a stream as anybody is', async () => {
    door.kinesis.answer = async () => ({
      refused: 'ResourceInUseException',
      status: 400,
      message: 'Another one.',
    })
    await expect(client.send(new SubscribeToShardCommand(input))).rejects.toMatchObject({
      name: 'ResourceInUseException',
      message: 'Another one.',
    })
  })
})

describe('boto3 over HTTP/1.1', () => {
  const run = promisify(execFile)
  const python = (script: string) =>
    run('/usr/bin/python3', ['-c', `${preamble(door.url)}\n${script}`], {
      env: {
        ...process.env,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        AWS_DEFAULT_REGION: 'us-east-1',
      },
      timeout: 20_000,
    }).then(({ stdout }) => JSON.parse(stdout) as unknown)
  const preamble = (url: string) => `
import boto3, json, datetime
from botocore.config import Config
client = boto3.client('kinesis', endpoint_url='${url}', config=Config(retries={'max_attempts': 0}))
`

  test('gets the events, and an exception', async (context) => {
    if (!(await hasBoto3())) return context.skip('boto3 is not installed')
    subscribe((tell) => {
      tell.event(event(1))
      setTimeout(() => {
        tell.event(event(2))
        tell.failed({ refused: 'ResourceInUseException', status: 400, message: 'Another one.' })
      }, 20)
    })
    const told = await python(`
from botocore.exceptions import EventStreamError
answer = client.subscribe_to_shard(ConsumerARN='${input.ConsumerARN}', ShardId='${input.ShardId}',
  StartingPosition={'Type': 'AT_TIMESTAMP', 'Timestamp': datetime.datetime.fromtimestamp(1545084650.987, datetime.timezone.utc)})
told = []
try:
  for one in answer['EventStream']:
    record = one['SubscribeToShardEvent']['Records'][0]
    told.append([record['SequenceNumber'], list(record['Data']), record['ApproximateArrivalTimestamp'].timestamp()])
except EventStreamError as e:
  told.append([e.response['Error']['Code'], e.response['Error']['Message']])
print(json.dumps(told))
`)
    expect(told).toEqual([
      ['1', [0, 255], arrivalMs / 1_000],
      ['2', [0, 255], arrivalMs / 1_000],
      ['ResourceInUseException', 'Another one.'],
    ])
  })

  test('puts, reads and is refused', async (context) => {
    if (!(await hasBoto3())) return context.skip('boto3 is not installed')
    door.kinesis.answer = async (operation) =>
      operation === 'GetRecords'
        ? { Records: event(1).Records, MillisBehindLatest: 0 }
        : operation === 'CreateStream'
          ? {}
          : { refused: 'ResourceNotFoundException', status: 400, message: 'Not there.' }
    const told = await python(`
told = [client.create_stream(StreamName='s', ShardCount=1)['ResponseMetadata']['HTTPStatusCode']]
told.append(list(client.get_records(ShardIterator='i')['Records'][0]['Data']))
for call in [lambda: client.put_record(StreamName='s', PartitionKey='k', Data=b'\\x00\\xff'),
             lambda: client.describe_stream(StreamName='s', Limit=100000), lambda: client.start_stream_encryption(StreamName='s', EncryptionType='KMS', KeyId='k')]:
  try: call()
  except client.exceptions.ClientError as e: told.append(e.response['Error']['Code'])
print(json.dumps(told))
`)
    expect(told).toEqual([
      200,
      [0, 255],
      'ResourceNotFoundException',
      'ValidationException',
      'UnknownOperationException',
    ])
  })

  async function hasBoto3(): Promise<boolean> {
    return run('/usr/bin/python3', ['-c', 'import boto3']).then(
      () => true,
      () => false,
    )
  }
})

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text),
)

/** The messages of an answer, one after another. */
function messagesIn(bytes: Buffer) {
  const messages = []
  for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
    messages.push(codec.decode(bytes.subarray(at, at + bytes.readUInt32BE(at))))
  }
  return messages
}

describe('on the wire', () => {
  test.each([
    ['JSON', json, (body: Uint8Array) => JSON.parse(Buffer.from(body).toString()) as unknown],
    ['CBOR', amzCbor, (body: Uint8Array) => cbor.deserialize(body) as unknown],
  ])('begins with an initial response, in %s', async (_, contentType, read) => {
    subscribe((tell) => {
      tell.event(event(1))
      tell.failed({ refused: 'ResourceNotFoundException', status: 400, message: 'Gone.' })
    })
    const time = contentType === json ? arrivalMs / 1_000 : arrivalMs
    const given = { ...input, StartingPosition: { Type: 'AT_TIMESTAMP', Timestamp: time } }
    const told = await (contentType === json
      ? door.askJson('SubscribeToShard', given)
      : door.askCbor('SubscribeToShard', given))
    expect(told.headers).toMatchObject({
      'content-type': 'application/vnd.amazon.eventstream',
      'x-amzn-requestid': door.calls.at(-1)?.requestId,
    })
    const text = (value: string) => ({ type: 'string', value })
    const [record] = event(1).Records
    const inJson = { Data: 'AP8=', ApproximateArrivalTimestamp: arrivalMs / 1_000 }
    const inCbor = {
      Data: Uint8Array.of(0, 255),
      ApproximateArrivalTimestamp: tag({ tag: 1, value: arrivalMs }),
    }
    expect(
      messagesIn(told.raw).map(({ headers, body }) => ({ headers, body: read(body) })),
    ).toEqual([
      {
        headers: {
          ':message-type': text('event'),
          ':event-type': text('initial-response'),
          ':content-type': text(contentType),
        },
        body: {},
      },
      {
        headers: {
          ':message-type': text('event'),
          ':event-type': text('SubscribeToShardEvent'),
          ':content-type': text(contentType),
        },
        body: {
          ...event(1),
          Records: [{ ...record, ...(contentType === json ? inJson : inCbor) }],
        },
      },
      {
        headers: {
          ':message-type': text('exception'),
          ':exception-type': text('ResourceNotFoundException'),
          ':content-type': text(contentType),
        },
        body: { message: 'Gone.' },
      },
    ])
  })

  test('what the client does not read is not asked for', async () => {
    let tell: Tell | undefined
    subscribe((given) => {
      tell = given
    })
    const { headers } = await signed()
    const request = httpRequest({ port: door.port, method: 'POST', headers })
    request.end(JSON.stringify(plainInput))
    const [response] = await once(request, 'response')
    response.pause()
    // More than the buffers of both sides and what lies between them.
    const data = Buffer.alloc(1_000_000)
    for (let number = 0; number < 100 && !seen.includes('pause'); number++) {
      tell?.event(event(number, data))
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    expect(seen).toContain('pause')
    response.resume()
    await expect.poll(() => seen).toContain('resume')
    tell?.ended()
    await once(response, 'end')
    expect(seen).not.toContain('stop')
  })

  test('a client that goes away stops the backend once', async () => {
    let tell: Tell | undefined
    subscribe((given) => {
      tell = given
    })
    const { headers } = await signed()
    const request = httpRequest({ port: door.port, method: 'POST', headers })
    request.on('error', () => {})
    request.end(JSON.stringify(plainInput))
    await once(request, 'response')
    request.destroy()
    await expect.poll(() => seen).toEqual(['stop'])
    tell?.event(event(1))
    tell?.ended()
    expect(seen).toEqual(['stop'])
  })

  const plainInput = { ...input, StartingPosition: { Type: 'LATEST' } }
  const signed = () => door.sign('SubscribeToShard', plainInput)
})

test('a message is what AWS makes of the same headers and payload', () => {
  const name = fc.string({ minLength: 1, maxLength: 40 }).map((text) => `:${text}`)
  const headers = fc.dictionary(
    name.filter((text) => Buffer.byteLength(text) < 256),
    fc.string({ maxLength: 300, unit: 'binary' }),
  )
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 2_000 }), (given, body) => {
      const rich = Object.fromEntries(
        Object.entries(given).map(([key, value]) => [key, { type: 'string' as const, value }]),
      )
      expect(Buffer.compare(eventMessage(given, body), codec.encode({ headers: rich, body }))).toBe(
        0,
      )
    }),
  )
})
