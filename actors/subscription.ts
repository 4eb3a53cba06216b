/**
 * One subscription to a shard: what is stored there from a sequence on, in events of some size, for five minutes.
 *
 * It reads by a tail of its own, which it opens anew where it ended: when it breaks, and when the client is slow and reads
 * again (`pause`, `resume`).
 * Source: Kinesis API reference, SubscribeToShard and SubscribeToShardEvent.
 */
import { readDelivered } from '../bus/delivered.ts'
import { readRecord, type StoredRecord } from '../bus/shard-record.ts'
import { recordStream, shard as shardSubject } from '../bus/subjects.ts'
import { openTail, type Tail } from '../bus/tail.ts'
import type { KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import { noSuchConsumer, noSuchStream } from '../edges/aws/kinesis-names.ts'
import { childShards } from '../edges/aws/kinesis-shapes.ts'
import { sequenceNumber } from '../edges/aws/sequence-number.ts'
import type { Shard, StreamConsumer, StreamRecord } from '../machines/stream.ts'
import type { KinesisBinding } from './kinesis-binding.ts'
import { behindMs, isOver, recordAnswer } from './kinesis-read.ts'

export type SubscriptionPlace = {
  stream: StreamRecord
  shard: Shard
  consumer: StreamConsumer
  from: number
}

export type Subscription = {
  pause(): void
  resume(): void
  /** Tells what it has and ends. */
  end(): void
  fail(refusal: KinesisRefusal): void
  /** Says nothing more. */
  stop(): void
}

type Tell = {
  event(event: object): void
  failed(refusal: KinesisRefusal): void
  ended(): void
}

/** Source: Kinesis API reference, SubscribeToShard: "persists for up to 5 minutes". */
const LASTS_MS = 300_000
/** The same guide: an event comes at least every five seconds, with nothing in it when there is nothing. */
const BEAT_MS = 5_000
/** What comes together is told together. */
const GATHER_MS = 10
const mostRecords = 500
const mostBytes = 2_097_152
const PAUSE_MS = 1_000

export function openSubscription(
  binding: KinesisBinding,
  { stream, shard, consumer, from }: SubscriptionPlace,
  tell: Tell,
): Subscription {
  const { bus, clock, streams, place, log } = binding
  let next = from
  let heard: StoredRecord[] = []
  let heardBytes = 0
  /** Behind what was heard, as far as the server said. */
  let pending = 0
  let toldAtMs = clock.monotonicMs()
  let isPaused = false
  let isDone = false
  let isLooking = false
  let tail: Tail | undefined
  // Each tail has a number; whatever belongs to an earlier one is ignored.
  let tails = 0
  let gathering: unknown
  let nextAtBeat = from

  const record = (): StreamRecord | undefined => {
    const now = streams.get(stream.name)
    return now?.incarnation === stream.incarnation ? now : undefined
  }

  const event = (more: object): void => {
    toldAtMs = clock.monotonicMs()
    const records = heard
    heard = []
    heardBytes = 0
    tell.event({
      Records: records.map((each) => recordAnswer(shard, each)),
      ...more,
      MillisBehindLatest: pending === 0 ? 0 : behindMs(records.at(-1), clock.nowMs()),
    })
  }

  /** Where to go on: behind what was told, whatever sequence that has. */
  const goOn = () => ({
    ContinuationSequenceNumber: sequenceNumber({
      shardCreatedAtMs: shard.createdAtMs,
      shard: shard.index,
      counter: next - 1,
      arrivalMs: heard.at(-1)?.arrivalMs ?? clock.nowMs(),
    }),
  })

  const flush = (): void => {
    clock.clearTimer(gathering)
    gathering = undefined
    if (!isDone && heard.length > 0) event(goOn())
  }

  const hear = (read: StoredRecord, behind: number): void => {
    if (heardBytes + read.data.length > mostBytes) flush()
    if (isDone) return
    heard.push(read)
    heardBytes += read.data.length
    next = read.sequence + 1
    pending = behind
    if (heard.length >= mostRecords) flush()
    else gathering ??= clock.setTimer(flush, GATHER_MS)
  }

  const listen = async (): Promise<void> => {
    const mine = ++tails
    const isMine = () => mine === tails && !isDone
    const where = {
      stream: recordStream(stream.name),
      subject: shardSubject(stream.name, stream.incarnation, shard.index),
      from: next,
    }
    const opened = await openTail(bus, where, {
      message(message, sequence) {
        if (!isMine()) return
        hear(readRecord(message, sequence, clock.nowMs()), readDelivered(message).pending)
      },
      caughtUp() {
        if (!isMine()) return
        pending = 0
        if (heard.length > 0) flush()
        else event(goOn())
        lookForEnd()
      },
      broken(why) {
        if (!isMine()) return
        log.warn({ code: 'KINESIS_TAIL_BROKEN', stream: stream.name, why }, 'opened anew')
        tail = undefined
        listenSoon()
      },
    })
    if (isMine()) tail = opened
    else opened.stop()
  }

  const listenNow = (): void => {
    if (isDone || isPaused) return
    listen().catch((error) => {
      log.warn({ code: 'KINESIS_TAIL_FAILED', stream: stream.name, err: error }, 'tried again')
      listenSoon()
    })
  }
  const listenSoon = () => void clock.setTimer(listenNow, PAUSE_MS)
  const listenAnew = (): void => {
    deafen()
    listenNow()
  }

  const deafen = (): void => {
    tails++
    tail?.stop()
    tail = undefined
  }

  /** Nothing is looked for while something is on its way. */
  const lookForEnd = (): void => {
    const now = record()
    const itself = now?.shards.find(({ index }) => index === shard.index)
    if (
      isDone ||
      isPaused ||
      isLooking ||
      pending > 0 ||
      now === undefined ||
      itself === undefined
    ) {
      return
    }
    isLooking = true
    const at = next
    isOver(binding, now, itself, at)
      .then((over) => {
        isLooking = false
        if (!over || isDone || isPaused || at !== next) return
        flush()
        event(childShards(now, shard))
        finish(tell.ended)
      })
      .catch((error) => {
        isLooking = false
        log.warn({ code: 'KINESIS_TAIL_FAILED', stream: stream.name, err: error }, 'tried again')
      })
  }

  /**
   * A consumer in the memory of a server that is gone says nothing any more: what is there and was not heard of in a whole beat
   * is asked for anew.
   */
  const lookForMissed = (): void => {
    const isQuiet = next === nextAtBeat
    nextAtBeat = next
    if (isDone || isPaused || tail === undefined || !isQuiet) return
    const mine = tails
    const address = { stream: stream.name, incarnation: stream.incarnation, shard: shard.index }
    binding.reader.read(address, { from: next, most: 1, mostBytes: 1 }).then(
      ({ records }) => {
        if (records.length > 0 && mine === tails && next === nextAtBeat) listenAnew()
      },
      // Looked for again with the next beat.
      () => {},
    )
  }

  const beat = (): void => {
    beating = clock.setTimer(beat, BEAT_MS)
    lookForEnd()
    lookForMissed()
    if (!isPaused && clock.monotonicMs() - toldAtMs >= BEAT_MS) event(goOn())
  }

  const finish = (last: () => void): void => {
    if (isDone) return
    isDone = true
    deafen()
    forget()
    forgetReconnects()
    for (const timer of [gathering, beating, ending]) clock.clearTimer(timer)
    last()
  }

  const end = () => {
    flush()
    finish(tell.ended)
  }
  const fail = (refusal: KinesisRefusal) => finish(() => tell.failed(refusal))

  const forget = streams.onChange(stream.name, () => {
    const now = record()
    if (now === undefined) return fail(noSuchStream(stream.name, place))
    const isThere = now.consumers.some(
      ({ name, createdAtMs }) => name === consumer.name && createdAtMs === consumer.createdAtMs,
    )
    if (!isThere) return fail(noSuchConsumer(consumer.name, stream.name, place))
    lookForEnd()
  })
  // What was lost with the link, or with the server's memory, is not said by anybody.
  const forgetReconnects = bus.onReconnect(listenAnew)
  let beating = clock.setTimer(beat, BEAT_MS)
  const ending = clock.setTimer(end, LASTS_MS)
  listenNow()

  return {
    pause() {
      isPaused = true
      deafen()
    },
    resume() {
      if (!isPaused) return
      isPaused = false
      listenNow()
    },
    end,
    fail,
    stop: () => finish(() => {}),
  }
}
