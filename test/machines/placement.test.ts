import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Candidate,
  type PlacementEvent,
  placementMachine,
  ranked,
} from '../../machines/placement.ts'
import { live } from './life.ts'
import { storyOf } from './story.ts'

const worker = (workerId: string, freeMb: number, ofSameFunction = 0, unusedMb = 0): Candidate => ({
  workerId,
  freeMb,
  unusedMb,
  sandboxes: ofSameFunction,
  ofSameFunction,
})
const candidates = [worker('w1', 512), worker('w2', 1024), worker('w3', 2048, 1), worker('w4', 64)]
const input = { candidates, memoryMb: 128, patienceMs: 500 }
const story = storyOf(placementMachine, input)

const accepted = (workerId: string): PlacementEvent => ({ type: 'accepted', workerId })
const refused = (workerId: string): PlacementEvent => ({ type: 'refused', workerId })
const unreachable = (workerId: string): PlacementEvent => ({ type: 'unreachable', workerId })

test('the best worker has none of this function yet, and most room', () => {
  expect(ranked(candidates, 128)).toEqual(['w2', 'w1', 'w3'])
  expect(ranked([worker('b', 128), worker('a', 128)], 128)).toEqual(['a', 'b'])
  expect(ranked(candidates, 4096)).toEqual([])
})

test('a worker that would have to stop what nobody uses comes after those that have room', () => {
  const full = [worker('w1', 0, 0, 512), worker('w2', 100, 0, 27), worker('w3', 64, 0, 64)]
  expect(ranked([...full, worker('w4', 128, 3)], 128)).toEqual(['w4', 'w3', 'w1'])
})

test('a sandbox is placed on the best worker', () => {
  expect(story(accepted('w2'))).toMatchInlineSnapshot(`
    "
    (start)     → provisioning  provision w2, wait 500 ms
    accepted w2 → placed        stop waiting, reportPlaced w2
    "
  `)
})

test('a worker that says no, is not there, or does not answer is followed by the next best', () => {
  expect(story(refused('w2'), unreachable('w1'), 'patience')).toMatchInlineSnapshot(`
    "
    (start)        → provisioning  provision w2, wait 500 ms
    refused w2     → provisioning  stop waiting, provision w1, wait 500 ms
    unreachable w1 → provisioning  stop waiting, provision w3, wait 500 ms
    patience       → noRoom        stop waiting, reportNoRoom
    "
  `)
})

test('the late answer of a worker that was given up is not taken for that of the next', () => {
  expect(
    story('patience', refused('w2'), accepted('w2'), unreachable('w2'), accepted('w1')),
  ).toMatchInlineSnapshot(`
    "
    (start)        → provisioning  provision w2, wait 500 ms
    patience       → provisioning  stop waiting, provision w1, wait 500 ms
    refused w2     → provisioning  ignored
    accepted w2    → provisioning  ignored
    unreachable w2 → provisioning  ignored
    accepted w1    → placed        stop waiting, reportPlaced w1
    "
  `)
})

test('where nobody has room, nobody is asked', () => {
  expect(storyOf(placementMachine, { ...input, memoryMb: 4096 })()).toMatchInlineSnapshot(`
    "
    (start) → noRoom  reportNoRoom
    "
  `)
})

test('whatever workers say, each is asked at most once and there is one answer', () => {
  const anyEvent = fc
    .constantFrom('w1', 'w2', 'w3', 'w4', 'w5')
    .chain((workerId) =>
      fc.constantFrom(accepted(workerId), refused(workerId), unreachable(workerId), 'patience'),
    )
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 20 }), (events) => {
      const life = live(placementMachine, input)
      const asked = [...life.born.asked]
      for (const event of [...events, ...Array<string>(4).fill('patience')]) {
        if (life.isOver) break
        const taken = typeof event === 'string' ? life.ring(event) : life.take(event)
        asked.push(...taken.asked)
      }
      expect(life.isOver).toBe(true)
      const provisioned = asked.filter(({ type }) => type === 'provision')
      expect(new Set(provisioned.map(({ params }) => JSON.stringify(params))).size).toBe(
        provisioned.length,
      )
      expect(asked.filter(({ type }) => type.startsWith('report')).length).toBe(1)
    }),
  )
})
