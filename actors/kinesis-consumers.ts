/**
 * Consumers with enhanced fan-out, described and listed.
 *
 * Source: Kinesis API reference, DescribeStreamConsumer and ListStreamConsumers.
 */
import type { Input } from '../edges/aws/constraints.ts'
import { noSuchConsumer, noSuchStream, streamArn } from '../edges/aws/kinesis-names.ts'
import { nextToken, readNextToken } from '../edges/aws/kinesis-next-token.ts'
import { describeConsumer } from '../edges/aws/kinesis-shapes.ts'
import type { StreamConsumer, StreamRecord } from '../machines/stream.ts'
import {
  allowed,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
  knownStream,
  namedBy,
  refused,
  streamNamedBy,
} from './kinesis-binding.ts'

/** Source: Kinesis API reference, ListStreamConsumers: 100 by default. */
const defaultLimit = 100

export function consumerOperations(
  binding: KinesisBinding,
): Record<'DescribeStreamConsumer' | 'ListStreamConsumers', KinesisHandler> {
  const { clock, place } = binding
  return {
    async DescribeStreamConsumer(input) {
      const { stream, consumer } = consumerOf(binding, input, 'DescribeStreamConsumer')
      return {
        ConsumerDescription: {
          ...describeConsumer(place, stream.name, consumer),
          StreamARN: streamArn(place, stream.name),
        },
      }
    },
    async ListStreamConsumers(input) {
      const name = streamNamedBy(binding, input['StreamARN'] as string, 'ListStreamConsumers')
      const stream = knownStream(binding, name)
      checkCreation(binding, stream, input)
      const token = input['NextToken'] as string | undefined
      const after = token === undefined ? '' : afterOf(stream, token, clock.nowMs())
      const limit = (input['MaxResults'] as number | undefined) ?? defaultLimit
      const found = [...stream.consumers]
        .sort((one, other) => (one.name < other.name ? -1 : 1))
        .filter(({ name }) => name > after)
      const page = found.slice(0, limit)
      const last = page.at(-1)
      const next = { stream: stream.incarnation, after: last?.name }
      return {
        Consumers: page.map((consumer) => describeConsumer(place, stream.name, consumer)),
        ...(found.length > limit
          ? { NextToken: nextToken('ListStreamConsumers', next, clock.nowMs()) }
          : {}),
      }
    },
  }
}

function afterOf(stream: StreamRecord, token: string, nowMs: number): string {
  const read = allowed(
    readNextToken<{ stream: string; after: string }>('ListStreamConsumers', token, nowMs),
  )
  if (read.stream === stream.incarnation) return read.after
  throw refused('InvalidArgumentException', 'Invalid NextToken.')
}

function checkCreation({ place }: KinesisBinding, stream: StreamRecord, input: Input): void {
  const createdAtMs = input['StreamCreationTimestamp'] as number | undefined
  if (createdAtMs === undefined || Math.abs(createdAtMs - stream.createdAtMs) < 1000) return
  throw new KinesisRefused(noSuchStream(stream.name, place))
}

/** The consumer of an ARN: one that was registered again has another second in it. */
export const consumerNamed = (
  { consumers }: StreamRecord,
  { name, second }: { name: string; second: number },
): StreamConsumer | undefined =>
  consumers.find(
    (consumer) => consumer.name === name && Math.floor(consumer.createdAtMs / 1000) === second,
  )

/** The consumer that a request is about, by its ARN or by its stream and name. Throws KinesisRefused. */
export function consumerOf(
  binding: KinesisBinding,
  input: Input,
  action: string,
): { stream: StreamRecord; consumer: StreamConsumer } {
  const arn = input['ConsumerARN'] as string | undefined
  const name = input['ConsumerName'] as string | undefined
  const streamArn = input['StreamARN'] as string | undefined
  if (arn !== undefined) return byArn(binding, arn, action)
  if (name === undefined || streamArn === undefined) {
    throw refused(
      'InvalidArgumentException',
      'Either ConsumerARN or both StreamARN and ConsumerName must be provided.',
    )
  }
  const stream = knownStream(binding, streamNamedBy(binding, streamArn, action))
  const consumer = stream.consumers.find((each) => each.name === name)
  if (consumer !== undefined) return { stream, consumer }
  throw new KinesisRefused(noSuchConsumer(name, stream.name, binding.place))
}

function byArn(binding: KinesisBinding, arn: string, action: string) {
  const named = namedBy(binding, arn, action)
  const stream = knownStream(binding, named.stream)
  const consumer = named.consumer && consumerNamed(stream, named.consumer)
  if (consumer !== undefined) return { stream, consumer }
  throw new KinesisRefused(noSuchConsumer(arn, stream.name, binding.place))
}
