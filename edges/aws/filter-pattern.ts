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
 * those of the record in the event, whatever level they stand at there: AWS's table of data and patterns has them, its page on
 * Kinesis by now does not. Of several patterns one has to match.
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

type Pattern = { matches: (subject: Subject) => boolean; isOfNumbers: boolean }

class NoPattern extends Error {}

function readPattern(text: string): Pattern | undefined {
  try {
    const choices = choicesOf(objectOf(parseWritten(text)), [])
    const trees = choices.map(treeOf)
    return {
      matches: (subject) => trees.some((tree) => recordMatches(tree, subject)),
      isOfNumbers: choices.some((demands) => demands.some(({ isOfNumbers }) => isOfNumbers)),
    }
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

// ── As a choice between lists of what is demanded ──────────────────────────────────────────────────────────────────

/** What has to hold at the end of one path. */
type Demand = {
  path: readonly string[]
  holds: (scalar: unknown) => boolean
  wantsNothing: boolean
  isOfNumbers: boolean
}

/** EventBridge User Guide, "$or": at most 1,000 combinations. */
const mostChoices = 1_000

/** All that `$or` leaves open, said one by one: only so is what stands beside it asked of the same element of an array. */
function choicesOf(pattern: Record<string, unknown>, path: readonly string[]): Demand[][] {
  let choices: Demand[][] = [[]]
  for (const [key, given] of Object.entries(pattern)) {
    const more = key === '$or' ? alternativesOf(given, path) : memberOf(given, [...path, key])
    if (choices.length * more.length > mostChoices) throw new NoPattern()
    choices = choices.flatMap((one) => more.map((other) => [...one, ...other]))
  }
  return choices
}

function alternativesOf(given: unknown, path: readonly string[]): Demand[][] {
  // EventBridge: a choice between two at least.
  if (!Array.isArray(given) || given.length < 2) throw new NoPattern()
  return given.flatMap((one) => choicesOf(objectOf(one), path))
}

const memberOf = (given: unknown, path: readonly string[]): Demand[][] =>
  Array.isArray(given) ? [[demandOf(given, path)]] : choicesOf(objectOf(given), path)

function demandOf(given: unknown[], path: readonly string[]): Demand {
  if (given.length === 0) throw new NoPattern()
  const rules = given.map((one) => {
    const rule = readRule(one)
    if (rule === undefined) throw new NoPattern()
    return rule
  })
  return {
    path,
    holds: anyOf(rules),
    wantsNothing: rules.some(({ wantsNothing }) => wantsNothing),
    isOfNumbers: rules.some(({ isOfNumbers }) => isOfNumbers),
  }
}

function anyOf(rules: Rule[]): (scalar: unknown) => boolean {
  const [only, ...others] = rules
  if (only !== undefined && others.length === 0) return only.test
  return (scalar) => rules.some(({ test }) => test(scalar))
}

// ── As a tree ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Tree = { demands: Demand[]; members: [key: string, below: Tree][] }

const emptyTree = (): Tree => ({ demands: [], members: [] })

function treeOf(demands: Demand[]): Tree {
  const root = emptyTree()
  for (const demand of demands) {
    let at = root
    for (const key of demand.path) {
      let below = at.members.find(([name]) => name === key)?.[1]
      if (below === undefined) {
        below = emptyTree()
        at.members.push([key, below])
      }
      at = below
    }
    at.demands.push(demand)
  }
  return root
}

const recordMatches = ({ members }: Tree, subject: Subject): boolean =>
  members.every(([key, below]) => {
    if (key !== 'data') return matches(below, metadataOf(subject, key), undefined)
    const data = dataOf(subject)
    return data !== notJson && matches(below, data, data)
  })

function metadataOf({ record }: Subject, key: string): unknown {
  const known = metadata.find((one) => one === key)
  return known && record[known]
}

/** Whether what stands at a path is as demanded; `data`: where the paths begin, of the record's data. */
function matches(tree: Tree, value: unknown, data: unknown): boolean {
  for (const demand of tree.demands) if (!isMet(demand, value, data)) return false
  if (tree.members.length === 0) return true
  if (!Array.isArray(value)) return membersMatch(tree, value, data)
  const elements = value.flat(Number.POSITIVE_INFINITY).filter(isPlainObject)
  return elements.length === 0
    ? membersMatch(tree, undefined, data)
    : elements.some((element) => membersMatch(tree, element, data))
}

function membersMatch({ members }: Tree, value: unknown, data: unknown): boolean {
  for (const [key, below] of members) if (!matches(below, at(value, key), data)) return false
  return true
}

const at = (value: unknown, key: string): unknown =>
  isPlainObject(value) && Object.hasOwn(value, key) ? value[key] : undefined

function isMet({ holds, wantsNothing, path }: Demand, value: unknown, data: unknown): boolean {
  const isFound = Array.isArray(value)
    ? value.flat(Number.POSITIVE_INFINITY).some((one) => isScalar(one) && holds(one))
    : isScalar(value) && holds(value)
  if (isFound || !wantsNothing) return isFound
  // Metadata are no objects; the path of data begins with `data`.
  return path[0] === 'data' ? !leadsSomewhere(data, path, 1) : value === undefined
}

/** Whether anything that has no more below it stands at the end of a path, in whichever elements of arrays. */
function leadsSomewhere(value: unknown, path: readonly string[], depth: number): boolean {
  if (Array.isArray(value)) return value.some((one) => leadsSomewhere(one, path, depth))
  const key = path[depth]
  return key === undefined ? isScalar(value) : leadsSomewhere(at(value, key), path, depth + 1)
}
