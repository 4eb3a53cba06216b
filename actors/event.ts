/**
 * The events in a poller's hands: attempts are made, and what is decided about them is stored in their lane.
 *
 * The payload never enters the machine: it waits in the table of events in hand and leaves as it came.
 */
import type { NewMessage } from '../bus/atomic-write.ts'
import type { Clock, Log } from '../bus/bus.ts'
import { mostEventsInPacket, type StoredEvent, type Telling } from '../bus/event-packet.ts'
import { FleetingMap } from '../bus/fleeting-map.ts'
import type { EventRef } from '../bus/lane.ts'
import { type EndCondition, type EventPolicy, eventMachine } from '../machines/event.ts'
import type { FunctionRecord } from '../machines/function.ts'
import { type Host, host } from './actor.ts'
import type { Attempted, Attempts } from './attempt.ts'
import type { Delivery } from './delivery.ts'
import { comesBack, goElsewhere, goingOn, isShelved, isTold } from './event-follow.ts'
import { howOf, type Kept, keptOf, outcomeOf } from './event-outcome.ts'
import { policyOf, recipients, whenGone } from './event-policy.ts'
import { type Flows, openFlows } from './flow.ts'
import { type Lanes, partsOfLane } from './lane.ts'

export type Events = {
  host: Host<typeof eventMachine>
  flows: Flows['host']
  counts: EventCounts
  take(lane: string, ref: EventRef, functionName: string, event: StoredEvent): void
  /** Forgets what is in hand of a lane. */
  left(lane: string): void
  /** Begins nothing more of a lane; `emptied` is called when nothing of it runs. */
  drain(lane: string): void
  /** What is in hand, by lane and function. */
  inHand(): InHandReport[]
}

/** Since the process started. Names as AWS's metrics. */
export type EventCounts = {
  attempts: number
  succeeded: number
  failed: number
  throttled: number
  unavailable: number
  ended: number
  retried: number
  setAside: number
  destinationDeliveryFailures: number
  deadLetterErrors: number
  shelved: number
}

export type InHandReport = {
  lane: string
  functionName: string
  running: number
  waiting: number
  /** Age of the oldest, in milliseconds since it was accepted. */
  oldestMs: number
}

export type EventsBinding = {
  clock: Clock
  log: Log
  lanes: Pick<Lanes, 'finish' | 'inHand' | 'isHeld' | 'isDraining' | 'emptied'>
  attempts: Pick<Attempts, 'attempt'>
  delivery: Delivery
  /** The registry's watched copy. */
  functions: { get(name: string): FunctionRecord | undefined }
  /** Says that events were set aside, so that somebody makes that queue. */
  overflowed(functionName: string): void
  /** How long an event waited for its first attempt. */
  begun(functionName: string, waitedMs: number): void
  reservationTimeoutMs: number
  lanesPerQueue: number
  mostPackets: number
  maxPayloadBytes: () => number
  /** Milliseconds. See config.ts. */
  retryWaitsMs: readonly number[]
  backOffMs: number
  longestBackOffMs: number
  tellForMs: number
  deadKeptMs: number
}

type InHand = {
  lane: string
  ref: EventRef
  functionName: string
  event: StoredEvent
  /** What the last attempt answered, between its arrival and what is stored of it. */
  attempted: Kept | undefined
  /** Who could not be told. */
  untold: Telling['to']
  how: 'well' | 'badly' | 'throttled'
  /** When its attempt began, by the monotonic clock, and how long it took. */
  begunAtMs: number
  tookMs: number
}

/** A function in a lane that it shares: at first, at most, and how many wait before the rest is set aside. */
const sharedFlow = { least: 2, mostRunning: 16, mostWaiting: 64, growEveryMs: 1_000 }
/** In a queue of its own it may have what the account has; the pools say how much that is. */
const ownFlow = {
  least: 4,
  mostRunning: 500,
  mostWaiting: Number.MAX_SAFE_INTEGER,
  growEveryMs: 250,
}
/** Of the packets that a reader may have in hand. */
const CROWDED = 0.75
/** Events that are set aside together go in packets together. */
const SET_ASIDE_MS = 5
/** Beyond the function's own timeout: reservation, overdue answer, and the way. */
const SLACK_MS = 5_000
const longestTimeoutMs = 900_000

export const ownQueueOf = (functionName: string): string => `fn-${functionName}`

