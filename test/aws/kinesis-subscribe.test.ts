/** SubscribeToShard. Source: Kinesis API reference, SubscribeToShard and SubscribeToShardEvent. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Clock } from '../../bus/bus.ts'
import type { KinesisRefusal } from '../../edges/aws/kinesis-errors.ts'
import { readSequenceNumber } from '../../edges/aws/sequence-number.ts'
import type { StreamRecord } from '../../machines/stream.ts'
import {
  arnOf,
  type KinesisFrontEnd,
  shiftedClock,
  startKinesis,
  startKinesisFrontEnd,
} from './kinesis-front-end.ts'

type Event = {
  Records: { SequenceNumber: string; Data: Uint8Array }[]
  ContinuationSequenceNumber?: string
  MillisBehindLatest: number
  ChildShards?: object[]
}

/** Timers that go ten times as fast, so that five seconds are half of one. */
const { clock: shifted, forward } = shiftedClock()
const clock: Clock = {
  ...shifted,
  setTimer: (callback, delayMs) => shifted.setTimer(callback, delayMs / 10),
  monotonicMs: () => shifted.monotonicMs() * 10,
}

let kinesis: Awaited<ReturnType<typeof startKinesis>>
let stream: StreamRecord
const consumers = ['a', 'b'].map((name) => ({
  name,
  createdAtMs: 1_700_000_000_000,
  status: 'ACTIVE' as const,
  tags: {},
}))
beforeEach(async () => {
  kinesis = await startKinesis({ clock })
  stream = await kinesis.directory.make('s', 1, { consumers })
})
afterEach(() => kinesis.stop())

const ConsumerARN = `${arnOf('s')}/consumer/a:1700000000`
const input = (StartingPosition: object = { Type: 'TRIM_HORIZON' }, more: object = {}) => ({
  ConsumerARN,
  ShardId: 'shardId-000000000000',
  StartingPosition,
  ...more,
})
const put = async (text: string | Uint8Array) =>
  await kinesis.call<{ SequenceNumber: string }>('PutRecord', {
    StreamName: 's',
    PartitionKey: 'k',
    Data: Buffer.from(text),
  })

async function subscribed(asked = input(), frontEnd: KinesisFrontEnd = kinesis) {
  const events: Event[] = []
  const told = { refusal: undefined as KinesisRefusal | undefined, ended: false }
  const subscription = (await frontEnd.subscribe(asked)).events({
    event: (event) => void events.push(event as Event),
    failed(refusal) {
      told.refusal = refusal
    },
    ended() {
      told.ended = true
    },
  })
  const texts = () =>
    events.flatMap(({ Records }) => Records.map(({ Data }) => Buffer.from(Data).toString()))
  return { events, told, texts, ...subscription }
}
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2))
}

