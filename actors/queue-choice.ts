/**
 * Which lane the next events of a function go to: its own queue where it has one, otherwise one of the few shared queues
 * that are its shuffle shard, and of two lanes the one with less waiting.
 *
 * A noisy function fills its own two queues, and few others have both of them.
 * Source: AWS Compute Blog, "Handling billions of invocations – best practices from AWS Lambda" (2025); M. Mitzenmacher, "The
 * Power of Two Choices in Randomized Load Balancing" (2001).
 */
import { hash } from 'node:crypto'
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { Directory } from '../bus/directory.ts'
import type { LaneOfQueue } from '../bus/event-writer.ts'
import { backlog } from '../bus/subjects.ts'
import type { QueueRecord } from '../machines/queue.ts'
import { ownQueueOf } from './event.ts'

export type QueueChoice = {
  /** For so many events. */
  choose(functionName: string, events: number): LaneOfQueue
  /** The function's own queue, when new events go there. */
  ownQueue(functionName: string): string | undefined
  stop(): void
}

/** What the state manager says about once a second: events by lane. */
export type Backlog = Record<string, number>

const QUEUES_OF_A_FUNCTION = 2

export const sharedQueue = (index: number): string => `shared-${index}`

/** `sharedQueues`: LAMBUS_SHARED_QUEUES; all processes must agree on it. */
export async function openQueueChoice(
  bus: Bus,
  {
    queues,
    sharedQueues,
    reconcileMs,
    clock,
    log,
  }: {
    queues: Directory<QueueRecord>
    sharedQueues: number
    reconcileMs: number
    clock: Clock
    log: Log
  },
): Promise<QueueChoice> {
  const copy = await queues.watch({ reconcileEveryMs: reconcileMs, clock, log })
  /** What waits, as it was said last, and what was sent from here since. */
  let waiting: Backlog = {}
  const hearing = bus.subscribe(backlog, (message) => {
    waiting = message.json<Backlog>()
  })

  const ownQueue = (functionName: string): string | undefined => {
    const own = ownQueueOf(functionName)
    return copy.get(own)?.takes === true ? own : undefined
  }
  const lanesOf = (queue: string): LaneOfQueue[] =>
    Array.from({ length: copy.get(queue)?.lanes ?? 1 }, (_, lane) => ({ queue, lane }))
  const keyOf = ({ queue, lane }: LaneOfQueue) => `${queue}.${lane}`

  return {
    ownQueue,
    choose(functionName, events) {
      const own = ownQueue(functionName)
      const lanes =
        own === undefined
          ? shardOf(functionName, sharedQueues).flatMap((index) => lanesOf(sharedQueue(index)))
          : lanesOf(own)
      const least = lanes.reduce((best, one) =>
        (waiting[keyOf(one)] ?? 0) < (waiting[keyOf(best)] ?? 0) ? one : best,
      )
      waiting[keyOf(least)] = (waiting[keyOf(least)] ?? 0) + events
      return least
    },
    stop() {
      hearing.stop()
      copy.stop()
    },
  }
}

const shards = new Map<string, number[]>()
const MOST_KNOWN = 20_000

/** Two different numbers below `count`, the same for a function each time. */
function shardOf(functionName: string, count: number): number[] {
  const key = `${count} ${functionName}`
  const known = shards.get(key)
  if (known !== undefined) return known
  const digest = hash('sha256', functionName, 'buffer')
  const first = digest.readUInt32BE(4) % count
  const made =
    count < QUEUES_OF_A_FUNCTION
      ? [first]
      : [first, (first + 1 + (digest.readUInt32BE(8) % (count - 1))) % count]
  if (shards.size >= MOST_KNOWN) shards.clear()
  shards.set(key, made)
  return made
}
