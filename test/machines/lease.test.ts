import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type LeaseEvent, leaseMachine } from '../../machines/lease.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'
import '../seed.ts'

const input = { moveForMs: 35_000, offerAgainMs: 2_000 }
const story = storyOf(leaseMachine, input)

const assign = (poller: string | undefined): LeaseEvent => ({ type: 'assign', poller })
const held = (poller: string, revision: number): LeaseEvent => ({ type: 'held', poller, revision })
const vacant: LeaseEvent = { type: 'vacant' }
const gone = (poller: string): LeaseEvent => ({ type: 'gone', poller })
const retire: LeaseEvent = { type: 'retire' }
const read = [assign('p1'), held('p1', 7)]

test('a lane is offered to a poller, again and again, until it reads it', () => {
  expect(
    story(assign('p1'), 'offerAgain', assign('p1'), assign('p2'), held('p2', 7), held('p2', 8)),
  ).toMatchInlineSnapshot(`
    "
    (start)    → unassigned
    assign p1  → offered     offer p1, wait 2000 ms
    offerAgain → offered     stop waiting, offer p1, wait 2000 ms
    assign p1  → offered     ignored
    assign p2  → offered     offer p2
    held p2 7  → held        stop waiting
    held p2 8  → held
    "
  `)
})

test('a lane that moves is offered to the next, and held when the one before has left', () => {
  expect(story(...read, assign('p2'), held('p1', 8), vacant, held('p2', 9))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    held p1 8 → moving
    vacant    → offered     stop waiting, wait 2000 ms
    held p2 9 → held        stop waiting
    "
  `)
  // The watch may show the next holder without the vacancy.
  expect(story(...read, assign('p2'), held('p2', 9))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    held p2 9 → held        stop waiting
    "
  `)
})

test('a reader that does not leave in time loses its lease, as it was seen last', () => {
  expect(
    story(...read, assign('p2'), held('p1', 8), 'moveFor', held('p1', 9), 'moveFor', vacant),
  ).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    held p1 8 → moving
    moveFor   → moving      stop waiting, evict 8, wait 35000 ms
    held p1 9 → moving
    moveFor   → moving      stop waiting, evict 9, wait 35000 ms
    vacant    → offered     stop waiting, wait 2000 ms
    "
  `)
})

test('a lane that is to stay after all is offered to who has it', () => {
  expect(story(...read, assign('p2'), assign('p1'))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    assign p1 → held        stop waiting, offer p1
    "
  `)
})

test('the lease of a dead reader is taken back at once', () => {
  expect(story(...read, held('p1', 8), gone('p1'), vacant, assign('p2'))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    held p1 8 → held
    gone p1   → unassigned  evict 8
    vacant    → unassigned  ignored
    assign p2 → offered     offer p2, wait 2000 ms
    "
  `)
  expect(story(...read, assign('p2'), gone('p1'), vacant, held('p2', 9))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    gone p1   → moving      evict 7
    vacant    → offered     stop waiting, wait 2000 ms
    held p2 9 → held        stop waiting
    "
  `)
})

