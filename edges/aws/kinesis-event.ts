/**
 * What a function is invoked with for a batch of records: AWS's event of Kinesis, its keys in the recorded order.
 *
 *     {"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"a","sequenceNumber":"4959…","data":"aGVsbG8=",
 *       "approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",
 *       "eventID":"shardId-000000000000:4959…","eventName":"aws:kinesis:record","invokeIdentityArn":"…","awsRegion":"…",
 *       "eventSourceARN":"…"}]}
 *
 * It is put together as text and not as objects: it is made for every batch, and most of it is the same in each record.
 * `recordJsonBytes` says beforehand what a record will take, so that a batch can be cut at the limit of an invocation
 * (payloadLimitBytes).
 *
 * Source: lambda-semantics.md §5.4 (recorded: LocalStack's test_kinesis_event_source_mapping_with_s3_on_failure_destination)
 * and §5.8 for what windows add: Lambda Developer Guide, "Tumbling windows".
 */
import type { Place } from './names.ts'

export type EventRecord = {
  partitionKey: string
  /** Decimal. */
  sequenceNumber: string
  data: Uint8Array
  arrivalMs: number
  /** What `recordJson` makes of it, if that is made already. */
  json?: string
}

/** What is the same for all records of a shard. */
export type EventFrame = {
  place: Place
  /** The stream's or, with enhanced fan-out, the consumer's: as the mapping has it. */
  streamArn: string
  shardId: string
  /** The function's. */
  roleArn: string
}

export type EventWindow = {
  startMs: number
  endMs: number
  /** As JSON; `{}` when the window begins. */
  state: string
  isFinal: boolean
  isTerminatedEarly: boolean
}

const emptyEvent = '{"Records":[]}'

/** The event as JSON in UTF-8. */
export function kinesisEvent(
  batch: EventFrame & { records: readonly EventRecord[]; window?: EventWindow | undefined },
): Uint8Array {
  const { records, window } = batch
  let text = '{"Records":['
  let separator = ''
  for (const record of records) {
    text += separator + (record.json ?? recordJson(record, batch))
    separator = ','
  }
  return Buffer.from(`${text}]${window === undefined ? '' : windowMembers(window, batch)}}`)
}

/** A record as it stands in an event. */
export function recordJson(
  { partitionKey, sequenceNumber, data, arrivalMs }: EventRecord,
  frame: EventFrame,
): string {
  const { afterTime, afterId } = constantsOf(frame)
  return `${beforeKey}${JSON.stringify(partitionKey)},"sequenceNumber":"${sequenceNumber}","data":"${base64(data)}"${beforeTime}${arrivalMs / 1_000}${afterTime}${sequenceNumber}${afterId}`
}

/** What a record adds to an event, with the comma before it. */
export const recordJsonBytes = (record: EventRecord, frame: EventFrame): number =>
  1 + Buffer.byteLength(record.json ?? recordJson(record, frame))

/** What an event takes without any record. */
export const eventJsonBytes = (frame: EventFrame, window?: EventWindow): number =>
  emptyEvent.length + (window === undefined ? 0 : Buffer.byteLength(windowMembers(window, frame)))

const beforeKey = '{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":'
const beforeTime = ',"approximateArrivalTimestamp":'

type Constants = { afterTime: string; afterId: string }
const constants = new WeakMap<EventFrame, Constants>()

/** Kept by the frame, as long as that is: whoever reads a shard has one and asks for each record. */
function constantsOf(frame: EventFrame): Constants {
  const made = constants.get(frame) ?? makeConstants(frame)
  constants.set(frame, made)
  return made
}

function makeConstants({ place, streamArn, shardId, roleArn }: EventFrame): Constants {
  const afterTime = `},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"${shardId}:`
  const afterId = `","eventName":"aws:kinesis:record","invokeIdentityArn":${JSON.stringify(roleArn)},"awsRegion":"${place.region}","eventSourceARN":${JSON.stringify(streamArn)}}`
  return { afterTime, afterId }
}

const base64 = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64')

function windowMembers(window: EventWindow, { shardId, streamArn }: EventFrame): string {
  const bounds = { start: seconds(window.startMs), end: seconds(window.endMs) }
  const rest = {
    shardId,
    eventSourceARN: streamArn,
    isFinalInvokeForWindow: window.isFinal,
    isWindowTerminatedEarly: window.isTerminatedEarly,
  }
  return `,"window":${JSON.stringify(bounds)},"state":${window.state},${JSON.stringify(rest).slice(1, -1)}`
}

/** `2020-07-30T17:00:00Z`: windows begin and end with a second. */
const seconds = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`
