/**
 * Inputs that the model does not allow, and AWS's sentences for them.
 *
 * Source: kinesalite's tests, recorded from AWS: of each operation the "serializations" (types; helpers.js, assertType) and the
 * "validations"; what is not among them is marked with its own source.
 */
import { cbor, tag } from '@smithy/core/cbor'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isKinesisOperation } from '../../../edges/aws/kinesis-operations.ts'
import { type KinesisDoor, openKinesisDoor } from './kinesis-door.ts'

let door: KinesisDoor
beforeAll(async () => {
  door = await openKinesisDoor()
})
afterAll(() => door.close())
beforeEach(() => {
  door.calls.length = 0
})

const list = 'Start of list found where not expected'
const map = 'Start of structure or map found where not expected.'
const number = 'class com.amazon.coral.value.json.numbers.TruncatingBigNumber'
const integers = [23, -2_147_483_648, 2_147_483_648]
const numbers = [...integers, 34.56]
const cannotBe = (what: string, wanted: string) => `${what} can not be converted to ${wanted}`
const all = (values: unknown[], sentence: string) =>
  values.map((value): [unknown, string] => [value, sentence])

/** By type: what is given, and what AWS says of it. */
const wrong: Record<string, [unknown, string][]> = {
  String: [
    [true, cannotBe('class java.lang.Boolean', 'an String')],
    ...all(numbers, cannotBe(number, 'an String')),
    [[], list],
    [{}, map],
  ],
  Integer: [
    ['23', cannotBe('class java.lang.String', 'an Integer')],
    [true, cannotBe('class java.lang.Boolean', 'an Integer')],
    [[], list],
    [{}, map],
  ],
  Boolean: [
    ['23', cannotBe("'23'", 'an Boolean')],
    ...all(integers, cannotBe(number, 'an Boolean')),
    [[], list],
    [{}, map],
  ],
  Blob: [
    [true, cannotBe('class java.lang.Boolean', 'a Blob')],
    ...all(numbers, cannotBe(number, 'a Blob')),
    [[], list],
    [{}, map],
    [
      '23456',
      "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5",
    ],
    ['=+/=', "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='"],
    [
      '+/+=',
      "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected",
    ],
  ],
  Timestamp: [
    ['23', cannotBe('class java.lang.String', 'milliseconds since epoch')],
    [true, cannotBe('class java.lang.Boolean', 'milliseconds since epoch')],
    [[], list],
    [{}, map],
  ],
  List: [...all(['23', true, ...numbers], 'Expected list or null'), [{}, map]],
  Map: [...all(['23', true, ...numbers], 'Expected map or null'), [[], list]],
  Structure: [...all(['23', true, ...numbers], 'Expected null'), [[], list]],
}

/** `A.0.B` in an input: `{ A: [{ B: value }] }`. */
function at(path: string, value: unknown): unknown {
  const [first = '', ...rest] = path.split('.')
  const inner = rest.length === 0 ? value : at(rest.join('.'), value)
  return first === '0' ? [inner] : { [first]: inner }
}

describe('a wrong type', () => {
  test.each([
    ['AddTagsToStream', 'Tags', 'Map'],
    ['AddTagsToStream', 'Tags.a', 'String'],
    ['CreateStream', 'StreamName', 'String'],
    ['CreateStream', 'ShardCount', 'Integer'],
    ['CreateStream', 'StreamModeDetails', 'Structure'],
    ['DeleteStream', 'EnforceConsumerDeletion', 'Boolean'],
    ['DescribeStream', 'Limit', 'Integer'],
    ['GetShardIterator', 'Timestamp', 'Timestamp'],
    ['ListShards', 'StreamCreationTimestamp', 'Timestamp'],
    ['ListShards', 'ShardFilter.Timestamp', 'Timestamp'],
    ['PutRecord', 'Data', 'Blob'],
    ['PutRecord', 'SequenceNumberForOrdering', 'String'],
    ['PutRecords', 'Records', 'List'],
    ['PutRecords', 'Records.0', 'Structure'],
    ['PutRecords', 'Records.0.Data', 'Blob'],
    ['PutRecords', 'Records.0.PartitionKey', 'String'],
    ['RemoveTagsFromStream', 'TagKeys', 'List'],
    ['RemoveTagsFromStream', 'TagKeys.0', 'String'],
  ])('%s, %s is no %s', async (operation, path, type) => {
    for (const [value, sentence] of wrong[type] ?? []) {
      const told = await door.askJson(operation, at(path, value))
      expect([value, told.status, told.body]).toEqual([
        value,
        400,
        { __type: 'SerializationException', Message: sentence },
      ])
    }
    expect(door.calls).toEqual([])
  })
})

