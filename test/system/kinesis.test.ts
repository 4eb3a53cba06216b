/**
 * Streams and event source mappings through the whole system, by the JavaScript SDK, which speaks HTTP/2 to Kinesis.
 * Source: lambda-semantics.md §5.
 */
import { setTimeout as wait } from 'node:timers/promises'
import {
  DeleteStreamCommand,
  DescribeStreamConsumerCommand,
  ListShardsCommand,
  MergeShardsCommand,
  PutRecordsCommand,
  RegisterStreamConsumerCommand,
  SplitShardCommand,
  SubscribeToShardCommand,
} from '@aws-sdk/client-kinesis'
import {
  DeleteEventSourceMappingCommand,
  DeleteFunctionCommand,
  GetEventSourceMappingCommand,
  UpdateEventSourceMappingCommand,
} from '@aws-sdk/client-lambda'
import { headers } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import {
  functionArn,
  type KinesisSystem,
  queueArn,
  type Recorder,
  startKinesisSystem,
  streamArn,
  until,
} from './kinesis-system.ts'

let it: KinesisSystem
let bus: Bus
/** What takes a minute begins first and is looked at last: AWS's shortest MaximumRecordAge is 60 s. */
let aging: { failing: Recorder; failedQueue: string; fresh: Recorder; putAtMs: number }

beforeAll(async () => {
  it = await startKinesisSystem()
  bus = await openBus({ servers: it.system.natsUrl, role: 'client', id: 'kinesis' })
  await Promise.all([it.createStream('aging'), it.createStream('aged')])
  const failing = await it.record('aging', 'throw new Error("never")')
  const failedQueue = await it.createQueue('aging-failed')
  await it.put('aging', 'old')
  await it.put('aged', 'old')
  await it.map('aging', 'aging', {
    MaximumRecordAgeInSeconds: 60,
    BatchSize: 1,
    DestinationConfig: { OnFailure: { Destination: queueArn('aging-failed') } },
  })
  aging = { failing, failedQueue, fresh: await it.record('aged'), putAtMs: Date.now() }
}, 90_000)
afterAll(async () => {
  await bus?.close()
  await it?.stop()
})

const uuidPattern = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

test("records arrive as AWS's event, its keys in the recorded order (§5.4)", async () => {
  const arn = await it.createStream('shape')
  const its = await it.record('shape')
  const before = Date.now()
  const put = await it.put('shape', 'hello', 'schlüssel "1"')
  await it.map('shape', 'shape')
  await its.until((batches) => batches.length > 0)
  const [{ text, event } = { text: '', event: undefined }] = its.notes()
  const record = event?.Records[0]
  const arrival = record?.kinesis.approximateArrivalTimestamp ?? 0
  expect(arrival * 1_000).toBeGreaterThanOrEqual(before - 1)
  expect(arrival * 1_000).toBeLessThanOrEqual(Date.now())
  expect(text).toBe(
    JSON.stringify({
      Records: [
        {
          kinesis: {
            kinesisSchemaVersion: '1.0',
            partitionKey: 'schlüssel "1"',
            sequenceNumber: put.SequenceNumber,
            data: 'aGVsbG8=',
            approximateArrivalTimestamp: arrival,
          },
          eventSource: 'aws:kinesis',
          eventVersion: '1.0',
          eventID: `shardId-000000000000:${put.SequenceNumber}`,
          eventName: 'aws:kinesis:record',
          invokeIdentityArn: 'arn:aws:iam::000000000000:role/r',
          awsRegion: 'us-east-1',
          eventSourceARN: arn,
        },
      ],
    }),
  )
})

