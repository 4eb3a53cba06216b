import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { until } from '../bus/waiting.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { type Handler, Refused, type ShardWorld, shardWorld } from './shard-world.ts'

let server: TestServer
let bus: Bus
const worlds: ShardWorld[] = []

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'poller', id: 'shards' })
})
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop()
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const world = async (handle: Handler = () => null): Promise<ShardWorld> => {
  const made = await shardWorld(bus, { handle })
  worlds.push(made)
  return made
}
/**
 * For a test that says what is in a batch: without a window it is what has come so far, be it one record. Never waited for:
 * its batches are full, or cut off of such.
 */
const batchingWindowMs = 10_000
const isDone = (it: ShardWorld, done: number) =>
  until(async () => (await it.checkpoint())?.done === done)
const flat = ({ calls }: ShardWorld) => calls.flat()

test('records that were there, and those that come, are handed over in order', async () => {
  const it = await world()
  await it.put('a', 'b', 'c')
  await it.begin({ batchSize: 3, batchingWindowMs })
  await isDone(it, 3)
  await it.put('d', 'e', 'f')
  await isDone(it, 6)
  expect(it.calls).toEqual([
    ['a', 'b', 'c'],
    ['d', 'e', 'f'],
  ])
  expect(it.results).toEqual(['OK'])
})

test('a batch has BatchSize records at most', async () => {
  const it = await world()
  await it.putMany(Array.from({ length: 30 }, (_, index) => ['k', `${index}`]))
  await it.begin({ batchSize: 10, batchingWindowMs })
  await until(() => flat(it).length === 30)
  expect(it.calls.map(({ length }) => length)).toEqual([10, 10, 10])
})

test('the batching window waits for more', async () => {
  const it = await world()
  const poller = await it.begin({ batchSize: 3, batchingWindowMs: 3_000 })
  await it.put('a')
  await until(() => [...poller.held()][0]?.reading.lanes.size(0) === 1)
  await it.put('b')
  await until(() => it.calls.length === 1)
  expect(it.calls).toEqual([['a', 'b']])
})

test('a full batch does not wait for the batching window', async () => {
  const it = await world()
  await it.begin({ batchSize: 3, batchingWindowMs: 60_000 })
  await it.put('a', 'b', 'c')
  await until(() => it.calls.length === 1)
  expect(it.calls).toEqual([['a', 'b', 'c']])
})

test('the poison record alone is given up and told of; every other one is processed once', async () => {
  const processed: string[] = []
  const it = await world((_, texts) => {
    if (texts.includes('POISON')) throw new Error('poisoned')
    processed.push(...texts)
  })
  await it.put('a', 'b', 'POISON', 'c', 'd')
  await it.begin({
    bisectsOnError: true,
    maximumRetryAttempts: 2,
    onFailure: 'arn:aws:sqs:us-east-1:000000000000:dead',
  })
  await until(() => processed.length === 4)
  expect(processed).toEqual(['a', 'b', 'c', 'd'])
  expect(it.calls.filter((texts) => texts.length === 1 && texts[0] === 'POISON')).toHaveLength(3)
  expect(it.failures).toHaveLength(1)
  const told = JSON.parse(it.failures[0]?.record ?? '')
  expect(told.requestContext).toMatchObject({
    condition: 'RetryAttemptsExhausted',
    approximateInvokeCount: 3,
  })
  expect(told.KinesisBatchInfo).toMatchObject({ shardId: 'shardId-000000000000', batchSize: 1 })
  await it.put('e')
  await until(() => processed.length === 5)
})

test('what comes while a batch is tried waits for the batching window, like any other', async () => {
  let end = () => {}
  const isTried = new Promise<void>((resolve) => {
    end = resolve
  })
  const it = await world((_, texts) => (texts.includes('a') ? isTried : null))
  await it.put('a', 'b')
  const poller = await it.begin({ batchSize: 2, batchingWindowMs: 60_000 })
  await until(() => it.calls.length === 1)
  await it.put('c')
  await until(() => [...poller.held()][0]?.reading.lanes.size(0) === 3)
  end()
  await until(async () => (await it.checkpoint())?.done === 2)
  await it.put('d')
  await until(() => it.calls.length === 2)
  expect(it.calls).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ])
})

