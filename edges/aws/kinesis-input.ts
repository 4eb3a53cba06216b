/**
 * What comes in for an operation of Kinesis, read as its shape has it: first the types, of which the first wrong one is
 * named, then everything that the model does not allow, at most ten complaints in one sentence.
 *
 * Sources: the sentences are AWS's as kinesalite's tests recorded them (helpers.js, assertType and assertValidation).
 */
import type { Input } from './constraints.ts'
import { type KinesisRefusal, refuseKinesis } from './kinesis-errors.ts'
import {
  type KinesisShape,
  type KinesisStructure,
  type KinesisText,
  unhonoured,
} from './kinesis-operations.ts'
import {
  atLeast,
  atLeastLong,
  atMost,
  atMostLong,
  enumConstraint,
  failedConstraint,
  notNull,
  patternConstraint,
  validationSentence,
} from './validation-texts.ts'

/** What a protocol has of its own: how it says a time. */
export type ReadTimestamp = (value: unknown) => number

/** A type that the model does not have there. */
export class WrongType extends Error {}

/**
 * The input as the backend gets it: bytes as bytes, times in milliseconds, members that the model does not know left out.
 * `given` is what the protocol's parser made of the body.
 */
export function readKinesisInput(
  shape: KinesisStructure,
  given: Input,
  readTimestamp: ReadTimestamp,
): Input | KinesisRefusal {
  const input = typed(shape, given, readTimestamp)
  if (input instanceof WrongType) return refuseKinesis('SerializationException', input.message)
  const complaints = complaintsOf(shape, input)
  if (complaints.length > 0) {
    return refuseKinesis('ValidationException', validationSentence(complaints))
  }
  const ignored = Object.keys(unhonoured).find((member) => (given[member] ?? null) !== null)
  return ignored === undefined
    ? input
    : refuseKinesis('InvalidArgumentException', `lambus does not ${unhonoured[ignored]}.`)
}

function typed(shape: KinesisStructure, given: Input, readTimestamp: ReadTimestamp) {
  try {
    return structureOf(shape, given, readTimestamp)
  } catch (error) {
    if (error instanceof WrongType) return error
    throw error
  }
}

// ── Types ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function structureOf(shape: KinesisStructure, value: unknown, time: ReadTimestamp): Input {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    throw new WrongType('Expected null')
  }
  if (Array.isArray(value)) throw misplaced(value, '')
  const input: Input = {}
  for (const [name, member] of Object.entries(shape.members)) {
    const given = (value as Input)[name]
    if (given !== undefined && given !== null) input[name] = read(member, given, time)
  }
  return input
}

function read(shape: KinesisShape, value: unknown, time: ReadTimestamp): unknown {
  switch (shape.kind) {
    case 'string':
      if (typeof value === 'string') return value
      throw misplaced(value, 'an String')
    case 'integer':
      return integerOf(value)
    case 'boolean':
      if (typeof value === 'boolean') return value
      if (typeof value !== 'string') throw misplaced(value, 'an Boolean')
      throw new WrongType(`'${value.toUpperCase()}' can not be converted to an Boolean`)
    case 'timestamp':
      return time(value)
    case 'blob':
      return bytesOf(value)
    case 'list':
      return listOf(value).map((one) => (one === null ? null : read(shape.of, one, time)))
    case 'map':
      return Object.fromEntries(
        Object.entries(mapOf(value)).map(([key, one]) => [key, read(shape.value, one, time)]),
      )
    case 'structure':
      return structureOf(shape, value, time)
  }
}

const int32 = 2_147_483_647

/** Java's: what does not fit is cut off. */
function integerOf(value: unknown): number {
  if (typeof value !== 'number' && typeof value !== 'bigint') throw misplaced(value, 'an Integer')
  return Math.max(-int32 - 1, Math.min(int32, Math.floor(Number(value))))
}

function listOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  if (typeof value === 'object') throw misplaced(value, '')
  throw new WrongType('Expected list or null')
}

