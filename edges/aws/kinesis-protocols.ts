/**
 * The two protocols of Kinesis: JSON 1.1, and CBOR 1.1, which AWS's SDK for Java speaks. They differ in how bytes and times
 * are said.
 *
 *              JSON                          CBOR
 *     bytes    base64                        bytes
 *     times    seconds with 3 decimals       tag 1 and milliseconds (not seconds, as tag 1 has them elsewhere)
 *
 * Sources: Smithy specification, "AWS JSON 1.1 protocol"; AWS SDK for Java 2, AwsCborProtocolFactory ("CBOR uses epoch millis
 * for timestamps"). No SDK has been seen to speak Smithy's own RPC v2 CBOR with Kinesis: the models of botocore 1.43 and
 * of the JavaScript client 3.1143 name JSON alone.
 */
import { isUtf8 } from 'node:buffer'
import { createRequire } from 'node:module'
import type { Input } from './constraints.ts'
import type { KinesisRefusal } from './kinesis-errors.ts'
import { misplaced, type ReadTimestamp } from './kinesis-input.ts'
import type { KinesisOutput } from './kinesis-operations.ts'

export type KinesisProtocol = {
  contentType: string
  /** `undefined`: it is not what the protocol is written in, or no object. */
  parse(body: Uint8Array): Input | undefined
  readTimestamp: ReadTimestamp
  write(value: object, conversions: KinesisOutput): Uint8Array | string
}

export const inJson: KinesisProtocol = {
  contentType: 'application/x-amz-json-1.1',
  parse: (body) => parsed(() => (isUtf8(body) ? JSON.parse(textOf(body)) : undefined)),
  readTimestamp: (value) => Math.round(numberOf(value) * 1_000),
  write: (value, conversions) =>
    JSON.stringify(
      converted(value, conversions, {
        blob: (bytes) => bufferOf(bytes).toString('base64'),
        timestamp: (ms) => ms / 1_000,
      }),
    ),
}

const load = createRequire(import.meta.url)
let smithy: typeof import('@smithy/core/cbor') | undefined
/** Loaded when somebody speaks it: some megabytes that most never need. */
const ofSmithy = () => {
  smithy ??= load('@smithy/core/cbor') as typeof import('@smithy/core/cbor')
  return smithy
}

export const inCbor: KinesisProtocol = {
  contentType: 'application/x-amz-cbor-1.1',
  parse: (body) => parsed(() => ofSmithy().cbor.deserialize(body)),
  readTimestamp: (value) => millisecondsOf(numberOf(untagged(value))),
  write: (value, conversions) =>
    ofSmithy().cbor.serialize(
      converted(value, conversions, {
        blob: (bytes) => bytes,
        timestamp: (ms) => ofSmithy().tag({ tag: 1, value: ms }),
      }),
    ),
}

function parsed(parse: () => unknown): Input | undefined {
  try {
    const value = parse()
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Input =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Uint8Array)

const bufferOf = (bytes: Uint8Array) =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const textOf = (bytes: Uint8Array) => bufferOf(bytes).toString('utf8')

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  throw misplaced(value, 'milliseconds since epoch')
}

const untagged = (value: unknown) => (isObject(value) && 'tag' in value ? value['value'] : value)

/** In seconds this is the year 5138: who says less means seconds, as tag 1 has them outside AWS. */
const leastMilliseconds = 100_000_000_000
const millisecondsOf = (value: number) =>
  Math.round(Math.abs(value) < leastMilliseconds ? value * 1_000 : value)

type Conversions = {
  blob(bytes: Uint8Array): unknown
  timestamp(ms: number): unknown
}

/** A copy with its bytes and times as the protocol has them, and without members that are `undefined`: CBOR has none. */
function converted(value: unknown, which: KinesisOutput | undefined, how: Conversions): unknown {
  if (typeof value === 'object' ? value === null : which !== 'timestamp') return value
  if (which === 'blob') return how.blob(value as Uint8Array)
  if (which === 'timestamp') return how.timestamp(value as number)
  if (Array.isArray(value)) {
    const each = Array.isArray(which) ? which[0] : undefined
    return value.map((one) => converted(one, each, how))
  }
  const members = which === undefined || Array.isArray(which) ? {} : which
  const copy: Input = {}
  for (const [name, member] of Object.entries(value as Input)) {
    if (member !== undefined) copy[name] = converted(member, members[name], how)
  }
  return copy
}

/** The body of a refusal. A sentence that AWS does not give is left out. */
export function refusalBody({ refused, message }: KinesisRefusal): object {
  if (message === '') return { __type: refused }
  return refused === 'SerializationException'
    ? { __type: refused, Message: message }
    : { __type: refused, message }
}
