/**
 * A batch of records: cut from what waits in a lane, made into the function's event, and what the function's answer means for
 * it.
 *
 * Source: lambda-semantics.md §5.4–5.8.
 */
import type { StoredRecord } from '../bus/shard-record.ts'
import { firstFailed, readBatchResponse, readWindowState } from '../edges/aws/batch-response.ts'
import type { FilterRecord } from '../edges/aws/filter-pattern.ts'
import { payloadLimitBytes } from '../edges/aws/invoke.ts'
import {
  type EventFrame,
  type EventRecord,
  type EventWindow,
  eventJsonBytes,
  recordJson,
  recordJsonBytes,
} from '../edges/aws/kinesis-event.ts'
import { sequenceNumber } from '../edges/aws/sequence-number.ts'
import type { Batch } from '../machines/lane-batches.ts'
import { type BatchOutcome, windowStart } from '../machines/shard-reader.ts'
import type { Attempted } from './attempt.ts'

/** A record as the function sees it, and where it stands. */
export type BatchRecord = EventRecord & { sequence: number }

export type Cut = {
  records: BatchRecord[]
  batch: Batch
  /** It is larger than an invocation may be: one record that is, alone. */
  isTooLarge: boolean
}

export type CutLimits = {
  batchSize: number
  /** The sequence of its last record, if it was cut before. */
  to: number | undefined
  /** 0: none. */
  tumblingWindowMs: number
  /** Of the window that is open. */
  windowStartMs: number | undefined
}

/** What is the same for all records of a shard, and what their sequence numbers are made with. */
export type ShardFrame = EventFrame & { shard: number; shardCreatedAtMs: number }

/** What a window's members take at most: its state is 1 MB, and its bounds are short. */
const windowFrame = (limits: CutLimits, state: string): EventWindow | undefined =>
  limits.tumblingWindowMs === 0
    ? undefined
    : {
        startMs: 0,
        endMs: 0,
        state,
        isFinal: false,
        isTerminatedEarly: false,
      }

/** `undefined`: nothing waits. `windowOver`: what waits is of a later window. */
export function cutBatch(
  at: (index: number) => StoredRecord | undefined,
  limits: CutLimits,
  frame: ShardFrame,
  state: string,
): Cut | 'windowOver' | undefined {
  const first = at(0)
  if (first === undefined) return undefined
  const { tumblingWindowMs, windowStartMs } = limits
  const windowOf = ({ arrivalMs }: StoredRecord) =>
    tumblingWindowMs === 0 ? 0 : windowStart(arrivalMs, tumblingWindowMs)
  const window = windowOf(first)
  if (tumblingWindowMs > 0 && windowStartMs !== undefined && window !== windowStartMs) {
    return 'windowOver'
  }
  // What was cut may have expired since.
  const to = limits.to !== undefined && limits.to >= first.sequence ? limits.to : undefined
  const records: BatchRecord[] = []
  let bytes = eventJsonBytes(frame, windowFrame(limits, state))
  for (let index = 0; index < limits.batchSize; index++) {
    const record = at(index)
    if (record === undefined || windowOf(record) !== window) break
    if (to !== undefined && record.sequence > to) break
    const made = eventRecord(record, frame)
    bytes += recordJsonBytes(made, frame)
    if (bytes > payloadLimitBytes && index > 0) break
    records.push(made)
  }
  return {
    records,
    batch: batchOf(records),
    isTooLarge: records.length === 1 && bytes > payloadLimitBytes,
  }
}

/** The sequence of the last record that is too old, of those at the head. */
export function lastExpired(
  records: readonly BatchRecord[],
  maximumRecordAgeMs: number,
  nowMs: number,
): number | undefined {
  if (maximumRecordAgeMs < 0) return undefined
  const fresh = records.findIndex(({ arrivalMs }) => arrivalMs + maximumRecordAgeMs > nowMs)
  return fresh === -1 ? records.at(-1)?.sequence : records[fresh - 1]?.sequence
}

