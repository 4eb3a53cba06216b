/**
 * Streams, shards, consumers and tags described and listed, and changes handed on. "Recorded" means kinesalite's test suite,
 * which was run against Kinesis, or lambda-semantics.md §8.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Msg } from '../../bus/bus.ts'
import { trackerStream } from '../../bus/subjects.ts'
import type { KinesisOperation } from '../../edges/aws/kinesis-operations.ts'
import type { StreamCommand, StreamRecord } from '../../machines/stream.ts'
import { arnOf, shiftedClock, startKinesis, streamRecord } from './kinesis-front-end.ts'

const { clock, forward } = shiftedClock()
let kinesis: Awaited<ReturnType<typeof startKinesis>>
beforeAll(async () => {
  kinesis = await startKinesis({ clock })
})
afterAll(() => kinesis.stop())

let unique = 0
const name = () => `stream-${++unique}`
const there = (shards: number, more: Partial<StreamRecord> = {}, is = name()) =>
  kinesis.directory.put(streamRecord(is, shards, more))
type Shards = { Shards: { ShardId: string }[]; NextToken?: string }
const idsOf = ({ Shards }: Shards) => Shards.map(({ ShardId }) => Number(ShardId.slice(-12)))
const second = /^\d{56}$/

describe('DescribeStream', () => {
  // Recorded: "should return stream description"; StreamModeDetails has come since.
  test('describes a stream and its shards', async () => {
    const { name: StreamName, createdAtMs } = await there(3)
    const range = (StartingHashKey: string, EndingHashKey: string) => ({
      HashKeyRange: { StartingHashKey, EndingHashKey },
      SequenceNumberRange: { StartingSequenceNumber: expect.stringMatching(second) },
    })
    expect(await kinesis.call('DescribeStream', { StreamName })).toEqual({
      StreamDescription: {
        StreamName,
        StreamARN: arnOf(StreamName),
        StreamStatus: 'ACTIVE',
        StreamModeDetails: { StreamMode: 'PROVISIONED' },
        StreamCreationTimestamp: createdAtMs,
        RetentionPeriodHours: 24,
        EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
        EncryptionType: 'NONE',
        HasMoreShards: false,
        Shards: [
          {
            ShardId: 'shardId-000000000000',
            ...range('0', '113427455640312821154458202477256070484'),
          },
          {
            ShardId: 'shardId-000000000001',
            ...range(
              '113427455640312821154458202477256070485',
              '226854911280625642308916404954512140969',
            ),
          },
          {
            ShardId: 'shardId-000000000002',
            ...range(
              '226854911280625642308916404954512140970',
              '340282366920938463463374607431768211455',
            ),
          },
        ],
      },
    })
  })

  test('has no shards while the stream is being made', async () => {
    const { name: StreamName } = await there(3, { status: 'CREATING' })
    expect(await kinesis.call('DescribeStream', { StreamName })).toMatchObject({
      StreamDescription: { StreamStatus: 'CREATING', Shards: [], HasMoreShards: false },
    })
  })

  test('goes on behind a shard', async () => {
    const { name: StreamName } = await there(5)
    const page = await kinesis.call<{ StreamDescription: Shards & { HasMoreShards: boolean } }>(
      'DescribeStream',
      { StreamName, Limit: 2, ExclusiveStartShardId: 'shardId-000000000001' },
    )
    expect(idsOf(page.StreamDescription)).toEqual([2, 3])
    expect(page.StreamDescription.HasMoreShards).toBe(true)
  })

  test('tells of a stream that there is none', async () => {
    expect(await kinesis.refusal('DescribeStream', { StreamName: 'none' })).toBe(
      'ResourceNotFoundException: Stream none under account 000000000000 not found.',
    )
  })
})

describe('DescribeStreamSummary', () => {
  // Recorded in September 2026.
  test('counts open shards and consumers', async () => {
    const stream = streamRecord(name(), 3)
    const [first, ...others] = stream.shards
    const shards = [{ ...(first as StreamRecord['shards'][0]), closedAtMs: 1, until: 0 }, ...others]
    const consumers = [{ name: 'c', createdAtMs: 1, status: 'ACTIVE' as const, tags: {} }]
    await kinesis.directory.put({ ...stream, shards, consumers })
    expect(await kinesis.call('DescribeStreamSummary', { StreamName: stream.name })).toEqual({
      StreamDescriptionSummary: {
        StreamName: stream.name,
        StreamARN: arnOf(stream.name),
        StreamStatus: 'ACTIVE',
        StreamModeDetails: { StreamMode: 'PROVISIONED' },
        RetentionPeriodHours: 24,
        StreamCreationTimestamp: stream.createdAtMs,
        EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
        EncryptionType: 'NONE',
        OpenShardCount: 2,
        ConsumerCount: 1,
        MaxRecordSizeInKiB: 1_024,
      },
    })
  })

  test('has no OpenShardCount while the stream is being made', async () => {
    const { name: StreamName } = await there(1, { status: 'CREATING', shards: [] })
    const { StreamDescriptionSummary } = await kinesis.call('DescribeStreamSummary', { StreamName })
    expect(StreamDescriptionSummary).not.toHaveProperty('OpenShardCount')
  })
})

describe('ListShards', () => {
  const list = (input: object) => kinesis.call<Shards>('ListShards', input)
  const refusal = (input: object) => kinesis.refusal('ListShards', input)

  test('lists all, those behind one, or those in pages', async () => {
    const { name: StreamName } = await there(3)
    expect(idsOf(await list({ StreamName }))).toEqual([0, 1, 2])
    expect(idsOf(await list({ StreamARN: arnOf(StreamName) }))).toEqual([0, 1, 2])
    const ExclusiveStartShardId = 'shardId-000000000001'
    expect(idsOf(await list({ StreamName, ExclusiveStartShardId }))).toEqual([2])
    const page = await list({ StreamName, MaxResults: 2 })
    expect(idsOf(page)).toEqual([0, 1])
    expect(idsOf(await list({ NextToken: page.NextToken }))).toEqual([2])
    // Recorded in September 2026; an error in 2020.
    const last = await list({ NextToken: page.NextToken, StreamName })
    expect(idsOf(last)).toEqual([2])
    expect(last).not.toHaveProperty('NextToken')
  })

  test('says what it lacks', async () => {
    const { name: StreamName } = await there(1)
    const { NextToken } = await list({ StreamName: (await there(2)).name, MaxResults: 1 })
    expect(await refusal({})).toBe(
      'InvalidArgumentException: Either NextToken or StreamName should be provided.',
    )
    expect(await refusal({ NextToken, ShardFilter: { Type: 'AT_LATEST' } })).toBe(
      'InvalidArgumentException: NextToken and ShardFilter cannot be provided together.',
    )
    expect(await refusal({ StreamName, ShardFilter: { Type: 'AFTER_SHARD_ID' } })).toBe(
      'InvalidArgumentException: ShardId must be provided when the ShardFilter Type is AFTER_SHARD_ID.',
    )
    expect(await refusal({ StreamName: 'none' })).toBe(
      'ResourceNotFoundException: Stream none under account 000000000000 not found.',
    )
    expect(await refusal({ NextToken: 'none' })).toBe(
      'InvalidArgumentException: Invalid NextToken.',
    )
    for (const token of ['none', NextToken]) {
      expect(await refusal({ NextToken: token, StreamName })).toBe(
        'InvalidArgumentException: NextToken and StreamName cannot be provided together.',
      )
    }
    const at = (Timestamp: number) => ({
      StreamName,
      ShardFilter: { Type: 'AT_TIMESTAMP', Timestamp },
    })
    expect(await refusal(at(Date.now() - 86_500_000))).toBe(
      'InvalidArgumentException: ShardFilter Timestamp cannot be older than TRIM_HORIZON of the stream.',
    )
    expect(await refusal(at(clock.nowMs() + 60_000))).toBe(
      'InvalidArgumentException: ShardFilter Timestamp must not be greater than current time.',
    )
  })

  test('filters by time: those that were open then, or have been since', async () => {
    const stream = streamRecord(name(), 1)
    const hourMs = 3_600_000
    const bornMs = Date.now() - 10 * hourMs
    const [first] = stream.shards as [StreamRecord['shards'][0]]
    const shards = [
      { ...first, createdAtMs: bornMs - 3_000, closedAtMs: bornMs + 2 * hourMs, until: 5 },
      { ...first, index: 1, parent: 0, createdAtMs: bornMs + 2 * hourMs + 1_000, after: 5 },
      {
        ...first,
        index: 2,
        parent: 0,
        createdAtMs: bornMs + 2 * hourMs,
        closedAtMs: bornMs + 4 * hourMs,
        after: 5,
        until: 9,
      },
      { ...first, index: 3, parent: 2, createdAtMs: bornMs + 4 * hourMs, after: 9 },
    ]
    await kinesis.directory.put({ ...stream, createdAtMs: bornMs, shards, nextShard: 4 })
    const filtered = async (ShardFilter: object) =>
      idsOf(await list({ StreamName: stream.name, ShardFilter }))
    const at = (hours: number) => bornMs + hours * hourMs
    expect(await filtered({ Type: 'AT_LATEST' })).toEqual([1, 3])
    expect(await filtered({ Type: 'AT_TRIM_HORIZON' })).toEqual([0])
    expect(await filtered({ Type: 'FROM_TRIM_HORIZON' })).toEqual([0, 1, 2, 3])
    expect(await filtered({ Type: 'AT_TIMESTAMP', Timestamp: at(1) })).toEqual([0])
    expect(await filtered({ Type: 'AT_TIMESTAMP', Timestamp: at(3) })).toEqual([1, 2])
    expect(await filtered({ Type: 'AT_TIMESTAMP', Timestamp: at(5) })).toEqual([1, 3])
    // Children are made a second after their parents are closed, and at no time is there no shard.
    expect(await filtered({ Type: 'AT_TIMESTAMP', Timestamp: at(2) })).toEqual([1, 2])
    expect(await filtered({ Type: 'FROM_TIMESTAMP', Timestamp: at(3) })).toEqual([1, 2, 3])
    expect(await filtered({ Type: 'FROM_TIMESTAMP', Timestamp: at(5) })).toEqual([1, 3])
    const after = { Type: 'AFTER_SHARD_ID', ShardId: 'shardId-000000000001' }
    expect(await filtered(after)).toEqual([2, 3])
    // A page of it goes on with the same filter.
    const page = await list({
      StreamName: stream.name,
      ShardFilter: { Type: 'AT_LATEST' },
      MaxResults: 1,
    })
    expect(idsOf(page)).toEqual([1])
    expect(idsOf(await list({ NextToken: page.NextToken }))).toEqual([3])
  })

  test('knows how shards come from each other', async () => {
    const record = await kinesis.directory.make(name())
    await kinesis.directory.split(record, 0)
    const { Shards } = await list({ StreamName: record.name })
    expect(Shards).toMatchObject([
      { SequenceNumberRange: { EndingSequenceNumber: expect.stringMatching(second) } },
      { ShardId: 'shardId-000000000001', ParentShardId: 'shardId-000000000000' },
      { ShardId: 'shardId-000000000002', ParentShardId: 'shardId-000000000000' },
    ])
  })
})

describe('ListStreams', () => {
  test('lists names in pages, with summaries', async () => {
    const names = ['zz-a', 'zz-b', 'zz-c']
    for (const each of names) await there(1, {}, each)
    const list = (input: object) =>
      kinesis.call<{ StreamNames: string[]; HasMoreStreams: boolean; NextToken?: string }>(
        'ListStreams',
        input,
      )
    const page = await list({ ExclusiveStartStreamName: 'zz', Limit: 2 })
    expect(page).toMatchObject({
      StreamNames: ['zz-a', 'zz-b'],
      HasMoreStreams: true,
      StreamSummaries: [
        {
          StreamName: 'zz-a',
          StreamARN: arnOf('zz-a'),
          StreamStatus: 'ACTIVE',
          StreamModeDetails: { StreamMode: 'PROVISIONED' },
          StreamCreationTimestamp: expect.any(Number),
        },
        { StreamName: 'zz-b' },
      ],
    })
    const last = await list({ NextToken: page.NextToken, Limit: 2 })
    expect(last).toMatchObject({ StreamNames: ['zz-c'], HasMoreStreams: false })
    forward(300_000)
    expect(await kinesis.refusal('ListStreams', { NextToken: page.NextToken })).toMatch(
      /^ExpiredNextTokenException/,
    )
  })
})

describe('tags', () => {
  // Recorded: "should list in alphabetical order".
  test('are listed in alphabetical order, in pages', async () => {
    const tags = { a: 'b', ' ': 'a', ÿ: 'a', _: 'a', '/': 'a', '@': 'a', Zb: 'z' }
    const { name: StreamName } = await there(1, { tags })
    const list = (more: object) =>
      kinesis.call<{ Tags: { Key: string }[]; HasMoreTags: boolean }>('ListTagsForStream', {
        StreamName,
        ...more,
      })
    const keys = async (more: object) => (await list(more)).Tags.map(({ Key }) => Key)
    expect(await keys({})).toEqual([' ', '/', '@', 'Zb', '_', 'a', 'ÿ'])
    expect(await list({ ExclusiveStartTagKey: '@', Limit: 2 })).toEqual({
      Tags: [
        { Key: 'Zb', Value: 'z' },
        { Key: '_', Value: 'a' },
      ],
      HasMoreTags: true,
    })
    expect(await keys({ ExclusiveStartTagKey: 'Za$Z%*(*&@' })).toEqual(['Zb', '_', 'a', 'ÿ'])
    const resource = await kinesis.call('ListTagsForResource', { ResourceARN: arnOf(StreamName) })
    expect(resource).toEqual({ Tags: (await list({})).Tags })
  })
})

describe('consumers', () => {
  test('are described by ARN or by name, and listed in pages', async () => {
    const consumer = (is: string) => ({
      name: is,
      createdAtMs: 1_700_000_000_123,
      status: 'ACTIVE' as const,
      tags: { of: is },
    })
    const consumers = ['b', 'a', 'c'].map(consumer)
    const { name: StreamName } = await there(1, { consumers })
    const StreamARN = arnOf(StreamName)
    const ConsumerARN = `${StreamARN}/consumer/a:1700000000`
    const described = {
      ConsumerName: 'a',
      ConsumerARN,
      ConsumerStatus: 'ACTIVE',
      ConsumerCreationTimestamp: 1_700_000_000_123,
    }
    const describe = (input: object) => kinesis.call('DescribeStreamConsumer', input)
    const full = { ConsumerDescription: { ...described, StreamARN } }
    expect(await describe({ ConsumerARN })).toEqual(full)
    expect(await describe({ StreamARN, ConsumerName: 'a' })).toEqual(full)
    const refused = (input: object) => kinesis.refusal('DescribeStreamConsumer', input)
    expect(await refused({ ConsumerARN: `${StreamARN}/consumer/a:1700000001` })).toMatch(
      /^ResourceNotFoundException/,
    )
    expect(await refused({ StreamARN, ConsumerName: 'd' })).toMatch(/^ResourceNotFoundException/)
    expect(await refused({ ConsumerName: 'a' })).toMatch(/^InvalidArgumentException/)
    const list = (more: object) =>
      kinesis.call<{ Consumers: object[]; NextToken?: string }>('ListStreamConsumers', {
        StreamARN,
        ...more,
      })
    const page = await list({ MaxResults: 2 })
    expect(page.Consumers).toMatchObject([described, { ConsumerName: 'b' }])
    expect((await list({ NextToken: page.NextToken })).Consumers).toMatchObject([
      { ConsumerName: 'c' },
    ])
    expect(await kinesis.call('ListTagsForResource', { ResourceARN: ConsumerARN })).toEqual({
      Tags: [{ Key: 'of', Value: 'a' }],
    })
  })
})

test('DescribeLimits counts open shards and streams on demand', async () => {
  const other = await startKinesis({ shardLimit: 7 })
  await other.directory.put(streamRecord('one', 3))
  await other.directory.put(streamRecord('two', 2, { mode: 'ON_DEMAND' }))
  expect(await other.call('DescribeLimits', {})).toEqual({
    ShardLimit: 7,
    OpenShardCount: 5,
    OnDemandStreamCount: 1,
    OnDemandStreamCountLimit: 50,
  })
  await other.stop()
})

describe('a change', () => {
  const answering = (answer: (command: StreamCommand) => object | undefined) => {
    const heard: StreamCommand[] = []
    const hearing = kinesis.bus.subscribe(trackerStream, (message: Msg) => {
      const command = message.json<StreamCommand>()
      heard.push(command)
      const told = answer(command)
      if (told !== undefined) message.respond(JSON.stringify(told))
    })
    return { heard, stop: () => hearing.stop() }
  }

  test.each<[KinesisOperation, object, object]>([
    [
      'CreateStream',
      { StreamName: 's', ShardCount: 3 },
      {
        type: 'create',
        name: 's',
        shardCount: 3,
        mode: 'PROVISIONED',
        maxRecordKib: 1024,
        tags: {},
      },
    ],
    [
      'CreateStream',
      {
        StreamName: 's',
        StreamModeDetails: { StreamMode: 'ON_DEMAND' },
        MaxRecordSizeInKiB: 2048,
        Tags: { a: 'b' },
      },
      {
        type: 'create',
        name: 's',
        shardCount: 4,
        mode: 'ON_DEMAND',
        maxRecordKib: 2048,
        tags: { a: 'b' },
      },
    ],
    ['DeleteStream', { StreamName: 's' }, { type: 'delete', enforceConsumerDeletion: false }],
    [
      'DeleteStream',
      { StreamARN: arnOf('s'), EnforceConsumerDeletion: true },
      { type: 'delete', enforceConsumerDeletion: true },
    ],
    [
      'SplitShard',
      { StreamName: 's', ShardToSplit: 'shardId-000000000002', NewStartingHashKey: '7' },
      { type: 'split', shard: 2, newStartingHashKey: '7' },
    ],
    [
      'MergeShards',
      { StreamName: 's', ShardToMerge: '0', AdjacentShardToMerge: 'shardId-1' },
      { type: 'merge', shard: 0, adjacent: 1 },
    ],
    [
      'IncreaseStreamRetentionPeriod',
      { StreamName: 's', RetentionPeriodHours: 48 },
      { type: 'retain', hours: 48, direction: 'increase' },
    ],
    [
      'DecreaseStreamRetentionPeriod',
      { StreamName: 's', RetentionPeriodHours: 24 },
      { type: 'retain', hours: 24, direction: 'decrease' },
    ],
    [
      'UpdateMaxRecordSize',
      { StreamARN: arnOf('s'), MaxRecordSizeInKiB: 4096 },
      { type: 'setMaxRecord', maxRecordKib: 4096 },
    ],
    [
      'UpdateStreamMode',
      { StreamARN: arnOf('s'), StreamModeDetails: { StreamMode: 'ON_DEMAND' } },
      { type: 'setMode', mode: 'ON_DEMAND' },
    ],
    ['AddTagsToStream', { StreamName: 's', Tags: { a: 'b' } }, { type: 'tag', tags: { a: 'b' } }],
    ['RemoveTagsFromStream', { StreamName: 's', TagKeys: ['a'] }, { type: 'untag', keys: ['a'] }],
    [
      'TagResource',
      { ResourceARN: arnOf('s'), Tags: { a: 'b' } },
      { type: 'tag', tags: { a: 'b' } },
    ],
    ['UntagResource', { ResourceARN: arnOf('s'), TagKeys: ['a'] }, { type: 'untag', keys: ['a'] }],
  ])('%s is asked of the tracker, with %o', async (operation, input, command) => {
    const tracker = answering(() => ({ record: null }))
    expect(await kinesis.call(operation, input)).toEqual({})
    tracker.stop()
    expect(tracker.heard).toEqual([{ name: 's', ...command }])
  })

  test('is answered when this front end shows it, also when it shows more by then', async () => {
    const stream = streamRecord(name(), 1, { status: 'CREATING', shards: [] })
    const tracker = answering((command) => {
      if (command.type === 'create') {
        void kinesis.directory
          .put(stream)
          .then(() => kinesis.directory.put({ ...stream, status: 'ACTIVE' }))
      }
      return { record: stream }
    })
    await kinesis.call('CreateStream', { StreamName: stream.name, ShardCount: 1 })
    expect(kinesis.streams.get(stream.name)?.incarnation).toBe(stream.incarnation)
    tracker.stop()
  })

  test('that the tracker refuses is refused in its words', async () => {
    const refused = { refused: 'ResourceInUseException', status: 400, message: 'Busy.' }
    const tracker = answering(() => refused)
    const input = { StreamName: 's', ShardCount: 1 }
    expect(await kinesis.refusal('CreateStream', input)).toBe('ResourceInUseException: Busy.')
    tracker.stop()
  })

  test('waits for a tracker that is not there yet', async () => {
    const changing = kinesis.call('DeleteStream', { StreamName: 's' })
    await new Promise((resolve) => setTimeout(resolve, 300))
    const tracker = answering(() => ({ record: null }))
    expect(await changing).toEqual({})
    tracker.stop()
  })

  test('of the number of shards says what it was and will be', async () => {
    const stream = await there(3)
    const tracker = answering(() => ({ record: stream }))
    const input = { StreamName: stream.name, TargetShardCount: 4, ScalingType: 'UNIFORM_SCALING' }
    expect(await kinesis.call('UpdateShardCount', input)).toEqual({
      StreamName: stream.name,
      CurrentShardCount: 3,
      TargetShardCount: 4,
      StreamARN: arnOf(stream.name),
    })
    tracker.stop()
  })

  test('that registers a consumer gives it', async () => {
    const stream = await there(1)
    const made = {
      name: 'c',
      createdAtMs: 1_700_000_000_000,
      status: 'CREATING' as const,
      tags: {},
    }
    const tracker = answering(({ type }) => {
      const record = { ...stream, consumers: [made] }
      if (type === 'registerConsumer') void kinesis.directory.put(record)
      return { record }
    })
    const StreamARN = arnOf(stream.name)
    expect(await kinesis.call('RegisterStreamConsumer', { StreamARN, ConsumerName: 'c' })).toEqual({
      Consumer: {
        ConsumerName: 'c',
        ConsumerARN: `${StreamARN}/consumer/c:1700000000`,
        ConsumerStatus: 'CREATING',
        ConsumerCreationTimestamp: 1_700_000_000_000,
      },
    })
    await kinesis.call('DeregisterStreamConsumer', {
      ConsumerARN: `${StreamARN}/consumer/c:1700000000`,
    })
    expect(tracker.heard.at(-1)).toEqual({
      type: 'deregisterConsumer',
      name: stream.name,
      consumer: 'c',
    })
    tracker.stop()
  })

  test('that lambus does not honour is refused, and nobody is asked', async () => {
    const tracker = answering(() => ({ record: null }))
    const refused = (operation: KinesisOperation, input: object) =>
      kinesis.refusal(operation, input)
    const create = { StreamName: 's', ShardCount: 1 }
    expect(await refused('CreateStream', { ...create, MaxRecordSizeInKiB: 10_240 })).toMatch(
      /^InvalidArgumentException: /,
    )
    expect(
      await refused('CreateStream', { ...create, StreamModeDetails: { StreamMode: 'ON_DEMAND' } }),
    ).toMatch(/^InvalidArgumentException: /)
    const consumer = { ResourceARN: `${arnOf('s')}/consumer/c:1`, Tags: {} }
    expect(await refused('TagResource', consumer)).toMatch(/^InvalidArgumentException: /)
    expect(
      await refused('SplitShard', {
        StreamName: 's',
        ShardToSplit: 'ABC',
        NewStartingHashKey: '1',
      }),
    ).toBe(
      'ResourceNotFoundException: Could not find shard ABC in stream s under account 000000000000.',
    )
    tracker.stop()
    expect(tracker.heard).toEqual([])
  })
})
