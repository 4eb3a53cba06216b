import { headers } from 'nats'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openDelivery, type Recipient } from '../../actors/delivery.ts'
import type { Bus, Msg } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import type { StoredEvent } from '../../bus/event-packet.ts'
import type { DeliverToQueue } from '../../bus/sqs-delivery.ts'
import { eventBus, invoke, snsTopic } from '../../bus/subjects.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

const place = { region: 'us-east-1', account: '000000000000' }
const functionArn = 'arn:aws:lambda:us-east-1:000000000000:function:f'
const endedAtMs = Date.UTC(2019, 10, 14, 18, 16, 5, 568)

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'poller', id: 'delivery' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

/** Failed three times. */
const failed = (more: Partial<StoredEvent> = {}): StoredEvent => ({
  id: '7e6a6e2c-3b0e-4a3f-9d6a-8b0f2f7d9c11',
  traceId: 'Root=1-5dcd9a25-0ad723aa6f28be0c1799046b',
  acceptedAtMs: endedAtMs - 180_000,
  attempts: 3,
  putOff: 0,
  last: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
  telling: { condition: 'RetriesExhausted', endedAtMs, to: [] },
  payload: Buffer.from('{ "raise_error": 1 }'),
  response: Buffer.from('{"errorMessage":"no","errorType":"Error"}'),
  ...more,
})

/** AWS's record of it: lambda-semantics.md §4.4. */
const record =
  '{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{"requestId":"7e6a6e2c-3b0e-4a3f-9d6a-8b0f2f7d9c11",' +
  `"functionArn":"${functionArn}:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{ "raise_error": 1 },` +
  '"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage":"no","errorType":"Error"}}'

type Put = Parameters<DeliverToQueue>[0]

/** A queue that stores each deduplication id once, as ours do. */
function deliveryTo(outcome?: 'no such queue' | 'too large' | 'unavailable') {
  const stored = new Map<string, Put>()
  const delivery = openDelivery({
    bus,
    place,
    patienceMs: 0,
    deliverToQueue: async (put) => {
      if (outcome !== undefined) return outcome
      stored.set(`${put.queueName}:${put.deduplicationId}`, put)
      return { messageId: 'm' }
    },
  })
  const deliver = (arn: string, event = failed(), as: Recipient['as'] = 'destination') =>
    delivery.deliver('f', event, { as, arn })
  return { deliver, stored }
}

function hear(subject: string, answer: (message: Msg) => void = () => {}): Msg[] {
  const heard: Msg[] = []
  const hearing = bus.subscribe(subject, (message) => {
    heard.push(message)
    answer(message)
  })
  onTestFinished(() => hearing.stop())
  return heard
}

const undeliverable = (why: unknown, mayPass: boolean) => ({ undeliverable: why, mayPass })

describe('a queue', () => {
  const arn = 'arn:aws:sqs:us-east-1:000000000000:q'

  // lambda-semantics.md §4.4: the record is the body; "SQS messages carry system attribute AWSTraceHeader"
  test('gets the record and the trace, once, however often it is delivered', async () => {
    const { deliver, stored } = deliveryTo()
    expect(await deliver(arn)).toBe('delivered')
    expect(await deliver(arn)).toBe('delivered')
    expect([...stored.values()]).toEqual([
      {
        queueName: 'q',
        body: record,
        messageAttributes: {},
        systemAttributes: {
          AWSTraceHeader: expect.stringMatching(
            /^Root=1-5dcd9a25-0ad723aa6f28be0c1799046b;Lineage=1:[0-9a-f]{8}:0$/,
          ),
        },
        deduplicationId: `7e6a6e2c-3b0e-4a3f-9d6a-8b0f2f7d9c11:destination:${endedAtMs}`,
      },
    ])
  })

  // lambda-semantics.md §4.5: the event as it is, with three attributes
  test('gets a dead letter beside the record, when it is both', async () => {
    const { deliver, stored } = deliveryTo()
    await deliver(arn)
    await deliver(arn, failed(), 'dead letter')
    const [, letter] = [...stored.values()]
    expect(letter).toMatchObject({
      body: '{ "raise_error": 1 }',
      messageAttributes: {
        RequestID: { DataType: 'String', StringValue: '7e6a6e2c-3b0e-4a3f-9d6a-8b0f2f7d9c11' },
        ErrorCode: { DataType: 'Number', StringValue: '200' },
        ErrorMessage: { DataType: 'String', StringValue: 'no' },
      },
    })
  })

  test('is told again when an event that was put back ends again', async () => {
    const { deliver, stored } = deliveryTo()
    const telling = { condition: 'RetriesExhausted', endedAtMs: endedAtMs + 1, to: [] }
    await deliver(arn)
    await deliver(arn, failed({ telling }))
    expect(stored.size).toBe(2)
  })

  test.each([
    ['no such queue', /there is no queue 'q'/, false],
    ['too large', /larger/, false],
    ['unavailable', /does not answer/, true],
  ] as const)('that says "%s" was not told', async (outcome, why, mayPass) => {
    const { deliver } = deliveryTo(outcome)
    expect(await deliver(arn)).toEqual(undeliverable(expect.stringMatching(why), mayPass))
  })

  test('of somebody else is not ours of the same name', async () => {
    const { deliver, stored } = deliveryTo()
    const elsewhere = 'arn:aws:sqs:us-east-1:111111111111:q'
    expect(await deliver(elsewhere)).toEqual(
      undeliverable(expect.stringContaining('111111111111'), false),
    )
    expect(stored.size).toBe(0)
  })
})

