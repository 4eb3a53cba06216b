/**
 * A packet: events of one function, one after the other in one message of the stream.
 *
 *     [{"id":"…","bytes":7,…},{…}]\n{"n":1}{"n":2}…
 *
 * A write to disk costs the same for one event and for fifty, so what arrives while one is being stored is stored
 * together, and leaves together. The first line says what there is; then follow the payloads as they came, each with the
 * response of its last attempt behind it where there was one. Nothing is encoded again on the way.
 */

/** What became of the last attempt. `statusCode`: as Invoke would have answered it. */
export type LastOutcome = {
  statusCode: number
  executedVersion?: string
  functionError?: string
  /** The sentence of a refusal; a function's own error is in `response`. */
  message?: string
}

/** What is still to be told about an event that has ended, and to whom. */
export type Telling = {
  condition: string
  /** Milliseconds since the epoch: when it ended. */
  endedAtMs: number
  /** As a `record` the payload itself is told, as it is: that of records of a stream which are given up. */
  to: { as: 'destination' | 'dead letter' | 'record'; arn: string }[]
}

/** It never was an event that a function was invoked with: its payload is what is to be told. */
export const isRecord = ({ telling }: Pick<StoredEvent, 'telling'>): boolean =>
  telling?.to.some(({ as }) => as === 'record') === true

export type StoredEvent = {
  /** Its request id: the same from its acceptance to its end. */
  id: string
  /** As it was asked for. */
  qualifier?: string
  traceId?: string
  /** Milliseconds since the epoch. */
  acceptedAtMs: number
  /** How often the function was invoked with it. */
  attempts: number
  /** How often in a row it was put off without an attempt: throttled, or something of ours failed. */
  putOff: number
  last?: LastOutcome
  telling?: Telling
  /** What is done by if its function is deleted meanwhile: how often and how long it is tried, and who is told. */
  whenGone?: { mostAttempts: number; mostAgeMs: number; to: Telling['to'] }
  payload: Uint8Array
  /** What the function answered to the last attempt. */
  response?: Uint8Array
}

type Head = Omit<StoredEvent, 'payload' | 'response'> & { bytes: number; responseBytes?: number }

/** Of a write that takes half a millisecond 64 have 8 µs each; more would only make larger what a reader holds. */
export const mostEventsInPacket = 64
/** Beside one event of any size: so that a reader's packets stay small. */
export const mostBytesInPacket = 262_144

export const bytesOf = ({ payload, response }: StoredEvent): number =>
  payload.length + (response?.length ?? 0)

export function encodePacket(events: readonly StoredEvent[]): Uint8Array {
  const heads: Head[] = []
  const parts: Uint8Array[] = []
  for (const { payload, response, ...head } of events) {
    heads.push({
      ...head,
      bytes: payload.length,
      ...(response === undefined ? {} : { responseBytes: response.length }),
    })
    parts.push(payload)
    if (response !== undefined) parts.push(response)
  }
  return Buffer.concat([Buffer.from(`${JSON.stringify(heads)}\n`), ...parts])
}

const newline = 10

/** Undefined when the bytes are no packet. The payloads are views into them. */
export function decodePacket(bytes: Uint8Array): StoredEvent[] | undefined {
  const end = bytes.indexOf(newline)
  if (end === -1) return undefined
  const heads = readHeads(bytes.subarray(0, end))
  if (heads === undefined) return undefined
  let at = end + 1
  const take = (length: number): Uint8Array => {
    at += length
    return bytes.subarray(at - length, at)
  }
  const events = heads.map(({ bytes: length, responseBytes, ...head }) => {
    const payload = take(length)
    return responseBytes === undefined
      ? { ...head, payload }
      : { ...head, payload, response: take(responseBytes) }
  })
  return at === bytes.length ? events : undefined
}

function readHeads(line: Uint8Array): Head[] | undefined {
  try {
    const heads = JSON.parse(Buffer.from(line).toString('utf8')) as Head[]
    return Array.isArray(heads) && heads.length > 0 && heads.every(isHead) ? heads : undefined
  } catch {
    return undefined
  }
}

const isHead = (head: Head | null): boolean =>
  typeof head?.id === 'string' &&
  Number.isInteger(head.bytes) &&
  head.bytes >= 0 &&
  Number.isInteger(head.responseBytes ?? 0) &&
  (head.responseBytes ?? 0) >= 0 &&
  Number.isFinite(head.acceptedAtMs) &&
  Number.isInteger(head.attempts) &&
  Number.isInteger(head.putOff)
