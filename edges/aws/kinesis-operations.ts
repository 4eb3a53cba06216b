/**
 * Kinesis's operations and the shapes of what goes in and comes out: one table, from which both protocols are read and
 * written.
 *
 * Members stand in the order in which AWS complains of them. Sources: botocore's kinesis/2013-12-02 model; where AWS's own
 * answers say otherwise (orders, which of two names is asked for, the limits of `recorded`) the recordings that
 * kinesalite's tests are. Members that AWS knows and lambus does not honour are no part of the shapes: `unhonoured`.
 */
import type { Input } from './constraints.ts'

type Length = { atLeastLong?: number; atMostLong?: number }
export type KinesisText = { kind: 'string'; pattern?: string; oneOf?: readonly string[] } & Length

export type KinesisShape =
  | KinesisText
  | { kind: 'integer'; atLeast?: number; atMost?: number }
  | { kind: 'boolean' }
  /** Seconds in JSON; milliseconds in CBOR and inside. */
  | { kind: 'timestamp' }
  /** `mostlyAtMostLong`: what most streams take; AWS names it when it complains of something else, too. */
  | { kind: 'blob'; atMostLong: number; mostlyAtMostLong: number }
  /** `prints`: how Java prints a member. */
  | ({ kind: 'list'; of: KinesisShape; prints?: string } & Length)
  | ({ kind: 'map'; key: KinesisText; value: KinesisText } & Length)
  | KinesisStructure

export type KinesisStructure = {
  kind: 'structure'
  members: Record<string, KinesisShape>
  /** Which members there must be, and when. */
  required: Record<string, (input: Input) => boolean>
}

/**
 * What is not as it should be on the wire: bytes and times, by where they stand. `[of]` is a list; what is not named is
 * written as it is.
 */
export type KinesisOutput =
  | 'blob'
  | 'timestamp'
  | [KinesisOutput]
  | { [member: string]: KinesisOutput }

// ── Members ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** As AWS said when it was recorded; its reference gives more tags by now: 50. */
const recorded = { tagsAtOnce: 10, tagsOnPage: 10, shards: 100_000 }
/** Recorded were 168; since November 2020 a stream keeps its records for a year if it is told to. */
const mostRetentionHours = 8_760

const text = (rules: Omit<KinesisText, 'kind'> = {}): KinesisText => ({ kind: 'string', ...rules })
const between = (atLeast: number, atMost?: number): KinesisShape => ({
  kind: 'integer',
  atLeast,
  ...(atMost === undefined ? {} : { atMost }),
})
const timestamp: KinesisShape = { kind: 'timestamp' }
const always = () => true
const structure = (
  members: Record<string, KinesisShape>,
  required: readonly string[] = [],
): KinesisStructure => ({
  kind: 'structure',
  members,
  required: Object.fromEntries(required.map((member) => [member, always])),
})

