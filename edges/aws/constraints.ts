/**
 * The constraints of AWS's service model, as a table and a walk over it.
 *
 * A request is first read for its JSON types, then for lengths, ranges, patterns and enums, all complaints at once, as AWS
 * does it. Source of the sentences: lambda-semantics.md, Appendix A (ValidationException); of those about types: the
 * SerializationException texts of AWS's JSON services.
 */
import { type Refusal, refuse } from './errors.ts'
import {
  atLeast,
  atLeastLong,
  atMost,
  atMostLong,
  enumConstraint,
  failedConstraint,
  notNull,
  patternConstraint,
  validationFailure,
} from './validation-texts.ts'

type Length = { atLeastLong?: number; atMostLong?: number }
/** `ours`: what lambus takes beside what AWS's pattern does. */
type Text = { kind: 'string'; pattern?: string; ours?: string; oneOf?: readonly string[] } & Length

export type Shape =
  | Text
  | { kind: 'integer'; atLeast?: number; atMost?: number }
  | { kind: 'boolean' }
  /** Seconds since the epoch. */
  | { kind: 'timestamp' }
  | ({ kind: 'list'; of: Shape } & Length)
  /** `isSecret`: its values are not repeated in complaints. */
  | { kind: 'map'; key: Text; value: Text; isSecret?: boolean }
  | { kind: 'structure'; members: Record<string, Shape>; required?: readonly string[] }

export type Structure = Extract<Shape, { kind: 'structure' }>
export type Input = Record<string, unknown>

/** A JSON type that the model does not have there; found first, and alone. */
class WrongType extends Error {}

/**
 * What AWS says of an input that the model does not allow; `undefined` when it does. `more` are complaints found elsewhere,
 * which belong in the same sentence. Members that the model does not know are not looked at.
 */
export function checkInput(
  shape: Structure,
  input: Input,
  more: readonly string[] = [],
): Refusal | undefined {
  try {
    const complaints = [...more, ...complaintsOf(shape, input, '')]
    return complaints.length === 0 ? undefined : validationFailure(complaints)
  } catch (error) {
    if (error instanceof WrongType) return refuse('SerializationException', error.message)
    throw error
  }
}

/** `FunctionName` is `functionName` in AWS's sentences. */
const inSentence = (member: string) => member.charAt(0).toLowerCase() + member.slice(1)
const below = (at: string, member: string) =>
  at === '' ? inSentence(member) : `${at}.${inSentence(member)}`

function complaintsOf(shape: Shape, value: unknown, at: string): string[] {
  switch (shape.kind) {
    case 'string':
      return ofText(shape, expectType('string', value), at)
    case 'integer':
      return ofInteger(shape, expectInteger(value), at)
    case 'boolean':
      expectType('boolean', value)
      return []
    case 'timestamp':
      expectNumber(value)
      return []
    case 'list':
      return ofList(shape, expectList(value), at)
    case 'map':
      return ofMap(shape, expectObject(value), at)
    case 'structure':
      return ofStructure(shape, expectObject(value), at)
  }
}

function ofStructure(shape: Structure, value: Input, at: string): string[] {
  const required = shape.required ?? []
  return Object.entries(shape.members).flatMap(([member, memberShape]) => {
    const given = value[member]
    if (given !== undefined && given !== null) {
      return complaintsOf(memberShape, given, below(at, member))
    }
    return required.includes(member) ? [notNull(below(at, member))] : []
  })
}

function ofText(shape: Text, text: string, at: string): string[] {
  const complaints = ofLength(shape, text.length, text, at)
  if (shape.oneOf !== undefined && !shape.oneOf.includes(text)) {
    complaints.push(enumConstraint(text, at, shape.oneOf))
  }
  const isOurs = shape.ours !== undefined && wholly(shape.ours).test(text)
  if (shape.pattern !== undefined && !isOurs && !wholly(shape.pattern).test(text)) {
    complaints.push(patternConstraint(text, at, shape.pattern))
  }
  return complaints
}

function ofLength(shape: Length, length: number, value: unknown, at: string): string[] {
  if (shape.atMostLong !== undefined && length > shape.atMostLong) {
    return [atMostLong(value, at, shape.atMostLong)]
  }
  return shape.atLeastLong !== undefined && length < shape.atLeastLong
    ? [atLeastLong(value, at, shape.atLeastLong)]
    : []
}

