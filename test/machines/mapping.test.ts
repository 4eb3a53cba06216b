import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type MappingEvent,
  type MappingInput,
  type MappingRecord,
  mappingMachine,
  newMapping,
} from '../../machines/mapping.ts'
import { live, type Taken } from './life.ts'
import { byName, type Shorten, storyOf } from './story.ts'
import '../seed.ts'

const settings = {
  batchSize: 100,
  batchingWindowMs: 0,
  parallelizationFactor: 1,
  bisectsOnError: false,
  maximumRetryAttempts: -1,
  maximumRecordAgeMs: -1,
  tumblingWindowMs: 0,
  reportsItemFailures: false,
  filters: [],
}
const create = {
  type: 'create',
  uuid: 'u1',
  nowMs: 1,
  isEnabled: true,
  record: {
    functionName: 'f',
    functionArn: 'arn:f',
    sourceArn: 'arn:s',
    stream: 's',
    startingPosition: 'TRIM_HORIZON',
    settings,
    tags: {},
  },
} as const
const created = newMapping(create, { incarnation: 'i1' })
const input = (record: MappingRecord, more: Partial<MappingInput> = {}): MappingInput => ({
  record,
  reply: '',
  isRead: false,
  settleMs: 500,
  leaveForMs: 60_000,
  clearAgainMs: 5_000,
  ...more,
})

const shorten: Shorten = (key, value) => {
  if (key === 'record') {
    const { state, reason, lastResult, settings, isOff } = value as MappingRecord
    const shown = [state, isOff ? 'off' : '', `'${reason}'`, `'${lastResult}'`]
    return [...shown, settings.batchSize].filter((text) => text !== '').join(' ')
  }
  if (key === 'reply') return value === '' ? '' : `to ${value}`
  return byName(key, value)
}
const story = storyOf(mappingMachine, input(created, { reply: 'me' }), shorten)
const storyFrom = (record: Partial<MappingRecord>, more: Partial<MappingInput> = {}) =>
  storyOf(mappingMachine, input({ ...created, ...record }, more), shorten)

const update = (
  nowMs: number,
  more: Partial<Extract<MappingEvent, { type: 'update' }>> = {},
): MappingEvent => ({ type: 'update', settings: {}, nowMs, reply: 'me', ...more })
const remove = (nowMs: number): MappingEvent => ({ type: 'delete', nowMs, reply: 'me' })
const readers = (isRead: boolean): MappingEvent => ({ type: 'readers', isRead })
const gone: MappingEvent = { type: 'sourceGone', reason: 'Stream not found: arn:s' }

// lambda-semantics.md §5.1, §5.2: Creating → Enabled, "User action", "No records processed"
test('a mapping is read from the moment it is made, and is enabled a moment later', () => {
  expect(story('settle')).toMatchInlineSnapshot(`
    "
    (start) → reading.creating  read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    settle  → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 100
    "
  `)
})

// UpdateEventSourceMapping: what was changed is in the answer, which says Updating
test('a mapping that is changed shows it at once; while it is on its way, it is busy', () => {
  expect(
    story(
      update(2),
      remove(2),
      'settle',
      update(3, { settings: { batchSize: 7 } }),
      update(4),
      'settle',
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)          → reading.creating  read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    update 2 to me   → reading.creating  refuse to me
    delete 2 to me   → reading.creating  refuse to me
    settle           → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 100
    update 7 3 to me → reading.updating  publish Updating 'User action' 'No records processed' 7 to me, wait 500 ms
    update 4 to me   → reading.updating  refuse to me
    settle           → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 7
    "
  `)
})

test('a change that is asked for again, because the answer was lost, is made once', () => {
  const change = update(3, { settings: { batchSize: 7 } })
  const other = update(3, { settings: { batchSize: 8 } })
  expect(story('settle', change, change, other)).toMatchInlineSnapshot(`
    "
    (start)          → reading.creating  read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    settle           → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 100
    update 7 3 to me → reading.updating  publish Updating 'User action' 'No records processed' 7 to me, wait 500 ms
    update 7 3 to me → reading.updating  publish Updating 'User action' 'No records processed' 7 to me
    update 8 3 to me → reading.updating  refuse to me
    "
  `)
})

// UpdateEventSourceMapping, Enabled: "Disables the event source mapping to pause polling and invocation"
test('a mapping is disabled when no poller reads for it any more, and not before', () => {
  expect(
    story(
      readers(true),
      'settle',
      update(2, { isEnabled: false }),
      'settle',
      readers(false),
      update(3, { settings: { batchSize: 7 } }),
      'settle',
      update(4, { isEnabled: true }),
      'settle',
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                → reading.creating  read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    readers read           → reading.creating
    settle                 → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 100
    update 2 to me         → leaving.settling  leave, publish Disabling off 'User action' 'No records processed' 100 to me, wait 500 ms
    settle                 → leaving.emptying  stop waiting
    readers                → resting.disabled  publish Disabled off 'User action' 'No records processed' 100
    update 7 3 to me       → resting.updating  publish Updating off 'User action' 'No records processed' 7 to me, wait 500 ms
    settle                 → resting.disabled  stop waiting, publish Disabled off 'User action' 'No records processed' 7
    update 4 to me enabled → reading.enabling  read, publish Enabling 'User action' 'No records processed' 7 to me, wait 500 ms
    settle                 → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 7
    "
  `)
})

