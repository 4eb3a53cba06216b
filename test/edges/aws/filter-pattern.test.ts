/**
 * Filter patterns. Sections are those of lambda-semantics.md; cases named in brackets are LocalStack's, recorded on AWS
 * (test_sqs_event_filter, test_dynamodb_event_filter, test_kinesis_event_filtering_json_pattern), with `data` for `body`;
 * operators are those of Lambda's "Event filtering" and EventBridge's "Comparison operators".
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compileFilters,
  type FilterRecord,
  isFilterPattern,
} from '../../../edges/aws/filter-pattern.ts'
import '../../seed.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const raw = (data: string, more: Omit<FilterRecord, 'data'> = {}): FilterRecord => ({
  ...more,
  data: Buffer.from(data),
})
const matches = (pattern: Json, data: string, more?: Omit<FilterRecord, 'data'>) =>
  compileFilters([JSON.stringify(pattern)])(raw(data, more))
/** Whether the data matches what a pattern says of it. */
const holds = (pattern: Json, data: Json) => matches({ data: pattern }, JSON.stringify(data))

describe('recorded', () => {
  test.each<[string, Json, Json, Json]>([
    [
      'json_pattern',
      { event_type: ['function_1'] },
      { event_type: 'function_1' },
      { event_type: 'function_2' },
    ],
    ['single', { 'my-key': ['my-value'] }, { 'my-key': 'my-value' }, { 'my-key': 'other-value' }],
    ['or', { 'my-key': ['one', 'two'] }, { 'my-key': 'two' }, { 'my-key': 'other' }],
    [
      'and',
      { one: ['other-filter', 'my-value-one'], two: ['my-value-two'] },
      { one: 'my-value-one', two: 'my-value-two' },
      { one: 'other-value-', two: 'my-value-two' },
    ],
    ['exists', { 'my-key': [{ exists: true }] }, { 'my-key': 'any' }, { 'other-key': 'any' }],
    ['numeric-bigger', { n: [{ numeric: ['>', 100] }] }, { n: 101 }, { n: 100 }],
    ['numeric-smaller', { n: [{ numeric: ['<', 100] }] }, { n: 99 }, { n: 100 }],
    ['numeric-range', { n: [{ numeric: ['>=', 100, '<', 200] }] }, { n: 100 }, { n: 200 }],
    [
      'prefix',
      { 'my-key': [{ prefix: 'yes' }] },
      { 'my-key': 'yes-value' },
      { 'my-key': 'no-value' },
    ],
    [
      'numeric_filter',
      { N: [{ numeric: ['>', 100] }, { 'anything-but': '101' }] },
      { N: '42' },
      { N: '101' },
    ],
    [
      'content_filter_type',
      { k: { S: ['presentValue'] } },
      { k: { S: 'presentValue' } },
      { k: 'presentValue' },
    ],
    ['exists_filter_type', { k: [{ exists: true }] }, { k: 1 }, { k: { S: 'presentValue' } }],
  ])('%s', (_, pattern, matching, other) => {
    expect(holds(pattern, matching)).toBe(true)
    expect(holds(pattern, other)).toBe(false)
  })

  test('exists_false_filter: an object is nothing at its own path', () => {
    const pattern = { presentKey: [{ exists: false }] }
    expect(holds(pattern, {})).toBe(true)
    expect(holds(pattern, { presentKey: { S: 'presentValue' } })).toBe(true)
    expect(holds(pattern, { presentKey: 'presentValue' })).toBe(false)
  })

  test.each([
    ['null', 'null'],
    ['simple string', '"simple string"'],
    ['text for a list', '{"eventSource": "aws:sqs"}'],
    ['empty list', '{"eventSource": []}'],
    ['single-string', 'single-string'],
    ['broken JSON', '[{"eventName": ["INSERT"=123}]'],
  ])('is no pattern: %s', (_, pattern) => {
    expect(isFilterPattern(pattern)).toBe(false)
  })
})

