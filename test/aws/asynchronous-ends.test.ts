/**
 * The end of an asynchronous invocation is told: lambda-semantics.md §4.4, §4.5, §4.6.
 */
import { DeleteFunctionEventInvokeConfigCommand } from '@aws-sdk/client-lambda'
import { headers } from 'nats'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Msg } from '../../bus/bus.ts'
import * as lineage from '../../edges/aws/lineage.ts'
import { type Asynchronous, functionArn, startAsynchronous } from './asynchronous.ts'

let it: Asynchronous
beforeAll(async () => {
  it = await startAsynchronous()
})
afterAll(() => it?.stop())

const time = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z'
const quoted = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
/** A text, in which `<time>` is any moment and `<any>` anything. */
const like = (text: string) =>
  expect.stringMatching(
    new RegExp(`^${quoted(text).replaceAll('<time>', time).replaceAll('<any>', '.*')}$`),
  )
/** Sends bytes as they are. */
const sendText = (name: string, Payload: string) => it.send(name, {}, { Payload })

/** The texts published on a subject from now on, with their headers. */
function hear(subject: string): { texts: string[]; messages: Msg[] } {
  const heard: { texts: string[]; messages: Msg[] } = { texts: [], messages: [] }
  const hearing = it.bus.subscribe(subject, (message) => {
    heard.texts.push(message.string())
    heard.messages.push(message)
  })
  onTestFinished(() => hearing.stop())
  return heard
}
const heardOne = ({ texts }: { texts: string[] }) =>
  expect.poll(() => texts.length, { timeout: 15_000 }).toBeGreaterThan(0)

describe('the record in a queue', () => {
  // §4.4, test_assess_lambda_destination_invocation[payload0]: keys, their order, the qualified ARN; payloads as they came
  test('says how an event went well, key by key', async () => {
    await it.deploy('well')
    await it.configure('well', { onSuccess: await it.makeQueue('well-ok') })
    const id = await sendText('well', '{ "answer" : {"b":1, "a":[]} }')
    const [message] = await it.messages('well-ok', 1)
    expect(message?.Body).toEqual(
      like(
        `{"version":"1.0","timestamp":"<time>","requestContext":{"requestId":"${id}","functionArn":"${functionArn('well')}:$LATEST","condition":"Success","approximateInvokeCount":1},"requestPayload":{ "answer" : {"b":1, "a":[]} },"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":{"b":1,"a":[]}}`,
      ),
    )
    expect(message?.MessageAttributes).toBeUndefined()
  })

  // §4.4, test_assess_lambda_destination_invocation[payload1]; §1.5 for a Node function's error
  test('says how an event went badly, key by key', async () => {
    await it.deploy('badly')
    const onFailure = await it.makeQueue('badly-bad')
    await it.configure('badly', { onFailure, MaximumRetryAttempts: 0 })
    const id = await it.send('badly', { failures: 1 })
    const [message] = await it.messages('badly-bad', 1)
    expect(message?.Body).toEqual(
      like(
        `{"version":"1.0","timestamp":"<time>","requestContext":{"requestId":"${id}","functionArn":"${functionArn('badly')}:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":1},"requestPayload":{"failures":1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorType":"TypeError","errorMessage":"no luck","trace":["TypeError: no luck",<any>]}}`,
      ),
    )
  })

  // §4.4, test_retries: the system attribute; its Lineage as recorded by stackd's event_config_timing
  test('carries the trace of the event', async () => {
    await it.deploy('trails')
    await it.configure('trails', { onSuccess: await it.makeQueue('trails-ok') })
    await it.send('trails')
    const [message] = await it.messages('trails-ok', 1)
    const [run] = it.runs('trails')
    expect(message?.Attributes?.['AWSTraceHeader']).toBe(run?.traceId)
    expect(run?.traceId).toMatch(/^Root=1-\w{8}-\w{24};Parent=\w{16};Sampled=0;Lineage=1:\w{8}:0$/)
  })

  // §4.2: OnSuccess and OnFailure are two settings
  test('comes only for the end that was asked for', async () => {
    await it.deploy('halves')
    const queue = await it.makeQueue('halves-q')
    await it.configure('halves', { onFailure: queue, MaximumRetryAttempts: 0 })
    await it.send('halves', { n: 'well' })
    await it.send('halves', { n: 'badly', failures: 1 })
    const [failed] = await it.records('halves-q', 1)
    expect(failed?.requestPayload).toMatchObject({ n: 'badly' })
    await it.ran('halves', 2)
    await it.configure('halves', { onSuccess: queue, MaximumRetryAttempts: 0 })
    await it.send('halves', { n: 'badly', failures: 1 })
    await it.send('halves', { n: 'well' })
    const [succeeded] = await it.records('halves-q', 1)
    expect(succeeded?.requestPayload).toMatchObject({ n: 'well' })
    expect(await it.look('halves-q')).toEqual([])
  })

  // §4.2: each qualifier has its own config; §4.4: the record's ARN has the qualifier
  test('of a qualified event is that of its qualifier', async () => {
    await it.deploy('qualified')
    await it.configure('qualified', {
      Qualifier: '$LATEST',
      onSuccess: await it.makeQueue('qualified-ok'),
    })
    await it.send('qualified', {}, { Qualifier: '$LATEST' })
    const [record] = await it.records('qualified-ok', 1)
    expect(record?.requestContext.functionArn).toBe(`${functionArn('qualified')}:$LATEST`)
  })
})

