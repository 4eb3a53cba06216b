/**
 * The stream of asynchronous events. Everything about an event lives in it: its packet, the schedule of its retry, the
 * packet that tells its end, and the ledgers of those who read. So a decision about an event and what follows from it
 * can be one atomic write.
 *
 * A work queue: what is acknowledged is gone, also when the server is killed right after (on other streams it comes back).
 * A stream with schedules cannot refuse messages when it is full (`discard: new`), so it has no limits.
 * Source: reference nats.md §0.8, §0.10, §2.4, §2.9; schedules and rollups inside an atomic batch were measured on
 * nats-server 2.15.1 (test/bus/lane.test.ts).
 */
import { RetentionPolicy, StorageType, type StreamInfo } from '@nats-io/jetstream'
import { nanos } from 'nats'
import type { Bus } from './bus.ts'
import { insist } from './insist.ts'
import { ensureStream } from './streams.ts'
import { anyDead, anyEnd, anyLedger, anyPacket, anyRetry, eventStream, tokens } from './subjects.ts'

/** Longer than anyone tries to store the same packet. */
const REMEMBERED_MS = 120_000
/** A consumer for each lane, and room for those of dead readers. nats-server 2.15 takes 1000 unless it is told otherwise. */
const MOST_CONSUMERS = 20_000

/** Makes sure of the stream. Throws as `ensureStream` does. */
export const ensureEvents = (bus: Bus): Promise<StreamInfo> =>
  ensureStream(bus, {
    name: eventStream,
    subjects: [anyPacket, anyEnd, anyRetry, anyLedger, anyDead],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    allow_atomic: true,
    allow_msg_schedules: true,
    allow_msg_ttl: true,
    allow_rollup_hdrs: true,
    allow_direct: true,
    duplicate_window: nanos(REMEMBERED_MS),
    max_consumers: MOST_CONSUMERS,
  })

/** Events that wait in a lane, of one function. */
export type Waiting = { queue: string; lane: number; functionName: string; events: number }

/**
 * What waits in all lanes, whoever reads them: packets that are not acknowledged, those in hand among them; events to be
 * invoked, and ends to be told.
 */
export async function waitingEvents(bus: Bus): Promise<Waiting[]> {
  const counts = [...(await countsOf(bus, anyPacket)), ...(await countsOf(bus, anyEnd))]
  const byLane = new Map<string, Waiting>()
  for (const [subject, messages] of counts) {
    const [, , queue = '', lane = '', functionName = '', count = ''] = tokens(subject)
    const key = `${queue}.${lane}.${functionName}`
    const found = byLane.get(key) ?? { queue, lane: Number(lane), functionName, events: 0 }
    found.events += messages * Number(count)
    byLane.set(key, found)
  }
  return [...byLane.values()]
}

/** Messages by subject, of those that match. */
export async function countsOf(bus: Bus, filter: string): Promise<[string, number][]> {
  const { state } = await insist(bus, eventStream, async () =>
    (await bus.jetstreamManager()).streams.info(eventStream, { subjects_filter: filter }),
  )
  return Object.entries(state.subjects ?? {})
}
