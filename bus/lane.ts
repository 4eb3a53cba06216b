/**
 * A lane, as its reader has it: packets come in, their events are decided one by one, and a packet whose events are all
 * decided is acknowledged.
 *
 *     stream ──push──▶ in hand ──▶ every event decided ──▶ acknowledged ──(confirmed)──▶ forgotten
 *                        ▲                                     │ not confirmed, the link was cut
 *                        └───────────── comes again ◀──────────┘
 *
 * One reader at a time, by lease. Its consumers are made for it and have its epoch in their names, so an older reader's
 * acknowledgements reach nobody; what it wants to store is refused by the ledger. After a break of the link the consumers
 * are made anew: what was lost with the link comes again, and what is in hand is known by its sequence.
 *
 * Events to be invoked and ends to be told come by two ways, so that an end does not wait behind a thousand events.
 * Source: reference nats.md §0.8, §2.10.
 */
import type { Msg } from 'nats'
import type { NewMessage } from './atomic-write.ts'
import type { Bus, Clock, Log } from './bus.ts'
import { decodePacket, type StoredEvent } from './event-packet.ts'
import { type Listening, listenToLane, removeReader } from './lane-consumer.ts'
import { type Decided, openLedger } from './lane-ledger.ts'
import { schedulerHeader, tokens } from './subjects.ts'

/** An event in hand: the packet that it came in, and its place in it. */
export type EventRef = { sequence: number; index: number }

export type Lane = {
  /** Packets in hand. */
  readonly size: number
  /** Begins to take events. Throws BusError BUS_STORE_UNAVAILABLE, BUS_CLOSED. */
  read(): Promise<void>
  /**
   * These events are done with. `follow`: what is stored in the same write; nothing: no more is known of it, and if this
   * process dies within a tenth of a second it may come again. `fenced`: the lane is somebody else's, and nothing was stored.
   */
  finish(events: readonly EventRef[], follow: NewMessage[]): Promise<'stored' | 'fenced'>
  /** Keeps packets that come as they come, or takes them up again: for when there is something better to do. */
  hold(isHeld: boolean): void
  /** Takes no more packets. What is in hand can still be finished. */
  pause(): void
  /** Forgets what is in hand and leaves the rest to the next reader. What has been finished is stored before. */
  close(): Promise<void>
}

export type LaneOptions = {
  queue: string
  lane: number
  /** The epoch of the lease. */
  epoch: number
  mostPackets: number
  take(ref: EventRef, functionName: string, event: StoredEvent): void
  /** Somebody else reads the lane: nothing can be done here any more. Once. */
  lost(): void
  clock: Clock
  log: Log
}

type Packet = {
  /** Where it is acknowledged. */
  reply: string
  /** Places of the events that are not decided. */
  open: Set<number>
  decided: number[]
}

/** How long a finished event may be known here only, while others of its packet are not finished. */
const UNSTORED_MS = 100
/**
 * What the reader before had in hand are the oldest packets of the lane, which come first: whatever of it has not come by
 * then is gone.
 */
const INHERITED_MS = 60_000
/**
 * A server that is killed while it rings a schedule may ring it again when it is back: what it has stored is there, and the
 * schedule as well, because its removal was not on disk yet. Longer than a restart takes.
 */
const RUNG_KEPT_MS = 120_000
const ACK_TIMEOUT_MS = 2_000
const acknowledgement = '+ACK'