test('a mapping goes through the states and texts of AWS, and a disabled one stops (§5.2)', async () => {
  await it.createStream('life')
  const its = await it.record('life')
  const uuid = await it.map('life', 'life', { BatchSize: 1, Enabled: false })
  expect(await it.mapping(uuid)).toMatchObject({
    State: 'Disabled',
    StateTransitionReason: 'User action',
    LastProcessingResult: 'No records processed',
  })
  const change = (more: object) =>
    it.lambda.send(new UpdateEventSourceMappingCommand({ UUID: uuid, ...more }))
  expect(await change({ Enabled: true })).toMatchObject({ State: 'Enabling' })
  await it.stateIs(uuid, 'Enabled')

  await it.put('life', '1')
  await its.until((batches) => batches.length === 1)
  await until(async () => (await it.mapping(uuid)).LastProcessingResult === 'OK')

  its.behave('throw new Error("broken")')
  await it.put('life', '2')
  await its.until((batches) => batches.length > 1)
  await until(
    async () => (await it.mapping(uuid)).LastProcessingResult === 'PROBLEM: Function call failed',
  )
  its.behave('')
  await until(async () => (await it.mapping(uuid)).LastProcessingResult === 'OK')

  expect(await change({ BatchSize: 10 })).toMatchObject({ State: 'Updating', BatchSize: 10 })
  await it.stateIs(uuid, 'Enabled')

  expect(await change({ Enabled: false })).toMatchObject({ State: 'Disabling' })
  await it.stateIs(uuid, 'Disabled')
  const before = its.batches().length
  for (const data of ['3', '4']) await it.put('life', data)
  await wait(500)
  expect(its.batches().length).toBe(before)

  await change({ Enabled: true })
  await its.until((batches) => batches.flat().includes('4'))
  // It goes on at its checkpoint: what was done with does not come again.
  expect(its.batches().slice(before).flat()).toEqual(['3', '4'])

  await it.stateIs(uuid, 'Enabled')
  const deleted = await it.lambda.send(new DeleteEventSourceMappingCommand({ UUID: uuid }))
  expect(deleted).toMatchObject({ State: 'Deleting', UUID: uuid })
  const look = new GetEventSourceMappingCommand({ UUID: uuid })
  await until(() =>
    it.lambda.send(look).then(
      () => false,
      (error) => error.$metadata.httpStatusCode === 404,
    ),
  )
  await it.put('life', '5')
  await wait(300)
  expect(its.batches().flat()).not.toContain('5')
})

test('a mapping begins at LATEST, at a time, or with what is oldest', async () => {
  await it.createStream('start')
  const [latest, later, all] = await Promise.all([
    it.record('start-latest'),
    it.record('start-later'),
    it.record('start-all'),
  ])
  await it.put('start', '1')
  await wait(1_100)
  const StartingPositionTimestamp = new Date()
  await it.put('start', '2')
  await it.map('start', 'start-latest', { StartingPosition: 'LATEST' })
  await it.map('start', 'start-later', {
    StartingPosition: 'AT_TIMESTAMP',
    StartingPositionTimestamp,
  })
  await it.map('start', 'start-all')
  await it.put('start', '3')
  const seen = (its: Recorder) => its.until((batches) => batches.flat().includes('3'))
  await Promise.all([latest, later, all].map(seen))
  expect(latest?.batches().flat()).toEqual(['3'])
  expect(later?.batches().flat()).toEqual(['2', '3'])
  expect(all?.batches().flat()).toEqual(['1', '2', '3'])
})