describe('a subscription', () => {
  test('has what was there pushed to it, and then what comes', async () => {
    await put('1')
    const one = await subscribed()
    await until(() => one.texts().length === 1)
    await put('2')
    const { SequenceNumber } = await put('3')
    await until(() => one.texts().length === 3)
    expect(one.texts()).toEqual(['1', '2', '3'])
    const last = one.events.at(-1)
    expect(last?.MillisBehindLatest).toBe(0)
    expect(last?.ContinuationSequenceNumber).toBe(SequenceNumber)
    one.stop()
    await put('4')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(one.texts()).toHaveLength(3)
    expect(one.told).toEqual({ refusal: undefined, ended: false })
  })

  test('begins with an event that says where it is, and says so again every five seconds', async () => {
    const one = await subscribed(input({ Type: 'LATEST' }))
    await until(() => one.events.length >= 3)
    for (const event of one.events)
      expect(event).toMatchObject({ Records: [], MillisBehindLatest: 0 })
    // Going on from there gives what comes next, and nothing twice.
    const position = {
      Type: 'AFTER_SEQUENCE_NUMBER',
      SequenceNumber: one.events[0]?.ContinuationSequenceNumber,
    }
    one.stop()
    await put('next')
    forward(5_000)
    const other = await subscribed(input(position))
    await until(() => other.texts().length === 1)
    expect(other.texts()).toEqual(['next'])
    other.stop()
  })

  test('goes on behind a sequence number, at one, and from a time', async () => {
    const first = await put('1')
    const second = await put('2')
    const texts = async (count: number, position: object) => {
      const one = await subscribed(input(position))
      await until(() => one.texts().length >= count)
      one.stop()
      forward(5_000)
      return one.texts()
    }
    const { SequenceNumber } = first
    expect(await texts(2, { Type: 'AT_SEQUENCE_NUMBER', SequenceNumber })).toEqual(['1', '2'])
    expect(await texts(1, { Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber })).toEqual(['2'])
    expect(await texts(2, { Type: 'AT_TIMESTAMP', Timestamp: 0 })).toEqual(['1', '2'])
    expect(
      await kinesis.refusal('SubscribeToShard', input({ Type: 'AFTER_SEQUENCE_NUMBER' })),
    ).toMatch(/^InvalidArgumentException: Must either specify/)
    expect(readSequenceNumber(second.SequenceNumber)?.counter).toBe(2n)
  })

  test('gets some hundred records in an event, and no more than 2 MiB', async () => {
    for (let batch = 0; batch < 3; batch++) {
      await kinesis.call('PutRecords', {
        StreamName: 's',
        Records: Array.from({ length: 400 }, (_, index) => ({
          PartitionKey: 'k',
          Data: Buffer.from(String(batch * 400 + index)),
        })),
      })
    }
    for (let index = 0; index < 5; index++) await put(Buffer.alloc(1_000_000, 'x'))
    const one = await subscribed()
    await until(() => one.texts().length === 1_205)
    expect(one.texts().slice(0, 1_200)).toEqual(Array.from({ length: 1_200 }, (_, i) => String(i)))
    for (const { Records } of one.events) {
      expect(Records.length).toBeLessThanOrEqual(500)
      const bytes = Records.reduce((sum, { Data }) => sum + Data.length, 0)
      expect(bytes).toBeLessThanOrEqual(2_097_152)
    }
    one.stop()
  })

  test('waits for a client that is slow, and loses nothing of it', async () => {
    const one = await subscribed()
    await until(() => one.events.length > 0)
    one.pause?.()
    for (const text of ['1', '2', '3']) await put(text)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(one.texts()).toEqual([])
    one.resume?.()
    await until(() => one.texts().length === 3)
    expect(one.texts()).toEqual(['1', '2', '3'])
    one.stop()
  })

  test('ends with a shard that is closed, and says which come after it', async () => {
    await put('1')
    const one = await subscribed()
    await until(() => one.texts().length === 1)
    await put('2')
    await kinesis.directory.split(stream, 0)
    await until(() => one.told.ended)
    expect(one.texts()).toEqual(['1', '2'])
    const last = one.events.at(-1)
    expect(last?.ChildShards).toMatchObject([
      { ShardId: 'shardId-000000000001', ParentShards: ['shardId-000000000000'] },
      { ShardId: 'shardId-000000000002', ParentShards: ['shardId-000000000000'] },
    ])
    expect(last).not.toHaveProperty('ContinuationSequenceNumber')
    forward(5_000)
    const again = await subscribed()
    await until(() => again.told.ended)
    expect(again.texts()).toEqual(['1', '2'])
  })

  test('ends after five minutes', async () => {
    const quick: Clock = { ...clock, setTimer: (back, ms) => clock.setTimer(back, ms / 300) }
    const frontEnd = await startKinesisFrontEnd(kinesis.server.url, { id: 'quick', clock: quick })
    const startedAtMs = Date.now()
    const one = await subscribed(input(), frontEnd)
    await until(() => one.told.ended)
    expect(Date.now() - startedAtMs).toBeGreaterThanOrEqual(95)
    expect(one.told.refusal).toBeUndefined()
    await frontEnd.stop()
  })

  test('ends when its front end does', async () => {
    const one = await subscribed()
    kinesis.kinesis.drain()
    expect(one.told.ended).toBe(true)
  })

  test('fails when its stream or its consumer is gone', async () => {
    const one = await subscribed()
    await kinesis.directory.put({ ...stream, consumers: consumers.slice(1) })
    await until(() => one.told.refusal !== undefined)
    expect(one.told.refusal?.refused).toBe('ResourceNotFoundException')
    const other = await subscribed(
      input(undefined, { ConsumerARN: ConsumerARN.replace('/a:', '/b:') }),
    )
    await kinesis.directory.remove('s')
    await until(() => other.told.refusal !== undefined)
    expect(other.told.refusal?.message).toBe('Stream s under account 000000000000 not found.')
  })

  test('survives a restart of NATS', async () => {
    const one = await subscribed()
    await put('1')
    await until(() => one.texts().length === 1)
    await kinesis.server.restart()
    await kinesis.bus.ready()
    await put('2')
    await until(() => one.texts().length === 2)
    expect(one.texts()).toEqual(['1', '2'])
    one.stop()
  })
})

