import fc from 'fast-check'
import { expect, test } from 'vitest'
import { host } from '../../actors/actor.ts'
import { type LaneEvent, laneMachine } from '../../machines/lane.ts'
import { keptLog } from '../kept-log.ts'
import { anyChance } from '../seed.ts'
import { simulatedClock } from '../simulated-clock.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'

const input = { ttlMs: 15_000, renewEveryMs: 5_000, askAgainMs: 500, drainForMs: 30_000 }
const story = storyOf(laneMachine, input)

const acquired: LaneEvent = { type: 'acquired', tookMs: 2 }
const taken: LaneEvent = { type: 'taken' }
const opened: LaneEvent = { type: 'opened' }
const fenced: LaneEvent = { type: 'fenced' }
const renewed: LaneEvent = { type: 'renewed', tookMs: 3 }
const lost: LaneEvent = { type: 'lost' }
const overslept: LaneEvent = { type: 'overslept' }
const vacant: LaneEvent = { type: 'vacant' }
const withdrawn: LaneEvent = { type: 'withdrawn' }
const offered: LaneEvent = { type: 'offered' }
const drained: LaneEvent = { type: 'drained' }
const read = [acquired, opened, renewed]

test('a lane is leased, opened, read and renewed', () => {
  expect(story(...read, 'renewEvery', renewed)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    "
  `)
})

test('a lane that somebody still reads is asked for again, at once when it is left', () => {
  expect(story(taken, 'askAgain', taken, vacant, acquired)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring       acquire
    taken      → beaten          stop waiting, wait 500 ms
    askAgain   → acquiring       stop waiting, acquire
    taken      → beaten          stop waiting, wait 500 ms
    vacant     → acquiring       stop waiting, acquire
    acquired 2 → leased.opening  stop waiting, wait 14998 ms, open, wait 5000 ms
    "
  `)
})

test('a lane that is to be read elsewhere is left when what runs has ended', () => {
  expect(story(...read, withdrawn, renewed, drained)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn  → draining.renewing        stop waiting, drain, wait 30000 ms, renew
    renewed 3  → draining.renewed         stop waiting, wait 14997 ms, wait 5000 ms
    drained    → over                     stop waiting, stop waiting, close, release
    "
  `)
})

test('what runs too long is left behind with its lane', () => {
  expect(
    story(...read, withdrawn, renewed, 'renewEvery', renewed, 'drainFor'),
  ).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn  → draining.renewing        stop waiting, drain, wait 30000 ms, renew
    renewed 3  → draining.renewed         stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery → draining.renewing        stop waiting, renew
    renewed 3  → draining.renewed         stop waiting, wait 14997 ms, wait 5000 ms
    drainFor   → over                     stop waiting, stop waiting, close, release
    "
  `)
})

test('a reader whose lease is lost forgets what it has in hand, and asks again', () => {
  expect(story(...read, lost, 'askAgain')).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    lost       → beaten                   stop waiting, close, stop waiting, wait 500 ms
    askAgain   → acquiring                stop waiting, acquire
    "
  `)
  expect(story(acquired, lost, opened)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring       acquire
    acquired 2 → leased.opening  stop waiting, wait 14998 ms, open, wait 5000 ms
    lost       → beaten          stop waiting, close, stop waiting, wait 500 ms
    opened     → beaten          ignored
    "
  `)
  expect(story(...read, withdrawn, lost)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn  → draining.renewing        stop waiting, drain, wait 30000 ms, renew
    lost       → over                     stop waiting, close
    "
  `)
})

test('a reader that a later one has fenced off leaves, and gives back what is left of its lease', () => {
  expect(story(...read, fenced)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    fenced     → beaten                   stop waiting, close, release, stop waiting, wait 500 ms
    "
  `)
  expect(story(acquired, fenced)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring       acquire
    acquired 2 → leased.opening  stop waiting, wait 14998 ms, open, wait 5000 ms
    fenced     → beaten          stop waiting, close, release, stop waiting, wait 500 ms
    "
  `)
  expect(story(...read, withdrawn, fenced)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn  → draining.renewing        stop waiting, drain, wait 30000 ms, renew
    fenced     → over                     stop waiting, close, release
    "
  `)
})

