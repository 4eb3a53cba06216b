import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ShardEndEvent, shardEndMachine } from '../../machines/shard-end.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'
import '../seed.ts'

const story = storyOf(shardEndMachine, { hasEnded: false })
const closed: ShardEndEvent = { type: 'closed' }
const lastUnknown: ShardEndEvent = { type: 'lastUnknown' }
const lastFound = (last: number, isHere: boolean, opening = 1): ShardEndEvent => ({
  type: 'lastFound',
  last,
  isHere,
  opening,
})
const foundEmpty = (opening: number): ShardEndEvent => ({ type: 'foundEmpty', opening })
const through: ShardEndEvent = { type: 'through' }
const stored: ShardEndEvent = { type: 'stored' }
const unstored: ShardEndEvent = { type: 'unstored' }

// lambda-semantics.md §5.7: a child is not read before its parents are through.
test('a closed shard is through when its last record has come in and left, and told of when that is stored', () => {
  expect(
    story(closed, lastFound(9, true), through, unstored, 'storeAgain', stored),
  ).toMatchInlineSnapshot(`
    "
    (start)            → open
    closed             → findingLast  findLast
    lastFound 9 true 1 → closing      look
    through            → ending       store
    unstored           → endingLater  wait 1000 ms
    storeAgain         → ending       stop waiting, store
    stored             → ended        tell
    "
  `)
})

// A reader that starts "at a time" passes over what was stored before: the last record may be among that.
test('where the last record does not come, another source proves that nothing is left', () => {
  expect(story(closed, lastFound(9, false), foundEmpty(2), through)).toMatchInlineSnapshot(`
    "
    (start)             → open
    closed              → findingLast  findLast
    lastFound 9 false 1 → closing      readAnew, look
    foundEmpty 2        → exhausted    look
    through             → ending       store
    "
  `)
})

test('a source that was opened before the last record was known proves nothing', () => {
  expect(
    story(foundEmpty(1), closed, foundEmpty(1), lastFound(9, false), foundEmpty(1)),
  ).toMatchInlineSnapshot(`
    "
    (start)             → open
    foundEmpty 1        → open         ignored
    closed              → findingLast  findLast
    foundEmpty 1        → findingLast  ignored
    lastFound 9 false 1 → closing      readAnew, look
    foundEmpty 1        → closing      ignored
    "
  `)
})

test('the last record is asked for until it is known', () => {
  expect(story(closed, lastUnknown, 'again', lastFound(0, true))).toMatchInlineSnapshot(`
    "
    (start)            → open
    closed             → findingLast       findLast
    lastUnknown        → findingLastLater  wait 200 ms
    again              → findingLast       stop waiting, findLast
    lastFound 0 true 1 → closing           look
    "
  `)
})

test('what the reader before has stored to be through is told once more', () => {
  expect(storyOf(shardEndMachine, { hasEnded: true })(closed, through)).toMatchInlineSnapshot(`
    "
    (start) → ended  tell
    closed  → ended  ignored
    through → ended  ignored
    "
  `)
})

const anyEvent = fc.oneof(
  fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 2 })).map((both) => lastFound(9, ...both)),
  fc.integer({ min: 1, max: 3 }).map(foundEmpty),
  fc.constantFrom(closed, lastUnknown, through, stored, unstored),
  fc.constant('a timer rings' as const),
)

test('whatever happens, an end is told once, and not before it is stored', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const life = live(shardEndMachine, { hasEnded: false })
      const asked: string[] = []
      const note = (taken: Taken) => asked.push(...taken.asked.map(({ type }) => type))
      for (const event of events) {
        const isBeingStored = life.state === 'ending'
        const before = asked.length
        if (event !== 'a timer rings') note(life.take(event))
        else {
          const [timer] = life.timers.keys()
          if (timer !== undefined) note(life.ringTimer(timer))
        }
        const isTold = asked.slice(before).includes('tell')
        expect(isTold).toBe(isBeingStored && event === stored)
      }
    }),
  )
})