describe('another destination', () => {
  // §4.4: "JSON string is the … Lambda payload"; DOC:invocation-async-retain-records
  test('a function gets the record as its event', async () => {
    await it.deploy('hears')
    await it.deploy('tells')
    await it.configure('tells', { onSuccess: functionArn('hears') })
    const id = await it.send('tells', { answer: 42 })
    const [run] = await it.ran('hears', 1)
    expect(run?.event).toEqual({
      version: '1.0',
      timestamp: expect.any(String),
      requestContext: {
        requestId: id,
        functionArn: `${functionArn('tells')}:$LATEST`,
        condition: 'Success',
        approximateInvokeCount: 1,
      },
      requestPayload: { answer: 42 },
      responseContext: { statusCode: 200, executedVersion: '$LATEST' },
      responsePayload: 42,
    })
    expect(run?.id).not.toBe(id)
    // §4.6: the chain goes on
    expect(run?.traceId).toMatch(/;Lineage=2:\w{8}:0$/)
  })

  // §4.4: "SNS Message"; SNS Developer Guide, "HTTP/HTTPS notification JSON format"; DESIGN §3: lambus.sns.<topic>
  test('a topic gets a notification with the record in it', async () => {
    const topic = 'arn:aws:sns:us-east-1:000000000000:ends'
    const heard = hear('lambus.sns.ends')
    await it.deploy('publishes')
    await it.configure('publishes', { onSuccess: topic })
    const id = await it.send('publishes')
    await heardOne(heard)
    const notification = JSON.parse(heard.texts[0] ?? '')
    expect(notification).toMatchObject({ Type: 'Notification', TopicArn: topic })
    expect(JSON.parse(notification.Message)).toMatchObject({
      version: '1.0',
      requestContext: { requestId: id, condition: 'Success' },
    })
  })

  // §4.4, test_invoke_lambda_eventbridge: source, detail-type, resources; DESIGN §3: lambus.events.<bus>
  test('an event bus gets an event with the record as its detail', async () => {
    const bus = 'arn:aws:events:us-east-1:000000000000:event-bus/default'
    const heard = hear('lambus.events.default')
    await it.deploy('emits')
    await it.configure('emits', { onSuccess: bus, onFailure: bus, MaximumRetryAttempts: 0 })
    const well = await it.send('emits', { answer: 'yes' })
    await heardOne(heard)
    expect(JSON.parse(heard.texts[0] ?? '')).toEqual({
      version: '0',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      'detail-type': 'Lambda Function Invocation Result - Success',
      source: 'lambda',
      account: '000000000000',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      region: 'us-east-1',
      resources: [bus, `${functionArn('emits')}:$LATEST`],
      detail: expect.objectContaining({
        requestContext: expect.objectContaining({ requestId: well, condition: 'Success' }),
        responsePayload: 'yes',
      }),
    })
    await it.send('emits', { failures: 1 })
    await expect.poll(() => heard.texts.length, { timeout: 15_000 }).toBe(2)
    expect(JSON.parse(heard.texts[1] ?? '')['detail-type']).toBe(
      'Lambda Function Invocation Result - Failure',
    )
  })

  // DESIGN §3: arn:lambus:nats:::<subject>, ours
  test('a subject gets the record, with the trace in its headers', async () => {
    const heard = hear('somebody.listens')
    await it.deploy('speaks')
    await it.configure('speaks', { onSuccess: 'arn:lambus:nats:::somebody.listens' })
    const id = await it.send('speaks')
    await heardOne(heard)
    expect(JSON.parse(heard.texts[0] ?? '').requestContext.requestId).toBe(id)
    const [run] = it.runs('speaks')
    expect(heard.messages[0]?.headers?.get('X-Amzn-Trace-Id')).toBe(run?.traceId)
  })
})