export function openEvents(binding: EventsBinding): Events {
  const { clock, log, lanes, delivery, functions } = binding
  const inHand = new FleetingMap<InHand>()
  const aside = new Map<string, string[]>()
  const counts: EventCounts = {
    attempts: 0,
    succeeded: 0,
    failed: 0,
    throttled: 0,
    unavailable: 0,
    ended: 0,
    retried: 0,
    setAside: 0,
    destinationDeliveryFailures: 0,
    deadLetterErrors: 0,
    shelved: 0,
  }

  const taken = (id: string): InHand => {
    const found = inHand.get(id)
    if (found === undefined) throw new Error(`event ${id} is not in hand`)
    return found
  }

  const policyFor = ({ functionName, event }: InHand): EventPolicy =>
    policyOf(functions.get(functionName), event)

  const store = async (id: string, follow: NewMessage[]): Promise<void> => {
    const { lane, ref } = taken(id)
    const outcome = await lanes.finish(lane, [ref], follow)
    if (inHand.has(id)) events.send(id, { type: outcome })
  }

  const next = (id: string, changes: Partial<StoredEvent>): StoredEvent => {
    const { functionName, event, attempted } = taken(id)
    const { whenGone: _, ...kept } = event
    const changed = { ...kept, ...whenGone(functions.get(functionName), event), ...changes }
    return goingOn(changed, attempted, binding.maxPayloadBytes())
  }

  const storeForLater = (id: string, event: StoredEvent, waitMs: number): Promise<void> => {
    const { lane, functionName } = taken(id)
    return store(id, [comesBack(lane, functionName, event, clock.nowMs() + waitMs)])
  }

  const shelve = (id: string, event: StoredEvent): Promise<void> => {
    counts.ended++
    counts.shelved++
    return store(id, [isShelved(taken(id).functionName, event, binding.deadKeptMs)])
  }

  const toBeTold = (id: string, condition: EndCondition): Telling['to'] => {
    const { functionName, event } = taken(id)
    const ended = condition === 'Success' ? 'well' : 'badly'
    return recipients(functions.get(functionName), event, ended)
  }

  const events = host(eventMachine, {
    clock,
    log,
    duties: {
      attempt: (_, id) => attempt(id),
      tell: (_, id) => tell(id),
      finish: (_, id) => {
        counts.ended++
        return store(id, [])
      },
      retry: ({ waitMs, attempts, putOff }, id) => {
        counts.retried++
        return storeForLater(id, next(id, { attempts, putOff }), waitMs)
      },
      end: ({ condition, attempts }, id) => {
        const { lane, functionName } = taken(id)
        const to = toBeTold(id, condition)
        const telling = { condition, endedAtMs: clock.nowMs(), to }
        const ended = next(id, { attempts, putOff: 0, telling })
        if (to.length > 0) return store(id, [isTold(lane, functionName, ended)])
        if (condition !== 'Success') return shelve(id, ended)
        counts.ended++
        return store(id, [])
      },
      tellAgain: ({ waitMs, putOff }, id) => {
        const { event, untold } = taken(id)
        const telling = { ...(event.telling as Telling), to: untold }
        return storeForLater(id, next(id, { putOff, telling }), waitMs)
      },
      shelve: (_, id) => shelve(id, next(id, {})),
    },
    ended: (id) => {
      const { lane, functionName, how, tookMs, event } = taken(id)
      inHand.delete(id)
      if (event.telling === undefined) flows.ended(lane, functionName, how, tookMs)
      if (lanes.isDraining(lane)) tellIfEmpty(lane)
    },
  })

  const attempt = (id: string): void => {
    const it = taken(id)
    const { functionName, event } = it
    const record = functions.get(functionName)
    const timeoutMs = (record?.serving?.settings.timeoutSeconds ?? 0) * 1000 || longestTimeoutMs
    counts.attempts++
    it.begunAtMs = clock.monotonicMs()
    if (event.attempts === 0 && event.putOff === 0) {
      binding.begun(functionName, clock.nowMs() - event.acceptedAtMs)
    }
    const order = {
      requestId: event.id,
      functionName,
      qualifier: event.qualifier,
      traceId: event.traceId,
    }
    const deadlineMs = timeoutMs + binding.reservationTimeoutMs + SLACK_MS
    binding.attempts.attempt(order, event.payload, deadlineMs, (attempted) => {
      if (inHand.get(id) === it) attemptEnded(id, it, attempted)
    })
  }

  const attemptEnded = (id: string, it: InHand, attempted: Attempted): void => {
    const outcome = outcomeOf(attempted)
    it.how = howOf(outcome)
    it.tookMs = clock.monotonicMs() - it.begunAtMs
    it.attempted = keptOf(attempted)
    if (outcome === 'succeeded') counts.succeeded++
    else if (outcome === 'failed') counts.failed++
    else if (outcome === 'throttled') counts.throttled++
    else if (outcome === 'unavailable') counts.unavailable++
    events.send(id, { type: 'attempted', outcome, policy: policyFor(it), nowMs: clock.nowMs() })
  }

  const tell = async (id: string): Promise<void> => {
    const it = taken(id)
    const { functionName, event } = it
    const all = event.telling?.to ?? []
    // One that cannot be reached keeps nobody else waiting.
    const untold = (await Promise.all(all.map((to) => tellOne(functionName, event, to)))).flat()
    if (inHand.get(id) !== it) return
    it.untold = untold
    if (untold.length > 0) events.send(id, { type: 'untold', nowMs: clock.nowMs() })
    else events.send(id, { type: 'told' })
  }

  /** Whom it did not reach: the one, or nobody. */
  const tellOne = async (
    functionName: string,
    event: StoredEvent,
    to: Telling['to'][number],
  ): Promise<Telling['to']> => {
    const outcome = await delivery.deliver(functionName, event, to)
    if (outcome === 'delivered') return []
    if (to.as === 'dead letter') counts.deadLetterErrors++
    else counts.destinationDeliveryFailures++
    log.warn(
      { code: 'EVENT_UNTOLD', requestId: event.id, to: to.arn, why: outcome.undeliverable },
      'the end of an event could not be told; again later',
    )
    return [to]
  }

  const flows = openFlows({
    clock,
    log,
    inputFor: (lane, functionName) =>
      partsOfLane(lane).queue === ownQueueOf(functionName) ? ownFlow : sharedFlow,
    begin: (id) => {
      const it = inHand.get(id)
      // A timer of its flow may be the first that this process does after it stood still.
      if (it !== undefined && lanes.isHeld(it.lane)) {
        events.send(id, { type: 'turn', policy: policyFor(it), nowMs: clock.nowMs() })
      }
    },
    setAside: (lane, functionName, ids) => {
      const key = `${lane}/${functionName}`
      const waiting = aside.get(key)
      if (waiting !== undefined) {
        waiting.push(...ids)
        return
      }
      aside.set(key, ids)
      clock.setTimer(() => {
        aside.delete(key)
        void setAside(lane, functionName, ids)
      }, SET_ASIDE_MS)
    },
  })

  /** Stores events into the function's own queue, and lets go of them here. */
  const setAside = async (lane: string, functionName: string, ids: string[]): Promise<void> => {
    const there = ids.filter((id) => inHand.has(id))
    for (let at = 0; at < there.length; at += mostEventsInPacket) {
      const some = there.slice(at, at + mostEventsInPacket)
      const moved = some.map(taken)
      const own = ownQueueOf(functionName)
      const its = moving++ % binding.lanesPerQueue
      const elsewhere = goElsewhere(
        own,
        its,
        functionName,
        moved.map(({ event }) => event),
      )
      const refs = moved.map(({ ref }) => ref)
      const outcome = await lanes.finish(lane, refs, [elsewhere])
      if (outcome === 'stored') counts.setAside += some.length
      for (const id of some) {
        events.forget(id)
        inHand.delete(id)
      }
    }
    binding.overflowed(functionName)
    if (lanes.isDraining(lane)) tellIfEmpty(lane)
  }
  let moving = 0

  /** Most of what its reader can hold is in hand, so what comes behind does not come in. */
  const isCrowded = (lane: string): boolean => lanes.inHand(lane) > CROWDED * binding.mostPackets
  const ofLane = (lane: string): string[] =>
    [...inHand.keys()].filter((id) => inHand.get(id)?.lane === lane)
  const tellIfEmpty = (lane: string): void => {
    if (ofLane(lane).length === 0) lanes.emptied(lane)
  }
  const forget = (ids: readonly string[]): void => {
    for (const id of ids) {
      events.forget(id)
      inHand.delete(id)
    }
  }

  return {
    host: events,
    flows: flows.host,
    counts,
    take(lane, ref, functionName, event) {
      const id = `${lane}/${ref.sequence}/${ref.index}`
      inHand.set(id, {
        lane,
        ref,
        functionName,
        event,
        attempted: undefined,
        untold: [],
        how: 'badly',
        begunAtMs: 0,
        tookMs: 0,
      })
      events.start(id, {
        isTelling: event.telling !== undefined,
        acceptedAtMs: event.acceptedAtMs,
        attempts: event.attempts,
        putOff: event.putOff,
        retryWaitsMs: binding.retryWaitsMs,
        backOffMs: binding.backOffMs,
        longestBackOffMs: binding.longestBackOffMs,
        tellForMs: binding.tellForMs,
        endedAtMs: event.telling?.endedAtMs ?? 0,
      })
      if (event.telling !== undefined) return
      const isOwn = partsOfLane(lane).queue === ownQueueOf(functionName)
      flows.arrived(lane, functionName, id, !isOwn && isCrowded(lane))
    },
    left(lane) {
      flows.left(lane)
      forget(ofLane(lane))
    },
    drain(lane) {
      flows.left(lane)
      forget(ofLane(lane).filter((id) => events.snapshot(id)?.value === 'waiting'))
      tellIfEmpty(lane)
    },
    inHand: () => reportOf(inHand, (id) => events.snapshot(id)?.value === 'waiting', clock.nowMs()),
  }
}

function reportOf(
  inHand: FleetingMap<InHand>,
  isWaiting: (id: string) => boolean,
  nowMs: number,
): InHandReport[] {
  const reports = new Map<string, InHandReport>()
  for (const id of inHand.keys()) {
    const { lane, functionName, event } = inHand.get(id) as InHand
    const key = `${lane}/${functionName}`
    const report = reports.get(key) ?? { lane, functionName, running: 0, waiting: 0, oldestMs: 0 }
    reports.set(key, report)
    if (isWaiting(id)) report.waiting++
    else report.running++
    report.oldestMs = Math.max(report.oldestMs, nowMs - event.acceptedAtMs)
  }
  return [...reports.values()]
}
