/**
 * One subscription to a shard: what is stored there from a sequence on, in events of some size, for five minutes.
 *
 * A client that is slow has nothing told to it, and after a thousand records nothing read for it. A source that breaks is opened
 * anew behind what came of it.
 * Source: Kinesis API reference, SubscribeToShard and SubscribeToShardEvent.
 */
import type { StoredRecord } from '../bus/shard-record.ts'
import { openShardSource, type ShardSource } from '../bus/shard-source.ts'
import type { KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import { noSuchConsumer, noSuchStream } from '../edges/aws/kinesis-names.ts'
import { childShards } from '../edges/aws/kinesis-shapes.ts'
import { sequenceNumber } from '../edges/aws/sequence-number.ts'
import type { Shard, StreamConsumer, StreamRecord } from '../machines/stream.ts'
import { addressOf, type KinesisBinding } from './kinesis-binding.ts'
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
/** As many wait here for a client. */
const ROOM = 1_000
const PAUSE_MS = 500

export function openSubscription(
  binding: KinesisBinding,
  { stream, shard, consumer, from }: SubscriptionPlace,
  tell: Tell,
): Subscription {
  const { bus, clock, streams, place, log } = binding
  const address = addressOf(stream, shard)
  /** Heard, and not told. */
  const heard: StoredRecord[] = []
  /** Sequences of the record stream. */
  let heardTo = from - 1
  let toldTo = from - 1
  /** In the stream behind what was heard, when that was. */
  let pending = 0
  let toldAtMs = clock.monotonicMs()
  let isPaused = false
  let isDone = false
  let isLooking = false
  let source: ShardSource | undefined
  let gathering: unknown

  /** The stream as it is now. */
  const current = (): StreamRecord | undefined => {
    const now = streams.get(stream.name)
    return now?.incarnation === stream.incarnation ? now : undefined
  }

  const event = (records: StoredRecord[], more: object): void => {
    toldAtMs = clock.monotonicMs()
    const isAll = pending === 0 && heard.length === 0
    tell.event({
      Records: records.map((record) => recordAnswer(shard, record)),
      ...more,
      MillisBehindLatest: isAll ? 0 : behindMs(records.at(-1), clock.nowMs()),
    })
  }

  /** Where somebody goes on behind what was told, whatever sequence that has. */
  const goOn = (last?: StoredRecord) => ({
    ContinuationSequenceNumber: sequenceNumber({
      shardCreatedAtMs: shard.createdAtMs,
      shard: shard.index,
      counter: toldTo,
      arrivalMs: last?.arrivalMs ?? clock.nowMs(),
    }),
  })

  const flush = (): void => {
    clock.clearTimer(gathering)
    gathering = undefined
    while (heard.length > 0 && !isPaused && !isDone) {
      const records = heard.splice(0, fitting(heard))
      const last = records.at(-1)
      toldTo = last?.sequence ?? toldTo
      event(records, goOn(last))
    }
    source?.more()
    lookForEnd()
  }

  const hear = (record: StoredRecord, behind: number): void => {
    heard.push(record)
    heardTo = record.sequence
    pending = behind
    if (heard.length >= mostRecords) flush()
    else gathering ??= clock.setTimer(flush, GATHER_MS)
  }

  const read = async (): Promise<void> => {
    let isThis = true
    const isWanted = () => isThis && !isDone
    const opened = await openShardSource(
      bus,
      clock,
      address,
      { after: heardTo },
      {
        record: (record, behind) => {
          if (isWanted()) hear(record, behind)
        },
        room: () => (isPaused || !isWanted() ? 0 : ROOM - heard.length),
        broken(why) {
          log.debug({ stream: stream.name, shard: shard.index, why }, 'a shard is read anew')
          isThis = false
          source = undefined
          readSoon()
        },
      },
    )
    if (!isWanted()) return opened.stop()
    source = opened
    pending = opened.pending
    opened.more()
    if (pending === 0 && heard.length === 0 && !isPaused) event([], goOn())
    lookForEnd()
  }

  const readNow = (): void => {
    if (isDone) return
    read().catch((error) => {
      log.warn({ code: 'KINESIS_SHARD_NOT_READ', stream: stream.name, err: error }, 'again soon')
      readSoon()
    })
  }
  const readSoon = () => void clock.setTimer(readNow, PAUSE_MS)

  /** Nothing is looked for while something is on its way. */
  const lookForEnd = (): void => {
    const now = current()
    const itself = now?.shards.find(({ index }) => index === shard.index)
    const isBusy = isDone || isPaused || isLooking || pending > 0 || heard.length > 0
    if (isBusy || source === undefined || now === undefined || itself === undefined) return
    isLooking = true
    const at = heardTo
    isOver(binding, now, itself, at + 1)
      .then((over) => {
        if (over && !isDone && at === heardTo) finish(() => endOf(now))
      })
      .catch((error) => {
        log.warn({ code: 'KINESIS_SHARD_NOT_READ', stream: stream.name, err: error }, 'again soon')
      })
      .finally(() => {
        isLooking = false
      })
  }
  const endOf = (now: StreamRecord): void => {
    event([], childShards(now, shard))
    tell.ended()
  }

  const beat = (): void => {
    beating = clock.setTimer(beat, BEAT_MS)
    lookForEnd()
    if (!isPaused && clock.monotonicMs() - toldAtMs >= BEAT_MS) event([], goOn())
  }

  const finish = (last: () => void): void => {
    if (isDone) return
    isDone = true
    source?.stop()
    forget()
    for (const timer of [gathering, beating, ending]) clock.clearTimer(timer)
    last()
  }
  const end = () => {
    flush()
    finish(tell.ended)
  }
  const fail = (refusal: KinesisRefusal) => finish(() => tell.failed(refusal))

  const forget = streams.onChange(stream.name, () => {
    const now = current()
    if (now === undefined) return fail(noSuchStream(stream.name, place))
    const isThere = now.consumers.some(
      ({ name, createdAtMs }) => name === consumer.name && createdAtMs === consumer.createdAtMs,
    )
    if (!isThere) return fail(noSuchConsumer(consumer.name, stream.name, place))
    lookForEnd()
  })
  let beating = clock.setTimer(beat, BEAT_MS)
  const ending = clock.setTimer(end, LASTS_MS)
  readNow()

  return {
    pause() {
      isPaused = true
    },
    resume() {
      if (!isPaused) return
      isPaused = false
      flush()
    },
    end,
    fail,
    stop: () => finish(() => {}),
  }
}

/** How many of these are one event; one at least. */
function fitting(records: readonly StoredRecord[]): number {
  let bytes = 0
  const most = Math.min(records.length, mostRecords)
  for (let count = 0; count < most; count++) {
    bytes += (records[count] as StoredRecord).data.length
    if (bytes > mostBytes && count > 0) return count
  }
  return most
}
