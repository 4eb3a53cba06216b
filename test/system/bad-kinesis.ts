/**
 * Requests about streams and event source mappings that must be refused, from a seed: with values that AWS's model, its
 * services or we do not take, in JSON and in CBOR, about a stream and a mapping that are there and about such that are not.
 *
 * Sources: Kinesis API reference and lambda-semantics.md §5.1, §8.2 for what is allowed.
 */
import type { Chance } from '../seed.ts'

/** What there is, so that what is wrong is only what is meant to be. */
export type StreamTargets = { stream: string; functionName: string; mapping: string }

export type BadCall = {
  name: string
  method: string
  url: string
  body: string | Uint8Array
  service: 'kinesis' | 'lambda'
  headers: Record<string, string>
}

const pick = <Item>(chance: Chance, items: readonly Item[]): Item =>
  items[chance(items.length)] as Item

const tooLarge = 2n ** 128n
const mebibyte = 1_048_576
const base64 = (bytes: number) => 'A'.repeat(Math.ceil(bytes / 3) * 4)
const record = (more: object = {}) => ({ PartitionKey: 'a', Data: 'YQ==', ...more })

/** Of nothing that is right: whatever member it is given for. */
const wrong = [true, 1.5, -1, 1e308, [], [[]], {}, { a: 1 }, '\u0000', 'x'.repeat(3_000_000)]

const arns = [
  '',
  'x',
  'arn:aws:kinesis:us-east-1:000000000000:stream/',
  'arn:aws:kinesis:eu-west-1:000000000000:stream/nobody',
  'arn:aws:kinesis:us-east-1:111111111111:stream/nobody',
  'arn:aws:kinesis:us-east-1:000000000000:stream/nobody/consumer/x:1',
  'arn:aws:sqs:us-east-1:000000000000:nobody',
]

