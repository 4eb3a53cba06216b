/**
 * The patterns of FilterCriteria: which records of a stream a function is to see.
 *
 *     {"data": {"kind": ["order"], "total": [{"numeric": [">", 100]}]}, "partitionKey": [{"prefix": "eu-"}]}
 *
 * A pattern is an object; at the end of each of its paths stands an array of rules (filter-rules.ts), of which one has to
 * hold. All paths have to; of `$or` one. An array in the data holds what one of its elements holds, and what a pattern says
 * below an array has to be in one and the same element. `{"exists": false}` looks at the whole: nothing may be there, and
 * an object is nothing there, only what has no more below it (recorded: test_dynamodb_event_filter[exists_false_filter]).
 *
 * `data` is what the record's data is as JSON; data that is none matches no pattern that asks about it. The other keys are
 * those of the record in the event, whatever level they stand at there. Of several patterns one has to match.
 *
 * Source: lambda-semantics.md §5.9; Lambda Developer Guide, "Event filtering", whose table of data and patterns this follows.
 */
import { isPlainObject, isScalar, type Rule, readRule, writtenNumber } from './filter-rules.ts'

/** What a pattern may ask about. Members other than `data` may be getters: they are read only where a pattern names them. */
export type FilterRecord = {
  readonly data: Uint8Array
  /** Seconds since the epoch. */
  readonly approximateArrivalTimestamp?: number
} & { readonly [Key in Exclude<Metadata, 'approximateArrivalTimestamp'>]?: string }

const metadata = [
  'partitionKey',
  'sequenceNumber',
  'approximateArrivalTimestamp',
  'kinesisSchemaVersion',
  'eventSource',
  'eventVersion',
  'eventID',
  'eventName',
  'invokeIdentityArn',
  'awsRegion',
  'eventSourceARN',
] as const
type Metadata = (typeof metadata)[number]

/** Lambda Developer Guide, "Event filtering": five, which AWS raises to ten on request. */
export const mostFilters = 5

/** Whether AWS would take it. */
export const isFilterPattern = (text: string): boolean => readPattern(text) !== undefined

/** Whether a record is to be seen, for patterns that are such. No patterns: all are. */
export function compileFilters(patterns: readonly string[]): (record: FilterRecord) => boolean {
  if (patterns.length === 0) return () => true
  const compiled = patterns.map((text) => {
    const pattern = readPattern(text)
    if (pattern === undefined) throw new Error(`not a filter pattern: ${text}`)
    return pattern
  })
  const isOfNumbers = compiled.some((pattern) => pattern.isOfNumbers)
  return (record) => {
    const subject: Subject = { record, isOfNumbers, data: notRead }
    try {
      return compiled.some(({ matches }) => matches(subject))
    } catch (error) {
      // Arrays in arrays, deeper than there is a stack for: to AWS's parser that is no JSON either.
      if (error instanceof RangeError) return false
      throw error
    }
  }
}

// ── The record that is being looked at ─────────────────────────────────────────────────────────────────────────────

const notRead = Symbol('not read')
const notJson = Symbol('not JSON')
/** `data`: parsed when a pattern asks for it first, then kept. */
type Subject = { record: FilterRecord; isOfNumbers: boolean; data: unknown }