test('what is cut off a batch does not wait for the batching window again', async () => {
  const atMs: number[] = []
  const it = await world((_, texts) => {
    atMs.push(performance.now())
    if (texts.includes('POISON')) throw new Error('poisoned')
  })
  await it.put('a', 'b', 'POISON', 'c', 'd')
  await it.begin({ batchSize: 5, bisectsOnError: true, maximumRetryAttempts: 0, batchingWindowMs })
  await isDone(it, 5)
  expect(it.calls.map((texts) => texts.join(''))).toEqual([
    'abPOISONcd',
    'abPOISON',
    'ab',
    'POISON',
    'cd',
  ])
  expect((atMs.at(-1) ?? 0) - (atMs[0] ?? 0)).toBeLessThan(batchingWindowMs / 2)
})

test('a batch that comes in piece by piece is tried on as it was by the next reader', async () => {
  const it = await world(() => {
    throw new Error('never')
  })
  // More than a socket gives at once.
  const text = 'x'.repeat(10_000)
  await it.putMany(Array.from({ length: 200 }, (_, index) => ['k', `${index} ${text}`]))
  const first = await it.begin({
    batchSize: 200,
    batchingWindowMs: 10_000,
    maximumRetryAttempts: 3,
    onFailure: 'arn:aws:sqs:us-east-1:000000000000:dead',
  })
  await until(() => it.calls.length === 2)
  await first.stop()
  await it.set({ batchingWindowMs: 0 })
  await it.assign('p2')
  await it.poller('p2')
  await until(() => it.failures.length > 0)
  expect(it.calls.map(({ length }) => length)).toEqual([200, 200, 200, 200])
  expect(JSON.parse(it.failures[0]?.record ?? '')).toMatchObject({
    requestContext: { approximateInvokeCount: 4 },
    KinesisBatchInfo: { batchSize: 200 },
  })
})

test('without a limit a batch comes again as it was, under the same request id', async () => {
  const ids = new Set<string>()
  let failures = 4
  const it = await world((_, _texts, { requestId }) => {
    ids.add(requestId)
    if (failures-- > 0) throw new Error('not yet')
  })
  await it.put('a', 'b')
  await it.begin({ batchSize: 2, batchingWindowMs })
  await isDone(it, 2)
  expect(it.calls).toEqual(Array.from({ length: 5 }, () => ['a', 'b']))
  await it.put('c', 'd')
  await until(() => it.calls.length === 6)
  expect(it.calls[5]).toEqual(['c', 'd'])
  expect(ids.size).toBe(2)
  expect(it.results).toEqual(['PROBLEM: Function call failed', 'OK'])
})

test('being throttled spends no attempts', async () => {
  let refusals = 5
  const it = await world(() => {
    if (refusals-- > 0) throw new Refused(429)
  })
  await it.put('a')
  await it.begin({ maximumRetryAttempts: 0, onFailure: 'arn:aws:sqs:us-east-1:000000000000:dead' })
  await until(async () => (await it.checkpoint())?.done === 1)
  expect(it.calls).toHaveLength(6)
  expect(it.failures).toEqual([])
})

test('what follows the lowest item that failed comes again, with all its attempts', async () => {
  const it = await world((event, texts) => {
    const bad = event.Records[texts.indexOf('6')]
    return bad && { batchItemFailures: [{ itemIdentifier: bad.kinesis.sequenceNumber }] }
  })
  await it.put('1', '2', '3', '4', '5', '6')
  await it.begin({
    batchSize: 3,
    batchingWindowMs,
    maximumRetryAttempts: 3,
    reportsItemFailures: true,
    onFailure: 'arn:aws:sqs:us-east-1:000000000000:dead',
  })
  await until(() => it.failures.length === 1)
  // LocalStack, test_kinesis_report_batch_item_failures.
  expect(it.calls).toEqual([['1', '2', '3'], ['4', '5', '6'], ['6'], ['6'], ['6'], ['6']])
  const told = JSON.parse(it.failures[0]?.record ?? '')
  expect(told.requestContext.approximateInvokeCount).toBe(4)
  expect(told.responseContext).toEqual({
    statusCode: 200,
    executedVersion: '$LATEST',
    functionError: null,
  })
})

