/**
 * Accepts events: stores them and calls back when JetStream has them on disk, not before.
 *
 *     event ──▶ packet being filled ──(the one before is stored)──▶ stored ──▶ every caller is told
 *
 * Of each function one packet is on its way at a time. What arrives meanwhile makes the next one: an idle system stores an
 * event at once, a busy one many in a write.
 */
import { nuid } from 'nats'
import type { Bus } from './bus.ts'
import {
  bytesOf,
  encodePacket,
  mostBytesInPacket,
  mostEventsInPacket,
  type StoredEvent,
} from './event-packet.ts'
import { insist } from './insist.ts'
import { eventPacket, eventStream } from './subjects.ts'

export type LaneOfQueue = { queue: string; lane: number }

export type EventWriter = {
  /**
   * Stores an event of a function. `stored` is called once: with undefined when it is on disk, or with a BusError
   * BUS_STORE_UNAVAILABLE (it may be stored all the same) or BUS_PAYLOAD_TOO_LARGE.
   */
  write(functionName: string, event: StoredEvent, stored: (error: unknown) => void): void
  /** Events that are not stored yet. */
  readonly pending: number
  /** Resolves when nothing is pending. */
  idle(): Promise<void>
}

type Entry = { event: StoredEvent; stored: (error: unknown) => void }

/** A restart of the server takes a second; a caller that waits longer than this should be told. */
const PATIENCE_MS = 10_000

/** `choose` says which lane the next packet of a function goes to. */
export function openEventWriter(
  bus: Bus,
  { choose }: { choose: (functionName: string, events: number) => LaneOfQueue },
): EventWriter {
  /** By function, what waits for the packet before it; there while one is on its way. */
  const lines = new Map<string, Entry[]>()
  const whenIdle: (() => void)[] = []
  let pending = 0

  const tell = (entries: readonly Entry[], error: unknown): void => {
    pending -= entries.length
    for (const { stored } of entries) stored(error)
    if (pending === 0) for (const wake of whenIdle.splice(0)) wake()
  }

  const sendNext = (functionName: string, line: Entry[]): void => {
    if (line.length === 0) lines.delete(functionName)
    else send(functionName, line, line.splice(0, fitting(line)))
  }

  const send = (functionName: string, line: Entry[], entries: Entry[]): void => {
    const { queue, lane } = choose(functionName, entries.length)
    const subject = eventPacket(queue, lane, functionName, entries.length)
    const packet = encodePacket(entries.map(({ event }) => event))
    // Stored once, however often it has to be asked for.
    const msgID = nuid.next()
    const publish = () =>
      bus.jetstream.publish(subject, packet, { msgID, expect: { streamName: eventStream } })
    const done = (error: unknown) => {
      sendNext(functionName, line)
      tell(entries, error)
    }
    insist(bus, subject, publish, PATIENCE_MS).then(() => done(undefined), done)
  }

  return {
    get pending() {
      return pending
    },
    write(functionName, event, stored) {
      pending++
      const line = lines.get(functionName)
      if (line !== undefined) line.push({ event, stored })
      else {
        const begun = [{ event, stored }]
        lines.set(functionName, begun)
        // What was received together is stored together.
        queueMicrotask(() => sendNext(functionName, begun))
      }
    },
    idle: () =>
      pending === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve)),
  }
}

/** How many of these fit into one packet; one at least. */
function fitting(entries: readonly Entry[]): number {
  let bytes = 0
  const most = Math.min(entries.length, mostEventsInPacket)
  for (let count = 0; count < most; count++) {
    bytes += bytesOf((entries[count] as Entry).event)
    if (bytes > mostBytesInPacket && count > 0) return count
  }
  return most
}
