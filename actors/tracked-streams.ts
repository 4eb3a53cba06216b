/**
 * What the leading stream tracker answers on `lambus.streams`: the streams there are, how their shards came of each other, who
 * reads them for which function, and how far.
 */
import type { Bus, Clock, Msg } from '../bus/bus.ts'
import { fieldsOf } from '../bus/message-fields.ts'
import { trackedStreams } from '../bus/subjects.ts'
import { shardId } from '../edges/aws/shard-id.ts'
import type { MappingRecord, ShardWork } from '../machines/mapping.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import { type LeaderQuestions, openLeaderQuestions } from './leader-questions.ts'
import { collectShardReports, type ShardReport, type ShardReports } from './shards-report.ts'

/** Absent: all streams; `after`: those behind that name. */
export type StreamsQuestion = { stream?: string; after?: string }

/** By name. `isMore`: ask again, `after` the last of these. */
export type StreamsAnswer = { streams: TrackedStream[]; isMore: boolean }

export type TrackedStream = {
  stream: string
  status: StreamRecord['status']
  mode: StreamRecord['mode']
  retentionHours: number
  shards: TrackedShard[]
  mappings: TrackedMapping[]
}

export type TrackedShard = {
  shard: number
  shardId: string
  isOpen: boolean
  /** Of all hash keys, 0 to 1. */
  hashShare: number
  parents: number[]
  children: number[]
}

export type TrackedMapping = {
  uuid: string
  functionName: string
  state: MappingRecord['state']
  reason: string
  lastResult: string
  /** Shards that are read, or will be; the most behind of very many. */
  shards: MappedShard[]
  /** How many more there are. */
  leftOut: number
}

/** Without a poller: nobody has said lately that he reads it. */
export type MappedShard = { shard: number; state: ShardWork['state']; poller?: string } & Partial<
  Omit<ShardReport, 'mapping' | 'functionName' | 'stream' | 'shard'>
>

export type Tracked = {
  streams: Iterable<StreamRecord>
  mappings: Iterable<MappingRecord>
  works: Iterable<ShardWork>
}

/** About 400 bytes each. A message may have a megabyte. */
const MOST_SHARDS = 2_000

/** Answers while this process leads. `tracked` is not called before. */
export function serveTrackedStreams(
  bus: Bus,
  { clock, tracked }: { clock: Clock; tracked: () => Tracked },
): LeaderQuestions {
  const reports = collectShardReports(bus, clock)
  const questions = openLeaderQuestions({
    bus,
    clock,
    subject: trackedStreams,
    answer: (question) =>
      question.respond(JSON.stringify(answerTo(questionOf(question), tracked(), reports))),
  })
  return {
    ...questions,
    stop() {
      questions.stop()
      reports.stop()
    },
  }
}

/** Whoever asks for nothing that is known is told of all. */
function questionOf(message: Msg): StreamsQuestion {
  const { stream, after } = (message.data.length === 0 ? undefined : fieldsOf(message)) ?? {}
  return {
    ...(typeof stream === 'string' ? { stream } : {}),
    ...(typeof after === 'string' ? { after } : {}),
  }
}

/** As many streams as go into one message, and at least one. */
export function answerTo(
  { stream: only, after }: StreamsQuestion,
  { streams, mappings, works }: Tracked,
  reports: Pick<ShardReports, 'get'>,
): StreamsAnswer {
  const asked = [...streams]
    .filter(({ name }) => (only === undefined || name === only) && name > (after ?? ''))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
  const mappingsOf = grouped(mappings, ({ stream }) => stream)
  const worksOf = grouped(works, ({ mapping }) => mapping)
  const answer: TrackedStream[] = []
  let rows = 0
  for (const record of asked) {
    const mapped = (mappingsOf.get(record.name) ?? [])
      .sort((one, other) => (one.functionName < other.functionName ? -1 : 1))
      .map((mapping) => mappingOf(mapping, worksOf.get(mapping.uuid) ?? [], reports))
    const own = record.shards.length + mapped.reduce((sum, { shards }) => sum + shards.length, 1)
    if (answer.length > 0 && rows + own > MOST_SHARDS) return { streams: answer, isMore: true }
    rows += own
    answer.push(streamOf(record, mapped))
  }
  return { streams: answer, isMore: false }
}

function grouped<T>(all: Iterable<T>, by: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const one of all) {
    const group = groups.get(by(one))
    if (group === undefined) groups.set(by(one), [one])
    else group.push(one)
  }
  return groups
}

const streamOf = (record: StreamRecord, mappings: TrackedMapping[]): TrackedStream => ({
  stream: record.name,
  status: record.status,
  mode: record.mode,
  retentionHours: record.retentionHours,
  shards: record.shards.map((shard) => shardOf(shard, record.shards)),
  mappings,
})

const parentsOf = ({ parent, adjacentParent }: Shard): number[] =>
  [parent, adjacentParent].filter((index) => index !== undefined)

const shardOf = (shard: Shard, all: readonly Shard[]): TrackedShard => ({
  shard: shard.index,
  shardId: shardId(shard.index),
  isOpen: shard.closedAtMs === undefined,
  hashShare: Number(BigInt(shard.endHash) - BigInt(shard.startHash) + 1n) / 2 ** 128,
  parents: parentsOf(shard),
  children: all.filter((one) => parentsOf(one).includes(shard.index)).map(({ index }) => index),
})

function mappingOf(
  { uuid, functionName, state, reason, lastResult }: MappingRecord,
  works: readonly ShardWork[],
  reports: Pick<ShardReports, 'get'>,
): TrackedMapping {
  const all = works.map((work) => mappedShard(work, reports))
  const shown = all.sort(byLag).slice(0, MOST_SHARDS).sort(byShard)
  const leftOut = all.length - shown.length
  return { uuid, functionName, state, reason, lastResult, shards: shown, leftOut }
}

const byLag = (one: MappedShard, other: MappedShard) => (other.behindMs ?? 0) - (one.behindMs ?? 0)
const byShard = (one: MappedShard, other: MappedShard) => one.shard - other.shard

function mappedShard(
  { mapping, shard, state }: ShardWork,
  reports: Pick<ShardReports, 'get'>,
): MappedShard {
  // Of one that is done with, the last report is of a moment before its end.
  const report = state === 'ended' ? undefined : reports.get(mapping, shard)
  if (report === undefined) return { shard, state }
  const { mapping: _, functionName: __, stream: ___, ...rest } = report
  return { ...rest, shard, state }
}