describe('a topic', () => {
  const arn = 'arn:aws:sns:us-east-1:000000000000:t'

  test('hears a notification around the record', async () => {
    const heard = hear(snsTopic('t'))
    const { deliver } = deliveryTo()
    expect(await deliver(arn)).toBe('delivered')
    expect(await deliver(arn)).toBe('delivered')
    const [first, second] = heard.map((message) => message.json<Record<string, string>>())
    expect(first).toMatchObject({ Type: 'Notification', TopicArn: arn, Message: record })
    expect(first?.['MessageId']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-/)
    expect(second).toEqual(first)
  })

  // lambda-semantics.md §4.5: a dead letter's attributes are the message's
  test('hears a dead letter with its attributes', async () => {
    const heard = hear(snsTopic('t'))
    expect(await deliveryTo().deliver(arn, failed(), 'dead letter')).toBe('delivered')
    expect(heard[0]?.json()).toMatchObject({
      Message: '{ "raise_error": 1 }',
      MessageAttributes: { ErrorCode: { Type: 'Number', Value: '200' } },
    })
  })

  test('that nobody listens to was not told', async () => {
    expect(await deliveryTo().deliver('arn:aws:sns:us-east-1:000000000000:quiet')).toEqual(
      undeliverable('nobody listens on lambus.sns.quiet', true),
    )
  })
})

// lambda-semantics.md §4.4: source, detail-type, resources
test('an event bus hears an envelope around the record', async () => {
  const heard = hear(eventBus('default'))
  const arn = 'arn:aws:events:us-east-1:000000000000:event-bus/default'
  expect(await deliveryTo().deliver(arn)).toBe('delivered')
  expect(heard[0]?.json()).toMatchObject({
    'detail-type': 'Lambda Function Invocation Result - Failure',
    resources: [arn, `${functionArn}:$LATEST`],
    detail: JSON.parse(record),
  })
})

describe('a subject', () => {
  test('gets the record as it is, with the trace', async () => {
    const heard = hear('orders.failed')
    expect(await deliveryTo().deliver('arn:lambus:nats:::orders.failed')).toBe('delivered')
    expect(heard.map((message) => message.string())).toEqual([record])
    expect(heard[0]?.headers?.get('X-Amzn-Trace-Id')).toContain('Lineage=1:')
  })

  test('of a stream gets it once, however often it is delivered', async () => {
    const { streams } = await bus.jetstreamManager()
    await streams.add({ name: 'ORDERS', subjects: ['kept.>'] })
    const { deliver } = deliveryTo()
    for (let time = 0; time < 3; time++) {
      expect(await deliver('arn:lambus:nats:::kept.orders')).toBe('delivered')
    }
    expect((await streams.info('ORDERS')).state.messages).toBe(1)
  })

  test('of a stream that refuses it was not told', async () => {
    const { streams } = await bus.jetstreamManager()
    await streams.add({ name: 'TINY', subjects: ['tiny.>'], max_msg_size: 10 })
    expect(await deliveryTo().deliver('arn:lambus:nats:::tiny.orders')).toEqual(
      undeliverable('message size exceeds maximum allowed', false),
    )
  })

  test.each(['$KV.lambus_functions.f', 'lambus.pool.1.want', '_INBOX.x'])(
    'of the system itself is no destination: %s',
    async (subject) => {
      const heard = hear(subject)
      expect(await deliveryTo().deliver(`arn:lambus:nats:::${subject}`)).toEqual(
        undeliverable(expect.stringContaining('names nothing that is here'), false),
      )
      expect(heard).toEqual([])
    },
  )
})

