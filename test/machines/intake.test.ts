import { expect, test } from 'vitest'
import { type IntakeEvent, intakeMachine } from '../../machines/intake.ts'
import { storyOf } from './story.ts'

const story = storyOf(intakeMachine, {
  manyPerLook: 40,
  fewPerLook: 20,
  ebbForMs: 60,
  holdForMs: 1_000,
})
const looked = (taken: number): IntakeEvent => ({ type: 'looked', taken })

test('readers hold back while events pour in, and until it has ebbed for a while', () => {
  expect(
    story(looked(39), looked(40), looked(20), looked(19), looked(40), looked(0), 'ebbFor'),
  ).toMatchInlineSnapshot(`
    "
    (start)   → calm
    looked 39 → calm             ignored
    looked 40 → holding.flowing  hold, wait 1000 ms
    looked 20 → holding.flowing  ignored
    looked 19 → holding.ebbing   wait 60 ms
    looked 40 → holding.flowing  stop waiting
    looked 0  → holding.ebbing   wait 60 ms
    ebbFor    → calm             stop waiting, release, stop waiting
    "
  `)
})

test('events that never stop coming are worked on all the same', () => {
  expect(story(looked(100), 'holdFor', looked(100), looked(0), looked(100))).toMatchInlineSnapshot(`
    "
    (start)    → calm
    looked 100 → holding.flowing  hold, wait 1000 ms
    holdFor    → pouring          release, stop waiting
    looked 100 → pouring          ignored
    looked 0   → calm
    looked 100 → holding.flowing  hold, wait 1000 ms
    "
  `)
})
