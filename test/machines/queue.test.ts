import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type QueueEvent, type QueueRecord, queueMachine } from '../../machines/queue.ts'
import { live, type Taken } from './life.ts'
import { byName, type Shorten, storyOf } from './story.ts'
import '../seed.ts'

const input = {
  functionName: 'f',
  isShown: false,
  lanes: 2,
  splitAt: 100,
  mergeAfterMs: 60_000,
  settleMs: 10_000,
}
const printRecord = ({ kind, functionName, state, lanes, takes }: QueueRecord): string =>
  `${kind}${functionName === undefined ? '' : ` ${functionName}`} ${state} ${lanes}${takes ? ' takes' : ''}`
const shorten: Shorten = (key, value) =>
  key === 'record' ? printRecord(value as QueueRecord) : byName(key, value)
const story = storyOf(queueMachine, input, shorten)

const seen = (elsewhere: number, own: number, asks = false): QueueEvent => ({
  type: 'seen',
  elsewhere,
  own,
  asks,
})
const split = [seen(101, 0), seen(0, 40)]

test('a function of which few events wait shares queues with others', () => {
  expect(story(seen(0, 0), seen(100, 0))).toMatchInlineSnapshot(`
    "
    (start)    → shared
    seen 0 0   → shared  ignored
    seen 100 0 → shared  ignored
    "
  `)
})

test('a function of which too many wait gets a queue of its own; what is elsewhere is worked off there', () => {
  expect(story(seen(101, 0), seen(60, 10), seen(0, 40), seen(0, 500))).toMatchInlineSnapshot(`
    "
    (start)    → shared
    seen 101 0 → splitting       publish dedicated f splitting 2 takes
    seen 60 10 → splitting       ignored
    seen 0 40  → dedicated.busy  publish dedicated f dedicated 2 takes
    seen 0 500 → dedicated.busy  ignored
    "
  `)
})

test('a function whose concurrency asks for it has one, and so has one of which something is there', () => {
  expect(story(seen(0, 0, true), seen(0, 0, true), seen(0, 0, true))).toMatchInlineSnapshot(`
    "
    (start)       → shared
    seen 0 0 asks → splitting       publish dedicated f splitting 2 takes
    seen 0 0 asks → dedicated.busy  publish dedicated f dedicated 2 takes
    seen 0 0 asks → dedicated.busy  ignored
    "
  `)
  expect(story(seen(0, 1))).toMatchInlineSnapshot(`
    "
    (start)  → shared
    seen 0 1 → splitting  publish dedicated f splitting 2 takes
    "
  `)
})

test('a queue that has been empty for a while is given up, when everyone has heard of it', () => {
  expect(
    story(...split, seen(0, 0), 'mergeAfter', seen(0, 0), 'settle', seen(0, 3), seen(0, 0)),
  ).toMatchInlineSnapshot(`
    "
    (start)    → shared
    seen 101 0 → splitting         publish dedicated f splitting 2 takes
    seen 0 40  → dedicated.busy    publish dedicated f dedicated 2 takes
    seen 0 0   → dedicated.idle    wait 60000 ms
    mergeAfter → merging.settling  stop waiting, publish dedicated f merging 2, wait 10000 ms
    seen 0 0   → merging.settling  ignored
    settle     → merging.emptying  stop waiting
    seen 0 3   → merging.emptying  ignored
    seen 0 0   → shared            withdraw
    "
  `)
})

test('a queue that is used again in time is kept', () => {
  expect(
    story(...split, seen(0, 0), seen(0, 1), seen(0, 0), seen(0, 0, true)),
  ).toMatchInlineSnapshot(`
    "
    (start)       → shared
    seen 101 0    → splitting       publish dedicated f splitting 2 takes
    seen 0 40     → dedicated.busy  publish dedicated f dedicated 2 takes
    seen 0 0      → dedicated.idle  wait 60000 ms
    seen 0 1      → dedicated.busy  stop waiting
    seen 0 0      → dedicated.idle  wait 60000 ms
    seen 0 0 asks → dedicated.busy  stop waiting
    "
  `)
})

