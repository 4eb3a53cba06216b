import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type BatchOutcome,
  type ReaderEvent,
  type ReaderSettings,
  shardReaderMachine,
} from '../../machines/shard-reader.ts'
import { anyChance } from '../seed.ts'
import { live } from './life.ts'
import { storyOf } from './story.ts'

const settings: ReaderSettings = {
  batchingWindowMs: 0,
  bisectsOnError: false,
  maximumRetryAttempts: 2,
  maximumRecordAgeMs: -1,
  tumblingWindowMs: 0,
  tells: true,
  backOffMs: 500,
  longestBackOffMs: 60_000,
}
const story = (
  changes: Partial<ReaderSettings> = {},
  batches: { to: number; attempts: number }[] = [],
) =>
  storyOf(
    shardReaderMachine,
    { settings: { ...settings, ...changes }, batches, windowStartMs: undefined },
    (key, value) => {
      if (key === 'batch') {
        const { from, to } = value as { from: number; to: number }
        return `${from}–${to}`
      }
      if (key === 'outcome') return Object.values(value as BatchOutcome).join(' ')
      return ['maximumRecordAgeMs', 'nowMs', 'hasMore', 'isFull', 'windowStartMs'].includes(key)
        ? ''
        : undefined
    },
  )

const arrived: ReaderEvent = { type: 'arrived', isFull: false }
const full: ReaderEvent = { type: 'arrived', isFull: true }
const formed = (from: number, to: number, hasMore = false): ReaderEvent => ({
  type: 'formed',
  batch: { from, middle: Math.floor((from + to) / 2), to, records: to - from + 1, firstMs: 1_000 },
  nowMs: 2_000,
  hasMore,
  isFull: false,
})
const ended = (outcome: BatchOutcome): ReaderEvent => ({ type: 'attempted', outcome, nowMs: 2_000 })
const succeeded = ended({ kind: 'succeeded' })
const failed = ended({ kind: 'failed' })
const throttled = ended({ kind: 'throttled' })
const told: ReaderEvent = { type: 'told' }

test('a batch is taken, tried, and done with; then the next', () => {
  expect(
    story()(arrived, formed(1, 3, true), succeeded, formed(4, 4), succeeded),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form undefined
    formed 1–3          → reading.attempting  attempt 1–3, wait 500 ms
    attempted succeeded → reading.forming     stop waiting, advance 3, form undefined
    formed 4–4          → reading.attempting  attempt 4–4, wait 500 ms
    attempted succeeded → reading.idle        stop waiting, advance 4, rest
    "
  `)
})

test('the batching window runs until the batch is full', () => {
  expect(
    story({ batchingWindowMs: 1_000 })(
      arrived,
      arrived,
      full,
      formed(1, 3),
      succeeded,
      arrived,
      'batchingWindow',
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.gathering   wait 1000 ms
    arrived             → reading.gathering
    arrived             → reading.forming     stop waiting, form undefined
    formed 1–3          → reading.attempting  attempt 1–3, wait 500 ms
    attempted succeeded → reading.idle        stop waiting, advance 3, rest
    arrived             → reading.gathering   wait 1000 ms
    batchingWindow      → reading.forming     stop waiting, form undefined
    "
  `)
})