test('records that are too old are cut off and told of; those behind them are handed over', async () => {
  const it = await world()
  await it.putMany(
    [
      ['k', 'old'],
      ['k', 'older'],
    ],
    Date.now() - 120_000,
  )
  await it.put('new')
  await it.begin({
    batchSize: 3,
    batchingWindowMs,
    maximumRecordAgeMs: 60_000,
    onFailure: 'arn:aws:sqs:us-east-1:000000000000:dead',
  })
  await until(() => it.calls.length === 1)
  expect(it.calls).toEqual([['new']])
  const told = JSON.parse(it.failures[0]?.record ?? '')
  expect(told.requestContext).toMatchObject({
    // Recorded: an id also where nothing was invoked.
    requestId: expect.stringMatching(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/),
    condition: 'RecordAgeExceeded',
    approximateInvokeCount: 1,
  })
  expect(told.responseContext).toBeUndefined()
  expect(told.KinesisBatchInfo.batchSize).toBe(2)
})

test('records that match no filter are passed over, and the checkpoint with them', async () => {
  const it = await world()
  await it.put('{"n":1}', '{"n":2}', 'no JSON', '{"n":1,"x":true}')
  await it.begin({ filters: ['{"data":{"n":[1]}}'] })
  await until(() => flat(it).length === 2)
  expect(flat(it)).toEqual(['{"n":1}', '{"n":1,"x":true}'])
  await it.put('{"n":3}')
  await until(async () => (await it.checkpoint())?.done === 5)
})

test('lanes keep the order of each key, and one that fails holds up nobody else', async () => {
  const seen = new Map<string, number[]>()
  let isBroken = true
  const it = await world((event) => {
    const keys = new Set(event.Records.map(({ kinesis }) => kinesis.partitionKey))
    if (isBroken && keys.has('k0')) throw new Error('broken')
    for (const { kinesis } of event.Records) {
      const numbers = seen.get(kinesis.partitionKey) ?? []
      numbers.push(Number(Buffer.from(kinesis.data, 'base64').toString()))
      seen.set(kinesis.partitionKey, numbers)
    }
  })
  const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
  const all = Array.from({ length: 100 }, (_, index) =>
    keys.map((key): [string, string] => [key, `${index}`]),
  ).flat()
  await it.putMany(all)
  await it.begin({ batchSize: 10, parallelizationFactor: 10 })
  // Whoever
  await until(() => [...seen.values()].filter(({ length }) => length === 100).length >= 28)
  expect(seen.get('k0')).toBeUndefined()
  isBroken = false
  await until(async () => (await it.checkpoint())?.done === all.length)
  const expected = Array.from({ length: 100 }, (_, index) => index)
  for (const key of keys) expect(seen.get(key)).toEqual(expected)
})

test('a closed shard is told of when everything in it is done with', async () => {
  const it = await world()
  await it.put('a', 'b')
  await it.begin()
  await until(() => flat(it).length === 2)
  expect(it.ended).toEqual([])
  await it.put('c')
  await it.close()
  await until(() => it.ended.length > 0)
  expect(flat(it)).toEqual(['a', 'b', 'c'])
  expect(await it.checkpoint()).toMatchObject({ hasEnded: true, done: 3 })
})