test('children are read when all of their parents are at their end (§5.7)', async () => {
  await it.createStream('lineage')
  const its = await it.record('lineage', 'await new Promise((resolve) => setTimeout(resolve, 50))')
  const put = (data: string) => it.put('lineage', data, 'same')
  for (const data of ['0.a', '0.b', '0.c']) await put(data)
  await it.kinesis.send(
    new SplitShardCommand({
      StreamName: 'lineage',
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: String(2n ** 127n),
    }),
  )
  await it.active('lineage')
  // One of each child.
  for (const [data, ExplicitHashKey] of [
    ['1.a', '0'],
    ['1.b', '0'],
    ['2.a', String(2n ** 127n)],
    ['2.b', String(2n ** 128n - 1n)],
  ] as const) {
    await it.put('lineage', data, 'same', { ExplicitHashKey })
  }
  await it.kinesis.send(
    new MergeShardsCommand({
      StreamName: 'lineage',
      ShardToMerge: 'shardId-000000000001',
      AdjacentShardToMerge: 'shardId-000000000002',
    }),
  )
  await it.active('lineage')
  for (const data of ['3.a', '3.b']) await put(data)
  await it.map('lineage', 'lineage', { BatchSize: 1 })
  await its.until((batches) => batches.length === 9)
  const all = its.batches().flat()
  expect(all.slice(0, 3)).toEqual(['0.a', '0.b', '0.c'])
  expect(all.slice(3, 7).filter((data) => data.startsWith('1'))).toEqual(['1.a', '1.b'])
  expect(all.slice(3, 7).filter((data) => data.startsWith('2'))).toEqual(['2.a', '2.b'])
  expect(all.slice(7)).toEqual(['3.a', '3.b'])
  // Those that are split while they are read, too.
  await it.kinesis.send(
    new SplitShardCommand({
      StreamName: 'lineage',
      ShardToSplit: 'shardId-000000000003',
      NewStartingHashKey: '1000',
    }),
  )
  await it.active('lineage')
  await it.put('lineage', '4', 'same', { ExplicitHashKey: '0' })
  await it.put('lineage', '5', 'same', { ExplicitHashKey: '1000' })
  await its.until((batches) => batches.length === 11)
  const { Shards = [] } = await it.kinesis.send(new ListShardsCommand({ StreamName: 'lineage' }))
  expect(
    Shards.map(({ ShardId, ParentShardId, AdjacentParentShardId }) =>
      [ShardId, ParentShardId, AdjacentParentShardId].map((id) => id?.at(-1)).join(),
    ),
  ).toEqual(['0,,', '1,0,', '2,0,', '3,1,2', '4,3,', '5,3,'])
})

test('ReportBatchItemFailures: the recorded run, and the record of it (§5.5, §5.6)', async () => {
  await it.createStream('items')
  const queue = await it.createQueue('items-failed')
  const its = await it.record(
    'items',
    `const bad = event.Records.filter((_, index) => data[index] === '6')
     return { batchItemFailures: bad.map(({ kinesis }) => ({ itemIdentifier: kinesis.sequenceNumber })) }`,
  )
  const puts = []
  for (const data of ['1', '2', '3', '4', '5', '6']) puts.push(await it.put('items', data))
  await it.map('items', 'items', {
    BatchSize: 3,
    MaximumBatchingWindowInSeconds: 1,
    MaximumRetryAttempts: 3,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
    DestinationConfig: { OnFailure: { Destination: queueArn('items-failed') } },
  })
  const text = (await it.receive(queue)) ?? ''
  expect(its.batches()).toEqual([['1', '2', '3'], ['4', '5', '6'], ['6'], ['6'], ['6'], ['6']])
  const [, second, ...alone] = its.notes().map(({ requestId }) => requestId)
  // What is left of a batch is a request of its own; one that is tried again is the same.
  expect(new Set(alone).size).toBe(1)
  expect(alone[0]).not.toBe(second)
  const record = JSON.parse(text)
  const arrived = its.notes().at(-1)?.event.Records[0]?.kinesis.approximateArrivalTimestamp ?? 0
  const iso = new Date(Math.round(arrived * 1_000)).toISOString()
  expect(record.timestamp).toMatch(timePattern)
  expect(text).toBe(
    JSON.stringify({
      requestContext: {
        requestId: alone[0],
        functionArn: functionArn('items'),
        condition: 'RetryAttemptsExhausted',
        approximateInvokeCount: 4,
      },
      responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: null },
      version: '1.0',
      timestamp: record.timestamp,
      KinesisBatchInfo: {
        shardId: 'shardId-000000000000',
        startSequenceNumber: puts[5]?.SequenceNumber,
        endSequenceNumber: puts[5]?.SequenceNumber,
        approximateArrivalOfFirstRecord: iso,
        approximateArrivalOfLastRecord: iso,
        batchSize: 1,
        streamArn: streamArn('items'),
      },
    }),
  )
})