function ofInteger(
  shape: Extract<Shape, { kind: 'integer' }>,
  number: number,
  at: string,
): string[] {
  if (shape.atMost !== undefined && number > shape.atMost) return [atMost(number, at, shape.atMost)]
  return shape.atLeast !== undefined && number < shape.atLeast
    ? [atLeast(number, at, shape.atLeast)]
    : []
}

function ofList(shape: Extract<Shape, { kind: 'list' }>, list: unknown[], at: string): string[] {
  const complaints = ofLength(shape, list.length, list, at)
  // Members of structures are named one by one: `filters.1.member.pattern`.
  if (shape.of.kind === 'structure') {
    const each = list.map((one, index) => complaintsOf(shape.of, one, `${at}.${index + 1}.member`))
    return [...complaints, ...each.flat()]
  }
  const isBad = list.some((one) => one === null || complaintsOf(shape.of, one, at).length > 0)
  if (isBad && shape.of.kind === 'string') {
    const rules = [...rulesOf(shape.of), 'Member must not be null']
    complaints.push(
      failedConstraint(list, at, `Member must satisfy constraint: [${rules.join(', ')}]`),
    )
  }
  return complaints
}

function ofMap(shape: Extract<Shape, { kind: 'map' }>, map: Input, at: string): string[] {
  const say = (what: string, text: Text) => {
    const sentence = failedConstraint(
      map,
      at,
      `Map ${what} must satisfy constraint: [${rulesOf(text).join(', ')}]`,
    )
    return shape.isSecret === true ? sentence.replace(/^Value '.*' at '/s, "Value at '") : sentence
  }
  const entries = Object.entries(map)
  for (const [, value] of entries) expectType('string', value)
  return [
    ...(entries.some(([key]) => ofText(shape.key, key, at).length > 0)
      ? [say('keys', shape.key)]
      : []),
    ...(entries.some(([, value]) => ofText(shape.value, value as string, at).length > 0)
      ? [say('value', shape.value)]
      : []),
  ]
}

/** All the rules of a text, in AWS's order: what it says of a member of a list or map, whichever rule it broke. */
const rulesOf = (shape: Text): string[] => [
  ...(shape.atMostLong === undefined
    ? []
    : [`Member must have length less than or equal to ${shape.atMostLong}`]),
  ...(shape.atLeastLong === undefined
    ? []
    : [`Member must have length greater than or equal to ${shape.atLeastLong}`]),
  ...(shape.oneOf === undefined
    ? []
    : [`Member must satisfy enum value set: [${shape.oneOf.join(', ')}]`]),
  ...(shape.pattern === undefined
    ? []
    : [`Member must satisfy regular expression pattern: ${shape.pattern}`]),
]

const patterns = new Map<string, RegExp>()
function wholly(pattern: string): RegExp {
  const known = patterns.get(pattern) ?? new RegExp(`^(?:${pattern})$`)
  patterns.set(pattern, known)
  return known
}

// ── JSON types ─────────────────────────────────────────────────────────────────────────────────────────────────────

function expectType(type: 'string', value: unknown): string
function expectType(type: 'boolean', value: unknown): boolean
function expectType(type: 'string' | 'boolean', value: unknown): unknown {
  if (typeof value === type) return value
  throw new WrongType(misplaced(value, type === 'string' ? 'a String' : 'a Boolean'))
}

function expectInteger(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value)) return value
  throw new WrongType(misplaced(value, 'an Integer'))
}

function expectNumber(value: unknown): number {
  if (typeof value === 'number') return value
  throw new WrongType(misplaced(value, 'a Date'))
}

function expectList(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  throw new WrongType(typeof value === 'object' ? misplaced(value, '') : 'Expected list or null')
}

function expectObject(value: unknown): Input {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Input
  throw new WrongType(Array.isArray(value) ? misplaced(value, '') : 'Unexpected field type')
}

function misplaced(value: unknown, wanted: string): string {
  if (Array.isArray(value)) return 'Start of list found where not expected'
  if (typeof value === 'object' && value !== null) {
    return 'Start of structure or map found where not expected.'
  }
  if (typeof value === 'boolean')
    return `${value ? 'TRUE' : 'FALSE'}_VALUE can not be converted to ${wanted}`
  return typeof value === 'number'
    ? `NUMBER_VALUE can not be converted to ${wanted}`
    : `STRING_VALUE can not be converted to ${wanted}`
}
