/**
 * The desk where people ask about asynchronous events: what there is, what became of one, and put the dead ones back.
 *
 *     lambus.queues.events   {state?, functionName?, limit?, cursor?}            {events, cursor?}
 *     lambus.queues.event    {requestId, cursor?}                                {event} and behind the line break its payload
 *                                                                                and response; {cursor}: ask on
 *     lambus.queues.redrive  {requestIds} · {functionName, cursor?} · {all, cursor?}   {redriven, notDead} · {redriven, cursor?, total?}
 *
 * Every state manager answers, whoever leads: all that is known of an event is in the stream. An answer is a piece of work
 * that ends soon, and says where to go on. What it cannot do is a NATS service error, with `{"message"}` as its body.
 */
import { headers } from 'nats'
import type { Bus, Clock, Log, Msg } from '../bus/bus.ts'
import { BusError } from '../bus/bus-error.ts'
import type { LastOutcome, StoredEvent, Telling } from '../bus/event-packet.ts'
import { mostAtOnce, openRedrive } from '../bus/event-redrive.ts'
import {
  type EventState,
  eventStates,
  findEvent,
  listEvents,
  type ShelvedEvent,
} from '../bus/event-shelf.ts'
import type { LaneOfQueue } from '../bus/event-writer.ts'
import * as subjects from '../bus/subjects.ts'

/** What is said of an event. */
export type EventLine = Omit<ShelvedEvent, 'event'> &
  Pick<StoredEvent, 'qualifier' | 'traceId' | 'acceptedAtMs' | 'attempts' | 'putOff'> & {
    requestId: string
    payloadBytes: number
    responseBytes?: number
    last?: LastOutcome
    /** What went wrong the last time, in a sentence. */
    lastError?: string
    telling?: Telling
  }

export type EventsAnswer = { events: EventLine[]; cursor?: string }
export type EventAnswer = { event: EventLine } | { cursor: string }
export type RedriveAnswer = {
  redriven: string[]
  /** Of those named. */
  notDead?: string[]
  cursor?: string
  /** How many there were at most, with the first answer. */
  total?: number
}

export type EventDesk = { stop(): void }

const DEFAULT_LIMIT = 100
/** So that an answer stays below NATS's default max_payload of 1 MiB. */
const MOST_LINES = 500
const SENTENCE_CHARACTERS = 200

export function openEventDesk(
  bus: Bus,
  options: {
    /** The lane that an event of a function is put back to. */
    choose: (functionName: string, events: number) => LaneOfQueue
    clock: Pick<Clock, 'nowMs'>
    newId: () => string
    log: Log
  },
): EventDesk {
  const { choose, clock, newId, log } = options
  const redrive = openRedrive(bus, { choose, newId, nowMs: () => clock.nowMs() })

  const events = async (asked: Asked): Promise<Answer> => {
    const { events: found, ...rest } = await listEvents(bus, {
      state: asked.state,
      functionName: asked.functionName,
      limit: asked.limit ?? DEFAULT_LIMIT,
      cursor: asked.cursor,
    })
    return { json: { events: found.map(lineOf), ...rest } satisfies EventsAnswer }
  }

  const event = async ({ requestId, cursor }: Asked): Promise<Answer> => {
    if (requestId === undefined) throw badRequest('requestId is missing')
    const found = await findEvent(bus, requestId, cursor)
    if (found === undefined) {
      throw new DeskError(404, 'EVENT_NOT_FOUND', `no event '${requestId}' is waiting or dead`)
    }
    if ('cursor' in found) return { json: found satisfies EventAnswer }
    const { payload, response = new Uint8Array() } = found.event
    return { json: { event: lineOf(found) } satisfies EventAnswer, parts: [payload, response] }
  }

  const putBack = async (asked: Asked): Promise<Answer> => {
    const { requestIds, functionName, all, cursor } = asked
    if ([requestIds, functionName, all].filter((one) => one !== undefined).length !== 1) {
      throw badRequest('exactly one of requestIds, functionName and all is needed')
    }
    if (requestIds === undefined) {
      const done = await redrive.next({ functionName, cursor })
      return { json: done satisfies RedriveAnswer }
    }
    const redriven = await redrive.these(requestIds)
    const notDead = requestIds.filter((id) => !redriven.includes(id))
    return { json: { redriven, notDead } satisfies RedriveAnswer }
  }

  const serve = (
    subject: string,
    members: readonly (keyof Asked)[],
    handle: (asked: Asked) => Promise<Answer>,
  ) =>
    bus.subscribe(
      subject,
      async (message) => {
        try {
          respond(message, await handle(read(message, members)))
        } catch (error) {
          respondError(message, known(error, subject, log))
        }
      },
      { queue: 'state-manager' },
    )

  const hearing = [
    serve(subjects.queuedEvents, ['state', 'functionName', 'limit', 'cursor'], events),
    serve(subjects.queuedEvent, ['requestId', 'cursor'], event),
    serve(subjects.redrive, ['requestIds', 'functionName', 'all', 'cursor'], putBack),
  ]
  return {
    stop() {
      for (const each of hearing) each.stop()
    },
  }
}