const id = 'event.Records[0].kinesis.sequenceNumber'
const successes: [string, string][] = [
  ['null', 'return null'],
  ['an empty text', 'return ""'],
  ['an empty list', 'return []'],
  ['an empty object', 'return {}'],
  ['no failures', 'return { batchItemFailures: [] }'],
  ['null for failures', 'return { batchItemFailures: null }'],
]
const failures: [string, string][] = [
  ['an empty identifier', 'return { batchItemFailures: [{ itemIdentifier: "" }] }'],
  ['null for an identifier', 'return { batchItemFailures: [{ itemIdentifier: null }] }'],
  ['an identifier of no record', 'return { batchItemFailures: [{ itemIdentifier: "foo" }] }'],
  ['another key', `return { batchItemFailures: [{ foo: ${id} }] }`],
  ['another key without a value', 'return { batchItemFailures: [{ foo: null }] }'],
  ['an error', 'throw new Error("no")'],
]
test('ReportBatchItemFailures: what is a success, and what a failure of all (§5.6)', async () => {
  await it.createStream('answers')
  const its = await it.record('answers')
  await it.map('answers', 'answers', {
    MaximumRetryAttempts: 1,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
  })
  const attempts: Record<string, number> = {}
  for (const [name, body] of [...successes, ...failures]) {
    its.behave(body)
    await it.put('answers', name)
    const isFailure = failures.some(([of]) => of === name)
    const count = () => its.batches().filter((batch) => batch[0] === name).length
    await until(
      () => count() >= (isFailure ? 2 : 1),
      15_000,
      () => `${name}: ${count()}`,
    )
    await wait(60)
    attempts[name] = count()
  }
  expect(attempts).toEqual(
    Object.fromEntries([
      ...successes.map(([name]) => [name, 1]),
      ...failures.map(([name]) => [name, 2]),
    ]),
  )
}, 30_000)

test('a topic is told of what failed, and a subject (§5.5)', async () => {
  await it.createStream('told')
  const told: Record<string, string> = {}
  for (const subject of ['lambus.sns.failed', 'shop.failed']) {
    bus.subscribe(subject, (message) => {
      told[subject] ??= Buffer.from(message.data).toString()
    })
  }
  const its = await it.record('told', 'throw new Error("no")')
  for (const Destination of [
    'arn:aws:sns:us-east-1:000000000000:failed',
    'arn:lambus:nats:::shop.failed',
  ]) {
    const uuid = await it.map('told', 'told', {
      MaximumRetryAttempts: 1,
      BatchSize: 2,
      MaximumBatchingWindowInSeconds: 1,
      DestinationConfig: { OnFailure: { Destination } },
    })
    const before = Object.keys(told).length
    await it.put('told', 'a')
    await until(() => Object.keys(told).length > before)
    await it.lambda.send(new DeleteEventSourceMappingCommand({ UUID: uuid }))
    await until(() =>
      it.mapping(uuid).then(
        () => false,
        () => true,
      ),
    )
  }
  const expected = {
    requestContext: {
      requestId: expect.stringMatching(uuidPattern),
      functionArn: functionArn('told'),
      condition: 'RetryAttemptsExhausted',
      approximateInvokeCount: 2,
    },
    responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
    version: '1.0',
    KinesisBatchInfo: { shardId: 'shardId-000000000000', streamArn: streamArn('told') },
  }
  const { Message, ...notification } = JSON.parse(told['lambus.sns.failed'] ?? '')
  expect(notification).toMatchObject({
    Type: 'Notification',
    TopicArn: 'arn:aws:sns:us-east-1:000000000000:failed',
  })
  expect(JSON.parse(Message)).toMatchObject(expected)
  expect(JSON.parse(told['shop.failed'] ?? '')).toMatchObject(expected)
  expect(its.batches().length).toBeGreaterThan(3)
}, 30_000)