describe('a dead-letter queue', () => {
  // §4.5, test_dead_letter_queue: the body is the event, ErrorCode "200", the function's own message
  test('gets the event as it came, and three attributes', async () => {
    const TargetArn = await it.makeQueue('letters')
    await it.deploy('dies', { DeadLetterConfig: { TargetArn } })
    await it.configure('dies', { MaximumRetryAttempts: 0 })
    const id = await sendText('dies', '{ "failures" : 1, "ü": "\\u00e9" }')
    const [letter] = await it.messages('letters', 1)
    expect(letter?.Body).toBe('{ "failures" : 1, "ü": "\\u00e9" }')
    expect(letter?.MessageAttributes).toEqual({
      RequestID: { DataType: 'String', StringValue: id },
      ErrorCode: { DataType: 'Number', StringValue: '200' },
      ErrorMessage: { DataType: 'String', StringValue: 'no luck' },
    })
  })

  // §4.5: "DLQ and OnFailure are both delivered"
  test('is told beside the OnFailure destination', async () => {
    const TargetArn = await it.makeQueue('both-dead')
    await it.deploy('both', { DeadLetterConfig: { TargetArn } })
    const onFailure = await it.makeQueue('both-bad')
    await it.configure('both', { onFailure, MaximumRetryAttempts: 0 })
    const id = await it.send('both', { failures: 1 })
    const [record] = await it.records('both-bad', 1)
    const [letter] = await it.messages('both-dead', 1)
    expect(record?.requestContext.requestId).toBe(id)
    expect(letter?.MessageAttributes?.['RequestID']?.StringValue).toBe(id)
  })

  // §4.5, stackd's dlq_ownership: no ErrorCode, and AWS's own spelling
  test('is told of an event that was shut off by a reserved concurrency of 0', async () => {
    const TargetArn = await it.makeQueue('zero-dead')
    await it.deploy('zero', { DeadLetterConfig: { TargetArn } })
    await it.reserve('zero', 0)
    const id = await it.send('zero')
    const [letter] = await it.messages('zero-dead', 1)
    expect(letter?.MessageAttributes).toEqual({
      RequestID: { DataType: 'String', StringValue: id },
      ErrorMessage: {
        DataType: 'String',
        StringValue:
          'Function not invoked. Function isconfigured with zero reserved concurrent executions',
      },
    })
  })

  // §4.5: DeadLetterConfig may be a topic; SNS Developer Guide, "Amazon SNS message attributes"
  test('may be a topic', async () => {
    const heard = hear('lambus.sns.dead')
    await it.deploy('mourned', {
      DeadLetterConfig: { TargetArn: 'arn:aws:sns:us-east-1:000000000000:dead' },
    })
    await it.configure('mourned', { MaximumRetryAttempts: 0 })
    const id = await it.send('mourned', { failures: 1 })
    await heardOne(heard)
    expect(JSON.parse(heard.texts[0] ?? '')).toMatchObject({
      Message: '{"failures":1}',
      MessageAttributes: {
        RequestID: { Type: 'String', Value: id },
        ErrorCode: { Type: 'Number', Value: '200' },
        ErrorMessage: { Type: 'String', Value: 'no luck' },
      },
    })
  })

  // The poisoned event: §4.3 (a process that ends is a function error), §1.5, §4.5
  test('gets the event that kills its runtime, after its attempts, and no other', async () => {
    const TargetArn = await it.makeQueue('poison-dead')
    await it.deploy('poisoned', { DeadLetterConfig: { TargetArn } })
    const killer = await it.send('poisoned', { kills: 9 })
    const quitter = await it.send('poisoned', { exits: 9 })
    const others = await Promise.all(
      Array.from({ length: 20 }, (_, n) => it.send('poisoned', { n, sleepMs: 50 })),
    )
    const letters = await it.messages('poison-dead', 2)
    const told = letters.map(({ MessageAttributes }) => [
      MessageAttributes?.['RequestID']?.StringValue,
      MessageAttributes?.['ErrorMessage']?.StringValue,
    ])
    expect(new Map(told as [string, string][])).toEqual(
      new Map([
        [killer, `RequestId: ${killer} Error: Runtime exited with error: signal: killed`],
        [quitter, `RequestId: ${quitter} Error: Runtime exited with error: exit status 1`],
      ]),
    )
    const timesOf = (id: string) => it.runs('poisoned').filter((run) => run.id === id).length
    for (const id of others) await expect.poll(() => timesOf(id)).toBeGreaterThan(0)
    // A machine that stood still has its poller make again what it had in hand (ARCHITECTURE, "A poller sleeps and wakes").
    if (!it.system.log().includes('POLLER_OVERSLEPT')) {
      expect([timesOf(killer), timesOf(quitter)]).toEqual([3, 3])
      expect(others.map(timesOf)).toEqual(others.map(() => 1))
    }
    expect(await it.look('poison-dead')).toEqual([])
  })
})

