/**
 * The hash space of a stream, 0 … 2^128 − 1, and how it is cut into shards: evenly at first, then by splits and merges.
 *
 *     2 shards to 3:   |   0    |   1    |     splits at what will be borders   |  2  |3| 4 |  5  |
 *                      ────────────────────                                     ─────────────────────
 *                                              then merges what is too small    |  2  |  6  |  5  |
 *
 * A reshard is done in rounds: what is closed, and what is opened in its place, in one change of the record stream. Open
 * shards cover the hash space before and after each round, without holes and overlaps.
 * Source: lambda-semantics.md §8.3, a recorded UpdateShardCount; Kinesis API reference, SplitShard, MergeShards.
 */
import type { Shard, StreamChange, StreamRecord } from './stream.ts'

const END = 2n ** 128n

type Range = { startHash: string; endHash: string }
/** A shard that is to be, without what is known only when it is. */
export type NewShard = Range & Pick<Shard, 'parent' | 'adjacentParent'>
/** `closed`: indexes, in the order in which they are replaced. */
export type Round = { closed: number[]; opened: NewShard[] }

const NO_ROUND: Round = { closed: [], opened: [] }

/** Shard i of n begins at floor(2^128 / n) · i; the last ends where the space does. */
export function evenRanges(count: number): Range[] {
  const width = END / BigInt(count)
  return Array.from({ length: count }, (_, index) => {
    const start = width * BigInt(index)
    const end = index === count - 1 ? END : start + width
    return { startHash: String(start), endHash: String(end - 1n) }
  })
}

/** In the order of their hashes. */
export const openShards = ({ shards }: Pick<StreamRecord, 'shards'>): Shard[] =>
  shards
    .filter(({ closedAtMs }) => closedAtMs === undefined)
    .sort((one, other) => (BigInt(one.startHash) < BigInt(other.startHash) ? -1 : 1))

/** How many open shards a stream has or is about to have: what counts against the limit of the account. */
export function shardsWanted(record: StreamRecord): number {
  const open = openShards(record).length
  if (record.status === 'CREATING') return record.nextShard
  if (record.status === 'DELETING') return 0
  if (record.change?.type === 'scale') return Math.max(open, record.change.target)
  return record.change?.type === 'split' ? open + 1 : open
}

/** What is to be done next of a change. Nothing closed: it needs no other shards. */
export function nextRound(record: StreamRecord, change: StreamChange | undefined): Round {
  const open = openShards(record)
  const shardOf = (index: number) => open.filter((shard) => shard.index === index)
  switch (change?.type) {
    case 'split':
      return roundOf(shardOf(change.shard).map((shard) => split(shard, change.newStartingHashKey)))
    case 'merge':
      return roundOf(
        shardOf(change.shard).flatMap((shard) =>
          shardOf(change.adjacent).map((adjacent) => merge(shard, adjacent)),
        ),
      )
    case 'scale':
      return scale(open, change.target)
    default:
      return NO_ROUND
  }
}

const roundOf = (pieces: readonly Round[]): Round => ({
  closed: pieces.flatMap(({ closed }) => closed),
  opened: pieces.flatMap(({ opened }) => opened),
})

const split = ({ index, startHash, endHash }: Shard, at: string): Round => ({
  closed: [index],
  opened: [
    { startHash, endHash: String(BigInt(at) - 1n), parent: index },
    { startHash: at, endHash, parent: index },
  ],
})

const merge = (shard: Shard, adjacent: Shard): Round => ({
  closed: [shard.index, adjacent.index],
  opened: [
    {
      startHash: shard.startHash,
      endHash: adjacent.endHash,
      parent: shard.index,
      adjacentParent: adjacent.index,
    },
  ],
})

/** Splits wherever a border is missing; when none is, merges in pairs what has no border between. */
function scale(open: readonly Shard[], target: number): Round {
  const borders = evenRanges(target).map(({ startHash }) => BigInt(startHash))
  const splits = open.flatMap((shard) => {
    const inside = borders.filter(
      (border) => BigInt(shard.startHash) < border && border <= BigInt(shard.endHash),
    )
    // The middle one, so that a shard that is cut in many pieces takes few rounds.
    const middle = inside[Math.floor(inside.length / 2)]
    return middle === undefined ? [] : [split(shard, String(middle))]
  })
  return splits.length > 0 ? roundOf(splits) : roundOf(mergePairs(open, borders))
}

function mergePairs(open: readonly Shard[], borders: readonly bigint[]): Round[] {
  const isBorder = new Set(borders)
  const merges: Round[] = []
  for (let at = 0; at + 1 < open.length; at++) {
    const [shard, adjacent] = [open[at], open[at + 1]] as [Shard, Shard]
    if (isBorder.has(BigInt(adjacent.startHash))) continue
    merges.push(merge(shard, adjacent))
    at++
  }
  return merges
}

/** Indexes that are open when the round is done. */
export const openAfter = (record: StreamRecord, { closed, opened }: Round): number[] => [
  ...openShards(record)
    .map(({ index }) => index)
    .filter((index) => !closed.includes(index)),
  ...opened.map((_, offset) => record.nextShard + offset),
]

/**
 * When the children of shards that were closed begin: in the second after, as kinesalite has recorded it. Their sequence
 * numbers begin with that second, so it has to be a later one than any of their parents'. What is stored in them before is
 * dated to it.
 */
export const childrenFromMs = (closedAtMs: number): number =>
  (Math.floor(closedAtMs / 1_000) + 1) * 1_000

/** The shards when the round is done: what was stored up to `lastSequence` is of those that are closed. */
export function shardsAfter(
  record: StreamRecord,
  { closed, opened }: Round,
  done: { lastSequence: number; atMs: number },
): Shard[] {
  if (closed.length === 0) return record.shards
  const parents = record.shards.filter(({ index }) => closed.includes(index))
  // Not before they were made, by whosever clock.
  const closedAtMs = Math.max(done.atMs, ...parents.map(({ createdAtMs }) => createdAtMs))
  return [
    ...record.shards.map((shard) =>
      closed.includes(shard.index) ? { ...shard, closedAtMs, until: done.lastSequence } : shard,
    ),
    ...opened.map((shard, offset) => ({
      index: record.nextShard + offset,
      ...shard,
      createdAtMs: childrenFromMs(closedAtMs),
      after: done.lastSequence,
    })),
  ]
}

/** Before a stream's own time: as AWS and kinesalite have it, by 2 to 7 seconds. */
const FIRST_EARLIER_MS = 3_000

export const firstShards = ({ createdAtMs, nextShard }: StreamRecord): Shard[] =>
  evenRanges(nextShard).map((range, index) => ({
    index,
    ...range,
    createdAtMs: createdAtMs - FIRST_EARLIER_MS,
    after: 0,
  }))
