/**
 * SubscribeToShard: a consumer has the records of a shard pushed to it.
 *
 *     asked ──▶ position known ──▶ events for five minutes ──▶ ended
 *                                     │ the shard is closed and through: its children, ended
 *                                     │ another front end or call took it over: ResourceInUseException
 *                                     └ stream or consumer gone: ResourceNotFoundException
 *
 * A consumer has one subscription of each shard. Who asks within five seconds of the last one is refused, later it takes over;
 * front ends tell each other. That is core NATS: two that ask two front ends in the same moment both begin, and the second to
 * be heard of stays.
 * Source: Kinesis API reference, SubscribeToShard; Kinesis Data Streams Developer Guide, "Developing enhanced fan-out
 * consumers". The texts were seen in public reports (awslabs/amazon-kinesis-client #391, awslabs/kinesis-hot-shard-advisor #37).
 */
import type { Msg } from '../bus/bus.ts'
import { subscribedToShard } from '../bus/subjects.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { type KinesisRefusal, refuseKinesis } from '../edges/aws/kinesis-errors.ts'
import { consumerArn } from '../edges/aws/kinesis-names.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import {
  allowed,
  type KinesisBinding,
  type KinesisEvents,
  type KinesisHandler,
  KinesisRefused,
} from './kinesis-binding.ts'
import { consumerOf } from './kinesis-consumers.ts'
import { startOf } from './kinesis-position.ts'
import { shardOf } from './kinesis-read.ts'
import { openSubscription, type Subscription, type SubscriptionPlace } from './subscription.ts'

/** Source: Kinesis API reference, SubscribeToShard. */
const KEPT_FOR_MS = 5_000

type Taken = { id: string; atMs: number }

export function subscribeOperations(binding: KinesisBinding): {
  operations: Record<'SubscribeToShard', KinesisHandler>
  /** Ends all of them, and every new one at once. */
  drain(): void
  stop(): void
} {
  const { bus, clock, place, newId } = binding
  /** By consumer and shard: the newest subscription that we heard of. */
  const taken = new Map<string, Taken>()
  const open = new Map<string, { key: string; subscription: Subscription; inUse: KinesisRefusal }>()
  let isDraining = false

  const note = (key: string, id: string): void => {
    const nowMs = clock.monotonicMs()
    for (const [other, { atMs }] of taken) if (nowMs - atMs >= KEPT_FOR_MS) taken.delete(other)
    taken.set(key, { id, atMs: nowMs })
    for (const [other, { key: itsKey, subscription, inUse }] of open) {
      if (itsKey === key && other !== id) subscription.fail(inUse)
    }
  }

  const hearing = bus.subscribe(subscribedToShard, (message: Msg) => {
    const { key, id } = message.json<{ key: string; id: string }>()
    if (taken.get(key)?.id !== id) note(key, id)
  })

  const begin = (where: SubscriptionPlace, key: string, inUse: KinesisRefusal): KinesisEvents => ({
    events(tell) {
      const id = newId()
      const gone = () => void open.delete(id)
      const subscription = openSubscription(binding, where, {
        event: tell.event,
        failed(refusal) {
          gone()
          tell.failed(refusal)
        },
        ended() {
          gone()
          tell.ended()
        },
      })
      open.set(id, { key, subscription, inUse })
      note(key, id)
      bus.publish(subscribedToShard, JSON.stringify({ key, id }))
      if (isDraining) subscription.end()
      return {
        stop() {
          gone()
          subscription.stop()
        },
        pause: subscription.pause,
        resume: subscription.resume,
      }
    },
  })

  return {
    operations: {
      async SubscribeToShard(input) {
        const { stream, consumer } = consumerOf(binding, input, 'SubscribeToShard')
        const arn = consumerArn(place, stream.name, consumer)
        const { shard } = shardOf(binding, stream.name, input['ShardId'] as string)
        if (consumer.status !== 'ACTIVE') {
          throw new KinesisRefused(
            notActive(stream.name, consumer.name, consumer.createdAtMs, place.account),
          )
        }
        const key = `${arn} ${shard.index}`
        const inUse = refuseKinesis(
          'ResourceInUseException',
          `Another active subscription exists for this consumer: ${place.account}:${stream.name}:${shardId(shard.index)}:${consumer.name}`,
        )
        const last = taken.get(key)
        if (last !== undefined && clock.monotonicMs() - last.atMs < KEPT_FOR_MS) return inUse
        const position = positionIn(input['StartingPosition'] as Input)
        const where = { stream, shard }
        const from = allowed(await startOf(binding, where, position, 'SubscribeToShard'))
        return begin({ ...where, consumer, from }, key, inUse)
      },
    },
    drain() {
      isDraining = true
      for (const { subscription } of [...open.values()]) subscription.end()
    },
    stop: () => hearing.stop(),
  }
}

const positionIn = (position: Input) => ({
  type: position['Type'] as string,
  sequenceNumber: position['SequenceNumber'] as string | undefined,
  timestampMs: position['Timestamp'] as number | undefined,
})

const notActive = (stream: string, consumer: string, createdAtMs: number, account: string) =>
  refuseKinesis(
    'ResourceInUseException',
    `Consumer ${consumer} with creation timestamp ${Math.floor(createdAtMs / 1000)} under stream: ${stream} , account ${account} is not in ACTIVE status.`,
  )
