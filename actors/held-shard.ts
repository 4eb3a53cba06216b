/**
 * A shard that this poller holds for a mapping: what is known of it, and what is in hand of each of its lanes.
 */
import type { LaneProgress } from '../bus/checkpoints.ts'
import type { FilterRecord } from '../edges/aws/filter-pattern.ts'
import type { ShardCounts } from '../edges/stream-metrics.ts'
import type { MappingRecord, ShardWork } from '../machines/mapping.ts'
import type { Cut, ShardFrame } from './shard-batch.ts'
import type { Answered } from './shard-failure.ts'
import type { ShardReading } from './shard-reading.ts'

export type HeldShard = {
  key: string
  work: ShardWork
  /** As it is now. */
  mapping: MappingRecord
  frame: ShardFrame
  reading: ShardReading
  lanes: LaneInHand[]
  passes: (record: FilterRecord) => boolean
  counts: ShardCounts
}

export type LaneInHand = {
  /** The batch that is being tried, or is to be tried again. */
  cut: Cut | undefined
  /** Names the attempt that runs: an answer to another one is nobody's. */
  running: string | undefined
  /** Of the last attempt, for whoever is told. */
  answer: Answered | undefined
  requestId: string
  /** Of the window that is open, as JSON. */
  state: string
  /** To the next reader; while its machine runs, that knows better. */
  left: Omit<LaneProgress, 'done' | 'window'> & { windowStartMs?: number | undefined }
}

/** Of a window that begins. */
export const emptyState = '{}'

/** The machine of a lane. */
export const instanceOf = (key: string, lane: number): string => `${key}.${lane}`

export function partsOf(instance: string): { key: string; lane: number } {
  const dot = instance.lastIndexOf('.')
  return { key: instance.slice(0, dot), lane: Number(instance.slice(dot + 1)) }
}

export const laneOf = ({ lanes }: HeldShard, lane: number): LaneInHand => {
  const inHand = lanes[lane]
  if (inHand === undefined) throw new Error(`there is no lane ${lane}`)
  return inHand
}
