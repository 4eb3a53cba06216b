/**
 * One entry of a KV bucket: read where it is certain, written where it is expected.
 *
 * A read goes to the leader of the bucket's stream, never to the direct API, which any replica answers, even one that is
 * behind. A write names the revision that it replaces (0: there is nothing). An answer that is lost on the way leaves it
 * open whether a write was carried out, so every write carries an id, and asking again tells: either it is carried out
 * now, or the entry turns out to be ours already.
 *
 * Not through the KV client: its `update()` takes no TTL and would make a lease permanent, and its
 * `delete(key, { previousSeq: 0 })` would not compare at all.
 */
import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream'
import { errors, headers, type MsgHdrs } from 'nats'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'
import { insist } from './insist.ts'
import { kvEntry, kvStream } from './subjects.ts'

export type Entry = {
  value: Uint8Array
  revision: number
  /** Deleted, purged or expired: what is there is only the marker of it. */
  removed: boolean
  /** The id of the write that made this entry, if it was one of ours. */
  write: string | undefined
  headers: MsgHdrs | undefined
}

export type EntryWrite = {
  /** `remove` removes the entry and leaves a marker. */
  value: Uint8Array | string | typeof remove
  expectedRevision: number
  headers?: Record<string, string>
  /** When the entry, or the marker, goes away by itself: at least 1000. Absent: never. */
  ttlMs?: number
  /** Different for every write. */
  write: string
}

export const remove = Symbol('remove')

/** `attempt` counts from 0: a write that was carried out may have reached the server as early as its first. */
export type Written = { revision: number; attempt: number }

const writeHeader = 'Lambus-Write'
// One request; a server that is there answers in milliseconds, and a lease has no time to wait for one that is not.
const ANSWER_TIMEOUT_MS = 1_000
// nats-server, errors.json: another write of this entry, or this very one, is being replicated; nobody knows its end yet.
const IN_FLIGHT: number[] = [JetStreamApiCodes.StreamWrongLastSequenceUnknown, 10158]

/** Whether the headers of a stored message make it a marker. Expiry has a reason of its own and no KV operation. */
export const isMarker = (head: MsgHdrs | undefined): boolean =>
  head !== undefined &&
  (head.has('Nats-Marker-Reason') || ['DEL', 'PURGE'].includes(head.get('KV-Operation')))

/** The entry, or its marker, or undefined. Throws BusError BUS_STORE_UNAVAILABLE, BUS_BAD_SUBJECT. */
export async function readEntry(
  bus: Bus,
  bucket: string,
  key: string,
  patienceMs?: number,
): Promise<Entry | undefined> {
  const subject = entrySubject(bucket, key)
  const read = async () => {
    const manager = await bus.jetstreamManager()
    return await manager.streams.getMessage(kvStream(bucket), { last_by_subj: subject })
  }
  const found = await insist(bus, subject, read, patienceMs)
  if (found === null) return undefined
  return {
    value: found.data,
    revision: found.seq,
    removed: isMarker(found.header),
    write: found.header?.get(writeHeader) || undefined,
    headers: found.header,
  }
}

/**
 * Writes over exactly `expectedRevision`; `conflict` when that is not what is there. Throws BusError
 * BUS_STORE_UNAVAILABLE when nobody could say within `patienceMs` (default 30 s): it may be written all the same.
 */
export async function writeEntry(
  bus: Bus,
  bucket: string,
  key: string,
  entry: EntryWrite,
  options: { patienceMs?: number; onAttempt?: (attempt: number) => void } = {},
): Promise<Written | 'conflict'> {
  const subject = entrySubject(bucket, key)
  const { value, expectedRevision, ttlMs } = entry
  return await insist(
    bus,
    subject,
    async (attempt) => {
      options.onAttempt?.(attempt)
      try {
        const stored = await bus.jetstream.publish(subject, value === remove ? '' : value, {
          headers: headersOf(entry),
          expect: { lastSubjectSequence: expectedRevision },
          ...(ttlMs === undefined ? {} : { ttl: `${ttlMs}ms` }),
          timeout: ANSWER_TIMEOUT_MS,
        })
        return { revision: stored.seq, attempt }
      } catch (error) {
        if (!isConflict(error)) throw known(error, subject)
        if (attempt === 0) return 'conflict'
        const there = await readEntry(bus, bucket, key, options.patienceMs)
        return there?.write === entry.write ? { revision: there.revision, attempt: 0 } : 'conflict'
      }
    },
    options.patienceMs,
  )
}

/** Source: NATS ADR-8, "JetStream based Key-Value Stores", valid keys. */
function entrySubject(bucket: string, key: string): string {
  if (/^[-/=\w]+(\.[-/=\w]+)*$/.test(key)) return kvEntry(bucket, key)
  throw new BusError('BUS_BAD_SUBJECT', `'${key}' cannot be a key`)
}

function headersOf({ value, write, headers: more = {} }: EntryWrite): MsgHdrs {
  const head = headers()
  for (const [name, text] of Object.entries(more)) head.set(name, text)
  head.set(writeHeader, write)
  if (value === remove) {
    head.set('KV-Operation', 'PURGE')
    head.set('Nats-Rollup', 'sub')
  }
  return head
}

const isConflict = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence

function known(error: unknown, subject: string): unknown {
  if (error instanceof JetStreamApiError && IN_FLIGHT.includes(error.code)) {
    return new errors.TimeoutError({ cause: error })
  }
  if (error instanceof errors.InvalidArgumentError) {
    return new BusError('BUS_PAYLOAD_TOO_LARGE', `too large for ${subject}`, error)
  }
  return error
}