test('another number of lanes takes over where the ones before were', async () => {
  const it = await world()
  const records = Array.from({ length: 200 }, (_, index): [string, string] => [
    `k${index % 20}`,
    `${index}`,
  ])
  await it.putMany(records.slice(0, 100))
  await it.begin({ batchSize: 7, parallelizationFactor: 4 })
  await until(() => flat(it).length >= 50)
  await it.set({ parallelizationFactor: 7 })
  await it.putMany(records.slice(100))
  await until(async () => (await it.checkpoint())?.lanes.length === 7)
  await until(async () => (await it.checkpoint())?.done === 200)
  expect(
    flat(it)
      .map(Number)
      .sort((a, b) => a - b),
  ).toEqual(records.map((_, index) => index))
})

test('a tumbling window hands its state on, and is closed with a last invocation', async () => {
  const events: { texts: string[]; state: unknown; isFinal: boolean | undefined }[] = []
  const it = await world((event, texts) => {
    events.push({ texts, state: event.state, isFinal: event.isFinalInvokeForWindow })
    const { sum = 0 } = event.state as { sum?: number }
    return { state: { sum: sum + texts.length } }
  })
  const startMs = Math.floor(Date.now() / 10_000) * 10_000 - 20_000
  await it.putMany(
    [
      ['k', 'a'],
      ['k', 'b'],
      ['k', 'c'],
    ],
    startMs + 1_000,
  )
  await it.putMany([['k', 'd']], startMs + 11_000)
  await it.begin({ batchSize: 2, tumblingWindowMs: 10_000 })
  await until(() => events.filter(({ isFinal }) => isFinal).length === 2)
  // How many batches a window has depends on what came in together.
  const windows: string[][] = []
  let inWindow: string[] = []
  for (const { texts, state, isFinal } of events) {
    expect(state).toEqual(inWindow.length === 0 ? {} : { sum: inWindow.length })
    expect(texts.length).toBeLessThanOrEqual(2)
    expect(isFinal).toBe(texts.length === 0)
    inWindow = [...inWindow, ...texts]
    if (!isFinal) continue
    windows.push(inWindow)
    inWindow = []
  }
  expect(windows).toEqual([['a', 'b', 'c'], ['d']])
})

test('a tumbling window goes on with the next reader, and is closed once', async () => {
  const events: { texts: string[]; state: unknown; isFinal: boolean | undefined }[] = []
  const it = await world((event, texts) => {
    events.push({ texts, state: event.state, isFinal: event.isFinalInvokeForWindow })
    const { sum = 0 } = event.state as { sum?: number }
    return { state: { sum: sum + texts.length } }
  })
  // Its end is still to come.
  const arrivalMs = Date.now() + 5_000
  await it.putMany([['k', 'a']], arrivalMs)
  const first = await it.begin({ tumblingWindowMs: 1_000 })
  await until(async () => (await it.checkpoint())?.done === 1)
  await first.stop()
  await it.assign('p2')
  const other = await it.poller('p2')
  await until(() => [...other.held()].length === 1)
  await it.putMany([['k', 'b']], arrivalMs)
  await until(() => events.length === 3)
  expect(events).toEqual([
    { texts: ['a'], state: {}, isFinal: false },
    { texts: ['b'], state: { sum: 1 }, isFinal: false },
    { texts: [], state: { sum: 2 }, isFinal: true },
  ])
})

test('another poller goes on at the checkpoint, and the one before can store nothing any more', async () => {
  const release: (() => void)[] = []
  const it = await world((_, texts) =>
    texts.includes('c') ? new Promise<void>((resolve) => release.push(resolve)) : null,
  )
  await it.put('a', 'b')
  await it.begin({ batchSize: 2, maximumRetryAttempts: 3 })
  await until(async () => (await it.checkpoint())?.done === 2)
  await it.put('c')
  await until(() => release.length === 1)
  const other = await it.poller('p2')
  await it.assign('p2')
  release[0]?.()
  await until(async () => (await it.checkpoint())?.done === 3)
  await until(() => [...other.held()].length === 1)
  await it.put('d')
  await until(() => flat(it).includes('d'))
  expect(flat(it)).toEqual(['a', 'b', 'c', 'd'])
})
