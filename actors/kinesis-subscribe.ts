/**
 * SubscribeToShard: a consumer has the records of a shard pushed to it.
 *
 *     asked ──▶ position known ──▶ events for five minutes ──▶ ended
 *                                     │ the shard is closed and through: its children, ended
 *                                     │ another front end or call took it over: ResourceInUseException
 *                                     └ stream or consumer gone: ResourceNotFoundException
 *
 * A consumer has one subscription of each shard. Who asks within five seconds of the last one is refused, later it takes over;
 * front ends tell each other. That is core NATS: two that ask two front ends in the same moment both begin, and the later one, by
 * their clocks, stays.
 * Source: Kinesis API reference, SubscribeToShard; Kinesis Data Streams Developer Guide, "Developing enhanced fan-out
 * consumers". The texts were seen in public reports (awslabs/amazon-kinesis-client #391, awslabs/kinesis-hot-shard-advisor #37).
 */
import type { Msg } from '../bus/bus.ts'
import { openReading } from '../bus/message-fields.ts'
import { subscribedToShard } from '../bus/subjects.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { type KinesisRefusal, refuseKinesis } from '../edges/aws/kinesis-errors.ts'
import { consumerArn } from '../edges/aws/kinesis-names.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import type { KinesisEvents } from '../edges/http-kinesis.ts'
import {
  allowed,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
} from './kinesis-binding.ts'
import { consumerOf } from './kinesis-consumers.ts'
import { startOf } from './kinesis-position.ts'
import { shardOf } from './kinesis-read.ts'
import { openSubscription, type Subscription, type SubscriptionPlace } from './subscription.ts'

/** Source: Kinesis API reference, SubscribeToShard. */
const KEPT_FOR_MS = 5_000

/** `atMs` is its front end's time, `heardAtMs` ours, and for durations. */
type Announced = { key: string; id: string; atMs: number }
type Taken = Announced & { heardAtMs: number }

export function subscribeOperations(binding: KinesisBinding): {
  operations: Record<'SubscribeToShard', KinesisHandler>
  /** Ends all of them, and every new one at once. */
  drain(): void
  stop(): void
} {
  const { bus, clock, place, newId } = binding
  /** By consumer and shard: the newest subscription that we heard of. */
  const taken = new Map<string, Taken>()
  const open = new Map<
    string,
    { announced: Announced; subscription: Subscription; inUse: KinesisRefusal }
  >()
  let isDraining = false

  const note = (announced: Announced): void => {
    const { key, id } = announced
    const heardAtMs = clock.monotonicMs()
    for (const [other, last] of taken) {
      if (heardAtMs - last.heardAtMs >= KEPT_FOR_MS) taken.delete(other)
    }
    const last = taken.get(key)
    if (last !== undefined && !isLater(announced, last)) return
    taken.set(key, { ...announced, heardAtMs })
    for (const { announced: ours, subscription, inUse } of [...open.values()]) {
      if (ours.key === key && ours.id !== id && isLater(announced, ours)) subscription.fail(inUse)
    }
  }

  const announcedIn = openReading<Announced>(
    binding.log,
    'SUBSCRIPTION_MALFORMED',
    ({ key, id, atMs }) =>
      typeof key === 'string' && typeof id === 'string' && typeof atMs === 'number',
  )
  const hearing = bus.subscribe(subscribedToShard, (message: Msg) => {
    const announced = announcedIn(message)
    if (announced !== undefined) note(announced)
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
      const announced = { key, id, atMs: clock.nowMs() }
      open.set(id, { announced, subscription, inUse })
      note(announced)
      bus.publish(subscribedToShard, JSON.stringify(announced))
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
        if (last !== undefined && clock.monotonicMs() - last.heardAtMs < KEPT_FOR_MS) return inUse
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

const isLater = (one: Announced, other: Announced): boolean =>
  one.atMs === other.atMs ? one.id > other.id : one.atMs > other.atMs

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