type Asked = {
  state?: EventState
  functionName?: string
  limit?: number
  cursor?: string
  requestId?: string
  requestIds?: string[]
  all?: true
}

/** Behind the JSON and a line break come the parts. */
type Answer = { json: object; parts?: Uint8Array[] }

class DeskError extends Error {
  override readonly name = 'DeskError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, text: string) {
    super(text)
    this.status = status
    this.code = code
  }
}

const badRequest = (text: string): DeskError => new DeskError(400, 'BAD_REQUEST', text)

const isText = (value: unknown): boolean => typeof value === 'string'

/** What each member may be, and how that is said. */
const rules: Record<keyof Asked, readonly [fits: (value: unknown) => boolean, what: string]> = {
  state: [
    (value) => eventStates.some((each) => each === value),
    `one of ${eventStates.join(', ')}`,
  ],
  functionName: [subjects.isToken, 'the plain name of a function'],
  limit: [
    (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MOST_LINES,
    `a whole number from 1 to ${MOST_LINES}`,
  ],
  cursor: [isText, 'a cursor'],
  requestId: [subjects.isToken, 'a request id'],
  requestIds: [
    (value) => Array.isArray(value) && value.length <= mostAtOnce && value.every(subjects.isToken),
    `at most ${mostAtOnce} request ids`,
  ],
  all: [(value) => value === true, 'true'],
}

/** Throws DeskError for what nobody would look at, too. */
function read(message: Msg, members: readonly (keyof Asked)[]): Asked {
  const asked = message.data.length === 0 ? {} : parse(message)
  for (const [name, value] of Object.entries(asked)) {
    const member = members.find((each) => each === name)
    if (member === undefined) throw badRequest(`there is no '${name}' here`)
    const [fits, what] = rules[member]
    if (!fits(value)) throw badRequest(`${name} has to be ${what}`)
  }
  return asked
}

function parse(message: Msg): object {
  try {
    const asked: unknown = message.json()
    if (typeof asked === 'object' && asked !== null && !Array.isArray(asked)) return asked
  } catch {
    // Said below.
  }
  throw badRequest('the body has to be a JSON object')
}

function lineOf({ event, ...shelved }: ShelvedEvent): EventLine {
  const { id, payload, response, last, ...rest } = event
  const lastError = sentenceOf(event)
  return {
    requestId: id,
    ...shelved,
    ...rest,
    payloadBytes: payload.length,
    ...(response === undefined ? {} : { responseBytes: response.length }),
    ...(last === undefined ? {} : { last }),
    ...(lastError === undefined ? {} : { lastError: lastError.slice(0, SENTENCE_CHARACTERS) }),
  }
}

function sentenceOf({ last, response }: StoredEvent): string | undefined {
  if (last === undefined) return undefined
  if (last.message !== undefined) return last.message
  if (last.statusCode !== 200) return `refused with ${last.statusCode}`
  if (last.functionError === undefined) return undefined
  return errorOf(Buffer.from(response ?? []).toString()) ?? last.functionError
}

/** Of a function's error as AWS's runtimes report it. */
function errorOf(text: string): string | undefined {
  try {
    const { errorType, errorMessage } = JSON.parse(text) as Record<string, unknown>
    const said = [errorType, errorMessage].filter((part) => typeof part === 'string')
    return said.length === 0 ? text : said.join(': ')
  } catch {
    return text === '' ? undefined : text
  }
}

function respond(message: Msg, { json, parts }: Answer): void {
  const line = JSON.stringify(json)
  message.respond(parts === undefined ? line : Buffer.concat([Buffer.from(`${line}\n`), ...parts]))
}

function known(error: unknown, subject: string, log: Log): DeskError {
  if (error instanceof DeskError) return error
  if (error instanceof RangeError) return badRequest(error.message)
  if (error instanceof BusError) return new DeskError(503, error.code, error.message)
  log.error(
    { code: 'DESK_FAILED', subject, err: error },
    'a question about events was not answered',
  )
  return new DeskError(500, 'INTERNAL', 'the state manager failed; its log says how')
}

/** Source: NATS ADR-32, service errors. */
function respondError(message: Msg, { status, code, message: text }: DeskError): void {
  const made = headers()
  made.set('Nats-Service-Error-Code', String(status))
  made.set('Nats-Service-Error', `${code}: ${text.replace(/\s+/g, ' ')}`)
  message.respond(JSON.stringify({ message: text }), { headers: made })
}
