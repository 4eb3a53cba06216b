/**
 * `lambus queues`: the queues of asynchronous events, who reads them, and how their functions fare. The leading state
 * manager answers.
 */
import type { Command } from 'commander'
import * as subjects from '../bus/subjects.ts'
import { withAnswers } from './asking.ts'
import type { CommonOptions } from './options.ts'
import { elapsed, print, printJson, remark, table } from './output.ts'

/** What the state manager answers on `lambus.queues`. What it does not know is absent or null. */
export type QueuesAnswer = { queues: Queue[] }

/** Asked while there is no leader, the next one answers: longer than it takes to find it. */
const ANSWER_MS = 5_000

type Queue = {
  queue: string
  kind: 'shared' | 'dedicated'
  /** Of a dedicated one. */
  functionName?: string | null
  state: string
  lanes: { lane: number; poller?: string | null; state: string }[]
  functions: QueuedFunction[]
}

type QueuedFunction = {
  functionName: string
  backlog: number
  inFlight: number
  /** Age of the oldest event. */
  oldestMs?: number | null
  /** From acceptance to the first attempt, of late. */
  firstAttemptP50Ms?: number | null
  firstAttemptP99Ms?: number | null
}

export function register(program: Command): void {
  const command = program
    .command('queues')
    .summary('show the queues of asynchronous events')
    .description('Shows the queues of asynchronous events: a row per queue and function.')
  command.action(async () => {
    const options = command.optsWithGlobals<CommonOptions>()
    const { queues } = await withAnswers(options, 'state manager', async (ask) =>
      (await ask(subjects.queues, undefined, ANSWER_MS)).json<QueuesAnswer>(),
    )
    if (options.json === true) return printJson({ queues })
    if (queues.length === 0) return remark('There are no queues yet.')
    print(queueTable(queues))
  })
}

const heading = [
  'QUEUE',
  'KIND',
  'STATE',
  'LANES READ',
  'FUNCTION',
  'BACKLOG',
  'IN FLIGHT',
  'OLDEST',
  'FIRST ATTEMPT P50',
  'P99',
]

const queueTable = (queues: readonly Queue[]): string => table([heading, ...queues.flatMap(rowsOf)])

function rowsOf(queue: Queue): string[][] {
  const { kind, state, lanes, functions } = queue
  const read = lanes.filter(({ poller }) => typeof poller === 'string').length
  const start = [queue.queue, kind, state, `${read} of ${lanes.length}`]
  if (functions.length === 0) return [[...start, queue.functionName ?? '-', ...nothing]]
  return functions.map((each) => [...start, ...cellsOf(each)])
}

const nothing = ['0', '0', '-', '-', '-']

const cellsOf = (each: QueuedFunction): string[] => [
  each.functionName,
  String(each.backlog),
  String(each.inFlight),
  time(each.oldestMs),
  time(each.firstAttemptP50Ms),
  time(each.firstAttemptP99Ms),
]

const time = (ms: number | null | undefined): string => (typeof ms === 'number' ? elapsed(ms) : '-')