const failed = (value: string, member: string, constraint: string) =>
  `Value ${value} at '${member}' failed to satisfy constraint: Member must ${constraint}`
const notNull = (member: string) => failed('null', member, 'not be null')
const short = (value: string, member: string) =>
  failed(`'${value}'`, member, 'have length greater than or equal to 1')
const long = (value: string, member: string, most: number) =>
  failed(`'${value}'`, member, `have length less than or equal to ${most}`)
const low = (value: number, member: string) =>
  failed(`'${value}'`, member, 'have value greater than or equal to 1')
const high = (value: number, member: string, most: number) =>
  failed(`'${value}'`, member, `have value less than or equal to ${most}`)
const pattern = (member: string, of: string) =>
  failed("''", member, `satisfy regular expression pattern: ${of}`)
const name = '[a-zA-Z0-9_.-]+'
const sequence = String.raw`0|([1-9]\d{0,128})`
const hash = String.raw`0|([1-9]\d{0,38})`
const noName = (member = 'streamName') => [pattern(member, name), short('', member)]
const name129 = 'a'.repeat(129)
const name257 = 'a'.repeat(257)
const tooLong = long(name129, 'streamName', 128)
const bytes1048577 = Buffer.alloc(1_048_577).toString('base64')
const heapBuffer = (bytes: number) => `java.nio.HeapByteBuffer[pos=0 lim=${bytes} cap=${bytes}]`
const entry = 'com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@c965e310'
const rules = (least: number, most: number) =>
  `[Member must have length less than or equal to ${most}, Member must have length greater than or equal to ${least}]`
const iteratorTypes =
  'satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]'

