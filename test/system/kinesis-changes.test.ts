/**
 * Mappings that are changed, and whose function, stream or system is, while records flow: what is done with does not come again,
 * and nothing is left out. Source: lambda-semantics.md §5.5–5.7; issue 4, "Config changes take effect without losing or
 * repeating what was checkpointed".
 */
import { setTimeout as wait } from 'node:timers/promises'
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DeregisterStreamConsumerCommand,
  PutRecordsCommand,
  RegisterStreamConsumerCommand,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis'
import {
  DeleteEventSourceMappingCommand,
  DeleteFunctionConcurrencyCommand,
  PutFunctionConcurrencyCommand,
  UpdateEventSourceMappingCommand,
  UpdateFunctionConfigurationCommand,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type KinesisSystem, queueArn, startKinesisSystem, until } from './kinesis-system.ts'

let it: KinesisSystem
beforeAll(async () => {
  it = await startKinesisSystem()
}, 60_000)
afterAll(() => it?.stop())

const change = (UUID: string, more: object) =>
  it.lambda.send(new UpdateEventSourceMappingCommand({ UUID, ...more }))
const putMany = (StreamName: string, records: readonly (readonly [key: string, data: string])[]) =>
  it.kinesis.send(
    new PutRecordsCommand({
      StreamName,
      Records: records.map(([PartitionKey, data]) => ({ PartitionKey, Data: Buffer.from(data) })),
    }),
  )

test('the number of lanes, the size of batches and filters change under load', async () => {
  await it.createStream('load', 2)
  const its = await it.record('load', 'await new Promise((resolve) => setTimeout(resolve, 5))')
  const uuid = await it.map('load', 'load', { BatchSize: 7 })
  const keys = 20
  const each = 40
  const putting = (async () => {
    for (let n = 0; n < each; n++) {
      await putMany(
        'load',
        Array.from({ length: keys }, (_, key) => [`k${key}`, JSON.stringify({ key, n })] as const),
      )
      await wait(50)
    }
  })()
  for (const more of [
    { ParallelizationFactor: 10 },
    { BatchSize: 1 },
    { FilterCriteria: { Filters: [{ Pattern: '{"data":{"n":[{"exists":true}]}}' }] } },
    { ParallelizationFactor: 3, BatchSize: 100 },
    { FilterCriteria: { Filters: [] }, ParallelizationFactor: 1 },
  ]) {
    await change(uuid, more)
    await it.stateIs(uuid, 'Enabled')
  }
  await putting
  await its.until((batches) => batches.flat().length >= keys * each)
  await wait(300)
  const seen = its
    .batches()
    .flat()
    .map((data) => JSON.parse(data) as { key: number; n: number })
  expect(seen.length).toBe(keys * each)
  for (let key = 0; key < keys; key++) {
    expect(seen.filter((one) => one.key === key).map(({ n }) => n)).toEqual(
      Array.from({ length: each }, (_, n) => n),
    )
  }
}, 40_000)

test('a shard that is stuck can be disabled, and goes on with what it was stuck at', async () => {
  await it.createStream('stuck')
  const its = await it.record('stuck', 'throw new Error("no")')
  for (const data of ['1', '2', '3']) await it.put('stuck', data)
  const uuid = await it.map('stuck', 'stuck', {
    BatchSize: 2,
    MaximumBatchingWindowInSeconds: 1,
  })
  await its.until((batches) => batches.length >= 2)
  await change(uuid, { Enabled: false })
  await it.stateIs(uuid, 'Disabled')
  const before = its.batches().length
  await wait(700)
  expect(its.batches().length).toBe(before)
  its.behave('')
  await change(uuid, { Enabled: true })
  await its.until((batches) => batches.flat().includes('3'))
  expect(its.batches().slice(before)).toEqual([['1', '2'], ['3']])
  // And deleted while it is stuck.
  its.behave('throw new Error("no")')
  await it.put('stuck', '4')
  await its.until((batches) => batches.flat().filter((data) => data === '4').length > 1)
  await it.stateIs(uuid, 'Enabled')
  await it.lambda.send(new DeleteEventSourceMappingCommand({ UUID: uuid }))
  await until(() =>
    it.mapping(uuid).then(
      () => false,
      () => true,
    ),
  )
  const after = its.batches().length
  await wait(700)
  expect(its.batches().length).toBe(after)
}, 30_000)

test('being throttled spends none of the attempts', async () => {
  await it.createStream('throttled')
  const queue = await it.createQueue('throttled-failed')
  const its = await it.record('throttled')
  const FunctionName = 'throttled'
  await it.lambda.send(
    new PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions: 0 }),
  )
  for (const data of ['1', '2']) await it.put('throttled', data)
  await it.map('throttled', 'throttled', {
    MaximumBatchingWindowInSeconds: 1,
    MaximumRetryAttempts: 0,
    DestinationConfig: { OnFailure: { Destination: queueArn('throttled-failed') } },
  })
  await wait(2_000)
  expect(its.batches()).toEqual([])
  await it.lambda.send(new DeleteFunctionConcurrencyCommand({ FunctionName }))
  await its.until((batches) => batches.flat().length === 2)
  expect(its.batches()).toEqual([['1', '2']])
  expect(await it.receive(queue, 1)).toBeUndefined()
}, 30_000)

