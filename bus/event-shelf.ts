/**
 * Looking at the events that there are, without taking any.
 *
 *     queued    in a packet of a lane, those in some poller's hands among them
 *     waiting   scheduled into its lane: a retry, and when it is due
 *     dead      ended, and nobody could be told: kept until somebody puts it back
 *
 * Reads by sequence, without a consumer: a work queue has no room for a second one, and any number may look. Events move
 * while somebody looks, so one may be seen twice or be missed by a list that takes several pages; never by `findEvent`.
 * Source: NATS ADR-31 (direct gets, batches by `next_by_subj`).
 */
import type { StoredMsg } from '@nats-io/jetstream'
import { errors } from 'nats'
import type { Bus } from './bus.ts'
import { decodePacket, type StoredEvent } from './event-packet.ts'
import { insist } from './insist.ts'
import { type Decided, decidedIn } from './lane-ledger.ts'
import { streamExists } from './streams.ts'
import * as subjects from './subjects.ts'

/** In the order of a list of all. */
export const eventStates = ['dead', 'waiting', 'queued'] as const
export type EventState = (typeof eventStates)[number]

export type ShelvedEvent = {
  state: EventState
  functionName: string
  /** Where it waits, or will wait. */
  queue?: string
  lane?: number
  storedAtMs: number
  /** When it goes back into its lane. */
  dueAtMs?: number
  event: StoredEvent
}

/** Where to go on. Holds no secret; is made and read here. */
export type Cursor = string

export type EventQuery = {
  /** Absent: all of them, state by state. */
  state?: EventState | undefined
  functionName?: string | undefined
  limit: number
  cursor?: Cursor | undefined
}

/** No cursor: that was all. */
export type EventPage = { events: ShelvedEvent[]; cursor?: Cursor }

const MESSAGES_AT_ONCE = 64
const BYTES_AT_ONCE = 1_048_576
/** What one call of `findEvent` reads; the caller goes on. */
const MESSAGES_PER_LOOK = 2_000

/** Throws BusError BUS_STORE_UNAVAILABLE, and RangeError for a cursor that is none. */
export async function listEvents(bus: Bus, query: EventQuery): Promise<EventPage> {
  const events: ShelvedEvent[] = []
  for await (const { at, shelved } of eventsFrom(bus, query)) {
    if (events.length >= query.limit) return { events, cursor: written(at) }
    events.push(shelved)
  }
  return { events }
}

/** `cursor`: not found so far; there is more to look through. */
export async function findEvent(
  bus: Bus,
  requestId: string,
  cursor?: Cursor,
): Promise<ShelvedEvent | { cursor: Cursor } | undefined> {
  const known = cursor === undefined ? await findByName(bus, requestId) : undefined
  if (known !== undefined) return known
  const isDecided = openDecided(bus)
  let from = cursor === undefined ? start('queued') : readCursor(cursor)
  for (let messages = 0; messages < MESSAGES_PER_LOOK; ) {
    const page = await readPage(bus, subjects.anyPacket, from.sequence)
    // What was in a lane when the look began may have gone on to wait or to die.
    if (page.length === 0) return findByName(bus, requestId)
    for (const message of page) {
      const shelved = shelvedIn(message, 'queued')
      const index = shelved.findIndex(({ event }) => event.id === requestId)
      const at = { ...from, sequence: message.seq, index }
      const found = shelved[index]
      if (found !== undefined && !(await isDecided(at, found))) return found
      from = { ...from, sequence: message.seq + 1 }
    }
    messages += page.length
  }
  return { cursor: written(from) }
}

/** Dead and waiting events have their request id in their subject. */
async function findByName(bus: Bus, requestId: string): Promise<ShelvedEvent | undefined> {
  for (const [state, filter] of [
    ['dead', subjects.deadWith(requestId)],
    ['waiting', subjects.retryWith(requestId)],
  ] as const) {
    for (const message of await readPage(bus, filter, 1)) {
      const [found] = shelvedIn(message, state)
      if (found !== undefined) return found
    }
  }
  return undefined
}

type Position = { state: EventState; sequence: number; index: number }

const start = (state: EventState): Position => ({ state, sequence: 1, index: 0 })