function dataOf(subject: Subject): unknown {
  if (subject.data === notRead) subject.data = parse(subject.record.data, subject.isOfNumbers)
  return subject.data
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function parse(bytes: Uint8Array, isOfNumbers: boolean): unknown {
  try {
    const text = decoder.decode(bytes)
    return isOfNumbers && oddNumber.test(text) ? parseWritten(text) : JSON.parse(text)
  } catch {
    return notJson
  }
}

/**
 * Where JavaScript would write a number in another way than it stands there: with an exponent, zeros at the end or many at
 * the beginning, more digits than a double has for sure. It may be in a text, which costs time and nothing else.
 */
const oddNumber = /\d[eE]|\.\d*0(?!\d)|[\d.]{16}|0\.000000|-0(?![.\d])/

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown

const asWritten: Reviver = (_, value, { source = '' }) =>
  typeof value === 'number' ? writtenNumber(value, source) : value

/** Numbers as WrittenNumbers. */
const parseWritten = (text: string): unknown =>
  JSON.parse(text, asWritten as (key: string, value: unknown) => unknown)

// ── Patterns ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whether the value at a path matches; `root` is where the path begins. */
type Match = (value: unknown, root: unknown) => boolean
type Pattern = { matches: (subject: Subject) => boolean; isOfNumbers: boolean }
/** What is found out on the way through a pattern. */
type Reading = { isOfNumbers: boolean }

class NoPattern extends Error {}

function readPattern(text: string): Pattern | undefined {
  const reading: Reading = { isOfNumbers: false }
  try {
    const matches = readRecordPattern(objectOf(parseWritten(text)), reading)
    return { matches, isOfNumbers: reading.isOfNumbers }
  } catch (error) {
    // Both say that it is none.
    if (error instanceof NoPattern || error instanceof SyntaxError) return undefined
    throw error
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  if (isPlainObject(value) && Object.keys(value).length > 0) return value
  throw new NoPattern()
}

function readRecordPattern(
  pattern: Record<string, unknown>,
  reading: Reading,
): (subject: Subject) => boolean {
  const all = Object.entries(pattern).map(([key, given]) => {
    if (key === '$or') {
      const each = alternativesOf(given).map((one) => readRecordPattern(one, reading))
      return (subject: Subject) => each.some((matches) => matches(subject))
    }
    const matches = readMember(given, [], reading)
    return key === 'data' ? ofData(matches) : ofMetadata(key, matches)
  })
  return (subject) => all.every((matches) => matches(subject))
}

const ofData = (matches: Match) => (subject: Subject) => {
  const data = dataOf(subject)
  return data !== notJson && matches(data, data)
}

function ofMetadata(key: string, matches: Match): (subject: Subject) => boolean {
  const known = metadata.find((one) => one === key)
  return ({ record }) => {
    const value = known && record[known]
    return matches(value, value)
  }
}

function alternativesOf(given: unknown): Record<string, unknown>[] {
  // EventBridge: a choice between two at least.
  if (!Array.isArray(given) || given.length < 2) throw new NoPattern()
  return given.map(objectOf)
}

function readMember(given: unknown, path: readonly string[], reading: Reading): Match {
  return Array.isArray(given)
    ? readRules(given, path, reading)
    : readObject(objectOf(given), path, reading)
}

function readObject(
  pattern: Record<string, unknown>,
  path: readonly string[],
  reading: Reading,
): Match {
  const members: [key: string, matches: Match][] = []
  const choices: Match[][] = []
  for (const [key, given] of Object.entries(pattern)) {
    if (key === '$or') {
      choices.push(alternativesOf(given).map((one) => readObject(one, path, reading)))
    } else members.push([key, readMember(given, [...path, key], reading)])
  }
  const matchesOne: Match = (value, root) =>
    members.every(([key, matches]) => matches(memberOf(value, key), root)) &&
    choices.every((each) => each.some((matches) => matches(value, root)))
  return (value, root) => {
    if (!Array.isArray(value)) return matchesOne(value, root)
    const elements = value.flat(Number.POSITIVE_INFINITY).filter(isPlainObject)
    return elements.length === 0
      ? matchesOne(undefined, root)
      : elements.some((element) => matchesOne(element, root))
  }
}

const memberOf = (value: unknown, key: string): unknown =>
  isPlainObject(value) && Object.hasOwn(value, key) ? value[key] : undefined

function readRules(given: unknown[], path: readonly string[], reading: Reading): Match {
  if (given.length === 0) throw new NoPattern()
  const rules = given.map((one) => {
    const rule = readRule(one)
    if (rule === undefined) throw new NoPattern()
    return rule
  })
  if (rules.some(({ isOfNumbers }) => isOfNumbers)) reading.isOfNumbers = true
  const holds = anyOf(rules)
  const wantsNothing = rules.some((rule) => rule.wantsNothing)
  return (value, root) => {
    const isFound = Array.isArray(value)
      ? value.flat(Number.POSITIVE_INFINITY).some((one) => isScalar(one) && holds(one))
      : isScalar(value) && holds(value)
    return isFound || (wantsNothing && !leadsSomewhere(root, path, 0))
  }
}

function anyOf(rules: Rule[]): (scalar: unknown) => boolean {
  const [only, ...others] = rules
  if (only !== undefined && others.length === 0) return only.test
  return (scalar) => rules.some(({ test }) => test(scalar))
}

/** Whether anything that has no more below it stands at the end of a path, in whichever elements of arrays. */
function leadsSomewhere(value: unknown, path: readonly string[], depth: number): boolean {
  if (Array.isArray(value)) return value.some((one) => leadsSomewhere(one, path, depth))
  const key = path[depth]
  return key === undefined ? isScalar(value) : leadsSomewhere(memberOf(value, key), path, depth + 1)
}
