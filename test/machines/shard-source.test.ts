import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ShardSourceEvent, shardSourceMachine } from '../../machines/shard-source.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'
import '../seed.ts'

const story = storyOf(shardSourceMachine, undefined)
const wanted: ShardSourceEvent = { type: 'wanted' }
const sated: ShardSourceEvent = { type: 'sated' }
const pause: ShardSourceEvent = { type: 'pause' }
const opened = (opening: number): ShardSourceEvent => ({ type: 'opened', opening })
const broken = (opening: number): ShardSourceEvent => ({ type: 'broken', opening })

test('a source that breaks is opened again soon, and what it tells later is nobody’s', () => {
  expect(
    story(wanted, opened(1), broken(1), 'again', broken(1), opened(1), opened(2)),
  ).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    opened 1 → flowing  ask
    broken 1 → resting  drop, wait 200 ms
    again    → opening  stop waiting, open 2
    broken 1 → opening  ignored
    opened 1 → opening  ignored
    opened 2 → flowing  ask
    "
  `)
})

test('one that cannot be opened is tried again and again', () => {
  expect(story(wanted, broken(1), 'again', broken(2), 'again')).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    broken 1 → resting  wait 200 ms
    again    → opening  stop waiting, open 2
    broken 2 → resting  wait 200 ms
    again    → opening  stop waiting, open 3
    "
  `)
})

test('one that is wanted from elsewhere is dropped, and opened there at once', () => {
  expect(
    story(wanted, wanted, opened(1), opened(2), wanted, broken(3), wanted),
  ).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    wanted   → opening  open 2
    opened 1 → opening  ignored
    opened 2 → flowing  ask
    wanted   → opening  drop, open 3
    broken 3 → resting  wait 200 ms
    wanted   → opening  stop waiting, open 4
    "
  `)
})

test('one that nobody waits for any more is dropped, and one that was on its way is not taken', () => {
  expect(story(wanted, opened(1), sated, wanted, sated, opened(2))).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    opened 1 → flowing  ask
    sated    → idle     drop
    wanted   → opening  open 2
    sated    → idle
    opened 2 → idle     ignored
    "
  `)
  expect(story(wanted, broken(1), sated)).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    broken 1 → resting  wait 200 ms
    sated    → idle     stop waiting
    "
  `)
})

test('nothing comes in any more once the shard is to be left', () => {
  expect(story(wanted, opened(1), pause)).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    opened 1 → flowing  ask
    pause    → over     drop
    "
  `)
  expect(story(wanted, broken(1), pause)).toMatchInlineSnapshot(`
    "
    (start)  → idle
    wanted   → opening  open 1
    broken 1 → resting  wait 200 ms
    pause    → over     stop waiting
    "
  `)
})

/** `by`: of which opening it tells, back from the last one, which it is most often. */
const told = fc.record({
  type: fc.constantFrom('opened' as const, 'broken' as const),
  by: fc.constantFrom(0, 0, 0, 1),
})
const anyEvent = fc.oneof(
  told,
  fc.constantFrom(wanted, wanted, sated),
  fc.constant('a timer rings' as const),
)

test('whatever happens, what is open is dropped before another one is opened', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const life = live(shardSourceMachine, undefined)
      let openings = 0
      let isOpen = false
      const check = ({ asked }: Taken) => {
        for (const { type, params } of asked) {
          if (type === 'open') {
            expect(isOpen).toBe(false)
            expect(params).toEqual({ opening: ++openings })
          }
          if (type === 'drop') {
            expect(isOpen).toBe(true)
            isOpen = false
          }
          // From then on its actor has it.
          if (type === 'ask') isOpen = true
        }
        expect(isOpen).toBe(life.state === 'flowing')
      }
      for (const event of events) {
        if (event === 'a timer rings') {
          if (life.timers.size > 0) check(life.ring('again'))
        } else if ('by' in event) {
          check(life.take({ type: event.type, opening: openings - event.by }))
        } else check(life.take(event))
      }
      check(life.take(pause))
      expect(isOpen).toBe(false)
      expect(life.isOver).toBe(true)
    }),
  )
})
