/**
 * What a poller tells once a second of the shards that it reads: how far each is, and how it fares. For `lambus streams`, and
 * for metrics.
 */
import type { Bus, Clock } from '../bus/bus.ts'
import { fieldsOf } from '../bus/message-fields.ts'
import { anyShardsReport, shardsReport, tokens } from '../bus/subjects.ts'
import type { ShardFigures } from '../edges/stream-metrics.ts'
import type { HeldShard } from './held-shard.ts'

/** `iteratorAgeMs`: of a batch that does not succeed, the age of its oldest record. */
export type ShardReport = ShardFigures & {
  mapping: string
  /** Every record up to here is done with. */
  done: number
  rereading?: { from: number; to: number; at: number }
}

/** A poller with many shards says it in several messages. */
export type ShardsReport = { shards: ShardReport[] }

export type ShardReports = {
  /** What was said last of a shard, if it was not long ago, and by whom. */
  get(mapping: string, shard: number): (ShardReport & { poller: string }) | undefined
  all(): (ShardReport & { poller: string })[]
  stop(): void
}

const REPORT_EVERY_MS = 1_000
/** A report older than this is of nobody. */
const REPORT_KEPT_MS = 5_000
/** About 350 bytes each: far from the megabyte that a message may have. */
const MOST_IN_MESSAGE = 1_000
/** What is behind by fewer records than these is nothing to watch. */
const LONG_READ = 1_000

/** Reports until the function returned is called. */
export function reportShards(
  bus: Bus,
  { clock, pollerId, held }: { clock: Clock; pollerId: string; held: () => Iterable<HeldShard> },
): () => void {
  let timer: unknown
  const tell = () => {
    timer = clock.setTimer(tell, REPORT_EVERY_MS)
    if (!bus.up) return
    const shards = Array.from(held(), (shard) => reportOf(shard, clock.nowMs()))
    for (let first = 0; first < shards.length; first += MOST_IN_MESSAGE) {
      const report: ShardsReport = { shards: shards.slice(first, first + MOST_IN_MESSAGE) }
      bus.publish(shardsReport(pollerId), JSON.stringify(report))
    }
  }
  tell()
  return () => clock.clearTimer(timer)
}

export function reportOf(
  { mapping, work, reading, counts }: HeldShard,
  nowMs: number,
): ShardReport {
  const { lanes, progress } = reading
  const all = Array.from({ length: lanes.lanes }, (_, lane) => lane)
  const oldest = all.flatMap((lane) => lanes.at(lane, 0)?.arrivalMs ?? [])
  const behindMs = oldest.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...oldest))
  return {
    mapping: work.mapping,
    functionName: mapping.functionName,
    stream: work.stream,
    shard: work.shard,
    lanes: lanes.lanes,
    done: Math.min(...all.map((lane) => lanes.done(lane))),
    behindRecords: all.reduce((sum, lane) => sum + lanes.size(lane), reading.pending),
    behindMs,
    ...counts,
    iteratorAgeMs: Math.max(counts.iteratorAgeMs, behindMs),
    ...rereadingOf(progress),
  }
}

function rereadingOf({ from, at, to }: HeldShard['reading']['progress']): {
  rereading?: ShardReport['rereading'] & object
} {
  if (to === undefined || at >= to || to - from < LONG_READ) return {}
  return { rereading: { from, to, at } }
}

const isReport = (one: unknown): one is ShardReport =>
  typeof one === 'object' && one !== null && 'mapping' in one && 'shard' in one

/** Hears all pollers. */
export function collectShardReports(bus: Bus, clock: Clock): ShardReports {
  const heard = new Map<string, { atMs: number; report: ShardReport & { poller: string } }>()
  const keyOf = (mapping: string, shard: number) => `${mapping}.${shard}`
  const isFresh = ({ atMs }: { atMs: number }) => clock.monotonicMs() - atMs < REPORT_KEPT_MS

  const hearing = bus.subscribe(anyShardsReport, (message) => {
    // Another one comes in a second.
    const shards = fieldsOf(message)?.['shards']
    if (!Array.isArray(shards)) return
    const poller = tokens(message.subject)[2] ?? ''
    const atMs = clock.monotonicMs()
    for (const report of shards.filter(isReport)) {
      heard.set(keyOf(report.mapping, report.shard), { atMs, report: { ...report, poller } })
    }
  })

  return {
    get(mapping, shard) {
      const said = heard.get(keyOf(mapping, shard))
      return said !== undefined && isFresh(said) ? said.report : undefined
    },
    all() {
      for (const [key, said] of heard) if (!isFresh(said)) heard.delete(key)
      return Array.from(heard.values(), ({ report }) => report)
    },
    stop: () => hearing.stop(),
  }
}