describe('a function', () => {
  const arn = 'arn:aws:lambda:us-east-1:000000000000:function:g:live'

  test('is invoked with the record, as an event, and the chain goes on', async () => {
    const heard = hear(invoke('g', 'live'), (message) => message.respond())
    expect(await deliveryTo().deliver(arn)).toBe('delivered')
    expect(heard[0]?.string()).toBe(record)
    expect(heard[0]?.headers?.get('X-Amz-Invocation-Type')).toBe('Event')
    expect(heard[0]?.headers?.get('X-Amzn-Trace-Id')).toContain('Lineage=1:')
  })

  test.each([
    [404, 'ResourceNotFoundException: Function not found', false],
    [429, 'TooManyRequestsException: Rate Exceeded.', true],
    [500, 'ServiceException: away', true],
  ])('that is refused with %i was not told', async (code, text, mayPass) => {
    hear(invoke('g', 'live'), (message) => {
      const head = headers()
      head.set('Nats-Service-Error-Code', String(code))
      head.set('Nats-Service-Error', text)
      message.respond('{}', { headers: head })
    })
    expect(await deliveryTo().deliver(arn)).toEqual(undeliverable(text, mayPass))
  })

  test('cannot be told without a front end', async () => {
    expect(await deliveryTo().deliver(arn)).toEqual(undeliverable('there is no front end', true))
  })

  // Lambda API, DeadLetterConfig, TargetArn: "an Amazon SQS queue or Amazon SNS topic"
  test('gets no dead letters', async () => {
    expect(await deliveryTo().deliver(arn, failed(), 'dead letter')).toEqual(
      undeliverable('dead letters go to queues and topics only', false),
    )
  })
})

// lambda-semantics.md §4.4, the table of conditions
test.each([
  ['Success', { attempts: 3 }, { approximateInvokeCount: 1 }, true],
  ['ZeroReservedConcurrency', { attempts: 0 }, { approximateInvokeCount: 0 }, false],
] as const)('%s is told as AWS tells it', async (condition, more, context, hasResponse) => {
  const heard = hear('told.x')
  const telling = { condition, endedAtMs, to: [] }
  const last = { statusCode: 200, executedVersion: '1' }
  await deliveryTo().deliver('arn:lambus:nats:::told.x', failed({ ...more, last, telling }))
  const told = heard[0]?.json<Record<string, object>>()
  expect(told?.['requestContext']).toMatchObject({ condition, ...context })
  expect('responseContext' in (told ?? {})).toBe(hasResponse)
})

// lambda-semantics.md §4.4: throttled until expiry, 429 and no payload
test('an event that was only ever throttled has a status and no answer', async () => {
  const heard = hear('told.x')
  const { response: _, ...event } = failed({
    attempts: 0,
    last: { statusCode: 429 },
    telling: { condition: 'EventAgeExceeded', endedAtMs, to: [] },
  })
  await deliveryTo().deliver('arn:lambus:nats:::told.x', event)
  expect(heard[0]?.json()).toMatchObject({ responseContext: { statusCode: 429 } })
  expect(heard[0]?.string()).not.toContain('responsePayload')
})

test('what is no ARN of a destination is said to be none', async () => {
  expect(await deliveryTo().deliver('arn:aws:s3:::bucket')).toEqual(
    undeliverable("'arn:aws:s3:::bucket' names nothing that is here", false),
  )
})
