/**
 * Changes of streams: asked of the leading stream tracker, and answered when this front end's own copy shows them, so that who
 * is told of a change sees it here.
 *
 * Source: Kinesis API reference of each operation; what the tracker refuses it says in AWS's own words.
 */
import type { Input } from '../edges/aws/constraints.ts'
import {
  isKinesisRefusal,
  type KinesisRefusal,
  refuseKinesis,
} from '../edges/aws/kinesis-errors.ts'
import { streamArn, unknownShard } from '../edges/aws/kinesis-names.ts'
import { describeConsumer, isOpen } from '../edges/aws/kinesis-shapes.ts'
import { shardIndex } from '../edges/aws/shard-id.ts'
import type { StreamCommand, StreamRecord } from '../machines/stream.ts'
import {
  internalFailure,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
  namedBy,
  refused,
  streamNameOf,
} from './kinesis-binding.ts'
import { consumerOf } from './kinesis-consumers.ts'
import { askTracker } from './tracker-call.ts'

type ChangeOperation =
  | 'CreateStream'
  | 'DeleteStream'
  | 'SplitShard'
  | 'MergeShards'
  | 'UpdateShardCount'
  | 'IncreaseStreamRetentionPeriod'
  | 'DecreaseStreamRetentionPeriod'
  | 'UpdateMaxRecordSize'
  | 'UpdateStreamMode'
  | 'AddTagsToStream'
  | 'RemoveTagsFromStream'
  | 'TagResource'
  | 'UntagResource'
  | 'RegisterStreamConsumer'
  | 'DeregisterStreamConsumer'

type Texts = Record<string, string>

/** A watched copy is some milliseconds behind; after a lost update it is behind until the next comparison. */
const CATCH_UP_MS = 2_000
/** Source: Kinesis Data Streams Developer Guide, "Large records": 1 MiB unless it is changed. */
const defaultRecordKib = 1_024
/** Source: Kinesis Data Streams Developer Guide, "On-demand mode": a new stream begins with four shards. */
const onDemandShards = 4

