/**
 * A directory: a bucket that one leader writes and everybody watches, like the queues there are, or who should read which
 * lane.
 *
 * An entry names the epoch of the leader that wrote it. One who has been replaced and does not know it yet cannot write over
 * what a later leader wrote. After a removal that is forgotten, and the later leader puts right what it finds.
 */
import { nuid } from 'nats'
import { readEntry, remove, writeEntry } from './bucket.ts'
import type { Bus, Clock, Log } from './bus.ts'
import { ensureBucket } from './streams.ts'
import { openWatched } from './watched.ts'

export type Directory<T> = {
  /** `stale`: a later leader wrote it, and nothing was changed. Throws BusError BUS_STORE_UNAVAILABLE. */
  put(key: string, value: T, epoch: number): Promise<'stored' | 'stale'>
  remove(key: string, epoch: number): Promise<'stored' | 'stale'>
  /** What the bucket's leader says now. Throws BusError BUS_STORE_UNAVAILABLE. */
  read(key: string): Promise<T | undefined>
  /**
   * Makes an entry of a leader before one of this epoch's, as it is, and gives it: from then on that leader cannot change
   * it. Undefined: there is none of a leader before. Throws as above.
   */
  take(key: string, epoch: number): Promise<T | undefined | 'stale'>
  /** Of whoever wrote the entry; 0: there is none. Throws as above. */
  epochOf(key: string): Promise<number>
  /** A copy in memory; hears first of everything that there is. */
  watch(options: {
    /** `epoch`: of who wrote it; 0 for what is gone. */
    onChange?: (key: string, value: T | undefined, epoch: number) => void
    reconcileEveryMs: number
    clock: Clock
    log: Log
  }): Promise<DirectoryCopy<T>>
}

export type DirectoryCopy<T> = {
  get(key: string): T | undefined
  entries(): IterableIterator<[key: string, value: T]>
  stop(): void
}

type Document<T> = { epoch: number; value: T }

// A copy that is behind for less than this hears a removal in order; after it, by comparing keys.
const MARKER_TTL_MS = 60_000
// Each round somebody else was faster; only leaders write.
const ROUNDS = 20

/** Makes sure of the bucket. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE. */
export async function openDirectory<T>(bus: Bus, bucket: string): Promise<Directory<T>> {
  const bucketOptions = { markerTtlMs: MARKER_TTL_MS }
  await ensureBucket(bus, bucket, bucketOptions)

  const write = async (
    key: string,
    epoch: number,
    value: string | typeof remove,
  ): Promise<'stored' | 'stale'> => {
    for (let round = 0; round < ROUNDS; round++) {
      const there = await readEntry(bus, bucket, key)
      const isThere = there !== undefined && !there.removed
      if (isThere && documentOf<T>(there.value).epoch > epoch) return 'stale'
      if (!isThere && value === remove) return 'stored'
      const written = await writeEntry(bus, bucket, key, {
        value,
        expectedRevision: there?.revision ?? 0,
        write: nuid.next(),
        ...(value === remove ? { ttlMs: MARKER_TTL_MS } : {}),
      })
      if (written !== 'conflict') return 'stored'
    }
    return 'stale'
  }

  const take = async (key: string, epoch: number): Promise<T | undefined | 'stale'> => {
    for (let round = 0; round < ROUNDS; round++) {
      const there = await readEntry(bus, bucket, key)
      if (there === undefined || there.removed) return undefined
      const { epoch: before, value } = documentOf<T>(there.value)
      if (before > epoch) return 'stale'
      if (before === epoch) return undefined
      const written = await writeEntry(bus, bucket, key, {
        value: JSON.stringify({ epoch, value }),
        expectedRevision: there.revision,
        write: nuid.next(),
      })
      if (written !== 'conflict') return value
    }
    return 'stale'
  }

  return {
    take,
    put: (key, value, epoch) => write(key, epoch, JSON.stringify({ epoch, value })),
    remove: (key, epoch) => write(key, epoch, remove),
    async epochOf(key) {
      const there = await readEntry(bus, bucket, key)
      return there === undefined || there.removed ? 0 : documentOf<T>(there.value).epoch
    },
    async read(key) {
      const there = await readEntry(bus, bucket, key)
      return there === undefined || there.removed ? undefined : documentOf<T>(there.value).value
    },
    async watch({ onChange, ...options }) {
      const watched = await openWatched<Document<T>>(bus, {
        bucket,
        ...bucketOptions,
        ...options,
        parse: documentOf<T>,
        ...(onChange === undefined
          ? {}
          : { onChange: (key, document) => onChange(key, document?.value, document?.epoch ?? 0) }),
      })
      return {
        get: (key) => watched.get(key)?.value.value,
        *entries() {
          for (const [key, held] of watched.entries()) yield [key, held.value.value]
        },
        stop: watched.stop,
      }
    },
  }
}

const decoder = new TextDecoder()
const documentOf = <T>(bytes: Uint8Array): Document<T> =>
  JSON.parse(decoder.decode(bytes)) as Document<T>