/** For each operation, what of its members' values is refused, beside a stream that is there. */
const badInputs: Record<string, readonly object[]> = {
  PutRecord: [
    {},
    { Data: 'YQ==' },
    { PartitionKey: 'a' },
    record({ PartitionKey: '' }),
    record({ PartitionKey: 'x'.repeat(257) }),
    record({ Data: '!' }),
    record({ Data: 'YQ=' }),
    record({ Data: base64(mebibyte + 3) }),
    record({ Data: base64(11 * mebibyte) }),
    ...['-1', '01', '', 'x', String(tooLarge), '9'.repeat(40)].map((ExplicitHashKey) =>
      record({ ExplicitHashKey }),
    ),
    ...['x', '-1', '9'.repeat(130)].map((SequenceNumberForOrdering) =>
      record({ SequenceNumberForOrdering }),
    ),
  ],
  PutRecords: [
    {},
    { Records: [] },
    { Records: {} },
    { Records: [null] },
    { Records: ['x'] },
    { Records: Array.from({ length: 501 }, () => record()) },
    { Records: [record(), record({ PartitionKey: '' })] },
    { Records: [record(), record({ Data: base64(mebibyte + 3) })] },
    { Records: Array.from({ length: 11 }, () => record({ Data: base64(mebibyte - 10) })) },
    { Records: [record(), record({ ExplicitHashKey: String(tooLarge) })] },
  ],
  GetShardIterator: [
    {},
    { ShardId: 'shardId-000000000000' },
    { ShardId: 'shardId-000000000000', ShardIteratorType: 'NOW' },
    { ShardId: 'shardId-000000000099', ShardIteratorType: 'LATEST' },
    { ShardId: '../../x', ShardIteratorType: 'LATEST' },
    { ShardId: '', ShardIteratorType: 'LATEST' },
    { ShardId: '0', ShardIteratorType: 'AT_SEQUENCE_NUMBER' },
    { ShardId: '0', ShardIteratorType: 'AT_SEQUENCE_NUMBER', StartingSequenceNumber: '-5' },
    { ShardId: '0', ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber: '5' },
    {
      ShardId: '0',
      ShardIteratorType: 'AT_SEQUENCE_NUMBER',
      StartingSequenceNumber: '9'.repeat(56),
    },
    { ShardId: '0', ShardIteratorType: 'AT_TIMESTAMP' },
    { ShardId: '0', ShardIteratorType: 'AT_TIMESTAMP', Timestamp: 9_999_999_999 },
    { ShardId: '0', ShardIteratorType: 'AT_TIMESTAMP', Timestamp: 'yesterday' },
  ],
  SplitShard: [
    {},
    ...['0', '1', 'x', '-1', String(tooLarge), String(tooLarge - 1n)].map((NewStartingHashKey) => ({
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey,
    })),
    { ShardToSplit: 'shardId-000000000099', NewStartingHashKey: '1000' },
    { ShardToSplit: 'x y', NewStartingHashKey: '1000' },
  ],
  MergeShards: [
    {},
    { ShardToMerge: '0', AdjacentShardToMerge: '0' },
    { ShardToMerge: '0', AdjacentShardToMerge: '99' },
    { ShardToMerge: 'x', AdjacentShardToMerge: 'y' },
  ],
  UpdateShardCount: [
    {},
    ...[0, -1, 3, 1_000_000_000].map((TargetShardCount) => ({
      TargetShardCount,
      ScalingType: TargetShardCount === 3 ? 'NONSENSE' : 'UNIFORM_SCALING',
    })),
  ],
  IncreaseStreamRetentionPeriod: [0, 23, 8_761, -1, 1e9].map((RetentionPeriodHours) => ({
    RetentionPeriodHours,
  })),
  DecreaseStreamRetentionPeriod: [0, 23, 25, 8_761, -1].map((RetentionPeriodHours) => ({
    RetentionPeriodHours,
  })),
  AddTagsToStream: [{}, { Tags: {} }, { Tags: { '': '' } }, { Tags: { ['x'.repeat(129)]: '' } }],
  RemoveTagsFromStream: [{}, { TagKeys: [] }, { TagKeys: [''] }, { TagKeys: 'x' }],
  ListTagsForStream: [{ Limit: 0 }, { Limit: 51 }, { ExclusiveStartTagKey: '' }],
  DescribeStream: [{ Limit: 0 }, { Limit: 10_001 }, { ExclusiveStartShardId: 'x y' }],
  ListShards: [
    { MaxResults: 0 },
    { MaxResults: 10_001 },
    { ShardFilter: {} },
    { ShardFilter: { Type: 'NONSENSE' } },
    { ShardFilter: { Type: 'AFTER_SHARD_ID' } },
    { ShardFilter: { Type: 'AT_TIMESTAMP', Timestamp: 9_999_999_999 } },
  ],
  CreateStream: [
    { ShardCount: 1 },
    { ShardCount: 0 },
    { ShardCount: 1_000_000 },
    { ShardCount: 'x' },
    { StreamModeDetails: { StreamMode: 'NONSENSE' } },
  ],
}

/** Of nobody's stream, or of none: the whole input. */
const consumerOfThere = 'arn:aws:kinesis:us-east-1:000000000000:stream/there/consumer/x:1'
const wholeInputs: readonly [string, object][] = [
  ...[...arns, consumerOfThere].flatMap((ARN): [string, object][] => [
    ['DescribeStreamSummary', { StreamARN: ARN }],
    ['PutRecord', record({ StreamARN: ARN })],
    ['RegisterStreamConsumer', { StreamARN: ARN, ConsumerName: 'x' }],
    ['DescribeStreamConsumer', { ConsumerARN: ARN }],
    ['UpdateStreamMode', { StreamARN: ARN, StreamModeDetails: { StreamMode: 'ON_DEMAND' } }],
    ['TagResource', { ResourceARN: ARN, Tags: { a: 'b' } }],
    [
      'SubscribeToShard',
      { ConsumerARN: ARN, ShardId: '0', StartingPosition: { Type: 'TRIM_HORIZON' } },
    ],
  ]),
  ...['', 'a b', 'ä', '*', '>', '__proto__', 'x'.repeat(129), 'nobody'].map(
    (StreamName): [string, object] => ['DeleteStream', { StreamName }],
  ),
  ...['', 'a b', 'ä', '*', 'x'.repeat(129)].map((StreamName): [string, object] => [
    'CreateStream',
    { StreamName, ShardCount: 1 },
  ]),
  ...['', 'x', 'AAAA', '*', base64(105), base64(6_000)].map((ShardIterator): [string, object] => [
    'GetRecords',
    { ShardIterator },
  ]),
  ['GetRecords', { ShardIterator: 'AAAA', Limit: 0 }],
  ['GetRecords', { ShardIterator: 'AAAA', Limit: 10_001 }],
  ['ListShards', {}],
  ['ListShards', { NextToken: 'garbage' }],
  ['ListStreams', { Limit: 0 }],
  ['ListStreams', { ExclusiveStartStreamName: 'a b' }],
  ['Frobnicate', {}],
  ['__proto__', {}],
  ['', {}],
]

