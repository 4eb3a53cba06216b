import { expect, test } from 'vitest'
import { type IntakeEvent, intakeMachine } from '../../machines/intake.ts'
import { storyOf } from './story.ts'

const story = storyOf(intakeMachine, { manyPerLook: 40, fewPerLook: 20, holdForMs: 1_000 })
const looked = (taken: number): IntakeEvent => ({ type: 'looked', taken })

test('readers hold back while events pour in', () => {
  expect(story(looked(39), looked(40), looked(20), looked(19))).toMatchInlineSnapshot(`
    "
    (start)   → calm
    looked 39 → calm     ignored
    looked 40 → holding  hold, wait 1000 ms
    looked 20 → holding  ignored
    looked 19 → calm     release, stop waiting
    "
  `)
})

test('events that never stop coming are worked on all the same', () => {
  expect(story(looked(100), 'holdFor', looked(100), looked(0), looked(100))).toMatchInlineSnapshot(`
    "
    (start)    → calm
    looked 100 → holding  hold, wait 1000 ms
    holdFor    → pouring  release, stop waiting
    looked 100 → pouring  ignored
    looked 0   → calm
    looked 100 → holding  hold, wait 1000 ms
    "
  `)
})
