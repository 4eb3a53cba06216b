/**
 * Stores what is to be told of records that are given up, as the end of an event that never was one: it goes the way of all
 * ends, is told by whoever reads that lane, and is kept for whoever looks when nobody can be told.
 */
import type { Bus } from './bus.ts'
import { encodePacket, type StoredEvent } from './event-packet.ts'
import type { LaneOfQueue } from './event-writer.ts'
import { insist } from './insist.ts'
import { endPacket } from './subjects.ts'

/** Resolves when it is on disk. Throws BusError BUS_STORE_UNAVAILABLE; it may be stored all the same. */
export async function storeEnd(
  bus: Bus,
  { queue, lane }: LaneOfQueue,
  functionName: string,
  event: StoredEvent,
): Promise<void> {
  const subject = endPacket(queue, lane, functionName, 1)
  const body = encodePacket([event])
  // The stream knows it again for as long as it remembers ids.
  await insist(bus, subject, () => bus.jetstream.publish(subject, body, { msgID: event.id }))
}