// Recorded: MaximumRetryAttempts 1 makes two attempts. lambda-semantics.md §5.5.
test('a batch that fails comes again as it was, is given up after its last attempt, and told of', () => {
  expect(
    story({ maximumRetryAttempts: 1 })(
      arrived,
      formed(1, 3),
      failed,
      'backOff',
      formed(1, 3),
      failed,
      told,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)          → reading.idle        rest
    arrived          → reading.forming     form undefined
    formed 1–3       → reading.attempting  attempt 1–3, wait 500 ms
    attempted failed → reading.backingOff  stop waiting, remember, wait 500 ms
    backOff          → reading.forming     stop waiting, form 3
    formed 1–3       → reading.attempting  attempt 1–3, wait 500 ms
    attempted failed → reading.telling     stop waiting, remember, tell RetryAttemptsExhausted 3 2
    told             → reading.idle        advance 3, rest
    "
  `)
})

test('being throttled spends no attempts, and the waits grow', () => {
  expect(
    story({ maximumRetryAttempts: 0 })(
      arrived,
      formed(1, 1),
      throttled,
      'backOff',
      formed(1, 1),
      throttled,
      'backOff',
      formed(1, 1),
      succeeded,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form undefined
    formed 1–1          → reading.attempting  attempt 1–1, wait 500 ms
    attempted throttled → reading.backingOff  stop waiting, wait 500 ms
    backOff             → reading.forming     stop waiting, form 1
    formed 1–1          → reading.attempting  attempt 1–1, wait 500 ms
    attempted throttled → reading.backingOff  stop waiting, wait 1000 ms
    backOff             → reading.forming     stop waiting, form 1
    formed 1–1          → reading.attempting  attempt 1–1, wait 500 ms
    attempted succeeded → reading.idle        stop waiting, advance 1, rest
    "
  `)
})