describe('a consumer', () => {
  const inUse =
    'Another active subscription exists for this consumer: 000000000000:s:shardId-000000000000:a'

  test('is refused within five seconds of its last subscription, through whichever front end', async () => {
    const [first, second] = (await Promise.all(
      ['f2', 'f3'].map((id) =>
        startKinesisFrontEnd(kinesis.server.url, { id, clock: { ...clock, monotonicMs: () => 0 } }),
      ),
    )) as [KinesisFrontEnd, KinesisFrontEnd]
    const one = await subscribed(input(), first)
    expect(await first.refusal('SubscribeToShard', input())).toBe(
      `ResourceInUseException: ${inUse}`,
    )
    await first.bus.nats.flush()
    await second.bus.nats.flush()
    expect(await second.refusal('SubscribeToShard', input())).toBe(
      `ResourceInUseException: ${inUse}`,
    )
    const other = await subscribed(
      input(undefined, { ConsumerARN: ConsumerARN.replace('/a:', '/b:') }),
      first,
    )
    expect(one.told.refusal).toBeUndefined()
    one.stop()
    other.stop()
    await first.stop()
    await second.stop()
  })

  test('takes a subscription over later, through whichever front end', async () => {
    const second = await startKinesisFrontEnd(kinesis.server.url, { id: 'f2', clock })
    const one = await subscribed()
    forward(5_000)
    const other = await subscribed(input(), second)
    await until(() => one.told.refusal !== undefined)
    expect(one.told.refusal).toEqual({
      refused: 'ResourceInUseException',
      status: 400,
      message: inUse,
    })
    await put('1')
    await until(() => other.texts().length === 1)
    expect(one.texts()).toEqual([])
    other.stop()
    await second.stop()
  })

  test('that is not there, or not yet, has nothing pushed to it', async () => {
    const another = input(undefined, { ConsumerARN: `${arnOf('s')}/consumer/c:1700000000` })
    expect(await kinesis.refusal('SubscribeToShard', another)).toMatch(/^ResourceNotFoundException/)
    const shard = input(undefined, { ShardId: 'shardId-000000000009' })
    expect(await kinesis.refusal('SubscribeToShard', shard)).toBe(
      'ResourceNotFoundException: Shard shardId-000000000009 in stream s under account 000000000000 does not exist',
    )
    await kinesis.directory.put({
      ...stream,
      consumers: [{ name: 'a', createdAtMs: 1_700_000_000_000, status: 'CREATING', tags: {} }],
    })
    expect(await kinesis.refusal('SubscribeToShard', input())).toBe(
      'ResourceInUseException: Consumer a with creation timestamp 1700000000 under stream: s , account 000000000000 is not in ACTIVE status.',
    )
  })
})
