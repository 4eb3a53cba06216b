/**
 * A KV bucket kept in memory, and what it takes to believe in it.
 *
 * A watch alone can be wrong for ever: an update lost in a dying connection is not noticed while the bucket is quiet, and
 * an entry whose marker came and went while the link was down is never heard of again. So
 *
 * - after each reconnect the watch is opened anew, from the last revision + 1,
 * - whenever it has been opened anew, the keys that the bucket has are compared with ours,
 * - every `reconcileEveryMs` the bucket's last sequence is compared with ours; who is behind opens anew.
 *
 * A bucket that was deleted and made again starts over: its revisions count from 1, and what is not in it is gone.
 */
import type { StreamInfo } from '@nats-io/jetstream'
import type { Msg } from 'nats'
import { isMarker, readEntry } from './bucket.ts'
import type { Bus, Clock, Log } from './bus.ts'
import { BusError } from './bus-error.ts'
import { askOnce, insist } from './insist.ts'
import { ensureBucket } from './streams.ts'
import { anyKvEntry, kvEntry, kvStream } from './subjects.ts'
import { openTail, type Tail } from './tail.ts'

export type Held<T> = { value: T; revision: number }

export type Watched<T> = {
  get(key: string): Held<T> | undefined
  entries(): IterableIterator<[key: string, held: Held<T>]>
  readonly size: number
  /** The highest revision known to be reflected here. */
  readonly revision: number
  /** How often the watch had missed something, and how many values could not be read. For metrics and tests. */
  readonly counts: { readonly missed: number; readonly unreadable: number }
  /** Resolves true as soon as `revision` is reflected here, false after `timeoutMs`. For reading one's own writes. */
  reached(revision: number, timeoutMs: number): Promise<boolean>
  /** What the bucket's leader says now, whatever is kept here. Throws BusError BUS_STORE_UNAVAILABLE. */
  read(key: string): Promise<Held<T> | undefined>
  stop(): void
}

export type WatchOptions<T> = {
  bucket: string
  /** At least 1000 makes single entries able to expire. */
  markerTtlMs?: number
  replicas?: number
  /** A value that was set, or undefined for one that is gone. Not for one that nobody had here. */
  onChange?: (key: string, value: T | undefined, revision: number) => void
  reconcileEveryMs: number
  clock: Clock
  log?: Log
  /** Default JSON.parse. What it throws makes the value unreadable: it is skipped, and the previous one is kept. */
  parse?: (bytes: Uint8Array) => T
}

// An update that is on its way is not a missed one.
const ON_ITS_WAY_MS = 250
const PAUSE_MS = 1_000

const decoder = new TextDecoder()
const parseJson = <T>(bytes: Uint8Array): T => JSON.parse(decoder.decode(bytes)) as T

/**
 * Makes sure of the bucket and resolves when everything in it is here. Throws BusError BUS_STREAM_UNFIT when the server
 * or an existing bucket does not do what is asked, BUS_STORE_UNAVAILABLE when JetStream does not answer.
 */