test('a reader that had no turn for long gives the lane back: others may have given it up', () => {
  expect(story(...read, overslept, 'askAgain')).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    overslept  → beaten                   stop waiting, close, release, stop waiting, wait 500 ms
    askAgain   → acquiring                stop waiting, acquire
    "
  `)
  expect(story(...read, withdrawn, overslept)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn  → draining.renewing        stop waiting, drain, wait 30000 ms, renew
    overslept  → over                     stop waiting, close, release
    "
  `)
  expect(story(taken, overslept)).toMatchInlineSnapshot(`
    "
    (start)   → acquiring  acquire
    taken     → beaten     stop waiting, wait 500 ms
    overslept → beaten     ignored
    "
  `)
})

test('a lane that cannot be opened in time is left to others', () => {
  expect(story(acquired, 'renewEvery', opened)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring       acquire
    acquired 2 → leased.opening  stop waiting, wait 14998 ms, open, wait 5000 ms
    renewEvery → beaten          stop waiting, close, release, stop waiting, wait 500 ms
    opened     → beaten          ignored
    "
  `)
})

test('a reader whose renewal is not answered stops before its lease can have run out', () => {
  expect(story(...read, 'renewEvery', 'ranOut', renewed)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery → leased.reading.renewing  stop waiting, renew
    ranOut     → beaten                   close, stop waiting, wait 500 ms
    renewed 3  → beaten                   release
    "
  `)
  // The later a renewal was answered, the sooner.
  const slow: LaneEvent = { type: 'renewed', tookMs: 4_000 }
  expect(story(acquired, opened, slow, 'renewEvery', 'ranOut')).toMatchInlineSnapshot(`
    "
    (start)      → acquiring                acquire
    acquired 2   → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened       → leased.reading.renewing  stop waiting, renew
    renewed 4000 → leased.reading.renewed   stop waiting, wait 11000 ms, wait 5000 ms
    renewEvery   → leased.reading.renewing  stop waiting, renew
    ranOut       → beaten                   close, stop waiting, wait 500 ms
    "
  `)
})

test('a lease runs out no later for being withdrawn while its renewal is not answered', () => {
  expect(story(...read, 'renewEvery', withdrawn, 'ranOut')).toMatchInlineSnapshot(`
    "
    (start)    → acquiring                acquire
    acquired 2 → leased.opening           stop waiting, wait 14998 ms, open, wait 5000 ms
    opened     → leased.reading.renewing  stop waiting, renew
    renewed 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery → leased.reading.renewing  stop waiting, renew
    withdrawn  → draining.renewing        drain, wait 30000 ms, renew
    ranOut     → over                     stop waiting, close
    "
  `)
})

