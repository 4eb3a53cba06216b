/**
 * Events: what is decided of each outcome. Source: lambda-semantics.md §4.3 and §4.4 (AWS Lambda Developer Guide,
 * "Asynchronous invocation", and recordings of AWS).
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type AttemptOutcome,
  type EventEvent,
  type EventInput,
  type EventPolicy,
  eventMachine,
} from '../../machines/event.ts'
import { live, type Taken } from './life.ts'
import { type Shorten, storyOf } from './story.ts'
import '../seed.ts'

const SECOND = 1_000
const MINUTE = 60_000
const HOUR = 3_600_000

/** Accepted at 0, with the waits that AWS has. */
const input: EventInput = {
  isTelling: false,
  acceptedAtMs: 0,
  attempts: 0,
  putOff: 0,
  retryWaitsMs: [MINUTE, 2 * MINUTE],
  backOffMs: SECOND,
  longestBackOffMs: 5 * MINUTE,
  tellForMs: 24 * HOUR,
  endedAtMs: 0,
}
/** What AWS has when nothing is set. */
const usual: EventPolicy = {
  mostAttempts: 3,
  mostAgeMs: 6 * HOUR,
  isShutOff: false,
  tellsSuccess: false,
}

const turn = (nowMs: number, changes: Partial<EventPolicy> = {}): EventEvent => ({
  type: 'turn',
  policy: { ...usual, ...changes },
  nowMs,
})
const attempted = (
  outcome: AttemptOutcome,
  nowMs: number,
  changes: Partial<EventPolicy> = {},
): EventEvent => ({ type: 'attempted', outcome, policy: { ...usual, ...changes }, nowMs })
const told: EventEvent = { type: 'told' }
const untold = (nowMs: number): EventEvent => ({ type: 'untold', nowMs })
const stored: EventEvent = { type: 'stored' }
const fenced: EventEvent = { type: 'fenced' }

/** Of a policy only what is not usual; times in seconds. */
const shorten: Shorten = (key, value) => {
  if (key === 'nowMs') return `at ${(value as number) / SECOND} s`
  if (key !== 'policy') return undefined
  const policy = value as EventPolicy
  return [
    policy.mostAttempts === usual.mostAttempts ? '' : `of ${policy.mostAttempts}`,
    policy.mostAgeMs === usual.mostAgeMs ? '' : `for ${policy.mostAgeMs / SECOND} s`,
    policy.isShutOff ? 'shut off' : '',
    policy.tellsSuccess ? 'tells' : '',
  ]
    .filter((words) => words !== '')
    .join(', ')
}
const story = (changes: Partial<EventInput>, ...events: EventEvent[]): string =>
  storyOf(eventMachine, { ...input, ...changes }, shorten)(...events)

test('an event that succeeds and whose success nobody wants to know is done with', () => {
  expect(story({}, turn(0), attempted('succeeded', 1_000), stored)).toMatchInlineSnapshot(`
    "
    (start)                    → waiting
    turn at 0 s                → attempting  attempt
    attempted succeeded at 1 s → deciding    finish
    stored                     → over
    "
  `)
})