// §4.4: "Failure to deliver → metric DestinationDeliveryFailures"; DESIGN §4: an event that was accepted has an end
describe('a destination that is not there', () => {
  test('is told once it is made again, and counted meanwhile', async () => {
    await it.deploy('waits')
    await it.configure('waits', { onSuccess: await it.makeQueue('away') })
    await it.deleteQueue('away')
    const before = await it.count('destinationDeliveryFailures')
    const id = await it.send('waits')
    await expect
      .poll(() => it.count('destinationDeliveryFailures'), { timeout: 10_000 })
      .toBeGreaterThan(before + 1)
    await it.makeQueue('away')
    const [record] = await it.records('away', 1)
    expect(record?.requestContext.requestId).toBe(id)
    expect(it.runs('waits').length).toBe(1)
    expect(await it.look('away')).toEqual([])
  })

  // §4.5: "Failure → metric DeadLetterErrors"
  test('of dead letters does not keep the other from being told', async () => {
    const TargetArn = await it.makeQueue('gone-dead')
    await it.deploy('partly', { DeadLetterConfig: { TargetArn } })
    const onFailure = await it.makeQueue('partly-bad')
    await it.configure('partly', { onFailure, MaximumRetryAttempts: 0 })
    await it.deleteQueue('gone-dead')
    const before = await it.count('deadLetterErrors')
    const id = await it.send('partly', { failures: 1 })
    const [record] = await it.records('partly-bad', 1)
    expect(record?.requestContext.requestId).toBe(id)
    await expect.poll(() => it.count('deadLetterErrors')).toBeGreaterThan(before)
    await it.makeQueue('gone-dead')
    const [letter] = await it.messages('gone-dead', 1)
    expect(letter?.MessageAttributes?.['RequestID']?.StringValue).toBe(id)
    expect(await it.look('partly-bad')).toEqual([])
  })
})

describe('a chain of events that comes back', () => {
  const traceOf = (name: string, times: number): string => {
    let traceId = 'Root=1-6aba3a9c-0ad723aa6f28be0c1799046b;Parent=4bc416e7d2fef21a;Sampled=0'
    for (let time = 0; time < times; time++) traceId = lineage.next(traceId, functionArn(name))
    return traceId
  }
  const sendInChain = async (name: string, times: number): Promise<string> => {
    const made = headers()
    made.set('X-Amz-Invocation-Type', 'Event')
    made.set('X-Amzn-Trace-Id', traceOf(name, times))
    const answer = await it.bus.request(`lambus.invoke.${name}`, '{}', {
      headers: made,
      timeoutMs: 15_000,
    })
    if (typeof answer === 'string') throw new Error(answer)
    expect(answer.headers?.get('Nats-Service-Error-Code')).toBeFalsy()
    return answer.headers?.get('X-Amzn-RequestId') ?? ''
  }

  // §4.6, §4.4, stackd's recursion_execution: accepted, then told to OnFailure and the dead-letter queue
  test('is accepted the 17th time, and ends as RecursiveInvocation without a run', async () => {
    const TargetArn = await it.makeQueue('looped-dead')
    await it.deploy('looped', { DeadLetterConfig: { TargetArn } })
    await it.configure('looped', { onFailure: await it.makeQueue('looped-bad') })
    const last = await sendInChain('looped', 15)
    await it.ran('looped', 1)
    const refused = await sendInChain('looped', 16)
    const [record] = await it.records('looped-bad', 1)
    expect(record).toMatchObject({
      requestContext: { requestId: refused, condition: 'RecursiveInvocation' },
      responseContext: { statusCode: 400 },
    })
    const [letter] = await it.messages('looped-dead', 1)
    expect(letter?.MessageAttributes).toMatchObject({
      RequestID: { StringValue: refused },
      ErrorCode: { StringValue: '400' },
    })
    expect(it.runs('looped').map(({ id }) => id)).toEqual([last])
  })

  // §4.6: Lambda to Lambda by destinations; about 16 times, and a circle of two is found in about 20 rounds: lineage.ts
  test('through destinations is stopped', async () => {
    const onFailure = await it.makeQueue('circle-bad')
    await it.deploy('ping')
    await it.deploy('pong')
    await it.configure('ping', { onSuccess: functionArn('pong'), onFailure })
    await it.configure('pong', { onSuccess: functionArn('ping'), onFailure })
    onTestFinished(async () => {
      const delete_ = new DeleteFunctionEventInvokeConfigCommand({ FunctionName: 'ping' })
      await it.system.lambda.send(delete_)
    })
    await it.send('ping')
    const [record] = await it.records('circle-bad', 1)
    expect(record?.requestContext.condition).toBe('RecursiveInvocation')
    const rounds = Math.max(it.runs('ping').length, it.runs('pong').length)
    expect(rounds).toBeGreaterThanOrEqual(16)
    expect(rounds).toBeLessThanOrEqual(24)
  })
})
