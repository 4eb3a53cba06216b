/**
 * Putting dead events back into their lanes.
 *
 *     dead.f.r1 ─┐                         ┌─ a packet of f: r1, r2, fresh
 *     dead.f.r2 ─┴─▶ one atomic write of ──┼─ a tombstone in place of dead.f.r1
 *                                          └─ a tombstone in place of dead.f.r2
 *
 * A tombstone replaces exactly the message that was read (a rollup of its subject, with an expected sequence), and goes by
 * itself after a minute. So there is no moment between: a crash leaves all as it was or all done, and of two who put
 * the same event back at once, one is refused, looks again, and goes on without it.
 * Source: reference nats.md §2.3, §2.4; rollups with a time to live in a batch on a work queue were measured on nats-server 2.15.1.
 */
import type { StoredMsg } from '@nats-io/jetstream'
import { mostMessages, type NewMessage, type WriteOutcome, writeTogether } from './atomic-write.ts'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'
import {
  bytesOf,
  decodePacket,
  encodePacket,
  isRecord,
  mostBytesInPacket,
  mostEventsInPacket,
  type StoredEvent,
} from './event-packet.ts'
import { readPage } from './event-shelf.ts'
import { countsOf } from './event-stream.ts'
import type { LaneOfQueue } from './event-writer.ts'
import { insist } from './insist.ts'
import {
  anyDead,
  deadOf,
  deadWith,
  endPacket,
  eventPacket,
  eventStream,
  tokens,
} from './subjects.ts'

export type Redrive = {
  /**
   * Those of these request ids that are dead, up to `mostAtOnce` of them. Throws BusError BUS_STORE_UNAVAILABLE: some of
   * them may be back all the same.
   */
  these(requestIds: readonly string[]): Promise<string[]>
  /**
   * The next that are dead, of one function or of all, oldest first. `cursor`: there are more. Those that die after the
   * first call are left alone, or it would not end. Throws as above, and RangeError for a cursor that is none.
   */
  next(query: { functionName?: string | undefined; cursor?: string | undefined }): Promise<{
    redriven: string[]
    cursor?: string
    /** How many there were at the first call, at most: what was put back within a minute before is counted, too. */
    total?: number
  }>
}

/** Half of a write are tombstones; the other half has room for a packet for each. */
export const mostAtOnce = mostMessages / 2

// Longer than an answer is waited for and a server takes to restart: it tells who asks again that it was done.
const TOMBSTONE_LIFE = '1m'
const ROUNDS = 10
const PAUSE_MS = 200
// Messages of up to 7 MB each, when they are looked for one by one.
const READ_AT_ONCE = 16

type DeadMessage = {
  subject: string
  sequence: number
  functionName: string
  /** One, as they are stored. */
  events: StoredEvent[]
}

/**
 * `choose` says which lane an event goes to. Its age begins anew: with the old one it would be too old at once.
 */
