/**
 * How Kinesis names streams and consumers, and how it says that there is none.
 *
 *     arn:aws:kinesis:<region>:<account>:stream/<stream>
 *     arn:aws:kinesis:<region>:<account>:stream/<stream>/consumer/<consumer>:<second it was registered>
 *
 * Source: Kinesis Data Streams Developer Guide, "Controlling access", resource ARNs; lambda-semantics.md §8.2 and Appendix A.
 */
import type { StreamConsumer } from '../../machines/stream.ts'
import { type KinesisRefusal, refuseKinesis } from './kinesis-errors.ts'
import { type Place, partition } from './names.ts'
import { shardId } from './shard-id.ts'

export const streamArn = ({ region, account }: Place, stream: string): string =>
  `arn:${partition(region)}:kinesis:${region}:${account}:stream/${stream}`

export const consumerArn = (place: Place, stream: string, consumer: StreamConsumer): string =>
  `${streamArn(place, stream)}/consumer/${consumer.name}:${Math.floor(consumer.createdAtMs / 1000)}`

export type ReadArn = { stream: string; consumer?: { name: string; second: number } }

const arnOf =
  /^arn:([^:]*):kinesis:([^:]*):([^:]*):stream\/([\w.-]+)(?:\/consumer\/([\w.-]+):(\d+))?$/

/** What an ARN names, if it is here. `action`: `DescribeStream`, for the refusal of another account. */
export function readKinesisArn(
  arn: string,
  place: Place,
  action: string,
): ReadArn | KinesisRefusal {
  const [, itsPartition, region, account = '', stream = '', name, second] = arnOf.exec(arn) ?? []
  if (account !== '' && account !== place.account) return otherAccount(arn, place, action)
  if (region !== place.region || itsPartition !== partition(place.region)) {
    return stream === '' ? unknownArn(arn) : noSuchStream(stream, place)
  }
  return name === undefined ? { stream } : { stream, consumer: { name, second: Number(second) } }
}

/** IAM's sentence for what has no resource-based policy; the same as Lambda's (lambda-semantics.md, Appendix A). */
const otherAccount = (arn: string, place: Place, action: string): KinesisRefusal =>
  refuseKinesis(
    'AccessDeniedException',
    `User: arn:${partition(place.region)}:iam::${place.account}:root is not authorized to perform: kinesis:${action} on resource: ${arn} because no resource-based policy allows the kinesis:${action} action`,
  )

const notFound = (message: string) => refuseKinesis('ResourceNotFoundException', message)

export const unknownArn = (arn: string): KinesisRefusal => notFound(`${arn} not found.`)

export const noSuchStream = (stream: string, { account }: Place): KinesisRefusal =>
  notFound(`Stream ${stream} under account ${account} not found.`)

/** `shard`: as it was asked for, when it is no name of a shard. */
export const unknownShard = (shard: string, stream: string, { account }: Place): KinesisRefusal =>
  notFound(`Could not find shard ${shard} in stream ${stream} under account ${account}.`)

export const noSuchShard = (index: number, stream: string, { account }: Place): KinesisRefusal =>
  notFound(`Shard ${shardId(index)} in stream ${stream} under account ${account} does not exist`)

/** `consumer`: its name, or its ARN. The wording is ours: no recorded one was found. */
export const noSuchConsumer = (consumer: string, stream: string, { account }: Place) =>
  notFound(`Consumer ${consumer} of stream ${stream} under account ${account} not found.`)
