/**
 * `lambus streams`: the streams of records, how their shards came of each other, who reads them for which function, and how far
 * behind. The leading stream tracker answers.
 */
import type { Command } from 'commander'
import type {
  MappedShard,
  StreamsAnswer,
  StreamsQuestion,
  TrackedMapping,
  TrackedStream,
} from '../actors/tracked-streams.ts'
import * as subjects from '../bus/subjects.ts'
import { type Ask, withAnswers } from './asking.ts'
import type { CommonOptions } from './options.ts'
import { elapsed, print, printJson, remark, table } from './output.ts'

/** Asked while there is no leader, the next one answers: longer than it takes to find it. */
const ANSWER_MS = 5_000

export function register(program: Command): void {
  const command = program
    .command('streams')
    .argument('[stream]', 'only this one')
    .summary('show the streams of records and who reads them')
    .description(
      'Shows the streams of records: a row per shard; then a row per shard and function that reads it.',
    )
  command.action(async (stream: string | undefined) => {
    const options = command.optsWithGlobals<CommonOptions>()
    const streams = await withAnswers(options, 'stream tracker', (ask) => allStreams(ask, stream))
    if (options.json === true) return printJson({ streams })
    if (streams.length === 0) return remark('There are no streams.')
    print(table([shardHeading, ...streams.flatMap(shardRows)]))
    const readers = streams.flatMap(mappingRows)
    if (readers.length > 0) print(`\n${table([mappingHeading, ...readers])}`)
    for (const line of streams.flatMap(leftOut)) remark(line)
  })
}

async function allStreams(ask: Ask, stream: string | undefined): Promise<TrackedStream[]> {
  const streams: TrackedStream[] = []
  const question: StreamsQuestion = stream === undefined ? {} : { stream }
  for (let isMore = true; isMore; ) {
    const answer = await ask(subjects.trackedStreams, question, ANSWER_MS)
    const page = answer.json<StreamsAnswer>()
    streams.push(...page.streams)
    isMore = page.isMore
    question.after = streams.at(-1)?.stream ?? ''
  }
  return streams
}

const shardHeading = ['STREAM', 'STATUS', 'KEPT', 'SHARD', 'STATE', 'KEYS', 'PARENTS', 'CHILDREN']

function shardRows({ stream, status, retentionHours, shards }: TrackedStream): string[][] {
  const start = [stream, status, `${retentionHours}h`]
  if (shards.length === 0) return [[...start, '-', '-', '-', '-', '-']]
  return shards.map(({ shard, isOpen, hashShare, parents, children }) => [
    ...start,
    String(shard),
    isOpen ? 'open' : 'closed',
    percent(hashShare),
    list(parents),
    list(children),
  ])
}

const mappingHeading = [
  'STREAM',
  'FUNCTION',
  'MAPPING',
  'SHARD',
  'STATE',
  'POLLER',
  'LANES',
  'BEHIND',
  'FOR',
  'ITERATOR AGE',
  'RETRIES',
  'READ AGAIN',
]

const mappingRows = ({ stream, mappings }: TrackedStream): string[][] =>
  mappings.flatMap((mapping) => readerRows(stream, mapping))

function readerRows(stream: string, { functionName, state, shards }: TrackedMapping): string[][] {
  const start = [stream, functionName, state]
  if (shards.length === 0) return [[...start, ...mappingHeading.slice(3).map(() => '-')]]
  return shards.map((shard) => [...start, ...cellsOf(shard)])
}

const cellsOf = (each: MappedShard): string[] => [
  String(each.shard),
  each.state,
  each.poller ?? '-',
  count(each.lanes),
  count(each.behindRecords),
  time(each.behindMs),
  time(each.iteratorAgeMs),
  count(each.retries),
  rereading(each),
]

const leftOut = ({ stream, mappings }: TrackedStream): string[] =>
  mappings
    .filter((mapping) => mapping.leftOut > 0)
    .map((mapping) => `${stream}, ${mapping.functionName}: ${mapping.leftOut} more shards`)

function rereading({ rereading: read }: MappedShard): string {
  if (read === undefined) return '-'
  return percent((read.at - read.from) / (read.to - read.from))
}

const percent = (share: number): string => `${Number((100 * share).toFixed(1))}%`
const list = (shards: readonly number[]): string => (shards.length === 0 ? '-' : shards.join(' '))
const count = (amount: number | undefined): string => (amount === undefined ? '-' : String(amount))
const time = (ms: number | undefined): string => (ms === undefined ? '-' : elapsed(ms))