const name = text({ pattern: '[a-zA-Z0-9_.-]+', atLeastLong: 1, atMostLong: 128 })
const arn = (pattern: string) => text({ pattern, atLeastLong: 1, atMostLong: 2_048 })
const streamArn = arn(String.raw`arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
const consumerArn = arn(
  String.raw`^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`,
)
const resourceArn = arn(String.raw`arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+`)
const hashKey = text({ pattern: String.raw`0|([1-9]\d{0,38})` })
const sequenceNumber = text({ pattern: String.raw`0|([1-9]\d{0,128})` })
const partitionKey = text({ atLeastLong: 1, atMostLong: 256 })
const token = text({ atLeastLong: 1, atMostLong: 1_048_576 })
const tagKey = text({ atLeastLong: 1, atMostLong: 128 })
const tagValue = text({ atLeastLong: 0, atMostLong: 256 })
const tags = (atMostLong: number): KinesisShape => ({
  kind: 'map',
  key: tagKey,
  value: tagValue,
  atLeastLong: 1,
  atMostLong,
})
const tagKeys = (atMostLong: number): KinesisShape => ({
  kind: 'list',
  of: tagKey,
  atLeastLong: 1,
  atMostLong,
})
const page = between(1, 10_000)
const retentionHours = between(1, mostRetentionHours)
const maxRecordKib = between(1_024, 10_240)
const mode = structure({ StreamMode: text({ oneOf: ['PROVISIONED', 'ON_DEMAND'] }) }, [
  'StreamMode',
])

/** Largest record of any stream, and of one that was not told otherwise: Service quotas, "Record size". */
const data: KinesisShape = {
  kind: 'blob',
  atMostLong: 10_485_760,
  mostlyAtMostLong: 1_048_576,
}
const entry = structure({ PartitionKey: partitionKey, ExplicitHashKey: hashKey, Data: data }, [
  'PartitionKey',
  'Data',
])
const iteratorTypes = [
  'AFTER_SEQUENCE_NUMBER',
  'LATEST',
  'AT_TIMESTAMP',
  'AT_SEQUENCE_NUMBER',
  'TRIM_HORIZON',
]
const shardFilter = structure(
  {
    Type: text({
      oneOf: [
        'AFTER_SHARD_ID',
        'AT_TRIM_HORIZON',
        'FROM_TRIM_HORIZON',
        'AT_LATEST',
        'AT_TIMESTAMP',
        'FROM_TIMESTAMP',
      ],
    }),
    ShardId: name,
    Timestamp: timestamp,
  },
  ['Type'],
)
const startingPosition = structure(
  { Type: text({ oneOf: iteratorTypes }), SequenceNumber: sequenceNumber, Timestamp: timestamp },
  ['Type'],
)

// ── Operations ─────────────────────────────────────────────────────────────────────────────────────────────────────

type Operation = { input: KinesisStructure; output: KinesisOutput }

const takes = (
  members: Record<string, KinesisShape>,
  required: readonly string[] = [],
  output: KinesisOutput = {},
): Operation => ({ input: structure(members, required), output })

/** Of an operation on a stream, which has two names: AWS asks for the shorter one when it gets neither. */
function onStream(
  members: Record<string, KinesisShape>,
  required: readonly string[] = [],
  output: KinesisOutput = {},
): Operation {
  const named = takes({ ...members, StreamName: name, StreamARN: streamArn }, required, output)
  named.input.required['StreamName'] = (input) => input['StreamARN'] === undefined
  return named
}

const isOnDemand = ({ StreamModeDetails: given }: Input) =>
  (given as { StreamMode?: string } | undefined)?.StreamMode === 'ON_DEMAND'

function createStream(): Operation {
  const operation = takes(
    {
      ShardCount: between(1, recorded.shards),
      StreamName: name,
      StreamModeDetails: mode,
      Tags: tags(200),
      MaxRecordSizeInKiB: maxRecordKib,
    },
    ['StreamName'],
  )
  operation.input.required['ShardCount'] = (input) => !isOnDemand(input)
  return operation
}

const records: KinesisOutput = [{ Data: 'blob', ApproximateArrivalTimestamp: 'timestamp' }]
const created: KinesisOutput = { StreamCreationTimestamp: 'timestamp' }
const consumer: KinesisOutput = { ConsumerCreationTimestamp: 'timestamp' }
const ofConsumer = { StreamARN: streamArn, ConsumerName: name, ConsumerARN: consumerArn }

export const kinesisOperations = {
  AddTagsToStream: onStream({ Tags: tags(recorded.tagsAtOnce) }, ['Tags']),
  CreateStream: createStream(),
  DecreaseStreamRetentionPeriod: onStream({ RetentionPeriodHours: retentionHours }, [
    'RetentionPeriodHours',
  ]),
  DeleteStream: onStream({ EnforceConsumerDeletion: { kind: 'boolean' } }),
  DeregisterStreamConsumer: takes(ofConsumer),
  DescribeLimits: takes({}),
  DescribeStream: onStream({ Limit: page, ExclusiveStartShardId: name }, [], {
    StreamDescription: created,
  }),
  DescribeStreamConsumer: takes(ofConsumer, [], { ConsumerDescription: consumer }),
  DescribeStreamSummary: onStream({}, [], { StreamDescriptionSummary: created }),
  GetRecords: takes(
    {
      Limit: page,
      ShardIterator: text({ atLeastLong: 1, atMostLong: 512 }),
      StreamARN: streamArn,
    },
    ['ShardIterator'],
    { Records: records },
  ),
  GetShardIterator: onStream(
    {
      ShardId: name,
      ShardIteratorType: text({ oneOf: iteratorTypes }),
      StartingSequenceNumber: sequenceNumber,
      Timestamp: timestamp,
    },
    ['ShardId', 'ShardIteratorType'],
  ),
  IncreaseStreamRetentionPeriod: onStream({ RetentionPeriodHours: retentionHours }, [
    'RetentionPeriodHours',
  ]),
  // Which of stream and token there must be is for the service to say, in a sentence of its own.
  ListShards: takes({
    MaxResults: page,
    ExclusiveStartShardId: name,
    StreamName: name,
    StreamARN: streamArn,
    NextToken: token,
    StreamCreationTimestamp: timestamp,
    ShardFilter: shardFilter,
  }),
  ListStreamConsumers: takes(
    {
      MaxResults: page,
      StreamARN: streamArn,
      NextToken: token,
      StreamCreationTimestamp: timestamp,
    },
    ['StreamARN'],
    { Consumers: [consumer] },
  ),
  ListStreams: takes({ Limit: page, ExclusiveStartStreamName: name, NextToken: token }, [], {
    StreamSummaries: [created],
  }),
  ListTagsForResource: takes({ ResourceARN: resourceArn }, ['ResourceARN']),
  ListTagsForStream: onStream({
    Limit: between(1, recorded.tagsOnPage),
    ExclusiveStartTagKey: tagKey,
  }),
  MergeShards: onStream({ ShardToMerge: name, AdjacentShardToMerge: name }, [
    'ShardToMerge',
    'AdjacentShardToMerge',
  ]),
  PutRecord: onStream(
    {
      SequenceNumberForOrdering: sequenceNumber,
      PartitionKey: partitionKey,
      ExplicitHashKey: hashKey,
      Data: data,
    },
    ['PartitionKey', 'Data'],
  ),
  PutRecords: onStream(
    {
      Records: {
        kind: 'list',
        of: entry,
        atLeastLong: 1,
        atMostLong: 500,
        prints: 'com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@c965e310',
      },
    },
    ['Records'],
  ),
  RegisterStreamConsumer: takes(
    { StreamARN: streamArn, ConsumerName: name, Tags: tags(200) },
    ['StreamARN', 'ConsumerName'],
    { Consumer: consumer },
  ),
  RemoveTagsFromStream: onStream({ TagKeys: tagKeys(recorded.tagsAtOnce) }, ['TagKeys']),
  SplitShard: onStream({ NewStartingHashKey: hashKey, ShardToSplit: name }, [
    'NewStartingHashKey',
    'ShardToSplit',
  ]),
  SubscribeToShard: takes(
    { ConsumerARN: consumerArn, ShardId: name, StartingPosition: startingPosition },
    ['ConsumerARN', 'ShardId', 'StartingPosition'],
    { Records: records },
  ),
  TagResource: takes({ Tags: tags(200), ResourceARN: resourceArn }, ['Tags', 'ResourceARN']),
  UntagResource: takes({ TagKeys: tagKeys(50), ResourceARN: resourceArn }, [
    'TagKeys',
    'ResourceARN',
  ]),
  UpdateMaxRecordSize: takes({ MaxRecordSizeInKiB: maxRecordKib, StreamARN: streamArn }, [
    'MaxRecordSizeInKiB',
    'StreamARN',
  ]),
  UpdateShardCount: onStream(
    { TargetShardCount: between(1), ScalingType: text({ oneOf: ['UNIFORM_SCALING'] }) },
    ['TargetShardCount', 'ScalingType'],
  ),
  UpdateStreamMode: takes({ StreamARN: streamArn, StreamModeDetails: mode }, [
    'StreamARN',
    'StreamModeDetails',
  ]),
} as const satisfies Record<string, Operation>

export type KinesisOperation = keyof typeof kinesisOperations

export const isKinesisOperation = (name: string): name is KinesisOperation =>
  Object.hasOwn(kinesisOperations, name)

/** Members that AWS knows and lambus does not honour, and what it does not do. What AWS does not know, it ignores, too. */
export const unhonoured: Readonly<Record<string, string>> = {
  StreamId: 'know streams by an id (StreamId)',
  WarmThroughputMiBps: 'keep throughput warm (WarmThroughputMiBps)',
}

export const unbuiltKinesisOperations: readonly string[] = [
  'DeleteResourcePolicy',
  'DescribeAccountSettings',
  'DisableEnhancedMonitoring',
  'EnableEnhancedMonitoring',
  'GetResourcePolicy',
  'PutResourcePolicy',
  'StartStreamEncryption',
  'StopStreamEncryption',
  'UpdateAccountSettings',
  'UpdateStreamWarmThroughput',
]
