/**
 * What follows from a decision about an event, as messages of the stream: they are stored in the write that decides it.
 */
import type { NewMessage } from '../bus/atomic-write.ts'
import { encodePacket, type StoredEvent } from '../bus/event-packet.ts'
import { dead, endPacket, eventPacket, retry } from '../bus/subjects.ts'
import type { Kept } from './event-outcome.ts'
import { partsOfLane } from './lane.ts'

/** Of a packet beside the payloads. */
const HEAD_BYTES = 65_536

/** The event as it goes on: with what its last attempt answered, as far as a message can hold that. */
export function goingOn(
  event: StoredEvent,
  attempted: Kept | undefined,
  mostBytes: number,
): StoredEvent {
  const made: StoredEvent = { ...event }
  if (attempted !== undefined) {
    made.last = attempted.last
    if (attempted.response === undefined) delete made.response
    else made.response = attempted.response
  }
  const room = mostBytes - HEAD_BYTES - made.payload.length
  if ((made.response?.length ?? 0) > room) delete made.response
  return made
}

/** It comes back into its lane at `atMs`, to be tried or to be told. Source: NATS ADR-51. */
export function comesBack(
  lane: string,
  functionName: string,
  event: StoredEvent,
  atMs: number,
): NewMessage {
  const { queue, lane: index } = partsOfLane(lane)
  const target = event.telling === undefined ? eventPacket : endPacket
  return {
    subject: retry(queue, index, functionName, event.id),
    body: encodePacket([event]),
    headers: {
      'Nats-Schedule': `@at ${new Date(atMs).toISOString()}`,
      'Nats-Schedule-Target': target(queue, index, functionName, 1),
    },
  }
}

/** Its end is to be told. */
export function isTold(lane: string, functionName: string, event: StoredEvent): NewMessage {
  const { queue, lane: index } = partsOfLane(lane)
  return { subject: endPacket(queue, index, functionName, 1), body: encodePacket([event]) }
}

/** Nobody is told of its end: it is kept for whoever looks. */
export const isShelved = (
  functionName: string,
  event: StoredEvent,
  keptForMs: number,
): NewMessage => ({
  subject: dead(functionName, event.id),
  body: encodePacket([event]),
  headers: { 'Nats-TTL': `${Math.round(keptForMs / 1000)}s` },
})

/** Events of a function that are moved to a lane of its own queue. */
export const goElsewhere = (
  queue: string,
  lane: number,
  functionName: string,
  events: readonly StoredEvent[],
): NewMessage => ({
  subject: eventPacket(queue, lane, functionName, events.length),
  body: encodePacket(events),
})