export function openRedrive(
  bus: Bus,
  options: {
    choose: (functionName: string, events: number) => LaneOfQueue
    nowMs: () => number
    newId: () => string
  },
): Redrive {
  const { choose, nowMs, newId } = options

  const putBack = async (dead: readonly DeadMessage[]): Promise<string[]> => {
    const write = newId()
    let left = dead
    for (let round = 0; left.length > 0; round++) {
      await bus.ready()
      const messages = [...packetsOf(left, choose, nowMs()), ...left.map(tombstone(write))]
      const outcome = await writeTogether(bus, messages)
      if (outcome !== 'unanswered' && 'sequence' in outcome) return idsOf(left)
      const now = await look(bus, left)
      // An earlier try was carried out, and its answer lost.
      if (now.some(({ data }) => data === write)) return idsOf(left)
      const stillDead = left.filter(({ sequence }, index) => now[index]?.sequence === sequence)
      if (stillDead.length === left.length) {
        if (round >= ROUNDS) throw unavailable(outcome)
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
      left = stillDead
    }
    return []
  }

  return {
    async these(requestIds) {
      const wanted = [...new Set(requestIds)].slice(0, mostAtOnce)
      const redriven: string[] = []
      for (let from = 0; from < wanted.length; from += READ_AT_ONCE) {
        const some = wanted.slice(from, from + READ_AT_ONCE)
        const pages = await Promise.all(some.map((id) => readPage(bus, deadWith(id), 1)))
        redriven.push(...(await putBack(newest(pages.flat().flatMap(readDead)))))
      }
      return redriven
    },
    async next({ functionName, cursor }) {
      const filter = functionName === undefined ? anyDead : deadOf(functionName)
      const first = cursor === undefined ? await begin(bus, filter) : undefined
      const { sequence, until } = first ?? readCursor(cursor ?? '')
      const page = await readPage(bus, filter, sequence, mostAtOnce)
      const here = page.filter(({ seq }) => seq <= until)
      const redriven = await putBack(newest(here.flatMap(readDead)))
      const last = here.at(-1)
      const isMore = page.length > 0 && here.length === page.length && last !== undefined
      return {
        redriven,
        ...(isMore ? { cursor: `${last.seq + 1}.${until}` } : {}),
        ...(first === undefined ? {} : { total: first.total }),
      }
    },
  }
}

/** Of each subject one. It may hold two: an event can die again before its tombstone has gone. */
const newest = (dead: readonly DeadMessage[]): DeadMessage[] => [
  ...new Map(dead.map((message) => [message.subject, message])).values(),
]

const unavailable = (outcome: Exclude<WriteOutcome, { sequence: number }>): BusError =>
  new BusError(
    'BUS_STORE_UNAVAILABLE',
    `dead events cannot be put back: ${outcome === 'unanswered' ? 'JetStream did not answer' : outcome.why}`,
  )

const idsOf = (dead: readonly DeadMessage[]): string[] =>
  dead.flatMap(({ events }) => events.map(({ id }) => id))

/** Nothing for a tombstone. */
function readDead({ subject, seq, data }: StoredMsg): DeadMessage[] {
  const events = decodePacket(data)
  const [, , functionName = ''] = tokens(subject)
  return events === undefined ? [] : [{ subject, sequence: seq, functionName, events }]
}

const tombstone =
  (write: string) =>
  ({ subject, sequence }: DeadMessage): NewMessage => ({
    subject,
    body: write,
    headers: {
      'Nats-Rollup': 'sub',
      'Nats-TTL': TOMBSTONE_LIFE,
      'Nats-Expected-Last-Subject-Sequence': String(sequence),
    },
  })

function packetsOf(
  dead: readonly DeadMessage[],
  choose: (functionName: string, events: number) => LaneOfQueue,
  nowMs: number,
): NewMessage[] {
  const open = new Map<string, { events: StoredEvent[]; bytes: number }>()
  const packets: NewMessage[] = []
  const close = (functionName: string, events: readonly StoredEvent[]) => {
    const { queue, lane } = choose(functionName, events.length)
    const address = events.some(isRecord) ? endPacket : eventPacket
    const subject = address(queue, lane, functionName, events.length)
    packets.push({ subject, body: encodePacket(events) })
  }
  const all = dead.flatMap(({ functionName, events }) =>
    events.map((event) => ({ functionName, again: fresh(event, nowMs) })),
  )
  for (const { functionName, again } of all) {
    // What is only told goes another way.
    if (isRecord(again)) {
      close(functionName, [again])
      continue
    }
    const packet = open.get(functionName) ?? { events: [], bytes: 0 }
    const isFull =
      packet.events.length >= mostEventsInPacket ||
      (packet.events.length > 0 && packet.bytes + bytesOf(again) > mostBytesInPacket)
    if (isFull) close(functionName, packet.events)
    const { events, bytes } = isFull ? { events: [], bytes: 0 } : packet
    open.set(functionName, { events: [...events, again], bytes: bytes + bytesOf(again) })
  }
  for (const [functionName, { events }] of open) close(functionName, events)
  return packets
}

function fresh(event: StoredEvent, nowMs: number): StoredEvent {
  if (event.telling !== undefined && isRecord(event)) {
    return { ...event, putOff: 0, telling: { ...event.telling, endedAtMs: nowMs } }
  }
  const { last: _last, telling: _telling, response: _response, ...rest } = event
  return { ...rest, acceptedAtMs: nowMs, attempts: 0, putOff: 0 }
}

/** What stands in the place of each now, by the word of the leader. */
const look = (bus: Bus, dead: readonly DeadMessage[]) =>
  Promise.all(
    dead.map(async ({ subject }) => {
      const found = await insist(bus, subject, async () =>
        (await bus.jetstreamManager()).streams.getMessage(eventStream, { last_by_subj: subject }),
      )
      return { sequence: found?.seq, data: found?.string() }
    }),
  )

async function begin(bus: Bus, filter: string) {
  const counts = await countsOf(bus, filter)
  const { state } = await insist(bus, eventStream, async () =>
    (await bus.jetstreamManager()).streams.info(eventStream),
  )
  return { sequence: 1, until: state.last_seq, total: counts.length }
}

function readCursor(cursor: string): { sequence: number; until: number } {
  const [, sequence, until] = /^(\d+)\.(\d+)$/.exec(cursor) ?? []
  if (until === undefined) throw new RangeError(`'${cursor}' is no cursor`)
  return { sequence: Number(sequence), until: Number(until) }
}