/** Takes the lane over. Throws BusError BUS_STORE_UNAVAILABLE, BUS_CLOSED. */
export async function openLane(bus: Bus, options: LaneOptions): Promise<Lane | 'fenced'> {
  const { queue, lane, epoch, clock, log } = options
  const inHand = new Map<number, Packet>()
  const reader = String(epoch)
  let turn = 0
  let state: 'reading' | 'paused' | 'closed' = 'reading'
  let listening: Listening | undefined
  let storing: unknown

  const decided = (): Decided => {
    const found: Decided = {}
    for (const [sequence, packet] of inHand) {
      if (packet.decided.length > 0) found[sequence] = packet.decided
    }
    // Packets decided by readers before, that have not come again yet.
    if (clock.monotonicMs() > inheritedUntilMs) inherited.clear()
    for (const [sequence, indices] of inherited) found[sequence] = indices
    return found
  }

  const inherited = new Map<number, number[]>()
  const inheritedUntilMs = clock.monotonicMs() + INHERITED_MS
  const ledger = await openLedger(bus, {
    queue,
    lane,
    epoch,
    reader,
    decided,
    log,
  })
  if (ledger === 'fenced') return 'fenced'
  for (const [sequence, indices] of Object.entries(ledger.inherited)) {
    inherited.set(Number(sequence), indices)
  }

  const lose = (): void => {
    if (state === 'closed') return
    state = 'closed'
    listening?.stop()
    clock.clearTimer(storing)
    options.lost()
  }

  const acknowledge = (sequence: number, packet: Packet): void => {
    if (state === 'closed' && listening === undefined) return
    bus.ask(packet.reply, acknowledgement, { timeoutMs: ACK_TIMEOUT_MS }, (outcome) => {
      // Without an answer it stays in hand; it comes again with the next consumer, or is asked again here.
      if (typeof outcome !== 'string') inHand.delete(sequence)
      else if (outcome === 'timeout' && inHand.get(sequence) === packet && state !== 'closed') {
        acknowledge(sequence, packet)
      }
    })
  }

  /** Schedules that have rung lately, and when. */
  const rung = new Map<string, number>()
  const rangBefore = ({ id, attempts, putOff }: StoredEvent): boolean => {
    const nowMs = clock.monotonicMs()
    for (const [key, atMs] of rung) {
      if (nowMs - atMs < RUNG_KEPT_MS) break
      rung.delete(key)
    }
    const key = `${id}/${attempts}/${putOff}`
    const isKnown = rung.has(key)
    rung.set(key, nowMs)
    return isKnown
  }

  /** What has come while it was held. */
  let held: [message: Msg, sequence: number][] | undefined
  const hear = (message: Msg, sequence: number): void => {
    if (held === undefined) take(message, sequence)
    else held.push([message, sequence])
  }

  const take = (message: Msg, sequence: number): void => {
    const known = inHand.get(sequence)
    if (known !== undefined) {
      known.reply = message.reply ?? ''
      if (known.open.size === 0) acknowledge(sequence, known)
      return
    }
    const [, , , , functionName = ''] = tokens(message.subject)
    const events = decodePacket(message.data)
    const before = inherited.get(sequence) ?? []
    inherited.delete(sequence)
    const packet: Packet = { reply: message.reply ?? '', open: new Set(), decided: [...before] }
    inHand.set(sequence, packet)
    if (events === undefined) {
      log.error(
        { code: 'BUS_POISON', subject: message.subject, sequence },
        'a message in a lane is no packet of events; it is removed',
      )
    }
    const isFromSchedule = (message.headers?.get(schedulerHeader) ?? '') !== ''
    const fresh = (events ?? [])
      .map((event, index) => ({ event, index }))
      .filter(({ event, index }) => {
        return !before.includes(index) && !(isFromSchedule && rangBefore(event))
      })
    for (const { index } of fresh) packet.open.add(index)
    if (fresh.length === 0) acknowledge(sequence, packet)
    for (const { event, index } of fresh) {
      if (state !== 'closed') options.take({ sequence, index }, functionName, event)
    }
  }

  const reopen = async (why: string): Promise<void> => {
    if (state !== 'reading') return
    listening?.stop()
    const mine = ++turn
    log.debug({ queue, lane, why }, 'the consumer of a lane is made anew')
    const next = await listenToLane(bus, { ...options, reader, former }, hear, (reason) => {
      if (mine === turn) void reopen(reason).catch(complain)
    })
    former = reader
    if (mine !== turn || state !== 'reading') next.stop()
    else listening = next
  }
  const complain = (error: unknown) => {
    if (state !== 'reading') return
    log.warn({ code: 'BUS_LANE_CLOSED', queue, lane, err: error }, 'a lane cannot be read; again')
    clock.setTimer(() => void reopen('again').catch(complain), 1_000)
  }

  /** Stores what was finished with nothing to follow, in packets that are not finished as a whole. */
  const storeSoon = (): void => {
    if (storing !== undefined) return
    storing = clock.setTimer(() => {
      storing = undefined
      if (state === 'closed') return
      void ledger.store([]).then((outcome) => {
        if (outcome === 'fenced') lose()
      }, complain)
    }, UNSTORED_MS)
  }

  const decide = (events: readonly EventRef[]): void => {
    for (const { sequence, index } of events) inHand.get(sequence)?.decided.push(index)
  }
  const close = (events: readonly EventRef[]): void => {
    for (const { sequence, index } of events) {
      const packet = inHand.get(sequence)
      if (packet === undefined || !packet.open.delete(index)) continue
      if (packet.open.size === 0) acknowledge(sequence, packet)
      else storeSoon()
    }
  }

  let former = ledger.formerReader
  const forget = bus.onReconnect(() => void reopen('the link is back').catch(complain))

  return {
    get size() {
      return inHand.size
    },
    read: () => reopen('opened'),
    async finish(events, follow) {
      if (state === 'closed') return 'fenced'
      if (follow.length === 0) {
        decide(events)
        close(events)
        return 'stored'
      }
      const outcome = await ledger.store(follow, () => decide(events))
      if (outcome === 'stored') close(events)
      else lose()
      return outcome
    },
    hold(isHeld) {
      const late = held ?? []
      held = isHeld ? late : undefined
      if (isHeld) return
      for (const [message, sequence] of late) take(message, sequence)
    },
    pause() {
      if (state === 'reading') state = 'paused'
      listening?.stop()
      listening = undefined
    },
    async close() {
      if (state === 'closed') return
      state = 'closed'
      forget()
      clock.clearTimer(storing)
      listening?.stop()
      listening = undefined
      if (!bus.up) return
      if ([...inHand.values()].some(({ decided: some }) => some.length > 0)) await ledger.store([])
      await ledger.settled()
      await removeReader(bus, queue, lane, reader)
    },
  }
}