test('a mapping that is made disabled is not read until it is turned on', () => {
  expect(
    storyFrom({ isOff: true })('settle', update(2, { isEnabled: true })),
  ).toMatchInlineSnapshot(`
    "
    (start)                → resting.creating  publish Creating off 'User action' 'No records processed' 100, wait 500 ms
    settle                 → resting.disabled  stop waiting, publish Disabled off 'User action' 'No records processed' 100
    update 2 to me enabled → reading.enabling  read, publish Enabling 'User action' 'No records processed' 100 to me, wait 500 ms
    "
  `)
})

test('a mapping whose stream is gone stops with a reason, which late results do not cover', () => {
  expect(
    story(
      'settle',
      gone,
      { type: 'result', result: 'OK' },
      gone,
      'settle',
      update(5, {
        isEnabled: true,
        origin: { incarnation: 'i2' },
      }),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                            → reading.creating  read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    settle                             → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 100
    sourceGone Stream not found: arn:s → leaving.settling  leave, publish Disabling off 'Stream not found: arn:s' 'PROBLEM: Stream not found: arn:s' 100, wait 500 ms
    result OK                          → leaving.settling  ignored
    sourceGone Stream not found: arn:s → leaving.settling  ignored
    settle                             → resting.disabled  stop waiting, publish Disabled off 'Stream not found: arn:s' 'PROBLEM: Stream not found: arn:s' 100
    update 5 to me enabled i2          → reading.enabling  read, publish Enabling 'User action' 'No records processed' 100 to me, wait 500 ms
    "
  `)
})

// lambda-semantics.md §5.2: "No records processed" → "OK" | "PROBLEM: Function call failed"
test('a mapping shows how its last batch went, when that changes', () => {
  const result = (text: string): MappingEvent => ({ type: 'result', result: text })
  expect(
    story('settle', result('OK'), result('OK'), result('PROBLEM: Function call failed')),
  ).toMatchInlineSnapshot(`
    "
    (start)                              → reading.creating  read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    settle                               → reading.enabled   stop waiting, publish Enabled 'User action' 'No records processed' 100
    result OK                            → reading.enabled   publish Enabled 'User action' 'OK' 100
    result OK                            → reading.enabled   ignored
    result PROBLEM: Function call failed → reading.enabled   publish Enabled 'User action' 'PROBLEM: Function call failed' 100
    "
  `)
})

test('a mapping that is deleted goes when its readers have left', () => {
  expect(
    story(
      readers(true),
      'settle',
      remove(2),
      remove(2),
      remove(3),
      update(3),
      'settle',
      readers(false),
      'clearAgain',
      { type: 'cleared' },
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)        → reading.creating   read, publish Creating 'User action' 'No records processed' 100 to me, wait 500 ms
    readers read   → reading.creating
    settle         → reading.enabled    stop waiting, publish Enabled 'User action' 'No records processed' 100
    delete 2 to me → deleting.settling  leave, publish Deleting 'User action' 'No records processed' 100 to me, wait 500 ms
    delete 2 to me → deleting.settling  publish Deleting 'User action' 'No records processed' 100 to me
    delete 3 to me → deleting.settling  refuse to me
    update 3 to me → deleting.settling  refuse to me
    settle         → deleting.emptying  stop waiting, wait 60000 ms
    readers        → deleting.clearing  stop waiting, clear, wait 5000 ms
    clearAgain     → deleting.clearing  stop waiting, clear, wait 5000 ms
    cleared        → gone               stop waiting
    "
  `)
})

test('a reader that does not leave does not keep a deleted mapping for ever', () => {
  expect(
    story(readers(true), 'settle', remove(2), 'settle', 'leaveFor', { type: 'cleared' }),
  ).toMatch(/leaveFor +→ deleting.clearing +stop waiting, clear, wait 5000 ms\n/)
})

test('tags change at any time but while it is being taken away', () => {
  const tag: MappingEvent = { type: 'tag', tags: { a: '1', b: '2' }, nowMs: 2, reply: 'me' }
  const life = live(mappingMachine, input(created))
  life.take(tag)
  life.take({ type: 'untag', keys: ['a'], nowMs: 3, reply: 'me' })
  expect(life.snapshot.context.record.tags).toEqual({ b: '2' })
  life.ring('settle')
  life.take(remove(4))
  expect(life.take(tag).asked.map(({ type }) => type)).toEqual(['refuse'])
})

test('a change takes a destination, a qualifier and the former beginning away', () => {
  const record: MappingRecord = {
    ...created,
    startingPosition: 'LATEST',
    startsAfter: 7,
    qualifier: 'live',
    settings: { ...settings, onFailure: 'arn:q' },
    state: 'Disabled',
    isOff: true,
  }
  const life = live(mappingMachine, input(record))
  life.take(
    update(2, {
      isEnabled: true,
      settings: { onFailure: '' },
      to: { functionName: 'g', functionArn: 'arn:g' },
      origin: { incarnation: 'i2', startsAfter: 9 },
    }),
  )
  expect(life.snapshot.context.record).toEqual({
    ...created,
    startingPosition: 'LATEST',
    functionName: 'g',
    functionArn: 'arn:g',
    incarnation: 'i2',
    startsAfter: 9,
    state: 'Enabling',
    lastModifiedMs: 2,
  })
})

test.each([
  ['Creating', undefined, 'reading.creating'],
  ['Creating', true, 'resting.creating'],
  ['Enabling', undefined, 'reading.enabled'],
  ['Enabled', undefined, 'reading.enabled'],
  ['Updating', undefined, 'reading.enabled'],
  ['Updating', true, 'resting.disabled'],
  ['Disabling', true, 'leaving.settling'],
  ['Disabled', true, 'resting.disabled'],
  ['Deleting', undefined, 'deleting.settling'],
  ['Deleting', true, 'deleting.settling'],
] as const)(
  'a new leader goes on with one that it finds %s (off: %s)',
  (state, isOff, expected) => {
    const record = { ...created, state, ...(isOff === undefined ? {} : { isOff }) }
    const life = live(mappingMachine, input(record))
    expect(life.state).toBe(expected)
    expect(life.born.asked.some(({ type }) => type === 'read')).toBe(expected.startsWith('reading'))
  },
)

const anyEvent = fc.oneof(
  fc
    .record({ nowMs: fc.nat(3), isEnabled: fc.option(fc.boolean(), { nil: undefined }) })
    .map(({ nowMs, isEnabled }) => update(nowMs, isEnabled === undefined ? {} : { isEnabled })),
  fc.nat(3).map(remove),
  fc.boolean().map(readers),
  fc.constant(gone),
  fc.constant<MappingEvent>({ type: 'result', result: 'OK' }),
  fc.constant<MappingEvent>({ type: 'cleared' }),
  fc.constant('a timer rings' as const),
)

test('whatever happens, each command is answered once, and Disabled means that nobody reads', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(anyEvent, { maxLength: 60 }), (isOff, events) => {
      const record = { ...created, ...(isOff ? { isOff } : {}) }
      const life = live(mappingMachine, input(record))
      let isTracked = false
      let isRead = false
      const check = ({ asked }: Taken): string[] => {
        for (const { type, params } of asked) {
          if (type === 'read') isTracked = true
          if (type === 'leave') isTracked = false
          const shown =
            type === 'publish' ? (params as { record: MappingRecord }).record : undefined
          if (shown?.state === 'Disabled') expect(isRead || isTracked).toBe(false)
        }
        expect(isTracked).toBe(life.state.startsWith('reading'))
        return asked.flatMap(({ params }) => (params as { reply?: string })?.reply || [])
      }
      check(life.born)
      for (const event of events) {
        if (life.isOver) break
        if (event === 'a timer rings') {
          for (const timer of [...life.timers.keys()]) check(life.ringTimer(timer))
          continue
        }
        if (event.type === 'readers') {
          // Nobody begins to read what is not to be read.
          if (event.isRead && !isTracked) continue
          isRead = event.isRead
        }
        expect(check(life.take(event))).toEqual('reply' in event ? ['me'] : [])
      }
      // Nothing is busy for ever.
      isRead = false
      if (!life.isOver) check(life.take(readers(false)))
      for (let rounds = 0; rounds < 3; rounds++) {
        for (const timer of [...life.timers.keys()]) check(life.ringTimer(timer))
      }
      expect(['reading.enabled', 'resting.disabled', 'deleting.clearing', 'gone']).toContain(
        life.state,
      )
    }),
  )
})