test('the poison is found by bisecting, and reported alone (§5.6)', async () => {
  await it.createStream('poison')
  const queue = await it.createQueue('poison-failed')
  const its = await it.record('poison', 'if (data.includes("POISON")) throw new Error("no")')
  for (const data of ['a', 'b', 'POISON', 'c', 'd']) await it.put('poison', data)
  await it.map('poison', 'poison', {
    BisectBatchOnFunctionError: true,
    MaximumRetryAttempts: 2,
    DestinationConfig: { OnFailure: { Destination: queueArn('poison-failed') } },
  })
  const { KinesisBatchInfo, requestContext } = JSON.parse((await it.receive(queue)) ?? '')
  expect(KinesisBatchInfo.batchSize).toBe(1)
  expect(requestContext.approximateInvokeCount).toBe(3)
  await its.until((batches) =>
    batches.some((batch) => batch.includes('d') && !batch.includes('POISON')),
  )
  const good = its.batches().filter((batch) => !batch.includes('POISON'))
  expect(good.flat()).toEqual(['a', 'b', 'c', 'd'])
  expect(await it.receive(queue, 1)).toBeUndefined()
})

test('records that no filter matches are passed over, and what is left is invoked with (§5.9)', async () => {
  await it.createStream('filtered')
  const its = await it.record('filtered')
  for (const data of [
    '{"kind":"a","n":1}',
    '{"kind":"b"}',
    'no JSON',
    '{"kind":"a","n":9}',
    '{"kind":"c"}',
  ]) {
    await it.put('filtered', data)
  }
  await it.put('filtered', '{"kind":"x"}', 'special')
  const patterns = [
    { data: { kind: ['a'], n: [{ numeric: ['>', 5] }] } },
    { data: { kind: [{ 'anything-but': ['a', 'b', 'x'] }] } },
    { partitionKey: [{ prefix: 'spec' }] },
  ]
  const uuid = await it.map('filtered', 'filtered', {
    FilterCriteria: { Filters: patterns.map((pattern) => ({ Pattern: JSON.stringify(pattern) })) },
  })
  await its.until((batches) => batches.flat().length >= 3)
  expect(its.batches().flat()).toEqual(['{"kind":"a","n":9}', '{"kind":"c"}', '{"kind":"x"}'])
  // Without them what comes is let through, and nothing that was passed over comes again.
  await it.lambda.send(
    new UpdateEventSourceMappingCommand({ UUID: uuid, FilterCriteria: { Filters: [] } }),
  )
  await it.stateIs(uuid, 'Enabled')
  await it.put('filtered', 'plain')
  await its.until((batches) => batches.flat().length >= 4)
  expect(its.batches().flat().slice(3)).toEqual(['plain'])
})

test('a tumbling window hands its state on and ends with an invocation of its own (§5.8)', async () => {
  await it.createStream('window')
  const its = await it.record(
    'window',
    'return event.isFinalInvokeForWindow ? {} : { state: { sum: (event.state.sum ?? 0) + data.length } }',
  )
  await it.map('window', 'window', { TumblingWindowInSeconds: 3, BatchSize: 1 })
  // Not at the end of a window.
  await until(() => Date.now() % 3_000 < 500)
  for (const data of ['1', '2', '3']) await it.put('window', data)
  await its.until((_, notes) => notes.some(({ event }) => event.isFinalInvokeForWindow === true))
  const told = its.notes().map(({ event }) => event)
  const start = told[0]?.window?.start ?? ''
  const end = new Date(Date.parse(start) + 3_000).toISOString().replace('.000', '')
  expect(Date.parse(start) % 3_000).toBe(0)
  expect(told.map(({ Records, ...rest }) => ({ ...rest, records: Records.length }))).toEqual(
    [1, 1, 1, 0].map((records, index) => ({
      window: { start, end },
      state: index === 0 ? {} : { sum: index },
      shardId: 'shardId-000000000000',
      eventSourceARN: streamArn('window'),
      isFinalInvokeForWindow: index === 3,
      isWindowTerminatedEarly: false,
      records,
    })),
  )
})