test('a renewal that was quicker than the eviction saves the lease, until there is another reason', () => {
  expect(
    story(...read, gone('p1'), assign('p2'), held('p1', 8), 'moveFor', vacant, held('p2', 9)),
  ).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    gone p1   → unassigned  evict 7
    assign p2 → offered     offer p2, wait 2000 ms
    held p1 8 → moving      stop waiting, wait 35000 ms
    moveFor   → moving      stop waiting, evict 8, wait 35000 ms
    vacant    → offered     stop waiting, wait 2000 ms
    held p2 9 → held        stop waiting
    "
  `)
})

test('the death of who should read a lane does not end who still does', () => {
  expect(story(...read, assign('p2'), gone('p2'), assign('p1'))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    gone p2   → moving
    assign p1 → held        stop waiting, offer p1
    "
  `)
  expect(story(...read, assign('p2'), gone('p2'), vacant)).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    assign p2 → moving      offer p2, wait 35000 ms
    gone p2   → moving
    vacant    → unassigned  stop waiting
    "
  `)
  expect(story(assign('p1'), gone('p1'), gone('p1'))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    gone p1   → unassigned  stop waiting, withdraw
    gone p1   → unassigned  ignored
    "
  `)
  expect(story(...read, gone('p2'))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    gone p2   → held        ignored
    "
  `)
})

test('a reader whose lease has run out is offered it again', () => {
  expect(story(...read, vacant, 'offerAgain', held('p1', 9))).toMatchInlineSnapshot(`
    "
    (start)    → unassigned
    assign p1  → offered     offer p1, wait 2000 ms
    held p1 7  → held        stop waiting
    vacant     → offered     wait 2000 ms
    offerAgain → offered     stop waiting, offer p1, wait 2000 ms
    held p1 9  → held        stop waiting
    "
  `)
})

test('nobody keeps a lane that nobody should read', () => {
  expect(story(...read, assign(undefined), vacant)).toMatchInlineSnapshot(`
    "
    (start)          → unassigned
    assign p1        → offered     offer p1, wait 2000 ms
    held p1 7        → held        stop waiting
    assign undefined → moving      withdraw, wait 35000 ms
    vacant           → unassigned  stop waiting
    "
  `)
  expect(story(assign('p1'), assign(undefined), assign(undefined))).toMatchInlineSnapshot(`
    "
    (start)          → unassigned
    assign p1        → offered     offer p1, wait 2000 ms
    assign undefined → unassigned  stop waiting, withdraw
    assign undefined → unassigned  ignored
    "
  `)
})

test('a leader that comes new leaves a lane with who reads it', () => {
  expect(story(held('p1', 7), assign('p1'))).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    held p1 7 → moving      wait 35000 ms
    assign p1 → held        stop waiting, offer p1
    "
  `)
  expect(story(held('p1', 7), assign('p2'), vacant)).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    held p1 7 → moving      wait 35000 ms
    assign p2 → moving      offer p2
    vacant    → offered     stop waiting, wait 2000 ms
    "
  `)
})

test('a lane that is no more is nobody’s', () => {
  expect(story(...read, retire)).toMatchInlineSnapshot(`
    "
    (start)   → unassigned
    assign p1 → offered     offer p1, wait 2000 ms
    held p1 7 → held        stop waiting
    retire    → retired     withdraw
    "
  `)
  expect(story(retire)).toMatchInlineSnapshot(`
    "
    (start) → unassigned
    retire  → retired     withdraw
    "
  `)
})

const poller = fc.constantFrom('p1', 'p2', 'p3')

/** What the bucket and the others do; revisions only grow. */
const anyEvent = fc.oneof(
  { weight: 4, arbitrary: poller.map(assign) },
  { weight: 1, arbitrary: fc.constant(assign(undefined)) },
  { weight: 4, arbitrary: poller.map((one) => held(one, 0)) },
  { weight: 2, arbitrary: fc.constant(vacant) },
  { weight: 2, arbitrary: poller.map(gone) },
  { weight: 2, arbitrary: fc.constant('a timer rings' as const) },
)

test('whatever happens, only a lease that is there is taken back, as it was seen last; and the right poller gets it', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const life = live(leaseMachine, input)
      let revision = 0
      let holder: string | undefined
      let offered: string | undefined
      const check = ({ asked }: Taken) => {
        for (const { type, params } of asked) {
          if (type === 'evict') {
            expect(holder).toBeDefined()
            expect(params).toEqual({ revision })
          }
          if (type === 'offer') offered = (params as { poller: string }).poller
          if (type === 'withdraw') offered = undefined
        }
        const { assigned } = life.snapshot.context
        if (life.state === 'held') expect(holder).toBe(assigned)
        if (life.state === 'offered') expect(offered).toBe(assigned)
      }
      const take = (event: LeaseEvent) => {
        if (event.type === 'vacant') holder = undefined
        if (event.type === 'held') {
          revision++
          holder = event.poller
          check(life.take({ ...event, revision }))
        } else check(life.take(event))
      }
      for (const event of events) {
        if (event !== 'a timer rings') take(event)
        else for (const timer of [...life.timers.keys()]) check(life.ringTimer(timer))
      }
      // From now on p1 should read it, and all do as they are told.
      take(assign('p1'))
      for (let steps = 0; steps < 4 && life.state !== 'held'; steps++) {
        if (life.state === 'moving') {
          const { asked } = life.ring('moveFor')
          check({ asked, ignored: false })
          expect(asked.map(({ type }) => type)).toContain('evict')
          take(vacant)
        } else {
          expect(offered).toBe('p1')
          take(held('p1', 0))
        }
      }
      expect(life.state).toBe('held')
      expect(offered).toBe('p1')
      check(life.take(retire))
      expect(offered).toBeUndefined()
    }),
  )
})
