/**
 * The functions there are: KV `lambus_functions`, one record per function, written by the control plane and watched by
 * everybody who has to know.
 *
 * Writers may be late: a process that was paused in the middle of storing a change may go on when the function has long
 * been changed again, or deleted, or created anew. So a record carries the step of its machine and an incarnation, new
 * with each creation. Within an incarnation only a higher step replaces a lower one. A removal ends the incarnation:
 * nothing of it can be stored any more. For that the entry, or the marker of the removed one, names the incarnations
 * that have ended; a marker goes away by itself after a day.
 */
import { nuid } from 'nats'
import { type Entry, readEntry, remove, writeEntry } from './bucket.ts'
import type { Bus, Clock, Log } from './bus.ts'
import { BusError } from './bus-error.ts'
import { ensureBucket } from './streams.ts'
import { functionsBucket } from './subjects.ts'
import { type Held, openWatched, type Watched } from './watched.ts'

/** What this file needs to know of a record. */
export type Stepped = { name: string; incarnation: string; step: number }

/** `stale`: somebody who knows more was there before, and nothing was changed. */
export type PutOutcome = { revision: number } | 'stale'

/** All of these throw BusError BUS_STORE_UNAVAILABLE when JetStream does not answer; it may be done all the same. */
export type Functions<T extends Stepped> = {
  /** Stores a record over one of a lower step. The same step again is not stale: it is stored already. */
  put(record: T): Promise<PutOutcome>
  /** Removes a record whose step is not higher, and ends its incarnation. Again is not stale: it is removed already. */
  remove(removed: Stepped): Promise<PutOutcome>
  /** By the word of the bucket's leader. */
  read(name: string): Promise<Held<T> | undefined>
  /** A copy in memory of all records, by name. */
  watch(options: {
    onChange?: (name: string, record: T | undefined, revision: number) => void
    reconcileEveryMs: number
    clock: Clock
    log?: Log
  }): Promise<Watched<T>>
}

const endedHeader = 'Lambus-Ended-Incarnations'
// A writer can be late for as long as its process was stopped. After a day it is not going to come.
const MARKER_TTL_MS = 86_400_000
// Incarnations of one name within a day whose late writers are still recognised.
const REMEMBERED_INCARNATIONS = 50
// Each round somebody else was faster, and each of them has a higher step.
const ROUNDS = 50

/** Makes sure of the bucket. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE. */
export async function openFunctions<T extends Stepped>(bus: Bus): Promise<Functions<T>> {
  const bucketOptions = { markerTtlMs: MARKER_TTL_MS }
  await ensureBucket(bus, functionsBucket, bucketOptions)

  /** Decides by what is there, and writes over exactly that. */
  async function settle(
    { name, incarnation, step }: Stepped,
    value: string | typeof remove,
  ): Promise<PutOutcome> {
    const write = nuid.next()
    for (let round = 0; round < ROUNDS; round++) {
      const entry = await readEntry(bus, functionsBucket, name)
      const there = entry && !entry.removed ? readRecord<T>(entry.value) : undefined
      const ended = endedIn(entry)
      if (entry && ended.includes(incarnation)) {
        return value === remove ? { revision: entry.revision } : 'stale'
      }
      if (there && (there.incarnation !== incarnation || there.step > step)) return 'stale'
      if (entry && there?.step === step && value !== remove) return { revision: entry.revision }
      const written = await writeEntry(bus, functionsBucket, name, {
        value,
        expectedRevision: entry?.revision ?? 0,
        write,
        ...withEnded(value === remove ? [...ended, incarnation] : ended),
        ...(value === remove ? { ttlMs: MARKER_TTL_MS } : {}),
      })
      if (written !== 'conflict') return { revision: written.revision }
    }
    throw new BusError('BUS_STORE_UNAVAILABLE', `${name}: too many write at the same time`)
  }

  return {
    put: (record) => settle(record, JSON.stringify(record)),
    remove: (removed) => settle(removed, remove),
    async read(name) {
      const entry = await readEntry(bus, functionsBucket, name)
      if (entry === undefined || entry.removed) return undefined
      return { value: readRecord<T>(entry.value), revision: entry.revision }
    },
    watch: (options) =>
      openWatched<T>(bus, {
        bucket: functionsBucket,
        ...bucketOptions,
        ...options,
        parse: readRecord<T>,
      }),
  }
}

const endedIn = (entry: Entry | undefined): string[] =>
  entry?.headers?.get(endedHeader).split(' ').filter(Boolean) ?? []

const withEnded = (ended: string[]): { headers?: Record<string, string> } =>
  ended.length === 0
    ? {}
    : { headers: { [endedHeader]: ended.slice(-REMEMBERED_INCARNATIONS).join(' ') } }

const decoder = new TextDecoder()

function readRecord<T extends Stepped>(bytes: Uint8Array): T {
  try {
    const record = JSON.parse(decoder.decode(bytes)) as T | null
    const { name, incarnation, step } = record ?? {}
    if (
      record &&
      typeof name === 'string' &&
      typeof incarnation === 'string' &&
      Number.isInteger(step)
    ) {
      return record
    }
  } catch {}
  throw new BusError('BUS_DOCUMENT_UNREADABLE', 'a function record cannot be read')
}
