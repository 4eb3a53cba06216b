/**
 * Leases: who works on what, for how long, and how a holder that has overslept is kept from doing harm.
 *
 *     (nothing) ──acquire──▶ held ──renew──▶ held ──release, evict, or TTL──▶ marker ──60 s──▶ (nothing)
 *
 * A lease is a KV entry with a TTL of its own. Whoever writes it names the revision that he replaces, so of many who try
 * exactly one succeeds, and a renewal that comes after an eviction or an expiry is refused. The revision of the first
 * write is the **epoch**: it stays through renewals and grows from holder to holder, so whatever a holder writes
 * elsewhere can be fenced by it. When the TTL passes, the server puts a marker in the entry's place, which everybody who
 * watches hears.
 *
 * A holder believes in its lease until `heldUntil`: counted from before the request that the server accepted was sent, so
 * the server never lets go earlier. (It lets go up to 260 ms later; measured over 2000 leases.) Believing it longer is
 * not harmful to others either, as long as everything is fenced.
 *
 * An answer that got lost means that nobody knows; then the entry tells, because every write carries the holder's id.
 * Source: NATS ADR-8, ADR-43 (per-message TTL) and ADR-48 (markers); nats-server 2.12 or newer.
 */
import { nuid } from 'nats'
import { type Entry, readEntry, remove, type Written, writeEntry } from './bucket.ts'
import type { Bus, Clock, Log } from './bus.ts'
import { BusError } from './bus-error.ts'
import { ensureBucket } from './streams.ts'
import { type Held, openWatched } from './watched.ts'

export type Lease<T> = {
  key: string
  value: T
  /** The revision at which it was acquired: the fencing token. Higher than that of every earlier holder. */
  epoch: number
  /** The revision of the last renewal. */
  revision: number
  /**
   * Milliseconds since the epoch, by our own wall clock, which also counts while a machine sleeps. From then on nothing
   * may be done in its name.
   */
  heldUntil: number
  /** Tells this holder from every other, also of the same process. */
  holder: string
}

/** What others see of a lease. */
export type Holding<T> = { value: T; epoch: number; revision: number }

export type LeaseWatch<T> = {
  get(key: string): Holding<T> | undefined
  entries(): IterableIterator<[key: string, holding: Holding<T>]>
  reached(revision: number, timeoutMs: number): Promise<boolean>
  stop(): void
}

/**
 * All of these throw BusError BUS_STORE_UNAVAILABLE when JetStream does not answer for as long as the TTL, and at least
 * 3 s.
 */
export type Leases<T> = {
  /** Undefined: somebody has it. */
  acquire(key: string, value: T): Promise<Lease<T> | undefined>
  /**
   * The lease with a new `heldUntil`, and `value` instead of its value if given; `lost` when it expired, was evicted or is
   * somebody else's. After BUS_STORE_UNAVAILABLE it is neither: it holds until `heldUntil`, and may be renewed again.
   */
  renew(lease: Lease<T>, value?: T): Promise<Lease<T> | 'lost'>
  /** Gives it back; does nothing when it is lost already. */
  release(lease: Lease<T>): Promise<void>
  /** Takes a lease from its holder, if it still is at `revision`: a renewal in between saves it. */
  evict(key: string, revision: number): Promise<boolean>
  /** Who has it, by the word of the bucket's leader. */
  read(key: string): Promise<Holding<T> | undefined>
  /**
   * Hears of every acquisition, renewal and end, and first of all leases that there are. `reconcileEveryMs` default: half
   * the TTL.
   */
  watch(
    onChange: (key: string, holding: Holding<T> | undefined, revision: number) => void,
    options?: { reconcileEveryMs?: number },
  ): Promise<LeaseWatch<T>>
}

export type LeaseOptions = {
  bucket: string
  /** At least 1000; at least 15 000 where the bucket has replicas, whose leader takes 4–7 s to be replaced. */
  ttlMs: number
  replicas?: number
  clock: Clock
  log?: Log
}

// NATS ADR-43: a TTL is at least one second.
const SHORTEST_TTL_MS = 1_000
// A watch that is behind for less than this hears the end of a lease in order; after it, by comparing keys.
const MARKER_TTL_MS = 60_000
// A busy server may take longer than a very short TTL, and is there all the same.
const LEAST_PATIENCE_MS = 3_000
// Each round somebody else was faster; nobody is that often.
const ROUNDS = 20

/** `epoch` is 0 in the first write, which cannot know its own revision. */
type Document<T> = { value: T; epoch: number }

/**
 * Makes sure of the bucket. Throws BusError BUS_LEASE_TOO_SHORT, and BUS_STREAM_UNFIT when the server is too old to let
 * an entry expire (it would take the TTL in silence and ignore it) or the bucket exists and cannot hold leases.
 */
