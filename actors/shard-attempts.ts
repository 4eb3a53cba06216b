/**
 * The attempts of batches: takes what waits in a lane, invokes the function with it through a front end, and says what became
 * of it.
 *
 * Source: lambda-semantics.md §5.4–5.8.
 */
import type { Clock } from '../bus/bus.ts'
import type { StoredRecord } from '../bus/shard-record.ts'
import { type EventWindow, kinesisEvent } from '../edges/aws/kinesis-event.ts'
import { stableUuid } from '../edges/stable-uuid.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { Batch } from '../machines/lane-batches.ts'
import { type BatchOutcome, type ReaderEvent, windowStart } from '../machines/shard-reader.ts'
import type { Attempted, Attempts } from './attempt.ts'
import { type HeldShard, instanceOf, type LaneInHand, laneOf } from './held-shard.ts'
import { type BatchRecord, cutBatch, eventRecord, judge, lastExpired } from './shard-batch.ts'
import { count } from './shard-counts.ts'
import type { Answered } from './shard-failure.ts'

export type ShardAttempts = {
  /** Ends in `formed`, `windowOver`, `nothing` or `incomplete`. */
  form(
    it: HeldShard,
    lane: number,
    cut: { to: number | undefined; windowStartMs: number | undefined },
  ): void
  /** Ends in `attempted` or `expired`. */
  attempt(
    it: HeldShard,
    lane: number,
    what: { batch: Batch; maximumRecordAgeMs: number; windowStartMs: number | undefined },
  ): void
  /** Ends in `attempted` or `early`. */
  attemptWindow(it: HeldShard, lane: number, window: { startMs: number; isEarly: boolean }): void
}

export type ShardAttemptsBinding = {
  clock: Clock
  functions: { get(name: string): FunctionRecord | undefined }
  attempts: Pick<Attempts, 'attempt'>
  reservationTimeoutMs: number
  /** To the machine of a lane. */
  send(instance: string, event: ReaderEvent): void
  /** All records of a lane that there are up to that sequence have come in. */
  isComplete(it: HeldShard, lane: number, to: number): boolean
  /** It is still ours: something may be decided in its lease's name. */
  isHeld(it: HeldShard): boolean
  ended(it: HeldShard, outcome: BatchOutcome): void
}

/** Beside the function's own time: two ways over the bus. */
const SLACK_MS = 1_000
const LONGEST_FUNCTION_MS = 900_000
/** A millisecond of work, and no more memory than what waits anyway. */
const MOST_PREPARED = 200

