import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type FlowEvent, flowMachine } from '../../machines/flow.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'
import '../seed.ts'

const input = { least: 2, mostRunning: 4, mostWaiting: 3, growEveryMs: 1_000 }
const story = storyOf(flowMachine, input)

const arrived: FlowEvent = { type: 'arrived' }
const ended = (how: 'well' | 'badly' | 'throttled', tookMs: number, lineMs: number): FlowEvent => ({
  type: 'ended',
  how,
  tookMs,
  lineMs,
})
const well = (tookMs: number, lineMs = 0) => ended('well', tookMs, lineMs)
const badly = ended('badly', 5, 0)
const throttled = ended('throttled', 1, 0)
const divert: FlowEvent = { type: 'divert' }
const admit: FlowEvent = { type: 'admit' }

test('so many run, so many wait, and the rest is set aside', () => {
  expect(story(arrived, arrived, arrived, arrived, arrived, arrived)).toMatchInlineSnapshot(`
    "
    (start) → open
    arrived → open  beginNext
    arrived → full  beginNext, wait 1000 ms
    arrived → full
    arrived → full
    arrived → full
    arrived → full  setAside 1
    "
  `)
})

test('whatever comes of one that ran, the oldest that waits has its place', () => {
  expect(story(arrived, arrived, arrived, arrived, badly, well(5))).toMatchInlineSnapshot(`
    "
    (start)         → open
    arrived         → open  beginNext
    arrived         → full  beginNext, wait 1000 ms
    arrived         → full
    arrived         → full
    ended badly 5 0 → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0  → full  stop waiting, beginNext, wait 1000 ms
    "
  `)
})

test('one more may run a round while others wait noticeably and attempts are quick', () => {
  const quick = well(5, 20)
  expect(story(...Array(5).fill(arrived), quick, quick, quick, well(5, 19))).toMatchInlineSnapshot(`
    "
    (start)         → open
    arrived         → open  beginNext
    arrived         → full  beginNext, wait 1000 ms
    arrived         → full
    arrived         → full
    arrived         → full
    ended well 5 20 → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 20 → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 20 → open  stop waiting, beginNext
    ended well 5 19 → open
    "
  `)
})

