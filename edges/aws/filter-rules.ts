/**
 * One rule of a filter pattern: what stands in the array at the end of a path, and is compared with one value there.
 *
 *     "text"  300  true  null                       equal to it; numbers by how they are written
 *     {"prefix": "a"}  {"suffix": "a"}              each also with {"equals-ignore-case": "a"}
 *     {"equals-ignore-case": "a"}  {"wildcard": "a*b"}
 *     {"numeric": [">", 0, "<=", 5]}                by value
 *     {"anything-but": …}                           a text, a number, a list of one kind, or one of the rules above for texts
 *     {"exists": true}  {"exists": false}
 *
 * Source: lambda-semantics.md §5.9; EventBridge User Guide, "Comparison operators for use in event patterns". Lambda has no
 * `cidr`, which is refused like any operator that does not exist.
 */

/** A number with the text that it was written as: to filters 300 and 300.0 are two things. */
const written = Symbol('written')
export type WrittenNumber = { readonly [written]: string; readonly value: number }

export const writtenNumber = (value: number, text: string): WrittenNumber => ({
  [written]: text,
  value,
})

const isWritten = (value: unknown): value is WrittenNumber =>
  typeof value === 'object' && value !== null && written in value

/** What is neither an object nor an array of the data. */
export const isScalar = (value: unknown): boolean =>
  value !== undefined && (typeof value !== 'object' || value === null || isWritten(value))

/** How a number of the data is written; undefined for what is none. */
const textOf = (value: unknown): string | undefined => {
  if (typeof value === 'number') return String(value)
  return isWritten(value) ? value[written] : undefined
}

const numberOf = (value: unknown): number | undefined => {
  if (typeof value === 'number') return value
  return isWritten(value) ? value.value : undefined
}

type Test = (scalar: unknown) => boolean
/** `isOfNumbers`: it compares how numbers are written. `wantsNothing`: it holds where the path leads to nothing. */
export type Rule = { test: Test; isOfNumbers?: true; wantsNothing?: true }

/** Undefined for what is no rule. Numbers in `given` are WrittenNumbers. */
export function readRule(given: unknown): Rule | undefined {
  if (isWritten(given)) {
    const text = given[written]
    return { test: (value) => textOf(value) === text, isOfNumbers: true }
  }
  if (isScalar(given)) return { test: (value) => value === given }
  if (!isPlainObject(given)) return undefined
  const [[operator, operand] = [''], ...others] = Object.entries(given)
  const read = Object.hasOwn(operators, operator) ? operators[operator] : undefined
  return others.length === 0 ? read?.(operand) : undefined
}

export const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isWritten(value)

const operators: Record<string, (operand: unknown) => Rule | undefined> = {
  exists: (operand) => {
    if (typeof operand !== 'boolean') return undefined
    return operand ? { test: () => true } : { test: () => false, wantsNothing: true }
  },
  numeric: (operand) => asRule(readNumeric(operand)),
  prefix: (operand) => asRule(ofTexts(readPrefix(operand))),
  suffix: (operand) => asRule(ofTexts(readSuffix(operand))),
  'equals-ignore-case': (operand) => asRule(ofTexts(readEqualsIgnoringCase(operand))),
  wildcard: (operand) => asRule(ofTexts(readWildcard(operand))),
  'anything-but': readAnythingBut,
}

const asRule = (test: Test | undefined): Rule | undefined =>
  test === undefined ? undefined : { test }

// ── Texts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type TextTest = (text: string) => boolean

const ofTexts = (test: TextTest | undefined): Test | undefined =>
  test === undefined ? undefined : (value) => typeof value === 'string' && test(value)

/** The operand `{"equals-ignore-case": "…"}` of another operator, in lower case. */
function ignoringCase(operand: unknown): string | undefined {
  if (!isPlainObject(operand)) return undefined
  const [[name, text] = [], ...others] = Object.entries(operand)
  return name === 'equals-ignore-case' && typeof text === 'string' && others.length === 0
    ? text.toLowerCase()
    : undefined
}

function readPrefix(operand: unknown): TextTest | undefined {
  if (typeof operand === 'string') return (text) => text.startsWith(operand)
  const lower = ignoringCase(operand)
  return lower === undefined ? undefined : (text) => text.toLowerCase().startsWith(lower)
}

function readSuffix(operand: unknown): TextTest | undefined {
  if (typeof operand === 'string') return (text) => text.endsWith(operand)
  const lower = ignoringCase(operand)
  return lower === undefined ? undefined : (text) => text.toLowerCase().endsWith(lower)
}

function readEqualsIgnoringCase(operand: unknown): TextTest | undefined {
  if (typeof operand !== 'string') return undefined
  const lower = operand.toLowerCase()
  return (text) => text.toLowerCase() === lower
}