test.each<[operation: string, input: object, complaints: string[]]>([
  ['AddTagsToStream', {}, [notNull('tags'), notNull('streamName')]],
  ['AddTagsToStream', { StreamName: '', Tags: {} }, [short('{}', 'tags'), ...noName()]],
  ['AddTagsToStream', { StreamName: name129, Tags: { 'a;b': 'b' } }, [tooLong]],
  [
    'AddTagsToStream',
    { StreamName: 's', Tags: { a: '1', [name129]: '3' } },
    [
      `Value '{a=1, ${name129}=3}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: ${rules(1, 128)}`,
    ],
  ],
  [
    'AddTagsToStream',
    { StreamName: 's', Tags: { a: '1', c: name257 } },
    [
      `Value '{a=1, c=${name257}}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: ${rules(0, 256)}`,
    ],
  ],
  [
    'AddTagsToStream',
    { StreamName: 's', Tags: Object.fromEntries([...'abcdefghijk'].map((key) => [key, '1'])) },
    [long(`{${[...'abcdefghijk'].map((key) => `${key}=1`).join(', ')}}`, 'tags', 10)],
  ],
  ['CreateStream', {}, [notNull('shardCount'), notNull('streamName')]],
  ['CreateStream', { StreamName: '', ShardCount: 0 }, [low(0, 'shardCount'), ...noName()]],
  [
    'CreateStream',
    { StreamName: name129, ShardCount: 100_000_000_000 },
    [high(2_147_483_647, 'shardCount', 100_000), tooLong],
  ],
  ['DecreaseStreamRetentionPeriod', {}, [notNull('retentionPeriodHours'), notNull('streamName')]],
  [
    'DecreaseStreamRetentionPeriod',
    { StreamName: '', RetentionPeriodHours: -1 },
    [low(-1, 'retentionPeriodHours'), ...noName()],
  ],
  [
    'IncreaseStreamRetentionPeriod',
    { StreamName: 'a', RetentionPeriodHours: 8_761 },
    [high(8_761, 'retentionPeriodHours', 8_760)],
  ],
  ['DeleteStream', {}, [notNull('streamName')]],
  ['DescribeStream', {}, [notNull('streamName')]],
  [
    'DescribeStream',
    { StreamName: '', Limit: 0, ExclusiveStartShardId: '' },
    [low(0, 'limit'), ...noName('exclusiveStartShardId'), ...noName()],
  ],
  [
    'DescribeStream',
    { StreamName: name129, Limit: 100_000, ExclusiveStartShardId: name129 },
    [high(100_000, 'limit', 10_000), long(name129, 'exclusiveStartShardId', 128), tooLong],
  ],
  ['DescribeStreamSummary', {}, [notNull('streamName')]],
  ['GetRecords', {}, [notNull('shardIterator')]],
  ['GetRecords', { ShardIterator: '', Limit: 0 }, [low(0, 'limit'), short('', 'shardIterator')]],
  [
    'GetRecords',
    { ShardIterator: 'a'.repeat(514), Limit: 100_000 },
    [high(100_000, 'limit', 10_000), long('a'.repeat(514), 'shardIterator', 512)],
  ],
  [
    'GetShardIterator',
    {},
    [notNull('shardId'), notNull('shardIteratorType'), notNull('streamName')],
  ],
  [
    'GetShardIterator',
    { StreamName: '', ShardIteratorType: '', ShardId: '', StartingSequenceNumber: '' },
    [
      ...noName('shardId'),
      failed("''", 'shardIteratorType', iteratorTypes),
      pattern('startingSequenceNumber', sequence),
      ...noName(),
    ],
  ],
  [
    'ListShards',
    { StreamName: '', NextToken: '', MaxResults: 0, ExclusiveStartShardId: '' },
    [low(0, 'maxResults'), ...noName('exclusiveStartShardId'), ...noName(), short('', 'nextToken')],
  ],
  [
    'ListStreams',
    { ExclusiveStartStreamName: '', Limit: 0 },
    [low(0, 'limit'), ...noName('exclusiveStartStreamName')],
  ],
  [
    'ListTagsForStream',
    { StreamName: name129, ExclusiveStartTagKey: name129, Limit: 100 },
    [high(100, 'limit', 10), long(name129, 'exclusiveStartTagKey', 128), tooLong],
  ],
  [
    'MergeShards',
    {},
    [notNull('shardToMerge'), notNull('adjacentShardToMerge'), notNull('streamName')],
  ],
  [
    'PutRecord',
    {
      StreamName: '',
      PartitionKey: '',
      Data: '',
      ExplicitHashKey: '',
      SequenceNumberForOrdering: '',
    },
    [
      pattern('sequenceNumberForOrdering', sequence),
      short('', 'partitionKey'),
      pattern('explicitHashKey', hash),
      ...noName(),
    ],
  ],
  ['PutRecord', {}, [notNull('partitionKey'), notNull('data'), notNull('streamName')]],
  [
    'PutRecord',
    { StreamName: name129, PartitionKey: name257, Data: bytes1048577, ExplicitHashKey: '' },
    [
      long(name257, 'partitionKey', 256),
      pattern('explicitHashKey', hash),
      long(heapBuffer(1_048_577), 'data', 1_048_576),
      tooLong,
    ],
  ],
  // Kinesis quotas: no stream takes a record of more than 10 MiB.
  [
    'PutRecord',
    { StreamName: 's', PartitionKey: 'a', Data: Buffer.alloc(10_485_761).toString('base64') },
    [long(heapBuffer(10_485_761), 'data', 1_048_576)],
  ],
  ['PutRecords', { StreamName: '', Records: [] }, [short('[]', 'records'), ...noName()]],
  [
    'PutRecords',
    { StreamName: '', Records: [{ PartitionKey: '', Data: '', ExplicitHashKey: '' }] },
    [
      short('', 'records.1.member.partitionKey'),
      pattern('records.1.member.explicitHashKey', hash),
      ...noName(),
    ],
  ],
  [
    'PutRecords',
    { StreamName: '', Records: Array(501).fill({ PartitionKey: '', Data: '' }) },
    [
      long(`[${Array(501).fill(entry).join(', ')}]`, 'records', 500),
      ...Array.from({ length: 9 }, (_, index) =>
        short('', `records.${index + 1}.member.partitionKey`),
      ),
    ],
  ],
  ['RemoveTagsFromStream', {}, [notNull('tagKeys'), notNull('streamName')]],
  ['RemoveTagsFromStream', { StreamName: '', TagKeys: [] }, [short('[]', 'tagKeys'), ...noName()]],
  [
    'RemoveTagsFromStream',
    { StreamName: 's', TagKeys: ['a', name129, 'b'] },
    [
      `Value '[a, ${name129}, b]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: ${rules(1, 128)}`,
    ],
  ],
  [
    'RemoveTagsFromStream',
    { StreamName: 's', TagKeys: Array.from({ length: 11 }, (_, index) => `${index + 1}`) },
    [long('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]', 'tagKeys', 10)],
  ],
  [
    'SplitShard',
    {},
    [notNull('newStartingHashKey'), notNull('streamName'), notNull('shardToSplit')],
  ],
  // botocore's model: nested members, and those of operations that are younger than the recordings.
  [
    'SubscribeToShard',
    { ConsumerARN: 'x', ShardId: 's', StartingPosition: { Type: 'x' } },
    [
      failed(
        "'x'",
        'consumerARN',
        String.raw`satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`,
      ),
      failed("'x'", 'startingPosition.type', iteratorTypes),
    ],
  ],
  ['UpdateStreamMode', {}, [notNull('streamARN'), notNull('streamModeDetails')]],
  [
    'UpdateShardCount',
    { StreamName: 's', TargetShardCount: 0, ScalingType: 'BIG' },
    [
      low(0, 'targetShardCount'),
      failed("'BIG'", 'scalingType', 'satisfy enum value set: [UNIFORM_SCALING]'),
    ],
  ],
])('%s refuses %j', async (operation, input, complaints) => {
  const told = await door.askJson(operation, input)
  const count = `${complaints.length} validation error${complaints.length === 1 ? '' : 's'}`
  const { __type, message } = told.body as { __type: string; message: string }
  const prefix = `${count} detected: `
  expect([told.status, __type, message.slice(0, prefix.length)]).toEqual([
    400,
    'ValidationException',
    prefix,
  ])
  // In which order AWS complains of the members is not known of all of them: kinesalite's tests take any.
  expect(
    message
      .slice(prefix.length)
      .split(/; (?=Value )/)
      .sort(),
  ).toEqual([...complaints].sort())
  expect(door.calls).toEqual([])
})