test('a consumer is a source of its own, with its ARN in the events', async () => {
  const StreamARN = await it.createStream('fan')
  const { Consumer } = await it.kinesis.send(
    new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: 'app' }),
  )
  const ConsumerARN = Consumer?.ConsumerARN ?? ''
  expect(ConsumerARN).toMatch(/:stream\/fan\/consumer\/app:\d+$/)
  const status = async () =>
    (await it.kinesis.send(new DescribeStreamConsumerCommand({ ConsumerARN }))).ConsumerDescription
      ?.ConsumerStatus
  await until(async () => (await status()) === 'ACTIVE')
  const its = await it.record('fan')
  const uuid = await it.map('fan', 'fan', { EventSourceArn: ConsumerARN })
  expect((await it.mapping(uuid)).EventSourceArn).toBe(ConsumerARN)
  await it.put('fan', 'hello')
  await its.until((batches) => batches.length > 0)
  expect(its.notes()[0]?.event.Records[0]?.eventSourceARN).toBe(ConsumerARN)

  // The SDK's own subscription reads the same.
  const { EventStream } = await it.kinesis.send(
    new SubscribeToShardCommand({
      ConsumerARN,
      ShardId: 'shardId-000000000000',
      StartingPosition: { Type: 'TRIM_HORIZON' },
    }),
  )
  const pushed: string[] = []
  for await (const { SubscribeToShardEvent: event } of EventStream ?? []) {
    for (const { Data = new Uint8Array() } of event?.Records ?? []) {
      pushed.push(Buffer.from(Data).toString())
    }
    if (pushed.length === 1) await it.put('fan', 'pushed')
    if (pushed.length >= 2) break
  }
  expect(pushed).toEqual(['hello', 'pushed'])
})

test('a mapping outlives its function, and goes on with the next of that name', async () => {
  await it.createStream('again')
  const its = await it.record('again')
  const uuid = await it.map('again', 'again')
  await it.put('again', '1')
  await its.until((batches) => batches.flat().includes('1'))
  await it.lambda.send(new DeleteFunctionCommand({ FunctionName: 'again' }))
  await it.put('again', '2')
  await wait(300)
  expect((await it.mapping(uuid)).State).toBe('Enabled')
  const next = await it.record('again')
  await next.until((batches) => batches.flat().includes('2'))
  expect(next.batches().flat()).toEqual(['1', '2'])
})

test('a mapping whose stream is deleted stops, and says why', async () => {
  const arn = await it.createStream('gone')
  const its = await it.record('gone')
  const uuid = await it.map('gone', 'gone')
  await it.put('gone', '1')
  await its.until((batches) => batches.length === 1)
  await it.kinesis.send(new DeleteStreamCommand({ StreamName: 'gone' }))
  const stopped = await it.stateIs(uuid, 'Disabled')
  expect(stopped.StateTransitionReason).toContain(`Stream not found: ${arn}`)
})

test('records put by plain NATS are read as those of the SDK', async () => {
  await it.createStream('plain', 2)
  const its = await it.record('plain')
  await it.map('plain', 'plain')
  const headersOf = (...pairs: [string, string][]) => {
    const made = headers()
    for (const [name, value] of pairs) made.set(name, value)
    return made
  }
  const put = async (data: string, ...pairs: [string, string][]) => {
    const answer = await bus.request('lambus.kinesis.plain', data, {
      headers: headersOf(...pairs),
      timeoutMs: 20_000,
    })
    if (typeof answer === 'string') throw new Error(answer)
    return answer
  }
  const answer = (await put('1', ['Partition-Key', 'a'])).json<Record<string, string>>()
  expect(answer).toEqual({
    ShardId: 'shardId-000000000000',
    SequenceNumber: expect.stringMatching(/^\d{56}$/),
  })
  await put('2', ['Partition-Key', 'a'], ['Explicit-Hash-Key', String(2n ** 128n - 1n)])
  await its.until((batches) => batches.flat().length === 2)
  const events = its.notes().flatMap(({ event }) => event.Records)
  expect(events.map(({ eventID }) => eventID.slice(0, 20)).sort()).toEqual([
    'shardId-000000000000',
    'shardId-000000000001',
  ])
  const refused = await put('3')
  expect(refused.json()).toEqual({
    __type: 'ValidationException',
    message:
      "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null",
  })
})

