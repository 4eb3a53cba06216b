import { expect, test } from 'vitest'
import { reservationsMachine } from '../../machines/reservations.ts'
import {
  finished,
  granted,
  input,
  lost,
  recalled,
  soon,
  superseded,
  throttled,
  wanted,
  withdrawn,
  workerDraining,
} from './reservations-events.ts'
import { storyOf } from './story.ts'

const story = storyOf(reservationsMachine, input)
/** r2 runs on s1, and r3 was sent ahead to it. */
const followed = [wanted('r1'), granted('s1'), soon('s1'), wanted('r2'), wanted('r3')]

test('who wants a seat when all are busy is sent ahead to one that is quick, one at most, and begins there', () => {
  expect(
    story(
      wanted('r1'),
      granted('s1'),
      wanted('r2'),
      wanted('r3'),
      soon('s1'),
      wanted('r4'),
      soon('s1'),
      soon('s1'),
      finished('s1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → content
    wanted r1           → asking   ask 1, wait 200 ms
    granted [s1/w1]     → asking   seat r1 s1/w1
    wanted r2           → asking   ask 1
    wanted r3           → asking   ask 2
    finished s1/w1 5    → asking   seat r2 s1/w1, sendAhead r3 s1/w1
    wanted r4           → asking
    finished s1/w1 5    → asking   begin r3, sendAhead r4 s1/w1
    finished s1/w1 5    → asking   begin r4
    finished s1/w1 1000 → asking
    "
  `)
})

test('nobody is sent ahead to a seat whose last invocation took long', () => {
  expect(
    story(
      wanted('r1'),
      granted('s1'),
      wanted('r2'),
      soon('s1'),
      wanted('r3'),
      finished('s1'),
      wanted('r4'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → content
    wanted r1           → asking   ask 1, wait 200 ms
    granted [s1/w1]     → asking   seat r1 s1/w1
    wanted r2           → asking   ask 1
    finished s1/w1 5    → asking   seat r2 s1/w1
    wanted r3           → asking   sendAhead r3 s1/w1
    finished s1/w1 1000 → asking   begin r3
    wanted r4           → asking
    "
  `)
})

test('who was sent ahead is called back when another seat is free, and takes it', () => {
  expect(story(...followed, granted('s2'), wanted('r3'))).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking   ask 1, wait 200 ms
    granted [s1/w1]  → asking   seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking   seat r2 s1/w1
    wanted r3        → asking   sendAhead r3 s1/w1, ask 1
    granted [s2/w1]  → asking   callBack r3
    wanted r3        → asking   seat r3 s2/w1
    "
  `)
})

test('who comes back in vain is served before anybody else is sent ahead', () => {
  expect(
    story(
      wanted('r1'),
      wanted('r2'),
      granted('s1', 's2'),
      soon('s1'),
      soon('s2'),
      wanted('r3'),
      wanted('r4'),
      wanted('r5'),
      wanted('r6'),
      wanted('r7'),
      wanted('r5'),
      soon('s2'),
      soon('s2'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking   ask 1, wait 200 ms
    wanted r2             → asking   ask 2
    granted [s1/w1 s2/w1] → asking   seat r1 s1/w1, seat r2 s2/w1
    finished s1/w1 5      → asking
    finished s2/w1 5      → asking
    wanted r3             → asking   seat r3 s2/w1
    wanted r4             → asking   seat r4 s1/w1
    wanted r5             → asking   sendAhead r5 s2/w1, ask 1
    wanted r6             → asking   sendAhead r6 s1/w1, ask 2
    wanted r7             → asking   ask 3
    wanted r5             → asking   ask 3
    finished s2/w1 5      → asking   seat r5 s2/w1, sendAhead r7 s2/w1
    finished s2/w1 5      → asking   begin r7
    "
  `)
})

test('beyond the limit those sent ahead are called back, and refused if that was in time', () => {
  expect(story(...followed, throttled(0), wanted('r3'), throttled(0))).toMatchInlineSnapshot(`
    "
    (start)              → content
    wanted r1            → asking   ask 1, wait 200 ms
    granted [s1/w1]      → asking   seat r1 s1/w1
    finished s1/w1 5     → asking
    wanted r2            → asking   seat r2 s1/w1
    wanted r3            → asking   sendAhead r3 s1/w1, ask 1
    throttled 0 too many → asking   callBack r3
    wanted r3            → asking   ask 1
    throttled 0 too many → asking   throttle r3 too many
    "
  `)
})

test('who was sent ahead to a seat that is lost is forsaken, and one that gives up is forgotten', () => {
  expect(story(...followed, lost('s1'))).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking   ask 1, wait 200 ms
    granted [s1/w1]  → asking   seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking   seat r2 s1/w1
    wanted r3        → asking   sendAhead r3 s1/w1, ask 1
    lost s1/w1       → asking   forsake r3, reportLost s1/w1
    "
  `)
  expect(story(...followed, withdrawn('r3'), soon('s1'))).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking   ask 1, wait 200 ms
    granted [s1/w1]  → asking   seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking   seat r2 s1/w1
    wanted r3        → asking   sendAhead r3 s1/w1, ask 1
    withdrawn r3     → asking
    finished s1/w1 5 → asking
    "
  `)
})

test('nobody is sent ahead to a seat that is owed or on a leaving worker; who is there already begins', () => {
  expect(
    story(...followed, recalled(1), soon('s1'), wanted('r4'), soon('s1')),
  ).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking   ask 1, wait 200 ms
    granted [s1/w1]  → asking   seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking   seat r2 s1/w1
    wanted r3        → asking   sendAhead r3 s1/w1, ask 1
    recalled 1       → asking
    finished s1/w1 5 → asking   begin r3
    wanted r4        → asking
    finished s1/w1 5 → asking   giveBack [s1/w1]
    "
  `)
  expect(
    story(...followed, workerDraining, soon('s1'), wanted('r4'), soon('s1')),
  ).toMatchInlineSnapshot(`
    "
    (start)           → content
    wanted r1         → asking   ask 1, wait 200 ms
    granted [s1/w1]   → asking   seat r1 s1/w1
    finished s1/w1 5  → asking
    wanted r2         → asking   seat r2 s1/w1
    wanted r3         → asking   sendAhead r3 s1/w1, ask 1
    workerDraining w1 → asking
    finished s1/w1 5  → asking   begin r3
    wanted r4         → asking
    finished s1/w1 5  → asking   giveBack [s1/w1]
    "
  `)
})

test('when another generation serves, who was sent ahead begins all the same, or is sent there when it comes back', () => {
  expect(story(...followed, superseded, soon('s1'), soon('s1'))).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking    ask 1, wait 200 ms
    granted [s1/w1]  → asking    seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking    seat r2 s1/w1
    wanted r3        → asking    sendAhead r3 s1/w1, ask 1
    superseded       → retiring  stop waiting
    finished s1/w1 5 → retiring  begin r3
    finished s1/w1 5 → over      giveBack [s1/w1]
    "
  `)
  expect(story(...followed, superseded, wanted('r3'), soon('s1'))).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking    ask 1, wait 200 ms
    granted [s1/w1]  → asking    seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking    seat r2 s1/w1
    wanted r3        → asking    sendAhead r3 s1/w1, ask 1
    superseded       → retiring  stop waiting
    wanted r3        → retiring  redirect r3
    finished s1/w1 5 → over      giveBack [s1/w1]
    "
  `)
})