function mapOf(value: unknown): Input {
  if (Array.isArray(value)) throw misplaced(value, '')
  if (typeof value === 'object' && !(value instanceof Uint8Array)) return value as Input
  throw new WrongType('Expected map or null')
}

/** Bytes themselves, which CBOR has, or base64. */
function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value !== 'string') throw misplaced(value, 'a Blob')
  const complaint = base64Complaint(value)
  if (complaint === undefined) return Buffer.from(value, 'base64')
  throw new WrongType(`'${value}' can not be converted to a Blob: ${complaint}`)
}

/** What fills up the last of the characters must be zero: those that come before one `=`, and before two. */
const endsWell = /^$|[\w+/]$|[AEIMQUYcgkosw048]=$|[AQgw]==$/

function base64Complaint(text: string): string | undefined {
  if (text.length % 4 !== 0) {
    return `Base64 encoded length is expected a multiple of 4 bytes but found: ${text.length}`
  }
  const wrong = /[^a-zA-Z0-9+/=]|=[^=]/.exec(text)?.[0]
  if (wrong !== undefined) return `Invalid Base64 character: '${wrong.charAt(0)}'`
  return endsWell.test(text.slice(-4))
    ? undefined
    : 'Invalid last non-pad Base64 character dectected'
}

/** What stands where something else is wanted, in AWS's words for its type. */
export function misplaced(value: unknown, wanted: string): WrongType {
  if (Array.isArray(value)) return new WrongType('Start of list found where not expected')
  if (typeof value === 'object' && !(value instanceof Uint8Array)) {
    return new WrongType('Start of structure or map found where not expected.')
  }
  return new WrongType(`class ${javaClassOf(value)} can not be converted to ${wanted}`)
}

function javaClassOf(value: unknown): string {
  if (typeof value === 'string') return 'java.lang.String'
  if (typeof value === 'boolean') return 'java.lang.Boolean'
  return value instanceof Uint8Array
    ? 'java.nio.HeapByteBuffer'
    : 'com.amazon.coral.value.json.numbers.TruncatingBigNumber'
}

// ── Constraints ────────────────────────────────────────────────────────────────────────────────────────────────────

/** More, AWS does not say. */
const mostComplaints = 10

/** Which of its two limits bytes are held against. */
type BlobLimit = 'atMostLong' | 'mostlyAtMostLong'

/** A record too long for most streams may be right for this one: it is complained of only where something else is wrong. */
function complaintsOf(shape: KinesisStructure, input: Input): string[] {
  if (ofStructure(shape, input, '', 'atMostLong').length === 0) return []
  return ofStructure(shape, input, '', 'mostlyAtMostLong').slice(0, mostComplaints)
}

function ofStructure(
  shape: KinesisStructure,
  input: Input,
  at: string,
  limit: BlobLimit,
): string[] {
  const complaints: string[] = []
  for (const [name, member] of Object.entries(shape.members)) {
    const value = input[name]
    if (value !== undefined) complaints.push(...ofMember(member, value, below(at, name), limit))
    else if (shape.required[name]?.(input) === true) complaints.push(notNull(below(at, name)))
  }
  return complaints
}

function ofMember(shape: KinesisShape, value: unknown, at: string, limit: BlobLimit): string[] {
  switch (shape.kind) {
    case 'string':
      return ofText(shape, value as string, at)
    case 'integer':
      return ofInteger(shape, value as number, at)
    case 'blob':
      return tooLong(shape[limit], (value as Uint8Array).length, heapBuffer(value), at)
    case 'list':
      return ofList(shape, value as unknown[], at, limit)
    case 'map':
      return ofMap(shape, value as Record<string, string>, at)
    case 'structure':
      return ofStructure(shape, value as Input, at, limit)
    default:
      return []
  }
}

const none: string[] = []