test('a success that somebody wants to know is told; how many attempts it took is kept', () => {
  // The record's own count is 1 all the same: §4.4, edges/aws/event-end.ts.
  expect(
    story(
      { attempts: 1 },
      turn(MINUTE, { tellsSuccess: true }),
      attempted('succeeded', 61_000, { tellsSuccess: true }),
      stored,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                           → waiting
    turn tells at 60 s                → attempting  attempt
    attempted succeeded tells at 61 s → deciding    end Success 2
    stored                            → over
    "
  `)
})

test('a function error is retried after one minute, then after two, then it is the end', () => {
  expect(story({}, turn(0), attempted('failed', 1_000), stored)).toMatchInlineSnapshot(`
    "
    (start)                 → waiting
    turn at 0 s             → attempting  attempt
    attempted failed at 1 s → deciding    retry 60000 1 0
    stored                  → over
    "
  `)
  expect(
    story({ attempts: 1 }, turn(61_000), attempted('failed', 62_000), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                  → waiting
    turn at 61 s             → attempting  attempt
    attempted failed at 62 s → deciding    retry 120000 2 0
    stored                   → over
    "
  `)
  expect(
    story({ attempts: 2 }, turn(182_000), attempted('failed', 183_000), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                   → waiting
    turn at 182 s             → attempting  attempt
    attempted failed at 183 s → deciding    end RetriesExhausted 3
    stored                    → over
    "
  `)
})

test('an event whose next retry would come when it is too old is given up at once', () => {
  // Recorded with MaximumEventAgeInSeconds 60: one attempt, EventAgeExceeded, count 1; with more, a retry.
  const minute = { mostAgeMs: MINUTE }
  expect(
    story({}, turn(100, minute), attempted('failed', 200, minute), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                            → waiting
    turn for 60 s at 0.1 s             → attempting  attempt
    attempted failed for 60 s at 0.2 s → deciding    end EventAgeExceeded 1
    stored                             → over
    "
  `)
  expect(story({}, turn(0, minute), attempted('failed', 0, minute), stored)).toMatchInlineSnapshot(`
    "
    (start)                          → waiting
    turn for 60 s at 0 s             → attempting  attempt
    attempted failed for 60 s at 0 s → deciding    end EventAgeExceeded 1
    stored                           → over
    "
  `)
  const more = { mostAgeMs: MINUTE + 5 * SECOND }
  expect(story({}, turn(100, more), attempted('failed', 200, more), stored)).toMatchInlineSnapshot(`
    "
    (start)                            → waiting
    turn for 65 s at 0.1 s             → attempting  attempt
    attempted failed for 65 s at 0.2 s → deciding    retry 60000 1 0
    stored                             → over
    "
  `)
})

test('the last failure is the end by its number, not by its age', () => {
  const once = { mostAttempts: 1, mostAgeMs: MINUTE }
  expect(story({}, turn(0, once), attempted('failed', 1_000, once), stored)).toMatchInlineSnapshot(`
    "
    (start)                                → waiting
    turn of 1, for 60 s at 0 s             → attempting  attempt
    attempted failed of 1, for 60 s at 1 s → deciding    end RetriesExhausted 1
    stored                                 → over
    "
  `)
})

test('being throttled spends no attempt; it comes again after 1 s, then twice as long each time', () => {
  expect(story({}, turn(0), attempted('throttled', 100), stored)).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted throttled at 0.1 s → deciding    retry 1000 0 1
    stored                       → over
    "
  `)
  expect(
    story({ attempts: 1, putOff: 1 }, turn(0), attempted('throttled', 100), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted throttled at 0.1 s → deciding    retry 2000 1 2
    stored                       → over
    "
  `)
  expect(story({ putOff: 8 }, turn(0), attempted('throttled', 100), stored)).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted throttled at 0.1 s → deciding    retry 256000 0 9
    stored                       → over
    "
  `)
  expect(story({ putOff: 9 }, turn(0), attempted('throttled', 100), stored)).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted throttled at 0.1 s → deciding    retry 300000 0 10
    stored                       → over
    "
  `)
  expect(
    story({ putOff: 2_000 }, turn(0), attempted('throttled', 100), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted throttled at 0.1 s → deciding    retry 300000 0 2001
    stored                       → over
    "
  `)
})

test('failures of ours, and what nobody knows, are no fault of the function either', () => {
  expect(
    story({ attempts: 2 }, turn(0), attempted('unavailable', 100), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                        → waiting
    turn at 0 s                    → attempting  attempt
    attempted unavailable at 0.1 s → deciding    retry 1000 2 1
    stored                         → over
    "
  `)
})

test('a failure of the function makes the back-off begin anew', () => {
  expect(story({ putOff: 6 }, turn(0), attempted('failed', 100), stored)).toMatchInlineSnapshot(`
    "
    (start)                   → waiting
    turn at 0 s               → attempting  attempt
    attempted failed at 0.1 s → deciding    retry 60000 1 0
    stored                    → over
    "
  `)
})

test('an event that is throttled until it is too old was never attempted', () => {
  expect(
    story({ putOff: 9 }, turn(6 * HOUR - 301_000), attempted('throttled', 6 * HOUR - 300_000)),
  ).toMatchInlineSnapshot(`
    "
    (start)                        → waiting
    turn at 21299 s                → attempting  attempt
    attempted throttled at 21300 s → deciding    end EventAgeExceeded 0
    "
  `)
  expect(
    story({ putOff: 9 }, turn(6 * HOUR - 301_001), attempted('throttled', 6 * HOUR - 300_001)),
  ).toMatchInlineSnapshot(`
    "
    (start)                            → waiting
    turn at 21298.999 s                → attempting  attempt
    attempted throttled at 21299.999 s → deciding    retry 300000 0 10
    "
  `)
})

test('an event that is too old at its turn is not attempted, not even for the first time', () => {
  expect(story({}, turn(6 * HOUR), stored)).toMatchInlineSnapshot(`
    "
    (start)         → waiting
    turn at 21600 s → deciding  end EventAgeExceeded 0
    stored          → over
    "
  `)
  expect(story({}, turn(6 * HOUR - 1))).toMatchInlineSnapshot(`
    "
    (start)             → waiting
    turn at 21599.999 s → attempting  attempt
    "
  `)
})

test('a function without any concurrency is not tried', () => {
  expect(story({}, turn(0, { isShutOff: true }), stored)).toMatchInlineSnapshot(`
    "
    (start)              → waiting
    turn shut off at 0 s → deciding  end ZeroReservedConcurrency 0
    stored               → over
    "
  `)
  // Also before its age is asked for.
  expect(story({}, turn(6 * HOUR, { isShutOff: true }), stored)).toMatchInlineSnapshot(`
    "
    (start)                  → waiting
    turn shut off at 21600 s → deciding  end ZeroReservedConcurrency 0
    stored                   → over
    "
  `)
})

test('a function that is gone spends attempts, as one that fails', () => {
  // Recorded: RetriesExhausted with statusCode 404, and a count of 1 with no retries, of 2 with one.
  expect(
    story({}, turn(0, { mostAttempts: 1 }), attempted('gone', 100, { mostAttempts: 1 }), stored),
  ).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn of 1 at 0 s             → attempting  attempt
    attempted gone of 1 at 0.1 s → deciding    end RetriesExhausted 1
    stored                       → over
    "
  `)
  expect(story({}, turn(0), attempted('gone', 100), stored)).toMatchInlineSnapshot(`
    "
    (start)                 → waiting
    turn at 0 s             → attempting  attempt
    attempted gone at 0.1 s → deciding    retry 60000 1 0
    stored                  → over
    "
  `)
})

test('a function that has called itself too often is not called again', () => {
  expect(story({}, turn(0), attempted('recursive', 100), stored)).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted recursive at 0.1 s → deciding    end RecursiveInvocation 0
    stored                       → over
    "
  `)
})

