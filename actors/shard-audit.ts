/**
 * Looks after what the leasing service and the pollers should have done: open shards that nobody reads, and hash keys that no
 * shard covers.
 *
 * It only tells. Who plans the leases goes by the same directory, and a range that stays uncovered means that this tracker
 * has not heard of shards that there are: then the stream is looked at anew.
 */
import type { Clock, Log } from '../bus/bus.ts'
import { type HashRange, holesIn } from '../machines/hash-audit.ts'
import type { TrackedShard } from './shard.ts'

export type ShardAudit = {
  readonly counts: {
    /** Shards that were found unread for long, each once until it is read. */
    readonly unread: number
    /** Mappings of which some hash key was found uncovered, as often as they were. */
    readonly uncovered: number
  }
  /** The mappings whose stream should be looked at anew. */
  look(tracked: Iterable<TrackedShard>): string[]
  forget(): void
}

export type ShardAuditBinding = {
  clock: Clock
  log: Log
  /** Who has its lease. */
  readerOf(key: string): string | undefined
}

/** A poller is missed after a second, and its shards are another's in two (DESIGN §6); five times that is long. */
const UNREAD_FOR_MS = 10_000
/** As often in a row, before it is believed. Source: lambda-semantics.md §9, "3 consecutive holes → shard sync". */
const HOLES_IN_A_ROW = 3

type Unread = { sinceMs: number; isTold: boolean }

export function openShardAudit({ clock, log, readerOf }: ShardAuditBinding): ShardAudit {
  const counts = { unread: 0, uncovered: 0 }
  let unread = new Map<string, Unread>()
  let holes = new Map<string, number>()

  const tellUnread = (key: string, found: Unread): void => {
    const forMs = clock.monotonicMs() - found.sinceMs
    if (found.isTold || forMs < UNREAD_FOR_MS) return
    found.isTold = true
    counts.unread += 1
    log.warn({ code: 'SHARD_UNREAD', shard: key, forMs }, 'an open shard is read by nobody')
  }

  const lookForUnread = (tracked: readonly TrackedShard[]): void => {
    const still = new Map<string, Unread>()
    for (const { key, work } of tracked) {
      if (work.state !== 'open' || readerOf(key) !== undefined) continue
      const found = unread.get(key) ?? { sinceMs: clock.monotonicMs(), isTold: false }
      still.set(key, found)
      tellUnread(key, found)
    }
    unread = still
  }

  const lookForHoles = (tracked: readonly TrackedShard[]): string[] => {
    const ranges = new Map<string, HashRange[]>()
    for (const { shard, work } of tracked) {
      const ofMapping = ranges.get(work.mapping) ?? []
      ranges.set(work.mapping, ofMapping)
      if (work.state !== 'ended') ofMapping.push(shard)
    }
    const still = new Map<string, number>()
    for (const [mapping, covered] of ranges) {
      if (holesIn(covered).length > 0) still.set(mapping, (holes.get(mapping) ?? 0) + 1)
    }
    holes = still
    const believed = [...holes].filter(([, times]) => times % HOLES_IN_A_ROW === 0)
    for (const [mapping] of believed) {
      counts.uncovered += 1
      log.warn(
        { code: 'SHARDS_UNCOVERED', mapping, holes: holesIn(ranges.get(mapping) ?? []) },
        'no shard covers these hash keys; the stream is looked at anew',
      )
    }
    return believed.map(([mapping]) => mapping)
  }

  return {
    counts,
    look(tracked) {
      const all = [...tracked]
      lookForUnread(all)
      return lookForHoles(all)
    },
    forget() {
      unread = new Map()
      holes = new Map()
    },
  }
}