test('a queue that is being given up is kept when too many wait elsewhere, or it is asked for', () => {
  const merging = [...split, seen(0, 0), 'mergeAfter']
  expect(story(...merging, seen(100, 0), seen(101, 0), seen(0, 5))).toMatchInlineSnapshot(`
    "
    (start)    → shared
    seen 101 0 → splitting         publish dedicated f splitting 2 takes
    seen 0 40  → dedicated.busy    publish dedicated f dedicated 2 takes
    seen 0 0   → dedicated.idle    wait 60000 ms
    mergeAfter → merging.settling  stop waiting, publish dedicated f merging 2, wait 10000 ms
    seen 100 0 → merging.settling  ignored
    seen 101 0 → splitting         stop waiting, publish dedicated f splitting 2 takes
    seen 0 5   → dedicated.busy    publish dedicated f dedicated 2 takes
    "
  `)
  expect(story(...merging, 'settle', seen(0, 3, true))).toMatchInlineSnapshot(`
    "
    (start)       → shared
    seen 101 0    → splitting         publish dedicated f splitting 2 takes
    seen 0 40     → dedicated.busy    publish dedicated f dedicated 2 takes
    seen 0 0      → dedicated.idle    wait 60000 ms
    mergeAfter    → merging.settling  stop waiting, publish dedicated f merging 2, wait 10000 ms
    settle        → merging.emptying  stop waiting
    seen 0 3 asks → splitting         publish dedicated f splitting 2 takes
    "
  `)
})

test('a queue that a leader before had shown is there, whatever waits', () => {
  const known = storyOf(queueMachine, { ...input, isShown: true }, shorten)
  expect(known(seen(0, 0), seen(0, 0), 'mergeAfter', 'settle', seen(0, 0))).toMatchInlineSnapshot(`
    "
    (start)    → splitting         publish dedicated f splitting 2 takes
    seen 0 0   → dedicated.busy    publish dedicated f dedicated 2 takes
    seen 0 0   → dedicated.idle    wait 60000 ms
    mergeAfter → merging.settling  stop waiting, publish dedicated f merging 2, wait 10000 ms
    settle     → merging.emptying  stop waiting
    seen 0 0   → shared            withdraw
    "
  `)
})

test('a queue that functions share takes whatever comes', () => {
  const shared = storyOf(queueMachine, { ...input, functionName: undefined }, shorten)
  expect(shared(seen(500, 0))).toMatchInlineSnapshot(`
    "
    (start)    → common  publish shared shared 2 takes
    seen 500 0 → common  ignored
    "
  `)
})

const anyEvent = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(0, 1, 100, 101, 1_000), fc.constantFrom(0, 1, 50), fc.boolean())
      .map(([elsewhere, own, asks]) => seen(elsewhere, own, asks)),
  },
  { weight: 2, arbitrary: fc.constant(seen(0, 0)) },
  { weight: 1, arbitrary: fc.constant('a timer rings' as const) },
)

test('whatever is seen, new events have one place, and no queue goes while something is in it', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(anyEvent, { maxLength: 60 }), (isShown, events) => {
      const life = live(queueMachine, { ...input, isShown })
      let record: QueueRecord | undefined
      let own = 0
      const check = ({ asked }: Taken) => {
        for (const { type, params } of asked) {
          if (type === 'publish') record = (params as { record: QueueRecord }).record
          if (type === 'withdraw') {
            expect(record?.takes).toBe(false)
            expect(own).toBe(0)
            record = undefined
          }
        }
        const [state] = life.state.split('.')
        // Whose record takes nothing, or is not there, has its events in shared queues.
        expect(record?.takes ?? false).toBe(state === 'splitting' || state === 'dedicated')
        expect(record?.state ?? 'shared').toBe(state)
      }
      const take = (event: QueueEvent) => {
        own = event.own
        check(life.take(event))
      }
      const pass = () => {
        for (const timer of [...life.timers.keys()]) check(life.ringTimer(timer))
      }
      check(life.born)
      for (const event of events) {
        if (event === 'a timer rings') pass()
        else take(event)
      }
      // A function that is used no more has no queue of its own at last.
      for (let looks = 0; looks < 5; looks++) {
        take(seen(0, 0))
        pass()
      }
      take(seen(0, 0))
      expect(life.state).toBe('shared')
      expect(record).toBeUndefined()
      // One that is used heavily has.
      take(seen(1_000, 0))
      expect(record?.takes).toBe(true)
    }),
  )
})
