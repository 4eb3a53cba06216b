/** What the operations of Kinesis work with, and what they have in common. */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { ShardReader } from '../bus/shard-read.ts'
import type { ShardAddress } from '../bus/shard-record.ts'
import type { ShardWriter } from '../bus/shard-write.ts'
import type { Input } from '../edges/aws/constraints.ts'
import {
  isKinesisRefusal,
  type KinesisRefusal,
  refuseKinesis,
} from '../edges/aws/kinesis-errors.ts'
import {
  noSuchStream,
  type ReadArn,
  readKinesisArn,
  unknownArn,
} from '../edges/aws/kinesis-names.ts'
import type { Place } from '../edges/aws/names.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import { notNull, validationSentence } from '../edges/aws/validation-texts.ts'
import type { KinesisEvents } from '../edges/http-kinesis.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import type { KnownStreams } from './known-streams.ts'
import type { ShardLimits } from './shard-limits.ts'

export type KinesisBinding = {
  bus: Bus
  streams: KnownStreams
  writer: ShardWriter
  reader: ShardReader
  limits: ShardLimits
  /** The largest record that NATS carries here. */
  mostRecordBytes: number
  /** How many open shards an account may have, as DescribeLimits says. */
  shardLimit: number
  place: Place
  /** Names this front end, for who takes over a subscription from whom. */
  frontEndId: string
  clock: Clock
  newId: () => string
  log: Log
}

/** Gives what the operation answers, a refusal, or throws KinesisRefused. The input is as its shape has it. */
export type KinesisHandler = (input: Input) => Promise<object | KinesisRefusal | KinesisEvents>

export class KinesisRefused extends Error {
  override readonly name = 'KinesisRefused'
  readonly refusal: KinesisRefusal

  constructor(refusal: KinesisRefusal) {
    super(refusal.message)
    this.refusal = refusal
  }
}

/** The value, if it is no refusal. Throws KinesisRefused. */
export function allowed<T>(value: T | KinesisRefusal): T {
  if (isKinesisRefusal(value)) throw new KinesisRefused(value)
  return value as T
}

export const refused = (...refusal: Parameters<typeof refuseKinesis>): KinesisRefused =>
  new KinesisRefused(refuseKinesis(...refusal))

/** The name of the stream that a request is about, whether or not there is one. Throws KinesisRefused. */
export function streamNameOf(binding: KinesisBinding, input: Input, action: string): string {
  const name = input['StreamName'] as string | undefined
  const arn = input['StreamARN'] as string | undefined
  if (arn === undefined) {
    if (name !== undefined) return name
    throw refused('ValidationException', validationSentence([notNull('streamName')]))
  }
  const stream = streamNamedBy(binding, arn, action)
  if (name === undefined || name === stream) return stream
  throw refused(
    'InvalidArgumentException',
    `StreamName ${name} is not the stream of StreamARN ${arn}.`,
  )
}

/** The stream of that name. Throws KinesisRefused. */
export function knownStream({ streams, place }: KinesisBinding, name: string): StreamRecord {
  const stream = streams.get(name)
  if (stream === undefined) throw new KinesisRefused(noSuchStream(name, place))
  return stream
}

/** The stream that a request is about. Throws KinesisRefused. */
export const streamOf = (binding: KinesisBinding, input: Input, action: string): StreamRecord =>
  knownStream(binding, streamNameOf(binding, input, action))

/** What an ARN names here. Throws KinesisRefused. */
export const namedBy = ({ place }: KinesisBinding, arn: string, action: string): ReadArn =>
  allowed(readKinesisArn(arn, place, action))

/** The stream that an ARN names; that of a consumer names none. Throws KinesisRefused. */
export function streamNamedBy(binding: KinesisBinding, arn: string, action: string): string {
  const { stream, consumer } = namedBy(binding, arn, action)
  if (consumer === undefined) return stream
  throw new KinesisRefused(unknownArn(arn))
}

export const addressOf = (stream: StreamRecord, shard: Shard): ShardAddress => ({
  stream: stream.name,
  incarnation: stream.incarnation,
  shard: shard.index,
})

/** Names a shard among all that there ever are. */
export const limitKeyOf = (stream: StreamRecord, shard: Shard): string =>
  `${stream.incarnation}.${shard.index}`

export const rateExceeded = (
  { place }: KinesisBinding,
  { name }: StreamRecord,
  { index }: Shard,
): KinesisRefusal =>
  refuseKinesis(
    'ProvisionedThroughputExceededException',
    `Rate exceeded for shard ${shardId(index)} in stream ${name} under account ${place.account}.`,
  )

/** AWS says no more than the name. */
export const internalFailure = (): KinesisRefusal => refuseKinesis('InternalFailure', '')