test('the keys of 10 lanes are in order each, and none waits for a slow one (§5.7)', async () => {
  await it.createStream('lanes')
  const its = await it.record(
    'lanes',
    'if (data[0].startsWith("slow")) await new Promise((resolve) => setTimeout(resolve, 2000))',
  )
  await it.kinesis.send(
    new PutRecordsCommand({
      StreamName: 'lanes',
      Records: ['slow', ...Array.from({ length: 20 }, (_, index) => `k${index % 10}`)].map(
        (key, index) => ({ PartitionKey: key, Data: Buffer.from(`${key}.${index}`) }),
      ),
    }),
  )
  await it.map('lanes', 'lanes', { ParallelizationFactor: 10, BatchSize: 1 })
  await its.until((batches) => batches.flat().length === 21)
  const slowMs = its.notes().find(({ text }) => text.includes('"slow"'))?.atMs ?? 0
  // Some keys share its lane.
  const early = its.notes().filter(({ atMs }) => atMs < slowMs + 2_000)
  expect(early.length).toBeGreaterThan(10)
  for (let key = 0; key < 10; key++) {
    const order = its
      .batches()
      .flat()
      .filter((data) => data.startsWith(`k${key}.`))
    expect(order).toEqual([`k${key}.${key + 1}`, `k${key}.${key + 11}`])
  }
})

test('records that are too old are told of: while they are retried, and before they are tried (§5.5)', async () => {
  const { failing, failedQueue, fresh, putAtMs } = aging
  await it.createQueue('aged-failed').then(async (queue) => {
    await wait(Math.max(0, putAtMs + 61_000 - Date.now()))
    await it.put('aged', 'fresh')
    await it.map('aged', 'aged', {
      MaximumRecordAgeInSeconds: 60,
      DestinationConfig: { OnFailure: { Destination: queueArn('aged-failed') } },
    })
    await fresh.until((batches) => batches.length > 0)
    expect(fresh.batches()).toEqual([['fresh']])
    const record = JSON.parse((await it.receive(queue)) ?? '')
    expect(Object.keys(record)).toEqual([
      'requestContext',
      'version',
      'timestamp',
      'KinesisBatchInfo',
    ])
    expect(record).toMatchObject({
      requestContext: {
        requestId: expect.stringMatching(uuidPattern),
        functionArn: functionArn('aged'),
        condition: 'RecordAgeExceeded',
        approximateInvokeCount: 1,
      },
      KinesisBatchInfo: { batchSize: 1 },
    })
  })
  const record = JSON.parse((await it.receive(failedQueue)) ?? '')
  expect(Object.keys(record)).toEqual([
    'requestContext',
    'version',
    'timestamp',
    'KinesisBatchInfo',
  ])
  const tried = failing.notes()
  expect(record.requestContext).toEqual({
    requestId: tried.at(-1)?.requestId,
    functionArn: functionArn('aging'),
    condition: 'RecordAgeExceeded',
    approximateInvokeCount: tried.length,
  })
  const age =
    Date.parse(record.timestamp) -
    Date.parse(record.KinesisBatchInfo.approximateArrivalOfLastRecord)
  expect(age).toBeGreaterThanOrEqual(60_000)
  expect(age).toBeLessThan(75_000)
}, 90_000)