/**
 * `*` is any text, `\*` and `\\` are those characters; two stars in a row are refused, as EventBridge does. What stands
 * between stars is looked for from left to right, so that no pattern can take long.
 */
function readWildcard(operand: unknown): TextTest | undefined {
  const parts = typeof operand === 'string' ? partsOf(operand) : undefined
  if (parts === undefined) return undefined
  const [first = '', ...rest] = parts
  const last = rest.pop()
  if (last === undefined) return (text) => text === first
  return (text) => {
    if (!text.startsWith(first)) return false
    const end = text.length - last.length
    let at = first.length
    for (const part of rest) {
      const found = text.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return at <= end && text.endsWith(last)
  }
}

/** What stands between the stars; undefined when it is no wildcard pattern. */
function partsOf(pattern: string): string[] | undefined {
  if (!/^(?:[^\\]|\\[\\*])*$/s.test(pattern)) return undefined
  const tokens = pattern.match(/\\[\\*]|\*|[^\\*]+/gs) ?? []
  const parts = ['']
  for (const [index, token] of tokens.entries()) {
    if (token === '*' && tokens[index - 1] === '*') return undefined
    if (token === '*') parts.push('')
    else parts.push((parts.pop() ?? '') + (token.startsWith('\\') ? token.slice(1) : token))
  }
  return parts
}

// ── Numbers ────────────────────────────────────────────────────────────────────────────────────────────────────────

const comparisons: Record<string, (value: number, limit: number) => boolean> = {
  '=': (value, limit) => value === limit,
  '<': (value, limit) => value < limit,
  '<=': (value, limit) => value <= limit,
  '>': (value, limit) => value > limit,
  '>=': (value, limit) => value >= limit,
}

/** One comparison, or a range: its lower end first, as EventBridge wants it. */
function readNumeric(operand: unknown): Test | undefined {
  if (!Array.isArray(operand)) return undefined
  const [first, low, second, high] = operand
  const from = readComparison(first, low)
  if (operand.length === 2) return ofNumbers(from)
  const to = readComparison(second, high)
  const isRange =
    operand.length === 4 &&
    String(first).startsWith('>') &&
    String(second).startsWith('<') &&
    (numberOf(low) ?? 0) < (numberOf(high) ?? 0)
  return isRange && from && to ? ofNumbers((value) => from(value) && to(value)) : undefined
}

function readComparison(
  operator: unknown,
  limit: unknown,
): ((value: number) => boolean) | undefined {
  const number = isWritten(limit) ? limit.value : undefined
  const isKnown = typeof operator === 'string' && Object.hasOwn(comparisons, operator)
  const compare = isKnown ? comparisons[operator] : undefined
  return compare === undefined || number === undefined
    ? undefined
    : (value) => compare(value, number)
}

const ofNumbers = (test: ((value: number) => boolean) | undefined): Test | undefined =>
  test === undefined
    ? undefined
    : (value) => {
        const number = numberOf(value)
        return number !== undefined && test(number)
      }

// ── Anything but ───────────────────────────────────────────────────────────────────────────────────────────────────

const exceptable: Record<string, (operand: unknown) => TextTest | undefined> = {
  prefix: readPrefix,
  suffix: readSuffix,
  'equals-ignore-case': readEqualsIgnoringCase,
  wildcard: readWildcard,
}

function readAnythingBut(operand: unknown): Rule | undefined {
  if (isPlainObject(operand)) return asRule(readAnythingButSuch(operand))
  const all = Array.isArray(operand) ? operand : [operand]
  if (all.length === 0) return undefined
  if (all.every((one) => typeof one === 'string')) {
    const texts = new Set<unknown>(all)
    return { test: (value) => !texts.has(value) }
  }
  if (!all.every(isWritten)) return undefined
  const numbers = new Set(all.map((one) => one[written]))
  return { test: (value) => !numbers.has(textOf(value) ?? ''), isOfNumbers: true }
}

/** `{"anything-but": {"prefix": "a"}}`, or a list there, of which none may hold. */
function readAnythingButSuch(operand: Record<string, unknown>): Test | undefined {
  const [[name = '', given] = [], ...others] = Object.entries(operand)
  const read = Object.hasOwn(exceptable, name) ? exceptable[name] : undefined
  const list = Array.isArray(given) ? given : [given]
  if (read === undefined || others.length > 0 || list.length === 0) return undefined
  const tests: TextTest[] = []
  for (const one of list) {
    const test = read(one)
    if (test === undefined) return undefined
    tests.push(test)
  }
  return (value) => typeof value !== 'string' || !tests.some((test) => test(value))
}
