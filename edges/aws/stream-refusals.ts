/**
 * What Kinesis says of changes that a stream does not take: the reasons of machines/stream-rules.ts in AWS's words.
 *
 * Source: lambda-semantics.md §8.2; kinesalite's tests, made against AWS (splitShard, mergeShards, createStream,
 * increase- and decreaseStreamRetentionPeriod, addTagsToStream); DeleteStream's as users of AWS have quoted it
 * (hashicorp/terraform-provider-aws#8420). No record was found of what AWS says of on-demand streams and of consumers:
 * their codes are those of the API reference, their words ours.
 */
import type { StreamRefusal } from '../../machines/stream-rules.ts'
import { type KinesisRefusal, refuseKinesis } from './kinesis-errors.ts'
import type { Place } from './names.ts'

export type StreamAsked = {
  stream: string
  place: Place
  /** Of the account: open shards that there are, and how many there may be. */
  shards: number
  shardLimit: number
}

const shardName = (index: number): string => `shardId-${String(index).padStart(12, '0')}`
const badArgument = (message: string) => refuseKinesis('InvalidArgumentException', message)
const inUse = (message: string) => refuseKinesis('ResourceInUseException', message)
const notFound = (message: string) => refuseKinesis('ResourceNotFoundException', message)
const tooMany = (message: string) => refuseKinesis('LimitExceededException', message)

type Say<Why> = (
  refusal: Extract<StreamRefusal, { why: Why }>,
  asked: StreamAsked,
) => KinesisRefusal

const called = ({ stream, place }: StreamAsked): string =>
  `${stream} under account ${place.account}`

const texts: { [Why in StreamRefusal['why']]: Say<Why> } = {
  'no such stream': (_, asked) => notFound(`Stream ${called(asked)} not found.`),
  exists: (_, asked) => inUse(`Stream ${called(asked)} already exists.`),
  'too many dots': (_, { stream }) =>
    badArgument(`lambus takes 56 dots in a name of 128 characters: ${stream} has too many.`),
  'not active': ({ status }, asked) =>
    inUse(`Stream ${called(asked)} not ACTIVE, instead in state ${status}`),
  'shard limit': ({ additional }, { place, shards, shardLimit }) =>
    tooMany(
      `This request would exceed the shard limit for the account ${place.account} in ${place.region}. ` +
        `Current shard count for the account: ${shards}. Limit: ${shardLimit}. ` +
        `Number of additional shards that would have resulted from this request: ${additional}. ` +
        'Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) ' +
        'for current limits and how to request higher limits.',
    ),
  'no such shard': ({ shard }, asked) =>
    notFound(`Could not find shard ${shardName(shard)} in stream ${called(asked)}.`),
  'closed shard': ({ shard }, asked) =>
    badArgument(
      `Shard ${shardName(shard)} in stream ${called(asked)} has already been merged or split, and thus is not eligible for merging or splitting.`,
    ),
  'bad split key': ({ shard, key, startHash, endHash }, asked) =>
    badArgument(
      `NewStartingHashKey ${key} used in SplitShard() on shard ${shardName(shard)} in stream ${called(asked)} ` +
        `is not both greater than one plus the shard's StartingHashKey ${startHash} ` +
        `and less than the shard's EndingHashKey ${endHash}.`,
    ),
  'not adjacent': ({ shard, adjacent }, asked) =>
    badArgument(
      `Shards ${shardName(shard)} and ${shardName(adjacent)} in stream ${called(asked)} are not an adjacent pair of shards eligible for merging`,
    ),
  'on demand': (_, asked) =>
    refuseKinesis(
      'ValidationException',
      `Stream ${called(asked)} is in ON_DEMAND mode. This operation is only supported for data streams with the provisioned capacity mode.`,
    ),
  'retention too short': ({ hours }) =>
    badArgument(
      `Minimum allowed retention period is 24 hours. Requested retention period (${hours} hours) is too short.`,
    ),
  'retention below': ({ hours, existing }, { stream }) =>
    badArgument(
      `Requested retention period (${hours} hours) for stream ${stream} can not be shorter than existing retention period (${existing} hours). Use DecreaseRetentionPeriod API.`,
    ),
  'retention above': ({ hours, existing }, { stream }) =>
    badArgument(
      `Requested retention period (${hours} hours) for stream ${stream} can not be longer than existing retention period (${existing} hours). Use IncreaseRetentionPeriod API.`,
    ),
  'bad tags': () =>
    badArgument(
      'Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @.',
    ),
  'illegal tags': ({ doing }, asked) =>
    badArgument(
      `Failed to ${doing === 'add' ? 'add tags to' : 'remove tags from'} stream ${called(asked)} because some tags contained illegal characters. ` +
        "The allowed characters are Unicode letters, white-spaces, '_',',','/','=','+','-','@'.",
    ),
  // AWS says 10 and means 50.
  'too many tags': (_, asked) =>
    badArgument(
      `Failed to add tags to stream ${called(asked)} because a given stream cannot have more than 10 tags associated with it.`,
    ),
  'has consumers': (_, { stream, place }) =>
    inUse(
      `DeleteStream can't delete ${place.account}:${stream} because there are consumers associated with this data stream. ` +
        `To delete ${stream} anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all the consumers that are associated with it.`,
    ),
  'consumer exists': ({ consumer }, asked) =>
    inUse(`Consumer ${consumer} of stream ${called(asked)} already exists.`),
  'no such consumer': ({ consumer }, asked) =>
    notFound(`Consumer ${consumer} of stream ${called(asked)} not found.`),
  'too many consumers': (_, asked) =>
    tooMany(`Stream ${called(asked)} cannot have more than 20 consumers.`),
  'too many new consumers': (_, asked) =>
    tooMany(`Stream ${called(asked)} cannot have more than 5 consumers in state CREATING.`),
}

export const streamRefusal = (refusal: StreamRefusal, asked: StreamAsked): KinesisRefusal =>
  (texts[refusal.why] as Say<StreamRefusal['why']>)(refusal, asked)