export async function openLeases<T>(bus: Bus, options: LeaseOptions): Promise<Leases<T>> {
  const { bucket, ttlMs, replicas, clock, log } = options
  if (ttlMs < SHORTEST_TTL_MS) {
    throw new BusError('BUS_LEASE_TOO_SHORT', `a lease of ${ttlMs} ms: at least 1000 are needed`)
  }
  const bucketOptions = {
    markerTtlMs: MARKER_TTL_MS,
    ...(replicas === undefined ? {} : { replicas }),
  }
  await ensureBucket(bus, bucket, bucketOptions)

  const patienceMs = Math.max(ttlMs, LEAST_PATIENCE_MS)
  const there = (key: string) => readEntry(bus, bucket, key, patienceMs)

  async function write(
    key: string,
    document: Document<T>,
    expectedRevision: number,
    holder: string,
  ): Promise<{ revision: number; heldUntil: number } | 'conflict'> {
    const sentAtMs: number[] = []
    const written = await writeEntry(
      bus,
      bucket,
      key,
      {
        value: JSON.stringify(document),
        expectedRevision,
        ttlMs,
        write: `${holder}.${nuid.next()}`,
      },
      { patienceMs, onAttempt: (attempt) => (sentAtMs[attempt] = clock.nowMs()) },
    )
    if (written === 'conflict') return 'conflict'
    return { revision: written.revision, heldUntil: (sentAtMs[written.attempt] ?? 0) + ttlMs }
  }

  const erase = (
    key: string,
    expectedRevision: number,
    holder: string,
  ): Promise<Written | 'conflict'> =>
    writeEntry(
      bus,
      bucket,
      key,
      {
        value: remove,
        expectedRevision,
        ttlMs: MARKER_TTL_MS,
        write: `${holder}.${nuid.next()}`,
      },
      { patienceMs },
    )

  async function acquire(key: string, value: T): Promise<Lease<T> | undefined> {
    const holder = nuid.next()
    let expected = 0
    for (let round = 0; round < ROUNDS; round++) {
      const written = await write(key, { value, epoch: 0 }, expected, holder)
      if (written !== 'conflict') {
        return { key, value, holder, epoch: written.revision, ...written }
      }
      const entry = await there(key)
      if (entry && !entry.removed) return undefined
      expected = entry?.revision ?? 0
    }
    return undefined
  }

  /** Writes as this holder, over the newest revision that is its own. */
  async function asHolder<R>(
    lease: Lease<T>,
    attempt: (expectedRevision: number) => Promise<R | 'conflict'>,
  ): Promise<R | 'lost'> {
    let expected = lease.revision
    for (let round = 0; round < ROUNDS; round++) {
      const done = await attempt(expected)
      if (done !== 'conflict') return done
      // Ours all the same when an earlier renewal was carried out and its answer lost.
      const entry = await there(lease.key)
      if (entry === undefined || entry.removed || holderOf(entry) !== lease.holder) return 'lost'
      expected = entry.revision
    }
    return 'lost'
  }

  return {
    acquire,

    async renew(lease, value = lease.value) {
      const document = { value, epoch: lease.epoch }
      const renewed = await asHolder(lease, (expected) =>
        write(lease.key, document, expected, lease.holder),
      )
      return renewed === 'lost' ? 'lost' : { ...lease, value, ...renewed }
    },

    async release(lease) {
      await asHolder(lease, (expected) => erase(lease.key, expected, lease.holder))
    },

    evict: async (key, revision) => (await erase(key, revision, 'evicted')) !== 'conflict',

    async read(key) {
      const entry = await there(key)
      if (entry === undefined || entry.removed) return undefined
      return holdingOf(readDocument<T>(entry.value), entry.revision)
    },

    async watch(onChange, { reconcileEveryMs = ttlMs / 2 } = {}) {
      const watched = await openWatched<Document<T>>(bus, {
        bucket,
        ...bucketOptions,
        clock,
        ...(log === undefined ? {} : { log }),
        reconcileEveryMs,
        parse: readDocument,
        onChange: (key, document, revision) =>
          onChange(key, document && holdingOf(document, revision), revision),
      })
      const holding = ({ value, revision }: Held<Document<T>>) => holdingOf(value, revision)
      return {
        get(key) {
          const held = watched.get(key)
          return held && holding(held)
        },
        *entries() {
          for (const [key, held] of watched.entries()) yield [key, holding(held)]
        },
        reached: watched.reached,
        stop: watched.stop,
      }
    },
  }
}

const holderOf = (entry: Entry): string | undefined => entry.write?.split('.')[0]

const holdingOf = <T>({ value, epoch }: Document<T>, revision: number): Holding<T> => ({
  value,
  epoch: epoch === 0 ? revision : epoch,
  revision,
})

const decoder = new TextDecoder()

function readDocument<T>(bytes: Uint8Array): Document<T> {
  try {
    const document = JSON.parse(decoder.decode(bytes)) as Document<T> | null
    if (typeof document?.epoch === 'number') return document
  } catch {}
  throw new BusError('BUS_DOCUMENT_UNREADABLE', 'a lease cannot be read')
}