test('one less may run a round when they only wait for each other, but never less than at first', () => {
  const grown = storyOf(flowMachine, { ...input, mostRunning: 8, mostWaiting: 20 })
  const slow = well(100, 500)
  expect(
    grown(
      ...Array(20).fill(arrived),
      ...Array(4).fill('growEvery'),
      ...Array(6).fill(well(5)),
      slow,
      ...Array(5).fill(slow),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)            → open
    arrived            → open  beginNext
    arrived            → full  beginNext, wait 1000 ms
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    arrived            → full
    growEvery          → full  stop waiting, beginNext, wait 1000 ms
    growEvery          → full  stop waiting, beginNext, wait 1000 ms
    growEvery          → full  stop waiting, beginNext, wait 1000 ms
    growEvery          → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended well 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended well 100 500 → full  stop waiting, wait 1000 ms
    ended well 100 500 → full  stop waiting, beginNext, wait 1000 ms
    ended well 100 500 → full  stop waiting, beginNext, wait 1000 ms
    ended well 100 500 → full  stop waiting, beginNext, wait 1000 ms
    ended well 100 500 → full  stop waiting, beginNext, wait 1000 ms
    ended well 100 500 → full  stop waiting, beginNext, wait 1000 ms
    "
  `)
})

test('half as many may run when the function is throttled', () => {
  expect(
    story(arrived, arrived, arrived, arrived, throttled, badly, throttled, badly),
  ).toMatchInlineSnapshot(`
    "
    (start)             → open
    arrived             → open  beginNext
    arrived             → full  beginNext, wait 1000 ms
    arrived             → full
    arrived             → full
    ended throttled 1 0 → full  stop waiting, wait 1000 ms
    ended badly 5 0     → full  stop waiting, beginNext, wait 1000 ms
    ended throttled 1 0 → full  stop waiting, beginNext, wait 1000 ms
    ended badly 5 0     → open  stop waiting
    "
  `)
})

test('one more may run when none has ended for a while', () => {
  expect(
    story(arrived, arrived, arrived, arrived, arrived, 'growEvery', 'growEvery', 'growEvery'),
  ).toMatchInlineSnapshot(`
    "
    (start)   → open
    arrived   → open  beginNext
    arrived   → full  beginNext, wait 1000 ms
    arrived   → full
    arrived   → full
    arrived   → full
    growEvery → full  stop waiting, beginNext, wait 1000 ms
    growEvery → full  stop waiting, beginNext, wait 1000 ms
    growEvery → full  stop waiting, wait 1000 ms
    "
  `)
})

test('what waits goes elsewhere when its function has a queue of its own; what runs stays', () => {
  expect(
    story(arrived, arrived, arrived, arrived, divert, arrived, badly, arrived, admit, arrived),
  ).toMatchInlineSnapshot(`
    "
    (start)         → open
    arrived         → open  beginNext
    arrived         → full  beginNext, wait 1000 ms
    arrived         → full
    arrived         → full
    divert          → full  setAside 2
    arrived         → full  setAside 1
    ended badly 5 0 → open  stop waiting
    arrived         → full  beginNext, wait 1000 ms
    admit           → full
    arrived         → full
    "
  `)
})

test('one that nobody has begun here has not ended here', () => {
  expect(story(badly, throttled, arrived)).toMatchInlineSnapshot(`
    "
    (start)             → open
    ended badly 5 0     → open  ignored
    ended throttled 1 0 → open  ignored
    arrived             → open  beginNext
    "
  `)
})

const anyEnd = fc
  .tuple(fc.constantFrom('well', 'badly', 'throttled'), fc.nat(200), fc.constantFrom(0, 50))
  .map(([how, tookMs, lineMs]) => ended(how as 'well' | 'badly' | 'throttled', tookMs, lineMs))
const anyEvent = fc.oneof(
  { weight: 5, arbitrary: fc.constant(arrived) },
  { weight: 4, arbitrary: anyEnd },
  { weight: 1, arbitrary: fc.constantFrom(divert, admit) },
  { weight: 1, arbitrary: fc.constant('a timer rings' as const) },
)
const anyInput = fc.record({
  least: fc.integer({ min: 1, max: 4 }),
  mostRunning: fc.integer({ min: 4, max: 8 }),
  mostWaiting: fc.nat(5),
  growEveryMs: fc.constant(1_000),
})

test('each that arrives begins, waits or is set aside, and no more run than may', () => {
  fc.assert(
    fc.property(anyInput, fc.array(anyEvent, { maxLength: 100 }), (given, events) => {
      const life = live(flowMachine, given)
      const counts = { arrived: 0, begun: 0, ended: 0, setAside: 0 }
      let wasQuick = false
      const check = ({ asked }: Taken) => {
        const { running, waiting, limit, isDiverted } = life.snapshot.context
        for (const { type, params } of asked) {
          if (type === 'setAside') counts.setAside += (params as { count: number }).count
          if (type !== 'beginNext') continue
          counts.begun++
          expect(running).toBeLessThanOrEqual(limit)
        }
        expect(counts.begun + waiting + counts.setAside).toBe(counts.arrived)
        expect(running).toBe(counts.begun - counts.ended)
        expect(limit).toBeGreaterThanOrEqual(1)
        expect(limit).toBeLessThanOrEqual(given.mostRunning)
        const isQuick = life.snapshot.context.quickestMs <= 50
        wasQuick ||= isQuick
        // Of a quick function any number may wait, and those stay when it is quick no longer.
        if (isDiverted) expect(waiting).toBe(0)
        else if (!wasQuick) expect(waiting).toBeLessThanOrEqual(given.mostWaiting)
        if (waiting > 0) expect(running).toBeGreaterThanOrEqual(limit)
        expect(life.state).toBe(running >= limit ? 'full' : 'open')
      }
      const take = (event: FlowEvent) => {
        if (event.type === 'arrived') counts.arrived++
        if (event.type === 'ended' && life.snapshot.context.running > 0) counts.ended++
        check(life.take(event))
      }
      for (const event of events) {
        if (event !== 'a timer rings') take(event)
        else for (const timer of [...life.timers.keys()]) check(life.ringTimer(timer))
      }
      // When what runs ends, all that waits has its turn.
      while (life.snapshot.context.running > 0) take(badly)
      expect(life.snapshot.context.waiting).toBe(0)
    }),
  )
})

test('of a quick function any number waits here', () => {
  expect(story(arrived, well(50), ...Array(7).fill(arrived))).toMatchInlineSnapshot(`
    "
    (start)         → open
    arrived         → open  beginNext
    ended well 50 0 → open
    arrived         → open  beginNext
    arrived         → full  beginNext, wait 1000 ms
    arrived         → full
    arrived         → full
    arrived         → full
    arrived         → full
    arrived         → full
    "
  `)
  expect(story(arrived, well(51), ...Array(7).fill(arrived))).toMatchInlineSnapshot(`
    "
    (start)         → open
    arrived         → open  beginNext
    ended well 51 0 → open
    arrived         → open  beginNext
    arrived         → full  beginNext, wait 1000 ms
    arrived         → full
    arrived         → full
    arrived         → full
    arrived         → full  setAside 1
    arrived         → full  setAside 1
    "
  `)
})