test('settings that change between attempts, or during one, hold from then on', () => {
  // Recorded: lowering the age or the retries applies to events that are queued.
  const fewer = { mostAttempts: 2 }
  expect(
    story({ attempts: 1 }, turn(61_000), attempted('failed', 62_000, fewer)),
  ).toMatchInlineSnapshot(`
    "
    (start)                       → waiting
    turn at 61 s                  → attempting  attempt
    attempted failed of 2 at 62 s → deciding    end RetriesExhausted 2
    "
  `)
  // Recorded: an attempt that is due already is still made.
  expect(
    story({ attempts: 2 }, turn(182_000, fewer), attempted('failed', 183_000, fewer)),
  ).toMatchInlineSnapshot(`
    "
    (start)                        → waiting
    turn of 2 at 182 s             → attempting  attempt
    attempted failed of 2 at 183 s → deciding    end RetriesExhausted 3
    "
  `)
  expect(story({ attempts: 1 }, turn(61_000, { mostAgeMs: MINUTE }))).toMatchInlineSnapshot(`
    "
    (start)               → waiting
    turn for 60 s at 61 s → deciding  end EventAgeExceeded 1
    "
  `)
  expect(story({ attempts: 1 }, turn(61_000, { isShutOff: true }))).toMatchInlineSnapshot(`
    "
    (start)               → waiting
    turn shut off at 61 s → deciding  end ZeroReservedConcurrency 1
    "
  `)
})