const kinesisCall = (operation: string, body: string | Uint8Array, isCbor = false): BadCall => ({
  name: `${operation} ${Buffer.from(body).toString('latin1').slice(0, 200)}`,
  method: 'POST',
  url: '/',
  body,
  service: 'kinesis',
  headers: {
    'content-type': `application/x-amz-${isCbor ? 'cbor' : 'json'}-1.1`,
    'x-amz-target': `Kinesis_20131202.${operation}`,
  },
})

const operations = Object.keys(badInputs)

function refusedInput(chance: Chance, { stream }: StreamTargets): BadCall {
  const operation = pick(chance, operations)
  const input = pick(chance, badInputs[operation] ?? [{}])
  return kinesisCall(operation, JSON.stringify({ StreamName: stream, ...input }))
}

function refusedWhole(chance: Chance): BadCall {
  const [operation, input] = pick(chance, wholeInputs)
  return kinesisCall(operation, JSON.stringify(input))
}

/** The name of the stream is of no right type, so that the rest does not matter. */
function mistyped(chance: Chance): BadCall {
  const operation = pick(chance, operations)
  const input = pick(chance, badInputs[operation] ?? [{}])
  return kinesisCall(operation, JSON.stringify({ ...input, StreamName: pick(chance, wrong) }))
}

/** No CBOR, or none of an object. Source: RFC 8949. */
const noCbor: readonly Uint8Array[] = [
  ...['', 'ff', 'a1', 'a161', 'bf', 'bf6161', '1c', 'f6', '80', '9f9f9f', '5f41', '7f61'],
  ...['bbffffffffffffffff', '9b7fffffffffffffff', '5bffffffffffffffff', '7bffffffffffffffff'],
  // A name of a stream that is: a number, not a number, a tag, a list, bytes, undefined, and one that never ends.
  ...['01', 'f97e00', 'c11a514b67b0', '80', '4161', 'f7', '9f'].map(
    (value) => `a16a53747265616d4e616d65${value}`,
  ),
]
  .map((hex): Uint8Array => Buffer.from(hex, 'hex'))
  .concat(Buffer.alloc(100_000, 0x81), Buffer.alloc(100_000, 0x9f), Buffer.alloc(100_000, 0xc1))

const inCbor = (chance: Chance): BadCall =>
  kinesisCall(pick(chance, [...operations, 'DeleteStream']), pick(chance, noCbor), true)

const inNoJson = (chance: Chance): BadCall =>
  kinesisCall(
    pick(chance, [...operations, 'DeleteStream']),
    pick(chance, ['', '{', '[]', 'null', '"x"', '{"StreamName":', '['.repeat(100_000), '\u0000']),
    chance(4) === 0,
  )

// ── Mappings ───────────────────────────────────────────────────────────────────────────────────────────────────────

const filter = (Pattern: unknown) => ({ FilterCriteria: { Filters: [{ Pattern }] } })