// Lambda Developer Guide, BisectBatchOnFunctionError: "does not consume the retry quota".
test('a batch is cut in two, at once, until the record that fails is alone', () => {
  expect(
    story({ bisectsOnError: true, maximumRetryAttempts: 1 })(
      arrived,
      formed(1, 3),
      failed,
      formed(1, 2),
      failed,
      formed(1, 1, true),
      succeeded,
      formed(2, 2, true),
      failed,
      'backOff',
      formed(2, 2, true),
      failed,
      told,
      formed(3, 3),
      succeeded,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form undefined
    formed 1–3          → reading.attempting  attempt 1–3, wait 500 ms
    attempted failed    → reading.forming     stop waiting, remember, form 2
    formed 1–2          → reading.attempting  attempt 1–2, wait 500 ms
    attempted failed    → reading.forming     stop waiting, remember, form 1
    formed 1–1          → reading.attempting  attempt 1–1, wait 500 ms
    attempted succeeded → reading.forming     stop waiting, advance 1, form 2
    formed 2–2          → reading.attempting  attempt 2–2, wait 500 ms
    attempted failed    → reading.backingOff  stop waiting, remember, wait 500 ms
    backOff             → reading.forming     stop waiting, form 2
    formed 2–2          → reading.attempting  attempt 2–2, wait 500 ms
    attempted failed    → reading.telling     stop waiting, remember, tell RetryAttemptsExhausted 2 2
    told                → reading.forming     advance 2, form 3
    formed 3–3          → reading.attempting  attempt 3–3, wait 500 ms
    attempted succeeded → reading.idle        stop waiting, advance 3, rest
    "
  `)
})

// Recorded: test_kinesis_report_batch_item_failures: inside its batch once, then four times alone with three retries.
test('what follows the lowest item that failed is a batch of its own', () => {
  expect(
    story({ maximumRetryAttempts: 1 })(
      arrived,
      formed(4, 6),
      ended({ kind: 'partly', to: 5 }),
      'backOff',
      formed(6, 6),
      ended({ kind: 'rejected' }),
      'backOff',
      formed(6, 6),
      ended({ kind: 'rejected' }),
      told,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)            → reading.idle        rest
    arrived            → reading.forming     form undefined
    formed 4–6         → reading.attempting  attempt 4–6, wait 500 ms
    attempted partly 5 → reading.backingOff  stop waiting, advance 5, remember, wait 500 ms
    backOff            → reading.forming     stop waiting, form 6
    formed 6–6         → reading.attempting  attempt 6–6, wait 500 ms
    attempted rejected → reading.backingOff  stop waiting, remember, wait 500 ms
    backOff            → reading.forming     stop waiting, form 6
    formed 6–6         → reading.attempting  attempt 6–6, wait 500 ms
    attempted rejected → reading.telling     stop waiting, remember, tell RetryAttemptsExhausted 6 2
    told               → reading.idle        advance 6, rest
    "
  `)
})

test('what is too old is cut off and told of; the rest is a batch of its own', () => {
  expect(
    story({ maximumRecordAgeMs: 60_000 })(
      arrived,
      formed(1, 3),
      { type: 'expired', to: 2 },
      told,
      formed(3, 3),
      succeeded,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form undefined
    formed 1–3          → reading.attempting  attempt 1–3, wait 500 ms
    expired 2           → reading.telling     stop waiting, tell RecordAgeExceeded 2 1
    told                → reading.forming     advance 2, form 3
    formed 3–3          → reading.attempting  attempt 3–3, wait 500 ms
    attempted succeeded → reading.idle        stop waiting, advance 3, rest
    "
  `)
})

test('a batch does not wait longer than it has to live', () => {
  expect(
    story({ maximumRecordAgeMs: 1_200, maximumRetryAttempts: -1 })(arrived, formed(1, 1), failed),
  ).toMatchInlineSnapshot(`
    "
    (start)          → reading.idle        rest
    arrived          → reading.forming     form undefined
    formed 1–1       → reading.attempting  attempt 1–1, wait 500 ms
    attempted failed → reading.backingOff  stop waiting, remember, wait 200 ms
    "
  `)
})

test('without anybody to tell, what is given up is passed over', () => {
  expect(
    story({ tells: false, maximumRetryAttempts: 0 })(arrived, formed(1, 2), failed),
  ).toMatchInlineSnapshot(`
    "
    (start)          → reading.idle        rest
    arrived          → reading.forming     form undefined
    formed 1–2       → reading.attempting  attempt 1–2, wait 500 ms
    attempted failed → reading.idle        stop waiting, advance 2, rest
    "
  `)
})

test('what the reader before has tried is tried on', () => {
  expect(
    story({}, [
      { to: 3, attempts: 2 },
      { to: 5, attempts: 0 },
    ])(arrived, formed(1, 3, true), failed, told, formed(4, 5), succeeded),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form 3
    formed 1–3          → reading.attempting  attempt 1–3, wait 500 ms
    attempted failed    → reading.telling     stop waiting, remember, tell RetryAttemptsExhausted 3 3
    told                → reading.forming     advance 3, form 5
    formed 4–5          → reading.attempting  attempt 4–5, wait 500 ms
    attempted succeeded → reading.idle        stop waiting, advance 5, rest
    "
  `)
})

test('a batch that was tried comes in whole before it is tried on, and waits for no batching window', () => {
  expect(
    story({ batchingWindowMs: 1_000 }, [{ to: 3, attempts: 2 }])(
      arrived,
      { type: 'incomplete' },
      arrived,
      full,
      formed(1, 3),
      failed,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)          → reading.idle        rest
    arrived          → reading.forming     form 3
    incomplete       → reading.completing
    arrived          → reading.completing
    arrived          → reading.forming     form 3
    formed 1–3       → reading.attempting  attempt 1–3, wait 500 ms
    attempted failed → reading.telling     stop waiting, remember, tell RetryAttemptsExhausted 3 3
    "
  `)
})

test('a window is closed when it is over, and again until that succeeds', () => {
  expect(
    story({ tumblingWindowMs: 1_000 })(
      arrived,
      formed(1, 2, true),
      succeeded,
      { type: 'windowOver' },
      failed,
      'backOff',
      succeeded,
      formed(3, 3),
      succeeded,
      'windowEnd',
      succeeded,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle            rest
    arrived             → reading.forming         form undefined
    formed 1–2          → reading.attempting      attempt 1–2, wait 500 ms
    attempted succeeded → reading.forming         stop waiting, advance 2, form undefined
    windowOver          → reading.closing         attemptWindow 1000 false 0
    attempted failed    → reading.closingLater    wait 500 ms
    backOff             → reading.closing         stop waiting, attemptWindow 1000 false 1
    attempted succeeded → reading.forming         forgetWindow, form undefined
    formed 3–3          → reading.attempting      attempt 3–3, wait 500 ms
    attempted succeeded → reading.betweenBatches  stop waiting, advance 3, rest, wait 1000 ms
    windowEnd           → reading.closing         stop waiting, attemptWindow 1000 false 0
    attempted succeeded → reading.idle            forgetWindow, rest
    "
  `)
})

test('a window whose state has grown too large ends early', () => {
  expect(
    story({ tumblingWindowMs: 1_000 })(
      arrived,
      formed(1, 2),
      ended({ kind: 'overflown' }),
      succeeded,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form undefined
    formed 1–2          → reading.attempting  attempt 1–2, wait 500 ms
    attempted overflown → reading.closing     stop waiting, advance 2, attemptWindow 1000 true 0
    attempted succeeded → reading.idle        forgetWindow, rest
    "
  `)
})

test('a shard is left when what runs has ended, and its end counts', () => {
  expect(story()(arrived, formed(1, 2), { type: 'stop' }, succeeded)).toMatchInlineSnapshot(`
    "
    (start)             → reading.idle        rest
    arrived             → reading.forming     form undefined
    formed 1–2          → reading.attempting  attempt 1–2, wait 500 ms
    stop                → leaving.attempting  stop waiting
    attempted succeeded → stopped             advance 2
    "
  `)
  expect(story()(arrived, formed(1, 2), { type: 'stop' }, failed)).toMatchInlineSnapshot(`
    "
    (start)          → reading.idle        rest
    arrived          → reading.forming     form undefined
    formed 1–2       → reading.attempting  attempt 1–2, wait 500 ms
    stop             → leaving.attempting  stop waiting
    attempted failed → stopped             remember
    "
  `)
})

test('a batch that takes long is remembered as it is', () => {
  expect(story()(arrived, formed(1, 2), 'slow')).toMatchInlineSnapshot(`
    "
    (start)    → reading.idle        rest
    arrived    → reading.forming     form undefined
    formed 1–2 → reading.attempting  attempt 1–2, wait 500 ms
    slow       → reading.attempting  remember
    "
  `)
})

/** Plays a lane whose records fail by chance, until all of them are done with. */
test('whatever fails, every record is done with once, in order, and what is given up is told of', () => {
  fc.assert(
    fc.property(
      anyChance,
      fc.boolean(),
      fc.integer({ min: -1, max: 3 }),
      (chance, bisectsOnError, maximumRetryAttempts) => {
        const records = 30
        const life = live(shardReaderMachine, {
          settings: { ...settings, bisectsOnError, maximumRetryAttempts },
          batches: [],
          windowStartMs: undefined,
        })
        let done = 0
        let given = 0
        let inHand = { from: 0, to: 0 }
        const wanted: (() => ReaderEvent | string)[] = []
        const answer = (): ReaderEvent => {
          const size = inHand.to - inHand.from + 1
          const kind = chance(8)
          if (kind < 3) return ended({ kind: 'failed' })
          if (kind === 3) return throttled
          if (kind === 4 && size > 1)
            return ended({ kind: 'partly', to: inHand.from + chance(size - 1) })
          if (kind === 5) return { type: 'expired', to: inHand.from + chance(size) }
          return succeeded
        }
        const hear = (asked: { type: string; params?: unknown }[]): void => {
          for (const { type, params } of asked) {
            if (type === 'form') {
              const { to } = params as { to?: number }
              const from = done + 1
              if (from > records) wanted.push(() => ({ type: 'nothing' }))
              else {
                const last = Math.min(to !== undefined && to >= from ? to : from + 4, records)
                inHand = { from, to: last }
                wanted.push(() => formed(from, last, last < records))
              }
            } else if (type === 'attempt') wanted.push(answer)
            else if (type === 'tell') {
              const { to } = params as { to: number }
              given += to - done
              wanted.push(() => told)
            } else if (type === 'advance') {
              const { to } = params as { to: number }
              expect(to).toBeGreaterThan(done)
              expect(to).toBeLessThanOrEqual(inHand.to)
              done = to
            }
          }
        }
        hear(life.born.asked)
        hear(life.take(arrived).asked)
        for (let step = 0; step < 5_000 && done < records; step++) {
          const next = wanted.shift()
          const { asked } =
            next === undefined ? life.ring('backOff') : life.take(next() as ReaderEvent)
          hear(asked)
        }
        expect(done).toBe(records)
        expect(given).toBeLessThanOrEqual(records)
      },
    ),
  )
})