describe('what is right', () => {
  test('reaches the backend as bytes, milliseconds and whole numbers, without what is null or unknown', async () => {
    await door.askJson('GetShardIterator', {
      StreamName: 's',
      ShardId: 'shardId-000000000000',
      ShardIteratorType: 'AT_TIMESTAMP',
      Timestamp: 1_545_084_650.987,
      StartingSequenceNumber: null,
      Whatever: { a: 1 },
    })
    await door.askJson('PutRecord', { StreamName: 's', PartitionKey: 'k', Data: 'AP+A' })
    await door.askJson('ListShards', { StreamName: 's', MaxResults: 12.9 })
    expect(door.calls.map(({ input }) => input)).toEqual([
      {
        StreamName: 's',
        ShardId: 'shardId-000000000000',
        ShardIteratorType: 'AT_TIMESTAMP',
        Timestamp: 1_545_084_650_987,
      },
      { StreamName: 's', PartitionKey: 'k', Data: Buffer.of(0, 255, 128) },
      { StreamName: 's', MaxResults: 12 },
    ])
  })

  test('may name the stream by its ARN alone', async () => {
    const StreamARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/s'
    const told = await door.askJson('DescribeStream', { StreamARN })
    expect([told.status, door.calls[0]?.input]).toEqual([200, { StreamARN }])
  })

  test('needs no number of shards on demand', async () => {
    const input = { StreamName: 's', StreamModeDetails: { StreamMode: 'ON_DEMAND' } }
    expect((await door.askJson('CreateStream', input)).status).toBe(200)
    const provisioned = { StreamName: 's', StreamModeDetails: { StreamMode: 'PROVISIONED' } }
    expect((await door.askJson('CreateStream', provisioned)).body).toMatchObject({
      message: `1 validation error detected: ${notNull('shardCount')}`,
    })
  })

  test('may be a record of 10 MiB, and ten of 1 MiB: whether its stream takes them is not said here', async () => {
    const record = (bytes: number) => ({
      PartitionKey: 'k'.repeat(256),
      ExplicitHashKey: '9'.repeat(38),
      Data: Buffer.alloc(bytes, 7).toString('base64'),
    })
    const one = await door.askJson('PutRecord', { StreamName: 's', ...record(10_485_760) })
    const ten = await door.askJson('PutRecords', {
      StreamName: 's',
      Records: Array(10).fill(record(1_048_576)),
    })
    expect([one.status, ten.status, door.calls.length]).toEqual([200, 200, 2])
  })

  test('but not of more than Kinesis takes of any request', async () => {
    const told = await door.ask({
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'Kinesis_20131202.PutRecord',
      },
      body: Buffer.alloc(17_000_000, 0x20),
      service: 'kinesis',
    })
    expect([told.status, told.raw.length]).toEqual([413, 0])
  })
})

