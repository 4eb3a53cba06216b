/**
 * `lambus events list | show | redrive`: asynchronous events that wait or are dead, and what became of each.
 */
import { type Command, Option } from 'commander'
import type { EventLine, EventsAnswer, RedriveAnswer } from '../actors/event-desk.ts'
import type { EventState } from '../bus/event-shelf.ts'
import * as subjects from '../bus/subjects.ts'
import { type Ask, withAnswers } from './asking.ts'
import { asJson, asTable, asText, type FoundEvent } from './event-lines.ts'
import { plainName } from './function-name.ts'
import { type CommonOptions, wholeNumber } from './options.ts'
import { print, printJson, remark } from './output.ts'
import { openProgress, type Progress } from './progress.ts'

type ListOptions = CommonOptions & { function?: string; state?: EventState; limit: number }
type RedriveOptions = CommonOptions & { function?: string; all?: boolean }

const MOST_LISTED = 1_000_000
/** What the state manager answers, and takes, at most. */
const PER_PAGE = 500

export function register(program: Command): void {
  const events = program
    .command('events')
    .helpCommand(false)
    .summary('show asynchronous events, put dead ones back')
    .description('Asynchronous events that wait for their function, and dead ones.')
  registerList(events)
  registerShow(events)
  registerRedrive(events)
}

function registerList(events: Command): void {
  const command = events
    .command('list')
    .alias('ls')
    .summary('list events')
    .description('Lists events: the dead, those that wait for a retry, those in a queue.')
    .option('--function <function>', 'only of this function: a name or an ARN')
    .addOption(
      new Option('--state <state>', 'only in this state').choices(['queued', 'waiting', 'dead']),
    )
    .option('--limit <n>', 'at most so many', wholeNumber(1, MOST_LISTED), 100)
  command.action(async () => {
    const options = command.optsWithGlobals<ListOptions>()
    const { lines, isMore } = await withAnswers(options, 'state manager', (ask) =>
      list(ask, options),
    )
    if (options.json === true) return printJson({ events: lines })
    if (lines.length === 0) return remark('There are no such events.')
    print(asTable(lines, Date.now()))
    if (isMore) remark(`There are more than ${options.limit}: --limit shows more of them.`)
  })
}

async function list(ask: Ask, { function: name, state, limit }: ListOptions) {
  const lines: EventLine[] = []
  let cursor: string | undefined
  do {
    const answer = await ask(subjects.queuedEvents, {
      ...ofFunction(name),
      state,
      cursor,
      limit: Math.min(PER_PAGE, limit - lines.length),
    })
    const page = answer.json<EventsAnswer>()
    lines.push(...page.events)
    cursor = page.cursor
  } while (cursor !== undefined && lines.length < limit)
  return { lines, isMore: cursor !== undefined }
}

const ofFunction = (name: string | undefined) =>
  name === undefined ? {} : { functionName: plainName(name) }

function registerShow(events: Command): void {
  const command = events
    .command('show')
    .summary('show one event with its payload')
    .description('Shows an event: where it is, what became of it so far, and its payload.')
    .argument('<request id>', "what the invoke answered with, in the header 'x-amzn-requestid'")
  command.action(async (requestId: string) => {
    const options = command.optsWithGlobals<CommonOptions>()
    const progress = openProgress({ json: options.json === true })
    const found = await withAnswers(options, 'state manager', (ask) =>
      find(ask, requestId, progress),
    ).finally(() => progress.clear())
    if (options.json === true) printJson(asJson(found))
    else print(asText(found, Date.now()))
  })
}

/** Queues are looked through piece by piece. */
async function find(ask: Ask, requestId: string, progress: Progress): Promise<FoundEvent> {
  let cursor: string | undefined
  for (;;) {
    const { data } = await ask(subjects.queuedEvent, { requestId, cursor })
    const bytes = Buffer.from(data)
    const end = bytes.indexOf('\n')
    const head = JSON.parse(bytes.toString('utf8', 0, end === -1 ? bytes.length : end))
    if ('event' in head) {
      const { payloadBytes } = head.event as EventLine
      const rest = bytes.subarray(end + 1)
      return {
        line: head.event,
        payload: rest.subarray(0, payloadBytes),
        response: rest.subarray(payloadBytes),
      }
    }
    cursor = head.cursor
    progress.show('looking through the queues')
  }
}

function registerRedrive(events: Command): void {
  const command = events
    .command('redrive')
    .summary('put dead events back into their queues')
    .description(
      'Puts dead events back into their queues, as if they had just been accepted. Exit code 1 when one that is named is not dead.',
    )
    .argument('[request id...]', 'these')
    .option('--function <function>', 'all of this function: a name or an ARN')
    .option('--all', 'all there are')
  command.action(async (requestIds: string[]) => {
    const options = command.optsWithGlobals<RedriveOptions>()
    const { function: name, all } = options
    const wishes = [requestIds.length > 0, name !== undefined, all === true].filter(Boolean)
    if (wishes.length !== 1) {
      command.error('error: give request ids, or --function, or --all', {
        code: 'lambus.redriveWhat',
      })
    }
    const progress = openProgress({ json: options.json === true })
    const done = await withAnswers(options, 'state manager', (ask) =>
      requestIds.length > 0
        ? redriveThese(ask, requestIds, progress)
        : redriveAll(ask, all === true ? { all } : ofFunction(name), progress),
    ).finally(() => progress.clear())
    report(done, options.json === true)
  })
}

type Redriven = { redriven: string[]; notDead: string[] }

async function redriveThese(ask: Ask, ids: string[], progress: Progress): Promise<Redriven> {
  const done: Redriven = { redriven: [], notDead: [] }
  for (let from = 0; from < ids.length; from += PER_PAGE) {
    const requestIds = ids.slice(from, from + PER_PAGE)
    const { redriven, notDead = [] } = await redrive(ask, { requestIds })
    done.redriven.push(...redriven)
    done.notDead.push(...notDead)
    progress.show(`put back ${done.redriven.length} of ${ids.length}`)
  }
  return done
}

async function redriveAll(ask: Ask, which: object, progress: Progress): Promise<Redriven> {
  const done: Redriven = { redriven: [], notDead: [] }
  let cursor: string | undefined
  let total: number | undefined
  do {
    const answer = await redrive(ask, { ...which, cursor })
    done.redriven.push(...answer.redriven)
    cursor = answer.cursor
    total ??= answer.total
    progress.show(`put back ${done.redriven.length} of at most ${total}`)
  } while (cursor !== undefined)
  return done
}

const redrive = async (ask: Ask, request: object): Promise<RedriveAnswer> =>
  (await ask(subjects.redrive, request)).json<RedriveAnswer>()

function report({ redriven, notDead }: Redriven, isJson: boolean): void {
  if (isJson) printJson({ redriven, notDead })
  else print(`put back ${redriven.length} ${redriven.length === 1 ? 'event' : 'events'}`)
  if (notDead.length === 0) return
  if (!isJson) for (const id of notDead) remark(`lambus: '${id}' is not dead`)
  process.exitCode = 1
}