export function openShardAttempts(binding: ShardAttemptsBinding): ShardAttempts {
  const { clock, functions, send } = binding

  const form: ShardAttempts['form'] = (it, lane, { to, windowStartMs }) => {
    const inHand = laneOf(it, lane)
    const instance = instanceOf(it.key, lane)
    const { batchSize, tumblingWindowMs } = it.mapping.settings
    const { lanes } = it.reading
    if (to !== undefined && !binding.isComplete(it, lane, to)) {
      send(instance, { type: 'incomplete' })
      return
    }
    const limits = { batchSize, to, tumblingWindowMs, windowStartMs }
    noteRole(it)
    const cut = cutBatch((index) => lanes.at(lane, index), limits, it.frame, inHand.state)
    if (cut === undefined || cut === 'windowOver') {
      send(instance, { type: cut ?? 'nothing' })
      return
    }
    inHand.cut = cut
    const left = lanes.size(lane) - cut.batch.records
    send(instance, {
      type: 'formed',
      batch: cut.batch,
      nowMs: clock.nowMs(),
      hasMore: left > 0,
      isFull: left >= batchSize,
    })
  }

  /** It is in every record, and counts for what a batch may hold. */
  const noteRole = (it: HeldShard): void => {
    const record = functions.get(it.mapping.functionName)
    const roleArn = (record?.serving?.settings ?? record?.settings)?.role ?? ''
    if (roleArn !== it.frame.roleArn) it.frame = { ...it.frame, roleArn }
  }

  const attempt: ShardAttempts['attempt'] = (it, lane, what) => {
    const { batch, maximumRecordAgeMs, windowStartMs } = what
    const inHand = laneOf(it, lane)
    const records = inHand.cut?.records ?? []
    // What was never tried is told of with an id, too.
    inHand.requestId = requestIdOf(it, lane, batch.from, batch.to, batch.records)
    const tooOld = lastExpired(records, maximumRecordAgeMs, clock.nowMs())
    if (tooOld !== undefined) {
      send(instanceOf(it.key, lane), { type: 'expired', to: tooOld })
      return
    }
    if (inHand.cut?.isTooLarge === true) {
      inHand.answer = undefined
      ended(it, lane, records, { kind: 'unsendable' })
      return
    }
    const window =
      windowStartMs === undefined
        ? undefined
        : windowMembers(it, inHand, { startMs: windowStartMs, isFinal: false, isEarly: false })
    invoke(it, lane, records, window)
  }

  const attemptWindow: ShardAttempts['attemptWindow'] = (it, lane, { startMs, isEarly }) => {
    const inHand = laneOf(it, lane)
    const { lanes, isCaughtUp, isAllIn } = it.reading
    const first = lanes.at(lane, 0)
    const isOver = first === undefined ? isCaughtUp || isAllIn : windowOf(it, first) !== startMs
    if (!isEarly && !isOver) {
      send(instanceOf(it.key, lane), { type: 'early', nowMs: clock.nowMs() })
      return
    }
    inHand.requestId = requestIdOf(it, lane, 'window', startMs)
    invoke(it, lane, [], windowMembers(it, inHand, { startMs, isFinal: true, isEarly }))
  }

  const invoke = (
    it: HeldShard,
    lane: number,
    records: readonly BatchRecord[],
    window: EventWindow | undefined,
  ): void => {
    if (!binding.isHeld(it)) return
    const { functionName, qualifier } = it.mapping
    const inHand = laneOf(it, lane)
    const { requestId } = inHand
    const payload = kinesisEvent({ ...it.frame, records, window })
    const { timeoutSeconds = 0 } = functions.get(functionName)?.serving?.settings ?? {}
    const timeoutMs = timeoutSeconds * 1000 || LONGEST_FUNCTION_MS
    const deadlineMs = timeoutMs + binding.reservationTimeoutMs + SLACK_MS
    inHand.running = requestId
    const order = { requestId, functionName, qualifier }
    binding.attempts.attempt(order, payload, deadlineMs, (attempted) => {
      if (inHand.running !== requestId || !binding.isHeld(it)) return
      inHand.running = undefined
      answered(it, lane, records, attempted, window !== undefined)
    })
    queueMicrotask(() => prepare(it, lane, records.length))
  }

  /** What the next batch is made of is made while this one is being tried. */
  const prepare = (it: HeldShard, lane: number, behind: number): void => {
    const { lanes } = it.reading
    const count = Math.min(it.mapping.settings.batchSize, MOST_PREPARED)
    for (let index = behind; index < behind + count; index++) {
      const record = lanes.at(lane, index)
      if (record === undefined) return
      eventRecord(record, it.frame)
    }
  }

  const answered = (
    it: HeldShard,
    lane: number,
    records: readonly BatchRecord[],
    attempted: Attempted,
    inWindow: boolean,
  ): void => {
    const inHand = laneOf(it, lane)
    const { reportsItemFailures } = it.mapping.settings
    const { outcome, state } = judge(attempted, records, { reportsItemFailures, inWindow })
    inHand.answer = answerOf(attempted)
    if (state !== undefined) inHand.state = state
    ended(it, lane, records, outcome)
  }

  const ended = (
    it: HeldShard,
    lane: number,
    records: readonly BatchRecord[],
    outcome: BatchOutcome,
  ): void => {
    count(it.counts, records, outcome, clock.nowMs())
    binding.ended(it, outcome)
    send(instanceOf(it.key, lane), { type: 'attempted', outcome, nowMs: clock.nowMs() })
  }

  return { form, attempt, attemptWindow }
}

/**
 * The same for the same batch: it keeps its request id from attempt to attempt (lambda-semantics.md §5.6), and whoever reads the
 * shard next asks for the same. With other lanes or filters the same bounds hold other records.
 */
const requestIdOf = (
  { key, work, lanes }: HeldShard,
  lane: number,
  ...batch: (string | number)[]
): string => stableUuid([key, lane, lanes.length, work.incarnation, ...batch].join('/'))

const windowOf = ({ mapping }: HeldShard, { arrivalMs }: StoredRecord): number =>
  windowStart(arrivalMs, mapping.settings.tumblingWindowMs)

const windowMembers = (
  { mapping }: HeldShard,
  { state }: LaneInHand,
  { startMs, isFinal, isEarly }: { startMs: number; isFinal: boolean; isEarly: boolean },
): EventWindow => ({
  startMs,
  endMs: startMs + mapping.settings.tumblingWindowMs,
  state,
  isFinal,
  isTerminatedEarly: isEarly,
})

function answerOf(attempted: Attempted): Answered | undefined {
  if (attempted === 'unknown' || attempted.answer.statusCode !== 200) return undefined
  const { executedVersion = '$LATEST', functionError } = attempted.answer
  return { executedVersion, functionError: functionError === undefined ? null : 'Unhandled' }
}