const ended = { isTelling: true, attempts: 3, endedAtMs: 10 * MINUTE }

test('an end that everyone has been told is done with', () => {
  expect(story(ended, told, stored)).toMatchInlineSnapshot(`
    "
    (start) → telling   tell
    told    → deciding  finish
    stored  → over
    "
  `)
})

test('who cannot be told is told again later, for a day; then the event is kept for whoever looks', () => {
  expect(story(ended, untold(11 * MINUTE), stored)).toMatchInlineSnapshot(`
    "
    (start)         → telling   tell
    untold at 660 s → deciding  tellAgain 1000 1
    stored          → over
    "
  `)
  expect(story({ ...ended, putOff: 20 }, untold(20 * HOUR), stored)).toMatchInlineSnapshot(`
    "
    (start)           → telling   tell
    untold at 72000 s → deciding  tellAgain 300000 21
    stored            → over
    "
  `)
  expect(story({ ...ended, putOff: 20 }, untold(25 * HOUR), stored)).toMatchInlineSnapshot(`
    "
    (start)           → telling   tell
    untold at 90000 s → deciding  shelve
    stored            → over
    "
  `)
})

test('what is decided in a lane that is somebody else’s is not followed up', () => {
  expect(story({}, turn(0), attempted('succeeded', 100), fenced)).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    turn at 0 s                  → attempting  attempt
    attempted succeeded at 0.1 s → deciding    finish
    fenced                       → lost
    "
  `)
})

test('what comes twice or too late changes nothing', () => {
  expect(
    story(
      {},
      stored,
      attempted('failed', 0),
      turn(0),
      turn(0),
      told,
      attempted('failed', 100),
      attempted('succeeded', 200),
      untold(300),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                      → waiting
    stored                       → waiting     ignored
    attempted failed at 0 s      → waiting     ignored
    turn at 0 s                  → attempting  attempt
    turn at 0 s                  → attempting  ignored
    told                         → attempting  ignored
    attempted failed at 0.1 s    → deciding    retry 60000 1 0
    attempted succeeded at 0.2 s → deciding    ignored
    untold at 0.3 s              → deciding    ignored
    "
  `)
})

const outcomes: AttemptOutcome[] = [
  'succeeded',
  'failed',
  'gone',
  'throttled',
  'unavailable',
  'recursive',
]
const anyOutcome = fc.constantFrom(...outcomes)
const anyPolicy: fc.Arbitrary<EventPolicy> = fc.record({
  mostAttempts: fc.integer({ min: 1, max: 3 }),
  mostAgeMs: fc.constantFrom(MINUTE, 10 * MINUTE, 6 * HOUR),
  isShutOff: fc.boolean(),
  tellsSuccess: fc.boolean(),
})
const anyTime = fc.oneof(fc.nat(3 * MINUTE), fc.nat(7 * HOUR))
const anyInput: fc.Arbitrary<EventInput> = fc
  .record({ isTelling: fc.boolean(), attempts: fc.nat(2), putOff: fc.nat(40), endedAtMs: anyTime })
  .map((changes) => ({ ...input, ...changes }))
const anyEvent: fc.Arbitrary<EventEvent> = fc.oneof(
  fc.record({ type: fc.constant('turn' as const), policy: anyPolicy, nowMs: anyTime }),
  fc.record({
    type: fc.constant('attempted' as const),
    outcome: anyOutcome,
    policy: anyPolicy,
    nowMs: anyTime,
  }),
  fc.constantFrom(told, stored),
  anyTime.map(untold),
)

/** What each state waits for. */
const answers: Record<string, EventEvent> = {
  waiting: turn(0),
  attempting: attempted('throttled', 100),
  telling: told,
  deciding: stored,
}
const decisions = ['finish', 'retry', 'end', 'tellAgain', 'shelve']