/** What a filter may look at; what costs something to make is made when it does. */
export const filterRecord = (frame: ShardFrame, record: StoredRecord): FilterRecord => ({
  data: record.data,
  partitionKey: record.partitionKey,
  approximateArrivalTimestamp: record.arrivalMs / 1000,
  get sequenceNumber() {
    return sequenceNumberOf(record, frame)
  },
  kinesisSchemaVersion: '1.0',
  eventSource: 'aws:kinesis',
  eventVersion: '1.0',
  get eventID() {
    return `${frame.shardId}:${sequenceNumberOf(record, frame)}`
  },
  eventName: 'aws:kinesis:record',
  invokeIdentityArn: frame.roleArn,
  awsRegion: frame.place.region,
  eventSourceARN: frame.streamArn,
})

/** Kept with the record: it is made while the batch before it is being tried. */
type Prepared = StoredRecord & { made?: { frame: ShardFrame; record: BatchRecord } }

/** A record as the function sees it, as JSON too. */
export function eventRecord(stored: StoredRecord, frame: ShardFrame): BatchRecord {
  const prepared = stored as Prepared
  if (prepared.made?.frame === frame) return prepared.made.record
  const { sequence, partitionKey, data, arrivalMs } = stored
  const record: BatchRecord = {
    sequence,
    partitionKey,
    data,
    arrivalMs,
    sequenceNumber: sequenceNumberOf(stored, frame),
  }
  record.json = recordJson(record, frame)
  prepared.made = { frame, record }
  return record
}

const sequenceNumberOf = (
  { sequence: counter, arrivalMs }: StoredRecord,
  { shard, shardCreatedAtMs }: ShardFrame,
): string => sequenceNumber({ shardCreatedAtMs, shard, counter, arrivalMs })

function batchOf(records: readonly BatchRecord[]): Batch {
  const first = records[0] as BatchRecord
  const last = records.at(-1) as BatchRecord
  const middle = records[Math.ceil(records.length / 2) - 1] as BatchRecord
  return {
    from: first.sequence,
    middle: middle.sequence,
    to: last.sequence,
    records: records.length,
    firstMs: first.arrivalMs,
  }
}

export type Judged = {
  outcome: BatchOutcome
  /** What the function returned for its window, as JSON; there when it succeeded. */
  state?: string
}

/** `records`: of the batch; none in the last attempt of a window. */
export function judge(
  attempted: Attempted,
  records: readonly BatchRecord[],
  { reportsItemFailures, inWindow }: { reportsItemFailures: boolean; inWindow: boolean },
): Judged {
  if (attempted === 'unknown') return { outcome: { kind: 'unavailable' } }
  const { statusCode, functionError } = attempted.answer
  if (statusCode === 429) return { outcome: { kind: 'throttled' } }
  if (statusCode === 413) return { outcome: { kind: 'unsendable' } }
  if (statusCode !== 200) return { outcome: { kind: 'unavailable' } }
  if (functionError !== undefined) return { outcome: { kind: 'failed' } }
  const outcome = reportsItemFailures ? reported(attempted.payload, records) : succeeded
  if (!inWindow || outcome.kind === 'rejected') return { outcome }
  const { state, isTooLarge } = readWindowState(attempted.payload)
  if (!isTooLarge) return { outcome, state }
  return { outcome: outcome.kind === 'succeeded' ? { kind: 'overflown' } : outcome }
}

const succeeded: BatchOutcome = { kind: 'succeeded' }

function reported(payload: Uint8Array, records: readonly BatchRecord[]): BatchOutcome {
  const response = readBatchResponse(payload)
  if (response.kind === 'success') return succeeded
  if (response.kind === 'failure') return { kind: 'rejected' }
  const index = firstFailed(
    response.identifiers,
    records.map((record) => record.sequenceNumber),
  )
  const done = records[index - 1]
  return done === undefined ? { kind: 'rejected' } : { kind: 'partly', to: done.sequence }
}