describe('what lambus does not honour is refused', () => {
  test.each([
    ['StreamId', { StreamName: 's', StreamId: 'abcdefghijklmnopqrst-abc' }, 'DescribeStream'],
    [
      'WarmThroughputMiBps',
      { StreamName: 's', ShardCount: 1, WarmThroughputMiBps: 5 },
      'CreateStream',
    ],
  ])('%s', async (member, input, operation) => {
    const told = await door.askJson(operation, input)
    expect([told.status, told.body]).toEqual([
      400,
      { __type: 'InvalidArgumentException', message: expect.stringContaining(`(${member})`) },
    ])
    expect(door.calls).toEqual([])
  })

  test.each([
    'StartStreamEncryption',
    'StopStreamEncryption',
    'EnableEnhancedMonitoring',
    'PutResourcePolicy',
    'UpdateAccountSettings',
  ])('%s', async (operation) => {
    expect(isKinesisOperation(operation)).toBe(false)
    expect((await door.askJson(operation, { StreamName: 's' })).body).toEqual({
      __type: 'UnknownOperationException',
      message: `lambus does not implement the operation ${operation}.`,
    })
  })
})

/** AWS SDK for Java 2: AwsCborProtocolFactory and SdkCborGenerator, which writes tag 1 before milliseconds. */
describe('in CBOR', () => {
  test('bytes are bytes, and times milliseconds with or without their tag', async () => {
    const atTime = (Timestamp: unknown) => ({
      StreamName: 's',
      ShardId: '0',
      ShardIteratorType: 'AT_TIMESTAMP',
      Timestamp,
    })
    const ms = 1_545_084_650_987
    const Data = Buffer.of(0, 255, 128)
    await door.askCbor('PutRecords', { StreamName: 's', Records: [{ PartitionKey: 'k', Data }] })
    for (const time of [ms, tag({ tag: 1, value: ms }), tag({ tag: 1, value: ms / 1_000 })]) {
      await door.askCbor('GetShardIterator', atTime(time))
    }
    const [put, ...times] = door.calls.map(({ input }) => input)
    expect(put).toEqual({ StreamName: 's', Records: [{ PartitionKey: 'k', Data }] })
    expect(times).toEqual(Array(3).fill(atTime(ms)))
  })

  test('refusals are CBOR, too', async () => {
    const told = await door.askCbor('DescribeStream', { StreamName: 7 })
    expect([told.status, told.headers['content-type'], told.body]).toEqual([
      400,
      'application/x-amz-cbor-1.1',
      { __type: 'SerializationException', Message: cannotBe(number, 'an String') },
    ])
    const missing = await door.askCbor('DescribeStream', {})
    expect(missing.body).toEqual({
      __type: 'ValidationException',
      message: `1 validation error detected: ${notNull('streamName')}`,
    })
  })

  test('answers say times with their tag, and bytes as bytes', async () => {
    const ApproximateArrivalTimestamp = 1_545_084_650_987
    const Data = Buffer.of(0, 255)
    door.kinesis.answer = async () => ({
      Records: [
        { Data, ApproximateArrivalTimestamp, PartitionKey: 'ü', EncryptionType: undefined },
      ],
      MillisBehindLatest: 0,
    })
    const told = await door.askCbor('GetRecords', { ShardIterator: 'i' })
    expect(told.body).toEqual({
      Records: [
        {
          Data,
          ApproximateArrivalTimestamp: tag({ tag: 1, value: ApproximateArrivalTimestamp }),
          PartitionKey: 'ü',
        },
      ],
      MillisBehindLatest: 0,
    })
    const inJson = await door.askJson('GetRecords', { ShardIterator: 'i' })
    expect(inJson.raw.toString()).toBe(
      '{"Records":[{"Data":"AP8=","ApproximateArrivalTimestamp":1545084650.987,"PartitionKey":"ü"}],"MillisBehindLatest":0}',
    )
    door.kinesis.answer = async () => ({})
    const empty = await door.askCbor('CreateStream', { StreamName: 's', ShardCount: 1 })
    expect([empty.status, empty.raw.length]).toEqual([200, 0])
    expect(cbor.deserialize(told.raw)).toBeDefined()
  })

  test('a refusal and a failure of the backend are told as AWS tells them', async () => {
    door.kinesis.answer = async () => ({
      refused: 'ResourceNotFoundException',
      status: 400,
      message: 'Stream s under account 000000000000 not found.',
    })
    expect(await door.askJson('DescribeStream', { StreamName: 's' })).toMatchObject({
      status: 400,
      body: {
        __type: 'ResourceNotFoundException',
        message: 'Stream s under account 000000000000 not found.',
      },
    })
    door.kinesis.answer = async () => {
      throw new Error('gone')
    }
    expect(await door.askJson('DescribeStream', { StreamName: 's' })).toMatchObject({
      status: 500,
      body: { __type: 'InternalFailure' },
    })
    expect(door.errors).toHaveLength(1)
    door.kinesis.answer = async () => ({})
  })
})