describe('the operators', () => {
  test.each<[Json, Json[], Json[]]>([
    [['a'], ['a', ['b', 'a']], ['A', 'ab', null, 1, {}, [], { a: 'a' }]],
    [[''], [''], [' ', null]],
    [[null], [null, [1, null]], ['', 'null', 0, false]],
    [[true], [true], ['true', 1, false]],
    [[5], [5, [4, 5]], ['5', 6, [[]]]],
    [[{ prefix: 'a' }], ['a', 'ab'], ['A', 'b', '', 1, null]],
    [[{ prefix: { 'equals-ignore-case': 'aB' } }], ['abc', 'ABC'], ['a', 'xab']],
    [[{ suffix: '.png' }], ['x.png', '.png'], ['x.PNG', 'png']],
    [[{ suffix: { 'equals-ignore-case': '.PNG' } }], ['x.png', 'x.pNg'], ['png']],
    [[{ 'equals-ignore-case': 'LoNdon' }], ['london', 'LONDON'], ['londons', 1]],
    [[{ wildcard: 'a*b*c' }], ['abc', 'a12b34c', 'abbc'], ['ab', 'xabc', 'acb', 'abcd']],
    [[{ wildcard: '*' }], ['', 'a'], [1, null]],
    [[{ wildcard: 'a*a' }], ['aa', 'aba'], ['a']],
    [[{ wildcard: String.raw`\*\\*` }], ['*\\', '*\\x'], ['x\\', '*x']],
    [[{ numeric: ['=', 3.5] }], [3.5, [3.5]], ['3.5', 3]],
    [[{ numeric: ['>', 0, '<=', 5] }], [1, 5, 0.1], [0, 5.1, -1, '1']],
    [[{ numeric: ['<=', 5] }], [5, -1e9], [6]],
    [[{ 'anything-but': 'a' }], ['b', 1, null, true, ['a', 'b']], ['a', ['a'], {}, []]],
    [[{ 'anything-but': ['a', 'b'] }], ['c', 1], ['a', 'b']],
    [[{ 'anything-but': 300 }], [301, '300', null], [300]],
    [[{ 'anything-but': [1, 2] }], [3, 'x'], [1, 2]],
    [[{ 'anything-but': { prefix: 'a' } }], ['b', 1], ['a', 'ab']],
    [[{ 'anything-but': { suffix: ['a', 'b'] } }], ['c', null], ['xa', 'xb']],
    [[{ 'anything-but': { 'equals-ignore-case': ['a', 'B'] } }], ['c'], ['A', 'b']],
    [[{ 'anything-but': { wildcard: '*/lib/*' } }], ['/src/x'], ['/lib/x']],
    [[{ exists: true }], ['', null, 0, [1]], [{}, [], { a: 1 }]],
    [
      ['a', { prefix: 'b' }, { numeric: ['=', 1] }],
      ['a', 'bc', 1],
      ['c', 2],
    ],
  ])('%j', (rules, matching, others) => {
    for (const value of matching)
      expect([value, holds({ k: rules }, { k: value })]).toEqual([value, true])
    for (const value of others)
      expect([value, holds({ k: rules }, { k: value })]).toEqual([value, false])
    expect(holds({ k: rules }, {})).toBe(false)
  })

  test('$or: one of the alternatives beside everything else', () => {
    const pattern = { kind: ['order'], $or: [{ total: [{ numeric: ['>', 9] }] }, { vip: [true] }] }
    expect(holds(pattern, { kind: 'order', total: 10 })).toBe(true)
    expect(holds(pattern, { kind: 'order', total: 1, vip: true })).toBe(true)
    expect(holds(pattern, { kind: 'order', total: 1 })).toBe(false)
    expect(holds(pattern, { kind: 'other', vip: true })).toBe(false)
  })

  test('below an array, everything is asked of one and the same element', () => {
    const pattern = { items: { a: [1], b: [2] } }
    expect(holds(pattern, { items: [{ a: 1 }, { a: 1, b: 2 }] })).toBe(true)
    expect(holds(pattern, { items: [{ a: 1 }, { b: 2 }] })).toBe(false)
    expect(holds({ items: { a: [{ exists: false }] } }, { items: [{ a: 1 }, { b: 2 }] })).toBe(
      false,
    )
    expect(holds({ items: { a: [{ exists: false }] } }, { items: [{ b: 2 }, 7] })).toBe(true)
  })

  test('below an array, also what $or says elsewhere', () => {
    const pattern = {
      items: { kind: ['a'] },
      $or: [{ items: { price: [{ numeric: ['>', 9] }] } }, { vip: [true] }],
    }
    expect(
      holds(pattern, {
        items: [
          { kind: 'a', price: 1 },
          { kind: 'b', price: 10 },
        ],
      }),
    ).toBe(false)
    expect(holds(pattern, { items: [{ kind: 'a', price: 10 }] })).toBe(true)
  })

  // EventBridge User Guide, "$or": at most 1,000 combinations
  test('$or is not for everything', () => {
    const choice = { $or: [{ a: [1] }, { b: [1] }] }
    const of = (count: number) =>
      JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, choice])))
    expect(isFilterPattern(of(9))).toBe(true)
    expect(isFilterPattern(of(10))).toBe(false)
    expect(isFilterPattern(of(60))).toBe(false)
  })

  test('keys that objects have anyway are not in the data', () => {
    expect(holds({ constructor: [{ exists: true }] }, {})).toBe(false)
    expect(matches({ toString: [{ exists: true }] }, '{}')).toBe(false)
    expect(holds({ constructor: ['a'] }, { constructor: 'a' })).toBe(true)
  })

  test('numbers are equal when they are written alike, and compared by their value (§5.9)', () => {
    const equal = compileFilters(['{"data":{"n":[300]}}'])
    const same = compileFilters(['{"data":{"n":[{"numeric":["=",300]}]}}'])
    const other = compileFilters(['{"data":{"n":[{"anything-but":300}]}}'])
    for (const [text, isEqual] of [
      ['300', true],
      ['300.0', false],
      ['3.0e2', false],
      ['3E2', false],
    ] as const) {
      expect([text, equal(raw(`{"n":${text}}`))]).toEqual([text, isEqual])
      expect([text, other(raw(`{"n":${text}}`))]).toEqual([text, !isEqual])
      expect([text, same(raw(`{"n":${text}}`))]).toEqual([text, true])
    }
    expect(compileFilters(['{"data":{"n":[3.0e2]}}'])(raw('{"n":3.0e2}'))).toBe(true)
    expect(
      compileFilters(['{"data":{"n":[12345678901234567890]}}'])(raw('{"n":12345678901234567891}')),
    ).toBe(false)
  })
})

