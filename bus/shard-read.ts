/**
 * Reading a shard by its sequences: no consumer, no state on the server, any number of readers, open shards and closed ones.
 *
 * A replica may answer that is a little behind, so "nothing there" only means "not yet". Of a closed shard that is the end,
 * so there its leader is asked (`isOver`).
 * Source: NATS ADR-31 (batched direct gets); the order of its answers and where they stop at `max_bytes` (behind the message
 * that goes over it) were measured on nats-server 2.15.1 (test/bus/shard-read.test.ts).
 */
import { createInbox, errors, type Msg } from 'nats'
import type { Bus } from './bus.ts'
import { inboxPrefix } from './delivered.ts'
import { insist } from './insist.ts'
import { rawHeader, rawHeaders } from './raw-headers.ts'
import { readRecord, type ShardAddress, type StoredRecord } from './shard-record.ts'
import { directGet, recordStream, shard as shardSubject } from './subjects.ts'

/** `pending`: how many there are behind the last of these. */
export type ShardPage = { records: StoredRecord[]; pending: number }

/** All of these throw BusError BUS_STORE_UNAVAILABLE. */
export type ShardReader = {
  /** Records from a sequence of the record stream on; at least one, if there is one, however large. */
  read(
    address: ShardAddress,
    what: { from: number; most: number; mostBytes: number },
  ): Promise<ShardPage>
  /** The sequence of the first record that arrived at that time or later, if there is one. */
  firstSince(address: ShardAddress, atMs: number): Promise<number | undefined>
  /** The sequence of the newest record that is still there. */
  newest(address: ShardAddress): Promise<number | undefined>
  /** Whether nothing is there from a sequence on, by the word of the stream's leader. */
  isOver(address: ShardAddress, from: number): Promise<boolean>
  stop(): void
}

/** Long enough for 10 MiB. */
const ANSWER_TIMEOUT_MS = 5_000
/** A client waits for it. */
const PATIENCE_MS = 10_000
/** Clocks of front ends and of the server are that close to each other; further apart, reading begins a little late. */
const CLOCKS_APART_MS = 1_000
const LOOK_AT_ONCE = 64
const LOOK_BYTES = 262_144

type Question = { seq?: number; start_time?: string; batch: number; max_bytes: number }
type Reading = { heard: StoredRecord[]; last: number; end: (page: ShardPage | undefined) => void }

export function openShardReader(bus: Bus): ShardReader {
  const inbox = createInbox(inboxPrefix(bus.nats))
  const open = new Map<string, Reading>()
  let asked = 0

  const hearing = bus.subscribe(`${inbox}.*`, (message) => {
    const reading = open.get(message.subject)
    if (reading !== undefined) hear(reading, message)
  })

  /** Throws TimeoutError where nobody knows. */
  const ask = (address: ShardAddress, question: Question): Promise<ShardPage> =>
    new Promise((resolve, reject) => {
      const reply = `${inbox}.${(asked++).toString(36)}`
      const end = (page: ShardPage | undefined) => {
        clearTimeout(timer)
        open.delete(reply)
        if (page === undefined) reject(new errors.TimeoutError())
        else resolve(page)
      }
      const timer = setTimeout(end, ANSWER_TIMEOUT_MS, undefined)
      open.set(reply, { heard: [], last: 0, end })
      const body = JSON.stringify({ ...question, next_by_subj: subjectOf(address) })
      bus.publish(directGet(recordStream(address.stream)), body, { reply })
    })

  const page = (address: ShardAddress, question: Question): Promise<ShardPage> =>
    insist(bus, subjectOf(address), () => ask(address, question), PATIENCE_MS)

  return {
    async read(address, { from, most, mostBytes }) {
      const question = { seq: from, batch: most, max_bytes: mostBytes }
      const { records, pending } = await page(address, question)
      const fits = fitting(records, mostBytes)
      return { records: records.slice(0, fits), pending: pending + records.length - fits }
    },
    async firstSince(address, atMs) {
      const options = { batch: LOOK_AT_ONCE, max_bytes: LOOK_BYTES }
      const start = new Date(Math.max(0, atMs - CLOCKS_APART_MS)).toISOString()
      let { records, pending } = await page(address, { ...options, start_time: start })
      for (;;) {
        const found = records.find(({ arrivalMs }) => arrivalMs >= atMs)
        const last = records.at(-1)
        if (found !== undefined || last === undefined || pending === 0) return found?.sequence
        ;({ records, pending } = await page(address, { ...options, seq: last.sequence + 1 }))
      }
    },
    async newest(address) {
      const { stream } = address
      const body = JSON.stringify({ last_by_subj: subjectOf(address) })
      const answer = await insist(
        bus,
        subjectOf(address),
        async () => {
          const options = { timeoutMs: ANSWER_TIMEOUT_MS }
          const outcome = await bus.request(directGet(recordStream(stream)), body, options)
          if (typeof outcome === 'string') throw new errors.TimeoutError()
          return outcome
        },
        PATIENCE_MS,
      )
      const headers = rawHeaders(answer)
      return statusIn(headers) === 404 ? undefined : numberIn(headers, 'Nats-Sequence')
    },
    async isOver(address, from) {
      const query = { seq: from, next_by_subj: subjectOf(address) }
      const found = await insist(
        bus,
        subjectOf(address),
        async () => {
          const { streams } = await bus.jetstreamManager()
          return await streams.getMessage(recordStream(address.stream), query)
        },
        PATIENCE_MS,
      )
      return found === null
    },
    stop: () => hearing.stop(),
  }
}

const subjectOf = ({ stream, incarnation, shard }: ShardAddress): string =>
  shardSubject(stream, incarnation, shard)

/** `NATS/1.0 404 Message Not Found`; 0 for a message. */
const statusIn = (headers: string): number => Number(headers.slice(9, 12)) || 0
const numberIn = (headers: string, name: string): number => Number(rawHeader(headers, name))

/** Each message says what came before it, and the end what came last: a lost one shows. */
function hear(reading: Reading, message: Msg): void {
  const { heard, last, end } = reading
  const headers = rawHeaders(message)
  const status = statusIn(headers)
  const isWhole = status === 404 || numberIn(headers, 'Nats-Last-Sequence') === last
  if (status === 0 && isWhole) {
    reading.last = numberIn(headers, 'Nats-Sequence')
    heard.push(recordIn(message, headers, reading.last))
  } else if (status === 204 && isWhole) {
    end({ records: heard, pending: numberIn(headers, 'Nats-Num-Pending') })
  } else if (status === 404) end({ records: [], pending: 0 })
  // Else nobody answers for the stream: it has no leader, or is not there.
  else end(undefined)
}

const recordIn = (message: Msg, headers: string, sequence: number): StoredRecord =>
  readRecord(message, {
    sequence,
    storedAtMs: Date.parse(rawHeader(headers, 'Nats-Time-Stamp') ?? ''),
  })

/** How many of them have no more bytes together; one at least. */
function fitting(records: readonly StoredRecord[], mostBytes: number): number {
  let bytes = 0
  for (const [index, { data }] of records.entries()) {
    bytes += data.length
    if (bytes > mostBytes && index > 0) return index
  }
  return records.length
}