test('a record that no invocation can hold spends its attempts, and the others pass (§5.5)', async () => {
  await it.kinesis.send(
    new CreateStreamCommand({ StreamName: 'large', ShardCount: 1, MaxRecordSizeInKiB: 8_000 }),
  )
  await it.active('large')
  const queue = await it.createQueue('large-failed')
  const its = await it.record('large')
  await it.put('large', 'before')
  await it.put('large', 'x'.repeat(5_000_000))
  await it.put('large', 'after')
  await it.map('large', 'large', {
    MaximumRetryAttempts: 2,
    DestinationConfig: { OnFailure: { Destination: queueArn('large-failed') } },
  })
  const told = JSON.parse((await it.receive(queue)) ?? '')
  expect(told).toMatchObject({
    requestContext: { condition: 'RetryAttemptsExhausted', approximateInvokeCount: 3 },
    KinesisBatchInfo: { batchSize: 1 },
  })
  expect(told.responseContext).toBeUndefined()
  await its.until((batches) => batches.flat().length === 2)
  expect(its.batches().flat()).toEqual(['before', 'after'])
}, 30_000)

test('a function that takes too long has failed; another function can take its place', async () => {
  await it.createStream('slow')
  const its = await it.record('slow', 'await new Promise((resolve) => setTimeout(resolve, 5_000))')
  const next = await it.record('next')
  const FunctionName = 'slow'
  await it.lambda.send(new UpdateFunctionConfigurationCommand({ FunctionName, Timeout: 1 }))
  await it.put('slow', '1')
  const uuid = await it.map('slow', 'slow')
  await until(
    async () => (await it.mapping(uuid)).LastProcessingResult === 'PROBLEM: Function call failed',
  )
  expect(await change(uuid, { FunctionName: 'next' })).toMatchObject({
    FunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:next',
  })
  await next.until((batches) => batches.length === 1)
  await it.put('slow', '2')
  await next.until((batches) => batches.length === 2)
  expect(next.batches().flat()).toEqual(['1', '2'])
  expect(new Set(its.batches().flat())).toEqual(new Set(['1']))
}, 30_000)

test('a mapping from LATEST on reads children from their beginning', async () => {
  await it.createStream('children')
  const its = await it.record('children')
  await it.put('children', 'old')
  await it.map('children', 'children', { StartingPosition: 'LATEST' })
  await it.kinesis.send(
    new SplitShardCommand({
      StreamName: 'children',
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: String(2n ** 127n),
    }),
  )
  await Promise.all([
    it.put('children', '1', 'a', { ExplicitHashKey: '0' }),
    it.put('children', '2', 'b', { ExplicitHashKey: String(2n ** 128n - 1n) }),
  ])
  await it.active('children')
  await it.put('children', '3', 'a', { ExplicitHashKey: '0' })
  await its.until((batches) => batches.flat().length >= 3)
  expect(its.batches().flat().sort()).toEqual(['1', '2', '3'])
})

test('a mapping can be turned on again for the next stream of that name, and begins anew', async () => {
  await it.createStream('anew')
  const its = await it.record('anew')
  const uuid = await it.map('anew', 'anew')
  await it.put('anew', '1')
  await its.until((batches) => batches.length === 1)
  await it.kinesis.send(new DeleteStreamCommand({ StreamName: 'anew' }))
  await it.stateIs(uuid, 'Disabled')
  await until(() =>
    it.active('anew').then(
      () => false,
      () => true,
    ),
  )
  await it.createStream('anew')
  await it.put('anew', '2')
  await change(uuid, { Enabled: true })
  await it.stateIs(uuid, 'Enabled')
  await it.put('anew', '3')
  await its.until((batches) => batches.flat().includes('3'))
  expect(its.batches().flat()).toEqual(['1', '2', '3'])
}, 30_000)

test('the state of a window does not go on to the children of its shard (§5.8)', async () => {
  await it.createStream('windows')
  const its = await it.record(
    'windows',
    'return event.isFinalInvokeForWindow ? {} : { state: { sum: (event.state.sum ?? 0) + data.length } }',
  )
  await it.map('windows', 'windows', { TumblingWindowInSeconds: 900, BatchSize: 1 })
  // Not at the end of a window.
  await until(() => Date.now() % 900_000 < 895_000)
  await it.put('windows', '1')
  await it.put('windows', '2')
  await its.until((batches) => batches.length === 2)
  await it.kinesis.send(
    new SplitShardCommand({
      StreamName: 'windows',
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: String(2n ** 127n),
    }),
  )
  await it.active('windows')
  await it.put('windows', '3', 'a', { ExplicitHashKey: '0' })
  await its.until((batches) => batches.flat().includes('3'))
  const told = its.notes().map(({ event }) => ({
    shard: event.shardId?.at(-1),
    records: event.Records.length,
    state: event.state,
    isFinal: event.isFinalInvokeForWindow,
  }))
  expect(told).toEqual([
    { shard: '0', records: 1, state: {}, isFinal: false },
    { shard: '0', records: 1, state: { sum: 1 }, isFinal: false },
    { shard: '0', records: 0, state: { sum: 2 }, isFinal: true },
    { shard: '1', records: 1, state: {}, isFinal: false },
  ])
})

test('a mapping whose consumer is deregistered stops, and says why', async () => {
  const StreamARN = await it.createStream('left')
  const { Consumer } = await it.kinesis.send(
    new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: 'app' }),
  )
  const ConsumerARN = Consumer?.ConsumerARN ?? ''
  const its = await it.record('left')
  const uuid = await it.map('left', 'left', { EventSourceArn: ConsumerARN })
  await it.put('left', '1')
  await its.until((batches) => batches.length === 1)
  await it.kinesis.send(new DeregisterStreamConsumerCommand({ ConsumerARN }))
  const { StateTransitionReason } = await it.stateIs(uuid, 'Disabled')
  expect(StateTransitionReason).toContain(ConsumerARN)
  await it.put('left', '2')
  await wait(300)
  expect(its.batches().flat()).toEqual(['1'])
})