export function changeOperations(binding: KinesisBinding): Record<ChangeOperation, KinesisHandler> {
  const { streams, place } = binding

  /** The record as it is after the change. Throws KinesisRefused. */
  const change = async (command: StreamCommand): Promise<StreamRecord | null> => {
    const followed = streams.follow(command.name)
    try {
      const told = await askTracker(binding, command)
      if (told === undefined) throw new KinesisRefused(internalFailure())
      if (isKinesisRefusal(told)) throw new KinesisRefused(told)
      await followed.shown(told.record, CATCH_UP_MS)
      return told.record
    } finally {
      followed.stop()
    }
  }

  const done = async (command: StreamCommand): Promise<object> => {
    await change(command)
    return {}
  }

  const retain = (input: Input, action: string, direction: 'increase' | 'decrease') => {
    const name = streamNameOf(binding, input, action)
    return done({ type: 'retain', name, direction, hours: input['RetentionPeriodHours'] as number })
  }

  /** The index of a shard that is named. Whether there is one, the tracker knows. */
  const indexOf = (name: string, shard: string): number => {
    const index = shardIndex(shard)
    if (index === undefined) throw new KinesisRefused(unknownShard(shard, name, place))
    return index
  }

  /** The stream of a resource: tags of consumers can only be given when they are registered. */
  const taggable = (input: Input, action: string): string => {
    const { stream, consumer } = namedBy(binding, input['ResourceARN'] as string, action)
    if (consumer === undefined) return stream
    throw refused('InvalidArgumentException', 'lambus does not change the tags of consumers.')
  }

  return {
    async CreateStream(input) {
      return await done({
        type: 'create',
        name: input['StreamName'] as string,
        ...capacityIn(input),
        maxRecordKib: recordSizeIn(binding, input) ?? defaultRecordKib,
        tags: (input['Tags'] ?? {}) as Texts,
      })
    },
    async DeleteStream(input) {
      const name = streamNameOf(binding, input, 'DeleteStream')
      const enforceConsumerDeletion = input['EnforceConsumerDeletion'] === true
      return await done({ type: 'delete', name, enforceConsumerDeletion })
    },
    async SplitShard(input) {
      const name = streamNameOf(binding, input, 'SplitShard')
      const shard = indexOf(name, input['ShardToSplit'] as string)
      const newStartingHashKey = input['NewStartingHashKey'] as string
      return await done({ type: 'split', name, shard, newStartingHashKey })
    },
    async MergeShards(input) {
      const name = streamNameOf(binding, input, 'MergeShards')
      const shard = indexOf(name, input['ShardToMerge'] as string)
      const adjacent = indexOf(name, input['AdjacentShardToMerge'] as string)
      return await done({ type: 'merge', name, shard, adjacent })
    },
    async UpdateShardCount(input) {
      const name = streamNameOf(binding, input, 'UpdateShardCount')
      const before = streams.get(name)?.shards.filter(isOpen).length ?? 0
      const target = input['TargetShardCount'] as number
      await change({ type: 'updateShardCount', name, target })
      return {
        StreamName: name,
        CurrentShardCount: before,
        TargetShardCount: target,
        StreamARN: streamArn(place, name),
      }
    },
    IncreaseStreamRetentionPeriod: async (input) =>
      await retain(input, 'IncreaseStreamRetentionPeriod', 'increase'),
    DecreaseStreamRetentionPeriod: async (input) =>
      await retain(input, 'DecreaseStreamRetentionPeriod', 'decrease'),
    async UpdateMaxRecordSize(input) {
      const name = streamNameOf(binding, input, 'UpdateMaxRecordSize')
      const maxRecordKib = recordSizeIn(binding, input) ?? defaultRecordKib
      return await done({ type: 'setMaxRecord', name, maxRecordKib })
    },
    async UpdateStreamMode(input) {
      const name = streamNameOf(binding, input, 'UpdateStreamMode')
      return await done({ type: 'setMode', name, mode: modeIn(input) })
    },
    async AddTagsToStream(input) {
      const name = streamNameOf(binding, input, 'AddTagsToStream')
      return await done({ type: 'tag', name, tags: input['Tags'] as Texts })
    },
    async RemoveTagsFromStream(input) {
      const name = streamNameOf(binding, input, 'RemoveTagsFromStream')
      return await done({ type: 'untag', name, keys: input['TagKeys'] as string[] })
    },
    async TagResource(input) {
      const name = taggable(input, 'TagResource')
      return await done({ type: 'tag', name, tags: input['Tags'] as Texts })
    },
    async UntagResource(input) {
      const name = taggable(input, 'UntagResource')
      return await done({ type: 'untag', name, keys: input['TagKeys'] as string[] })
    },
    async RegisterStreamConsumer(input) {
      const name = streamNameOf(binding, input, 'RegisterStreamConsumer')
      const consumer = input['ConsumerName'] as string
      const tags = (input['Tags'] ?? {}) as Texts
      const record = await change({ type: 'registerConsumer', name, consumer, tags })
      const made = record?.consumers.find((each) => each.name === consumer)
      return made === undefined
        ? internalFailure()
        : { Consumer: describeConsumer(place, name, made) }
    },
    async DeregisterStreamConsumer(input) {
      const { stream, consumer } = consumerOf(binding, input, 'DeregisterStreamConsumer')
      return await done({
        type: 'deregisterConsumer',
        name: stream.name,
        consumer: consumer.name,
      })
    },
  }
}

const modeIn = (input: Input): StreamRecord['mode'] =>
  ((input['StreamModeDetails'] as Input | undefined)?.['StreamMode'] ??
    'PROVISIONED') as StreamRecord['mode']

/** Throws KinesisRefused. */
function capacityIn(input: Input): { mode: StreamRecord['mode']; shardCount: number } {
  const mode = modeIn(input)
  const shardCount = input['ShardCount'] as number | undefined
  if (mode === 'PROVISIONED') return { mode, shardCount: shardCount as number }
  if (shardCount === undefined) return { mode, shardCount: onDemandShards }
  throw refused(
    'InvalidArgumentException',
    'ShardCount cannot be provided for a stream in ON_DEMAND mode.',
  )
}

/** Throws KinesisRefused when NATS would not carry such a record. */
function recordSizeIn({ mostRecordBytes }: KinesisBinding, input: Input): number | undefined {
  const kib = input['MaxRecordSizeInKiB'] as number | undefined
  if (kib === undefined || kib * 1024 <= mostRecordBytes) return kib
  throw new KinesisRefused(tooLarge(kib, Math.floor(mostRecordBytes / 1024)))
}

const tooLarge = (kib: number, most: number): KinesisRefusal =>
  refuseKinesis(
    'InvalidArgumentException',
    `MaxRecordSizeInKiB ${kib} is more than lambus keeps: NATS carries records of up to ${most} KiB here (max_payload).`,
  )