/** Settings that are refused, of a mapping that is made and of one that is changed. */
const badSettings: readonly object[] = [
  ...[0, -1, 10_001, 1.5, 'x', [], true].map((BatchSize) => ({ BatchSize })),
  ...[-1, 301, 'x'].map((MaximumBatchingWindowInSeconds) => ({ MaximumBatchingWindowInSeconds })),
  ...[0, 11, 'x'].map((ParallelizationFactor) => ({ ParallelizationFactor })),
  ...[-2, 10_001, {}].map((MaximumRetryAttempts) => ({ MaximumRetryAttempts })),
  ...[-2, 0, 59, 604_801].map((MaximumRecordAgeInSeconds) => ({ MaximumRecordAgeInSeconds })),
  ...[-1, 901].map((TumblingWindowInSeconds) => ({ TumblingWindowInSeconds })),
  ...[['Nonsense'], ['ReportBatchItemFailures', 'ReportBatchItemFailures'], 'x'].map(
    (FunctionResponseTypes) => ({ FunctionResponseTypes }),
  ),
  ...['', '{', 'x', '[]', '1', 'null', '{"data":"x"}', '{"data":{"a":1}}', '{"data":{"a":[]}}'].map(
    filter,
  ),
  ...['{"data":{"a":[{"nonsense":1}]}}', '{"data":{"a":[{"numeric":[">"]}]}}', 1, {}].map(filter),
  filter(`{"data":{"a":["${'x'.repeat(4_100)}"]}}`),
  filter(`${'{"a":'.repeat(1_000)}["x"]${'}'.repeat(1_000)}`),
  {
    FilterCriteria: { Filters: Array.from({ length: 11 }, () => ({ Pattern: '{"data":["x"]}' })) },
  },
  { FilterCriteria: { Filters: 'x' } },
  { FilterCriteria: [] },
  ...['x', '*', 'arn:aws:s3:::bucket', 'arn:aws:sqs:us-east-1:000000000000:nobody', 'a.fifo'].map(
    (Destination) => ({ DestinationConfig: { OnFailure: { Destination } } }),
  ),
  { DestinationConfig: { OnSuccess: { Destination: 'arn:aws:sns:us-east-1:000000000000:t' } } },
  { Enabled: 'perhaps' },
  { FunctionName: 'nobody' },
  { FunctionName: 'a b' },
  { FunctionName: 'x'.repeat(200) },
  { Topics: ['t'] },
  { Queues: ['q'] },
  { ScalingConfig: { MaximumConcurrency: 2 } },
  { TumblingWindowInSeconds: 1, ParallelizationFactor: 2 },
  { Nonsense: 1 },
]

const uuids = ['nobody', '*', '%00', '00000000-0000-0000-0000-000000000000', '__proto__', '..%2f..']
const mappings = '/2015-03-31/event-source-mappings'

const mappingCall = (method: string, url: string, body: string): BadCall => ({
  name: `${method} ${url} ${body.slice(0, 200)}`,
  method,
  url,
  body,
  service: 'lambda',
  headers: {},
})

/** The same stream and function are mapped already: what would be right by chance is refused, too. */
function made(chance: Chance, { stream, functionName }: StreamTargets): BadCall {
  const right = {
    FunctionName: functionName,
    EventSourceArn: `arn:aws:kinesis:us-east-1:000000000000:stream/${stream}`,
    StartingPosition: 'LATEST',
  }
  const bad = pick(chance, [
    ...badSettings,
    ...arns.map((EventSourceArn) => ({ EventSourceArn })),
    ...[null, '', 'x', 'AT_TIMESTAMP', 1].map((StartingPosition) => ({ StartingPosition })),
    { StartingPosition: 'AT_TIMESTAMP', StartingPositionTimestamp: 9_999_999_999 },
    { StartingPositionTimestamp: 'yesterday' },
    { Tags: { 'aws:x': 'y' } },
    {},
  ])
  return mappingCall('POST', `${mappings}/`, JSON.stringify({ ...right, ...bad }))
}

const changed = (chance: Chance, { mapping }: StreamTargets): BadCall =>
  mappingCall('PUT', `${mappings}/${mapping}`, JSON.stringify(pick(chance, badSettings)))

function ofNobody(chance: Chance): BadCall {
  const method = pick(chance, ['GET', 'PUT', 'DELETE'])
  return mappingCall(method, `${mappings}/${pick(chance, uuids)}`, method === 'PUT' ? '{}' : '')
}

const listed = (chance: Chance): BadCall =>
  mappingCall(
    'GET',
    `${mappings}/?${pick(chance, ['MaxItems=0', 'MaxItems=x', 'Marker=garbage', 'FunctionName=a%20b'])}`,
    '',
  )

const kinds = [
  refusedInput,
  refusedInput,
  refusedInput,
  refusedWhole,
  refusedWhole,
  mistyped,
  inCbor,
  inNoJson,
  made,
  made,
  changed,
  changed,
  ofNobody,
  listed,
]

export const badCall = (chance: Chance, targets: StreamTargets): BadCall =>
  pick(chance, kinds)(chance, targets)