async function* eventsFrom(
  bus: Bus,
  { state: only, functionName, cursor }: EventQuery,
): AsyncGenerator<{ at: Position; shelved: ShelvedEvent }, void, undefined> {
  const states = only === undefined ? eventStates : [only]
  const from = cursor === undefined ? start(states[0] as EventState) : readCursor(cursor)
  const isDecided = openDecided(bus)
  for (const state of states.slice(states.indexOf(from.state))) {
    let sequence = state === from.state ? from.sequence : 1
    for (;;) {
      const page = await readPage(bus, filterOf(state, functionName), sequence)
      if (page.length === 0) break
      for (const message of page) {
        sequence = message.seq
        for (const [index, shelved] of shelvedIn(message, state).entries()) {
          const at = { state, sequence, index }
          if (isBefore(at, from) || (await isDecided(at, shelved))) continue
          yield { at, shelved }
        }
      }
      sequence++
    }
  }
}

const isBefore = (one: Position, other: Position): boolean =>
  one.state === other.state && one.sequence === other.sequence && one.index < other.index

/** Events of a packet are decided one by one; until all are, the packet stays. */
function openDecided(bus: Bus) {
  const lanes = new Map<string, Promise<Decided>>()
  return async ({ state, sequence, index }: Position, { queue, lane }: ShelvedEvent) => {
    if (state !== 'queued' || queue === undefined || lane === undefined) return false
    const key = `${queue}.${lane}`
    const decided = lanes.get(key) ?? decidedIn(bus, queue, lane)
    lanes.set(key, decided)
    return (await decided)[sequence]?.includes(index) === true
  }
}

function filterOf(state: EventState, functionName: string | undefined): string {
  switch (state) {
    case 'queued':
      return functionName === undefined ? subjects.anyPacket : subjects.packetsOf(functionName)
    case 'waiting':
      return functionName === undefined ? subjects.anyRetry : subjects.retriesOf(functionName)
    case 'dead':
      return functionName === undefined ? subjects.anyDead : subjects.deadOf(functionName)
  }
}

/** Nothing for what is no packet. */
function shelvedIn(message: StoredMsg, state: EventState): ShelvedEvent[] {
  const parts = subjects.tokens(message.subject)
  const storedAtMs = message.time.getTime()
  const events = decodePacket(message.data) ?? []
  if (state === 'dead') {
    const [, , functionName = ''] = parts
    return events.map((event) => ({ state, functionName, storedAtMs, event }))
  }
  const [, , queue = '', lane = '', functionName = ''] = parts
  const dueAtMs = state === 'waiting' ? dueOf(message) : undefined
  const where = { queue, lane: Number(lane), ...(dueAtMs === undefined ? {} : { dueAtMs }) }
  return events.map((event) => ({ state, functionName, ...where, storedAtMs, event }))
}

/** Source: NATS ADR-51: `@at <RFC 3339>`. */
function dueOf({ header }: StoredMsg): number | undefined {
  const dueAtMs = Date.parse(header.get('Nats-Schedule').replace(/^@at /, ''))
  return Number.isNaN(dueAtMs) ? undefined : dueAtMs
}

const written = ({ state, sequence, index }: Position): Cursor => `${state}.${sequence}.${index}`

function readCursor(cursor: Cursor): Position {
  const [, state, sequence, index] = /^([a-z]+)\.(\d+)\.(\d+)$/.exec(cursor) ?? []
  const known = eventStates.find((each) => each === state)
  if (known === undefined) throw new RangeError(`'${cursor}' is no cursor`)
  return { state: known, sequence: Number(sequence), index: Number(index) }
}

/** Messages that match, from a sequence on; nothing: there are no more. */
export const readPage = (
  bus: Bus,
  filter: string,
  sequence: number,
  most: number = MESSAGES_AT_ONCE,
): Promise<StoredMsg[]> => insist(bus, filter, () => askForPage(bus, filter, sequence, most))

async function askForPage(
  bus: Bus,
  filter: string,
  seq: number,
  batch: number,
): Promise<StoredMsg[]> {
  const manager = await bus.jetstreamManager()
  const options = { seq, batch, max_bytes: BYTES_AT_ONCE, next_by_subj: filter }
  try {
    const page: StoredMsg[] = []
    for await (const message of await manager.direct.getBatch(subjects.eventStream, options)) {
      page.push(message)
    }
    return page
  } catch (error) {
    const status = (error as { code?: unknown }).code
    if (status === 404) return []
    if (status !== 503) throw error
    // Nobody answers for the stream: it has no leader, or nobody has made it yet.
    if (!(await streamExists(bus, subjects.eventStream))) return []
    throw new errors.TimeoutError({ cause: error })
  }
}