test('a lane that is not wanted any more is given back as soon as it is there', () => {
  expect(story(withdrawn, acquired)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring  acquire
    withdrawn  → leaving
    acquired 2 → over       release
    "
  `)
  expect(story(withdrawn, taken)).toMatchInlineSnapshot(`
    "
    (start)   → acquiring  acquire
    withdrawn → leaving
    taken     → over
    "
  `)
  expect(story(withdrawn, offered, acquired)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring       acquire
    withdrawn  → leaving
    offered    → acquiring       acquire
    acquired 2 → leased.opening  stop waiting, wait 14998 ms, open, wait 5000 ms
    "
  `)
  expect(story(acquired, withdrawn)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring       acquire
    acquired 2 → leased.opening  stop waiting, wait 14998 ms, open, wait 5000 ms
    withdrawn  → over            stop waiting, close, release
    "
  `)
  expect(story(taken, withdrawn)).toMatchInlineSnapshot(`
    "
    (start)   → acquiring  acquire
    taken     → beaten     stop waiting, wait 500 ms
    withdrawn → over       stop waiting
    "
  `)
})

test('a lease that is stored after it was given up is released', () => {
  expect(story(taken, acquired)).toMatchInlineSnapshot(`
    "
    (start)    → acquiring  acquire
    taken      → beaten     stop waiting, wait 500 ms
    acquired 2 → beaten     release
    "
  `)
})

const anyEvent = fc.constantFrom<LaneEvent | 'a timer rings'>(
  acquired,
  taken,
  opened,
  fenced,
  renewed,
  lost,
  overslept,
  vacant,
  withdrawn,
  offered,
  drained,
  'a timer rings',
  'a timer rings',
)

test('whatever happens, what is open is closed, and a lane that is withdrawn is left', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const life = live(laneMachine, input)
      let isOpen = false
      const check = ({ asked }: Taken) => {
        for (const { type } of asked) {
          if (type === 'open') {
            expect(isOpen).toBe(false)
            isOpen = true
          }
          if (type === 'close') isOpen = false
          // Nobody may be working in its name when a lease is given back.
          if (type === 'release') expect(isOpen).toBe(false)
        }
        expect(isOpen).toBe(/^(leased|draining)/.test(life.state))
        // While it is believed in, it is known when it runs out.
        expect(life.timers.has('ranOut')).toBe(isOpen)
      }
      for (const event of events) {
        if (event !== 'a timer rings') check(life.take(event))
        else {
          const [timer] = life.timers.keys()
          if (timer !== undefined) check(life.ringTimer(timer))
        }
      }
      check(life.take(withdrawn))
      if (life.state === 'leaving') check(life.take(acquired))
      if (!life.isOver) check(life.ring('ranOut'))
      expect(life.state).toBe('over')
    }),
  )
})

test('two pollers whose answers are late or never come never read a lane at the same time', () => {
  fc.assert(
    fc.property(anyChance, (below) => {
      const clock = simulatedClock()
      const log = keptLog()
      const later = (work: () => void) => clock.setTimer(work, below(6_000))
      let lease: { holder: string; untilMs: number } | undefined
      const reading = new Set<string>()
      let opens = 0
      const isHeld = () => lease !== undefined && lease.untilMs > clock.nowMs()

      const pollers = ['a', 'b'].map((id) => {
        const store = () => {
          lease = { holder: id, untilMs: clock.nowMs() + input.ttlMs }
        }
        /** The answer to a question that may be answered, with the time that both took. */
        const ask = (serve: () => LaneEvent['type'], orElse: LaneEvent['type'] | undefined) => {
          const askedAtMs = clock.nowMs()
          const fate = below(5)
          const answer = (type: LaneEvent['type']) =>
            later(() => lanes.send('0', { type, tookMs: clock.nowMs() - askedAtMs } as LaneEvent))
          later(() => {
            const type = fate === 0 ? undefined : serve()
            // Whose answer is lost has failed at last: whoever acquires is always told something.
            if (type !== undefined && fate !== 1) answer(type)
            else if (orElse !== undefined) answer(orElse)
          })
        }
        const lanes = host(laneMachine, {
          clock,
          log,
          duties: {
            acquire: () =>
              ask(() => {
                if (isHeld()) return 'taken'
                store()
                return 'acquired'
              }, 'taken'),
            renew: () =>
              ask(() => {
                if (lease?.holder !== id || !isHeld()) return 'lost'
                store()
                return 'renewed'
              }, undefined),
            release: () => {
              if (lease?.holder === id) lease = undefined
            },
            open: () => {
              opens++
              reading.add(id)
              expect([...reading], 'readers').toEqual([id])
              later(() => lanes.send('0', opened))
            },
            drain: () => void clock.setTimer(() => lanes.send('0', drained), below(60_000)),
            close: () => void reading.delete(id),
          },
          ended: () => void later(() => lanes.start('0', input)),
        })
        lanes.start('0', input)
        return lanes
      })
      for (let moves = 0; moves < 40; moves++) {
        clock.advance(below(30_000))
        pollers[below(2)]?.send('0', withdrawn)
      }
      expect(log.lines).toEqual([])
      expect(opens).toBeGreaterThan(0)
    }),
    { numRuns: 100 },
  )
})