describe('data and pattern (§5.9)', () => {
  test('JSON and no data key: the metadata only', () => {
    const record = { partitionKey: 'eu-1', eventSource: 'aws:kinesis' }
    expect(matches({ partitionKey: [{ prefix: 'eu-' }] }, '{"a":1}', record)).toBe(true)
    expect(matches({ partitionKey: [{ prefix: 'us-' }] }, '{"a":1}', record)).toBe(false)
    expect(
      matches({ eventSource: ['aws:kinesis'], awsRegion: [{ exists: false }] }, 'x', record),
    ).toBe(true)
    expect(
      matches({ approximateArrivalTimestamp: [{ numeric: ['>', 0] }] }, 'x', {
        approximateArrivalTimestamp: 1545084650.987,
      }),
    ).toBe(true)
  })

  test('no JSON and a pattern for it: dropped, whatever the pattern', () => {
    for (const data of ['plain', '', '{"a":1', '\ufeff{}']) {
      expect(matches({ data: { a: [{ exists: false }] } }, data)).toBe(false)
    }
    expect(
      compileFilters(['{"data":{"a":[{"exists":false}]}}'])({
        data: Buffer.from([0x7b, 0xff, 0x7d]),
      }),
    ).toBe(false)
    expect(
      matches({ $or: [{ data: { a: [1] } }, { partitionKey: ['k'] }] }, 'plain', {
        partitionKey: 'k',
      }),
    ).toBe(true)
  })

  test('arrays in arrays without end match nothing', () => {
    const deep = `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
    expect(matches({ data: { a: ['x'] } }, deep)).toBe(false)
  })

  test('filters are ORed, and none lets everything through', () => {
    const filters = compileFilters(['{"data":{"a":[1]}}', '{"partitionKey":["k"]}'])
    expect(filters(raw('{"a":1}'))).toBe(true)
    expect(filters(raw('plain', { partitionKey: 'k' }))).toBe(true)
    expect(filters(raw('{"a":2}', { partitionKey: 'x' }))).toBe(false)
    expect(compileFilters([])(raw('plain'))).toBe(true)
  })

  test('what no pattern asks about is not read', () => {
    const record = {
      data: Buffer.from('{"a":1}'),
      get sequenceNumber(): string {
        throw new Error('read')
      },
    }
    expect(compileFilters(['{"data":{"a":[1]}}'])(record)).toBe(true)
    expect(() => compileFilters(['{"sequenceNumber":["1"]}'])(record)).toThrow('read')
  })
})

test.each([
  '',
  '[]',
  '{}',
  '{"data":{}}',
  '{"data":{"a":{}}}',
  '{"data":{"a":[[]]}}',
  '{"data":{"a":[{}]}}',
  '{"data":{"a":[{"prefix":"a","suffix":"b"}]}}',
  '{"data":{"a":[{"unknown":"a"}]}}',
  '{"data":{"a":[{"cidr":"10.0.0.0/24"}]}}',
  '{"data":{"a":[{"toString":"a"}]}}',
  '{"data":{"a":[{"prefix":1}]}}',
  '{"data":{"a":[{"prefix":{"suffix":"a"}}]}}',
  '{"data":{"a":[{"exists":"true"}]}}',
  '{"data":{"a":[{"numeric":[]}]}}',
  '{"data":{"a":[{"numeric":[">"]}]}}',
  '{"data":{"a":[{"numeric":[">","1"]}]}}',
  '{"data":{"a":[{"numeric":["!=",1]}]}}',
  '{"data":{"a":[{"numeric":["<",1,">",0]}]}}',
  '{"data":{"a":[{"numeric":[">",5,"<",1]}]}}',
  '{"data":{"a":[{"numeric":[">",1,"<"]}]}}',
  '{"data":{"a":[{"anything-but":[]}]}}',
  '{"data":{"a":[{"anything-but":["a",1]}]}}',
  '{"data":{"a":[{"anything-but":null}]}}',
  '{"data":{"a":[{"anything-but":{"exists":true}}]}}',
  '{"data":{"a":[{"wildcard":"a**b"}]}}',
  '{"data":{"a":[{"wildcard":"a\\\\b"}]}}',
  '{"data":{"$or":[{"a":[1]}]}}',
  '{"data":{"$or":{"a":[1]}}}',
  '{"data":{"$or":[{"a":[1]},[1]]}}',
  '{"data":1}',
])('is no pattern: %s', (pattern) => {
  expect(isFilterPattern(pattern)).toBe(false)
})

// ── Against an evaluator that takes its time ───────────────────────────────────────────────────────────────────────

const keys = ['a', 'b']
const scalars = fc.constantFrom<Json>('', 'x', 'xy', 'X', 'yx', 0, 1, 2, -1.5, null, true, false)
const rules = fc.oneof(
  scalars,
  fc.constantFrom<Json>(
    { exists: true },
    { exists: false },
    { prefix: 'x' },
    { suffix: 'y' },
    { 'equals-ignore-case': 'x' },
    { numeric: ['>', 0] },
    { numeric: ['>=', -2, '<', 2] },
    { 'anything-but': 'x' },
    { 'anything-but': [0, 1] },
    { 'anything-but': { prefix: 'x' } },
    { wildcard: 'x*' },
  ),
)
const { pattern: patterns } = fc.letrec<{ pattern: Json; member: Json }>((tie) => ({
  pattern: fc.oneof(
    { depthSize: 'small' },
    fc.dictionary(fc.constantFrom(...keys), tie('member'), {
      minKeys: 1,
      maxKeys: 3,
    }) as fc.Arbitrary<Json>,
    fc
      .tuple(
        fc.constantFrom(...keys),
        tie('member'),
        fc.array(tie('pattern'), { minLength: 2, maxLength: 2 }),
      )
      .map(([key, member, $or]) => ({ [key]: member, $or })),
  ),
  member: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.array(rules, { minLength: 1, maxLength: 6 }) as fc.Arbitrary<Json>,
    tie('pattern'),
  ),
}))
const { data: documents } = fc.letrec<{ data: Json; value: Json }>((tie) => ({
  data: fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 3 }) as fc.Arbitrary<Json>,
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalars,
    fc.array(tie('value'), { maxLength: 3 }) as fc.Arbitrary<Json>,
    tie('data'),
  ),
}))

const isObject = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Every document that comes of choosing one object out of each array; the values in it stay. */
function choices(value: Json): Json[] {
  if (Array.isArray(value)) {
    const flat = value.flat(9) as Json[]
    const values = flat.filter((one) => !isObject(one))
    const objects = flat.filter(isObject)
    const chosen = objects.flatMap(choices).map((one) => [...values, one])
    return chosen.length > 0 ? chosen : [values]
  }
  if (!isObject(value)) return [value]
  let all: { [key: string]: Json }[] = [{}]
  for (const [key, member] of Object.entries(value)) {
    all = all.flatMap((one) => choices(member).map((choice) => ({ ...one, [key]: choice })))
  }
  return all
}

const paths = (value: Json, path = ''): string[] => {
  if (Array.isArray(value)) return value.flatMap((one) => paths(one, path))
  if (!isObject(value)) return [path]
  return Object.entries(value).flatMap(([key, member]) => paths(member, `${path}/${key}`))
}

function ruleHolds(rule: Json, value: Json): boolean {
  if (!isObject(rule)) return rule === value
  const [[operator = '', operand] = []] = Object.entries(rule)
  const text = typeof value === 'string' ? value : undefined
  switch (operator) {
    case 'exists':
      return operand === true
    case 'prefix':
      return text?.startsWith(String(operand)) ?? false
    case 'suffix':
      return text?.endsWith(String(operand)) ?? false
    case 'equals-ignore-case':
      return text?.toLowerCase() === String(operand).toLowerCase()
    case 'wildcard':
      return text?.startsWith('x') ?? false
    case 'numeric':
      return (
        typeof value === 'number' &&
        (JSON.stringify(operand) === '[">",0]' ? value > 0 : value >= -2 && value < 2)
      )
    default:
      if (isObject(operand)) return !(text?.startsWith('x') ?? false)
      return Array.isArray(operand) ? !operand.includes(value) : operand !== value
  }
}

function naively(
  pattern: Json,
  view: Json | undefined,
  there: readonly string[],
  path = '',
): boolean {
  if (Array.isArray(pattern)) {
    const values = (Array.isArray(view) ? view : [view]).filter(
      (one) => one !== undefined && !isObject(one),
    )
    return pattern.some(
      (rule) =>
        values.some((value) => ruleHolds(rule, value as Json)) ||
        (JSON.stringify(rule) === '{"exists":false}' && !there.includes(path)),
    )
  }
  const object = Array.isArray(view) ? view.find(isObject) : view
  return Object.entries(pattern as object).every(([key, member]) =>
    key === '$or'
      ? member.some((one: Json) => naively(one, view, there, path))
      : naively(member, isObject(object) ? object[key] : undefined, there, `${path}/${key}`),
  )
}

test('says what an evaluator says that tries every choice out of every array', () => {
  fc.assert(
    fc.property(patterns, documents, (pattern, data) => {
      // Too many combinations.
      fc.pre(isFilterPattern(JSON.stringify({ data: pattern })))
      const there = paths(data)
      const expected = choices(data).some((view) => naively(pattern, view, there))
      expect(holds(pattern, data)).toBe(expected)
    }),
    { numRuns: 2_000 },
  )
})

test('texts that may be patterns and data that may be JSON break nothing', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.json(), fc.string()),
      fc.uint8Array(),
      fc.json(),
      (pattern, bytes, json) => {
        if (!isFilterPattern(pattern)) return
        const filter = compileFilters([pattern])
        expect(typeof filter({ data: bytes })).toBe('boolean')
        expect(typeof filter(raw(json))).toBe('boolean')
      },
    ),
  )
})