test('whatever happens, one thing is decided of it, once, and nothing is stored before', () => {
  fc.assert(
    fc.property(anyInput, fc.array(anyEvent, { maxLength: 12 }), (given, events) => {
      const life = live(eventMachine, given)
      const decided: string[] = []
      const asked = { attempt: 0, tell: 0 }
      const note = (taken: Taken) => {
        for (const { type } of taken.asked) {
          if (decisions.includes(type)) decided.push(type)
          else asked[type as keyof typeof asked]++
        }
        expect(decided.length).toBe(['deciding', 'over'].includes(life.state) ? 1 : 0)
      }
      note(life.born)
      for (const event of events) note(life.take(event))
      // As long as what it asks for is answered, it comes to an end.
      for (let steps = 0; steps < 3 && !life.isOver; steps++) {
        note(life.take(answers[life.state] as EventEvent))
      }
      expect(life.state).toBe('over')
      expect(asked.attempt).toBeLessThanOrEqual(given.isTelling ? 0 : 1)
      expect(asked.tell).toBe(given.isTelling ? 1 : 0)
    }),
  )
})

type Ending = {
  attempts: number
  /** Of its attempts: when each began. */
  beganMs: number[]
  condition: unknown
  endedMs: number
}

/** Plays an event from its arrival to its end, as if the stream brought it back whenever it is due. */
function playToItsEnd(
  outcomeOf: (attempt: number) => { outcome: AttemptOutcome; tookMs: number; lateMs: number },
  policyAt: (attempt: number) => EventPolicy,
): Ending {
  let given = input
  let nowMs = 0
  const beganMs: number[] = []
  for (let lives = 0; lives < 1_000; lives++) {
    const life = live(eventMachine, given)
    const { outcome, tookMs, lateMs } = outcomeOf(lives)
    nowMs += lateMs
    let { asked } = life.take({ type: 'turn', policy: policyAt(lives), nowMs })
    if (life.state === 'attempting') {
      beganMs.push(nowMs)
      nowMs += tookMs
      asked = life.take({ type: 'attempted', outcome, policy: policyAt(lives), nowMs }).asked
    }
    const [decision] = asked
    const params = decision?.params as { waitMs: number; attempts: number; putOff: number }
    if (decision?.type !== 'retry') {
      const { condition, attempts } = (params ?? {}) as { condition?: string; attempts: number }
      return { attempts, beganMs, condition: condition ?? decision?.type, endedMs: nowMs }
    }
    nowMs += params.waitMs
    given = { ...given, attempts: params.attempts, putOff: params.putOff }
  }
  throw new Error('it has no end')
}

test('an event that is only throttled is tried ever more rarely, until it is too old', () => {
  const { beganMs, ...ending } = playToItsEnd(
    () => ({ outcome: 'throttled', tookMs: 0, lateMs: 0 }),
    () => usual,
  )
  const waits = beganMs.slice(1).map((atMs, index) => (atMs - (beganMs[index] ?? 0)) / SECOND)
  expect(waits.slice(0, 12)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
  expect(ending).toMatchObject({ condition: 'EventAgeExceeded', attempts: 0 })
  expect(ending.endedMs).toBeGreaterThanOrEqual(6 * HOUR - 5 * MINUTE)
})

test('whatever comes of its attempts, an event ends in time and with as many attempts as it had', () => {
  const anyAttempt = fc.record({
    outcome: anyOutcome,
    tookMs: fc.nat(15 * MINUTE),
    lateMs: fc.nat(2 * SECOND),
  })
  fc.assert(
    fc.property(
      fc.infiniteStream(anyAttempt),
      anyPolicy.map((policy) => ({ ...policy, isShutOff: false })),
      (stream, policy) => {
        const made: AttemptOutcome[] = []
        const fates: { outcome: AttemptOutcome; tookMs: number; lateMs: number }[] = []
        const ending = playToItsEnd(
          (attempt) => {
            fates[attempt] ??= stream.next().value
            return fates[attempt] as (typeof fates)[number]
          },
          () => policy,
        )
        for (let n = 0; n < ending.beganMs.length; n++) made.push(fates[n]?.outcome ?? 'gone')
        const spent = made.filter((one) => ['succeeded', 'failed', 'gone'].includes(one)).length
        expect(spent).toBeLessThanOrEqual(policy.mostAttempts)
        if (ending.condition !== 'finish') expect(ending.attempts).toBe(spent)
        for (const atMs of ending.beganMs) expect(atMs).toBeLessThan(policy.mostAgeMs)
      },
    ),
  )
})