function ofText(shape: KinesisText, text: string, at: string): string[] {
  if (fits(shape, text)) return none
  const { pattern, oneOf } = shape
  return [
    ...(pattern === undefined || wholly(pattern).test(text)
      ? []
      : [patternConstraint(text, at, pattern)]),
    ...(oneOf === undefined || oneOf.includes(text) ? [] : [enumConstraint(text, at, oneOf)]),
    ...tooShort(shape.atLeastLong, text.length, text, at),
    ...tooLong(shape.atMostLong, text.length, text, at),
  ]
}

const fits = (
  { pattern, oneOf, atLeastLong = 0, atMostLong = Infinity }: KinesisText,
  text: string,
) =>
  text.length >= atLeastLong &&
  text.length <= atMostLong &&
  (pattern === undefined || wholly(pattern).test(text)) &&
  (oneOf === undefined || oneOf.includes(text))

const tooShort = (least: number | undefined, length: number, value: unknown, at: string) =>
  least !== undefined && length < least ? [atLeastLong(value, at, least)] : none
const tooLong = (most: number | undefined, length: number, value: unknown, at: string) =>
  most !== undefined && length > most ? [atMostLong(value, at, most)] : none

function ofInteger(
  shape: Extract<KinesisShape, { kind: 'integer' }>,
  number: number,
  at: string,
): string[] {
  if (shape.atLeast !== undefined && number < shape.atLeast)
    return [atLeast(number, at, shape.atLeast)]
  return shape.atMost !== undefined && number > shape.atMost
    ? [atMost(number, at, shape.atMost)]
    : none
}

function ofList(
  shape: Extract<KinesisShape, { kind: 'list' }>,
  list: unknown[],
  at: string,
  limit: BlobLimit,
): string[] {
  const { of, prints, atLeastLong: least, atMostLong: most } = shape
  const shown = prints === undefined ? list : list.map(() => prints)
  const complaints = [
    ...tooShort(least, list.length, shown, at),
    ...tooLong(most, list.length, shown, at),
  ]
  if (of.kind === 'string') {
    const isBad = list.some((one) => one === null || !fits(of, one as string))
    return isBad ? [...complaints, failedConstraint(list, at, rulesOf(of, 'Member'))] : complaints
  }
  for (const [index, one] of list.entries()) {
    const here = `${at}.${index + 1}.member`
    complaints.push(...(one === null ? [notNull(here)] : ofMember(of, one, here, limit)))
  }
  return complaints
}

function ofMap(
  shape: Extract<KinesisShape, { kind: 'map' }>,
  map: Record<string, string>,
  at: string,
): string[] {
  const { key, value, atLeastLong: least, atMostLong: most } = shape
  const entries = Object.entries(map)
  return [
    ...tooShort(least, entries.length, map, at),
    ...tooLong(most, entries.length, map, at),
    ...(entries.every(([one]) => fits(key, one))
      ? []
      : [failedConstraint(map, at, rulesOf(key, 'Map keys'))]),
    ...(entries.every(([, one]) => one !== null && fits(value, one))
      ? []
      : [failedConstraint(map, at, rulesOf(value, 'Map value'))]),
  ]
}

/** Said of all that is in a list or map, whichever of them broke whichever rule. */
const rulesOf = ({ atLeastLong: least, atMostLong: most }: KinesisText, what: string): string =>
  `${what} must satisfy constraint: [Member must have length less than or equal to ${most}, Member must have length greater than or equal to ${least}]`

/** How Java prints bytes. */
function heapBuffer(value: unknown): string {
  const { length } = value as Uint8Array
  return `java.nio.HeapByteBuffer[pos=0 lim=${length} cap=${length}]`
}

const patterns = new Map<string, RegExp>()
function wholly(pattern: string): RegExp {
  const known = patterns.get(pattern) ?? new RegExp(`^(?:${pattern})$`)
  patterns.set(pattern, known)
  return known
}

/** `FunctionName` is `functionName` in AWS's sentences. */
function below(at: string, member: string): string {
  const inSentence = member.charAt(0).toLowerCase() + member.slice(1)
  return at === '' ? inSentence : `${at}.${inSentence}`
}