export async function openWatched<T>(bus: Bus, options: WatchOptions<T>): Promise<Watched<T>> {
  const { bucket, clock, log, parse = parseJson<T> } = options
  const stream = kvStream(bucket)
  const prefix = kvEntry(bucket, '')
  const held = new Map<string, Held<T>>()
  const counts = { missed: 0, unreadable: 0 }
  const waiting = new Set<{ revision: number; wake: () => void }>()
  let revision = 0
  let created: string | undefined
  let tail: Tail | undefined
  // Each look has a number; whatever belongs to an earlier one is ignored.
  let looks = 0
  let stopped = false

  function advance(to: number): void {
    revision = Math.max(revision, to)
    for (const waiter of waiting) if (waiter.revision <= revision) waiter.wake()
  }

  function tell(key: string, value: T | undefined, at: number): void {
    try {
      options.onChange?.(key, value, at)
    } catch (error) {
      log?.error({ code: 'BUS_HANDLER_FAILED', bucket, key, err: error }, 'a watcher threw')
    }
  }

  function set(key: string, bytes: Uint8Array, at: number): void {
    let value: T
    try {
      value = parse(bytes)
    } catch (error) {
      counts.unreadable += 1
      if (counts.unreadable === 1) {
        log?.error(
          { code: 'BUS_VALUE_UNREADABLE', bucket, key, revision: at, err: error },
          'a value cannot be read and is skipped; further ones are only counted',
        )
      }
      return
    }
    held.set(key, { value, revision: at })
    tell(key, value, at)
  }

  function drop(key: string, at: number): void {
    if (held.delete(key)) tell(key, undefined, at)
  }

  function apply(message: Msg, sequence: number): void {
    if (sequence <= revision) return
    const key = message.subject.slice(prefix.length)
    if (isMarker(message.headers)) drop(key, sequence)
    else set(key, message.data, sequence)
    advance(sequence)
  }

  /** Opens the watch anew and keeps trying; resolves when it is open, or another look has taken over. */
  async function look(): Promise<void> {
    const mine = ++looks
    tail?.stop()
    tail = undefined
    while (mine === looks) {
      try {
        await open(mine)
        return
      } catch (error) {
        if (mine !== looks) return
        if (!isOpen || isClosed(error)) throw error
        log?.warn({ code: 'BUS_WATCH_FAILED', bucket, err: error }, 'the watch is not open yet')
        await new Promise<void>((resolve) => clock.setTimer(resolve, PAUSE_MS))
      }
    }
  }

  async function open(mine: number): Promise<void> {
    const info = await ensureBucket(bus, bucket, options)
    if (mine !== looks) return
    const isAnother = info.created !== created || info.state.last_seq < revision
    if (isAnother) {
      created = info.created
      revision = 0
    }
    const seen = isAnother ? new Set<string>() : undefined
    const opened = await openTail(
      bus,
      { stream, subject: anyKvEntry(bucket), from: isAnother ? undefined : revision + 1 },
      {
        message(message, sequence) {
          if (mine !== looks) return
          seen?.add(message.subject)
          apply(message, sequence)
        },
        caughtUp() {
          if (mine !== looks) return
          const at = info.state.last_seq
          if (seen === undefined) return caughtUpAgain(mine, at)
          // Revisions of an earlier bucket of this name say nothing here.
          for (const key of [...held.keys()]) if (!seen.has(kvEntry(bucket, key))) drop(key, at)
          advance(at)
          loaded()
        },
        broken(why) {
          if (mine !== looks) return
          counts.missed += 1
          log?.warn({ code: 'BUS_WATCH_BROKEN', bucket, why }, 'the watch is opened anew')
          lookAgain()
        },
      },
    )
    if (mine === looks) tail = opened
    else opened.stop()
  }

  /** Drops what was known at sequence `at` and has no entry any more, nor a marker that would tell us. */
  async function compare(at: number): Promise<void> {
    if (held.size === 0) return
    const { state } = await insist(bus, stream, () => streamInfo({ subjects_filter: '>' }))
    const subjects = state.subjects ?? {}
    for (const [key, { revision: since }] of [...held]) {
      if (since <= at && !(kvEntry(bucket, key) in subjects)) drop(key, at)
    }
  }

  function caughtUpAgain(mine: number, at: number): void {
    const done = () => {
      if (mine !== looks) return
      advance(at)
      loaded()
    }
    quietly(() => compare(at).finally(done))()
  }

  async function streamInfo(options?: { subjects_filter: string }): Promise<StreamInfo> {
    return await (await bus.jetstreamManager()).streams.info(stream, options)
  }

  async function reconcile(): Promise<void> {
    const mine = looks
    const known = revision
    if (!bus.up || tail === undefined) return
    const { created: since, state } = await askOnce(bus, stream, () => streamInfo())
    const isBehind = state.last_seq > revision && !(await isOnItsWay(state.last_seq))
    if (mine !== looks) return
    if (isBehind || since !== created || state.last_seq < known) {
      counts.missed += 1
      log?.warn(
        { code: 'BUS_WATCH_BEHIND', bucket, revision, lastRevision: state.last_seq },
        'the watch has missed something and is opened anew',
      )
      await look()
    } else if ((state.num_subjects ?? 0) < held.size) await compare(state.last_seq)
  }

  /** Where this process stood still, what was there in time is heard only after the timers. */
  async function isOnItsWay(wanted: number): Promise<boolean> {
    if (await reachedWithin(wanted, ON_ITS_WAY_MS)) return true
    await new Promise(setImmediate)
    return wanted <= revision
  }

  function reachedWithin(wanted: number, timeoutMs: number): Promise<boolean> {
    if (wanted <= revision) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (reached: boolean) => {
        clock.clearTimer(timer)
        waiting.delete(waiter)
        resolve(reached)
      }
      const waiter = { revision: wanted, wake: () => end(true) }
      const timer = clock.setTimer(() => end(false), timeoutMs)
      waiting.add(waiter)
    })
  }

  const quietly = (work: () => Promise<void>) => () => {
    work().catch((error) => {
      if (stopped || isClosed(error)) return
      log?.warn({ code: 'BUS_WATCH_FAILED', bucket, err: error }, 'will be tried again')
    })
  }
  const lookAgain = quietly(look)
  const reconcileSoon = quietly(reconcile)

  let isOpen = false
  let loaded = () => {}
  const isLoaded = new Promise<void>((resolve) => {
    loaded = resolve
  })
  const forgetReconnects = bus.onReconnect(lookAgain)
  let reconciling: unknown
  const schedule = () => {
    reconciling = clock.setTimer(() => {
      reconcileSoon()
      schedule()
    }, options.reconcileEveryMs)
  }

  const stop = () => {
    stopped = true
    looks += 1
    tail?.stop()
    forgetReconnects()
    clock.clearTimer(reconciling)
  }

  try {
    await look()
  } catch (error) {
    stop()
    throw error
  }
  isOpen = true
  await isLoaded
  schedule()

  return {
    get: (key) => held.get(key),
    entries: () => held.entries(),
    get size() {
      return held.size
    },
    get revision() {
      return revision
    },
    counts,
    async reached(wanted, timeoutMs) {
      const firstMs = Math.min(timeoutMs, ON_ITS_WAY_MS)
      if (await reachedWithin(wanted, firstMs)) return true
      // Longer than any update takes: it may have been missed, or its entry is gone already.
      reconcileSoon()
      return await reachedWithin(wanted, timeoutMs - firstMs)
    },
    async read(key) {
      const entry = await readEntry(bus, bucket, key)
      if (entry === undefined || entry.removed) return undefined
      return { value: parse(entry.value), revision: entry.revision }
    },
    stop,
  }
}

const isClosed = (error: unknown): boolean =>
  error instanceof BusError && error.code === 'BUS_CLOSED'
