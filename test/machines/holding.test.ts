import fc from 'fast-check'
import { expect, test } from 'vitest'
import { host } from '../../actors/actor.ts'
import { type HeldLease, type HoldingEvent, holdingMachine } from '../../machines/holding.ts'
import { keptLog } from '../kept-log.ts'
import { anyChance } from '../seed.ts'
import { simulatedClock } from '../simulated-clock.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'

const input = { ttlMs: 15_000, renewEveryMs: 5_000, askAgainMs: 500, drainForMs: 30_000 }
/** Printed by its epoch. */
const leaseOf = (epoch: number): HeldLease => ({
  key: 'lane.shared-0.0',
  value: 'p1',
  epoch,
  revision: epoch,
  heldUntil: 0,
  holder: 'h',
})
const story = storyOf(holdingMachine, input, (key, value) =>
  key === 'lease' ? `#${(value as HeldLease).epoch}` : key === 'epoch' ? `#${value}` : undefined,
)

const acquired: HoldingEvent = { type: 'acquired', lease: leaseOf(7), tookMs: 2 }
const taken: HoldingEvent = { type: 'taken' }
const opened: HoldingEvent = { type: 'opened', epoch: 7 }
const fenced: HoldingEvent = { type: 'fenced', epoch: 7 }
const renewed: HoldingEvent = { type: 'renewed', lease: leaseOf(7), tookMs: 3 }
const lost: HoldingEvent = { type: 'lost', epoch: 7 }
const overslept: HoldingEvent = { type: 'overslept' }
const vacant: HoldingEvent = { type: 'vacant' }
const withdrawn: HoldingEvent = { type: 'withdrawn' }
const offered: HoldingEvent = { type: 'offered' }
const drained: HoldingEvent = { type: 'drained' }
const read = [acquired, opened, renewed]

test('what is assigned is leased, opened, read and renewed', () => {
  expect(story(...read, 'renewEvery', renewed)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery    → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    "
  `)
})

test('what somebody still reads is asked for again, at once when it is left', () => {
  expect(story(taken, 'askAgain', taken, vacant, acquired)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring       acquire
    taken         → beaten          stop waiting, wait 500 ms
    askAgain      → acquiring       stop waiting, acquire
    taken         → beaten          stop waiting, wait 500 ms
    vacant        → acquiring       stop waiting, acquire
    acquired #7 2 → leased.opening  stop waiting, wait 14998 ms, open #7, wait 5000 ms
    "
  `)
})

test('what is to be read elsewhere is left when what runs has ended', () => {
  expect(story(...read, withdrawn, renewed, drained)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn     → draining.renewing        stop waiting, drain, wait 30000 ms, renew #7
    renewed #7 3  → draining.renewed         stop waiting, wait 14997 ms, wait 5000 ms
    drained       → over                     stop waiting, stop waiting, close, release #7
    "
  `)
})

test('what runs too long is left behind', () => {
  expect(
    story(...read, withdrawn, renewed, 'renewEvery', renewed, 'drainFor'),
  ).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn     → draining.renewing        stop waiting, drain, wait 30000 ms, renew #7
    renewed #7 3  → draining.renewed         stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery    → draining.renewing        stop waiting, renew #7
    renewed #7 3  → draining.renewed         stop waiting, wait 14997 ms, wait 5000 ms
    drainFor      → over                     stop waiting, stop waiting, close, release #7
    "
  `)
})

test('a reader whose lease is lost forgets what it has in hand, and asks again', () => {
  expect(story(...read, lost, 'askAgain')).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    lost #7       → beaten                   stop waiting, close, stop waiting, wait 500 ms
    askAgain      → acquiring                stop waiting, acquire
    "
  `)
  expect(story(acquired, lost, opened)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring       acquire
    acquired #7 2 → leased.opening  stop waiting, wait 14998 ms, open #7, wait 5000 ms
    lost #7       → beaten          stop waiting, close, stop waiting, wait 500 ms
    opened #7     → beaten          ignored
    "
  `)
  expect(story(...read, withdrawn, lost)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn     → draining.renewing        stop waiting, drain, wait 30000 ms, renew #7
    lost #7       → over                     stop waiting, close
    "
  `)
})

test('a reader that a later one has fenced off leaves, and gives back what is left of its lease', () => {
  expect(story(...read, fenced)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    fenced #7     → beaten                   stop waiting, close, release #7, stop waiting, wait 500 ms
    "
  `)
  expect(story(acquired, fenced)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring       acquire
    acquired #7 2 → leased.opening  stop waiting, wait 14998 ms, open #7, wait 5000 ms
    fenced #7     → beaten          stop waiting, close, release #7, stop waiting, wait 500 ms
    "
  `)
  expect(story(...read, withdrawn, fenced)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn     → draining.renewing        stop waiting, drain, wait 30000 ms, renew #7
    fenced #7     → over                     stop waiting, close, release #7
    "
  `)
})

test('a reader that had no turn for long gives it back: others may have given it up', () => {
  expect(story(...read, overslept, 'askAgain')).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    overslept     → beaten                   stop waiting, close, release #7, stop waiting, wait 500 ms
    askAgain      → acquiring                stop waiting, acquire
    "
  `)
  expect(story(...read, withdrawn, overslept)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    withdrawn     → draining.renewing        stop waiting, drain, wait 30000 ms, renew #7
    overslept     → over                     stop waiting, close, release #7
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

test('what cannot be opened in time is left to others', () => {
  expect(story(acquired, 'renewEvery', opened)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring       acquire
    acquired #7 2 → leased.opening  stop waiting, wait 14998 ms, open #7, wait 5000 ms
    renewEvery    → beaten          stop waiting, close, release #7, stop waiting, wait 500 ms
    opened #7     → beaten          ignored
    "
  `)
})

test('a reader whose renewal is not answered stops before its lease can have run out', () => {
  expect(story(...read, 'renewEvery', 'ranOut', renewed)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery    → leased.reading.renewing  stop waiting, renew #7
    ranOut        → beaten                   close, stop waiting, wait 500 ms
    renewed #7 3  → beaten                   release #7
    "
  `)
  // The later a renewal was answered, the sooner.
  const slow: HoldingEvent = { type: 'renewed', lease: leaseOf(7), tookMs: 4_000 }
  expect(story(acquired, opened, slow, 'renewEvery', 'ranOut')).toMatchInlineSnapshot(`
    "
    (start)         → acquiring                acquire
    acquired #7 2   → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7       → leased.reading.renewing  stop waiting, renew #7
    renewed #7 4000 → leased.reading.renewed   stop waiting, wait 11000 ms, wait 5000 ms
    renewEvery      → leased.reading.renewing  stop waiting, renew #7
    ranOut          → beaten                   close, stop waiting, wait 500 ms
    "
  `)
})

test('a lease runs out no later for being withdrawn while its renewal is not answered', () => {
  expect(story(...read, 'renewEvery', withdrawn, 'ranOut')).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery    → leased.reading.renewing  stop waiting, renew #7
    withdrawn     → draining.renewing        drain, wait 30000 ms, renew #7
    ranOut        → over                     stop waiting, close
    "
  `)
})

test('what is not wanted any more is given back as soon as it is there', () => {
  expect(story(withdrawn, acquired)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring  acquire
    withdrawn     → leaving
    acquired #7 2 → over       release #7
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
    (start)       → acquiring       acquire
    withdrawn     → leaving
    offered       → acquiring       acquire
    acquired #7 2 → leased.opening  stop waiting, wait 14998 ms, open #7, wait 5000 ms
    "
  `)
  expect(story(acquired, withdrawn)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring       acquire
    acquired #7 2 → leased.opening  stop waiting, wait 14998 ms, open #7, wait 5000 ms
    withdrawn     → over            stop waiting, close, release #7
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
    (start)       → acquiring  acquire
    taken         → beaten     stop waiting, wait 500 ms
    acquired #7 2 → beaten     release #7
    "
  `)
})

const anyEvent = fc.constantFrom<HoldingEvent | 'a timer rings'>(
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

test('whatever happens, what is open is closed, and what is withdrawn is left', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const life = live(holdingMachine, input)
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

test('what is late, and of another lease, changes nothing', () => {
  const next: HoldingEvent = { type: 'acquired', lease: leaseOf(9), tookMs: 2 }
  expect(
    story(...read, lost, 'askAgain', next, lost, fenced, opened, renewed, {
      type: 'opened',
      epoch: 9,
    }),
  ).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    lost #7       → beaten                   stop waiting, close, stop waiting, wait 500 ms
    askAgain      → acquiring                stop waiting, acquire
    acquired #9 2 → leased.opening           stop waiting, wait 14998 ms, open #9, wait 5000 ms
    lost #7       → leased.opening           ignored
    fenced #7     → leased.opening           ignored
    opened #7     → leased.opening           ignored
    renewed #7 3  → leased.opening           ignored
    opened #9     → leased.reading.renewing  stop waiting, renew #9
    "
  `)
  expect(story(...read, 'renewEvery', lost, vacant, renewed, next)).toMatchInlineSnapshot(`
    "
    (start)       → acquiring                acquire
    acquired #7 2 → leased.opening           stop waiting, wait 14998 ms, open #7, wait 5000 ms
    opened #7     → leased.reading.renewing  stop waiting, renew #7
    renewed #7 3  → leased.reading.renewed   stop waiting, wait 14997 ms, wait 5000 ms
    renewEvery    → leased.reading.renewing  stop waiting, renew #7
    lost #7       → beaten                   close, stop waiting, wait 500 ms
    vacant        → acquiring                stop waiting, acquire
    renewed #7 3  → acquiring                release #7
    acquired #9 2 → leased.opening           stop waiting, wait 14998 ms, open #9, wait 5000 ms
    "
  `)
})

test('two pollers whose answers are late or never come never read at the same time', () => {
  fc.assert(
    fc.property(anyChance, (below) => {
      const clock = simulatedClock()
      const log = keptLog()
      const later = (work: () => void) => clock.setTimer(work, below(6_000))
      /** As the bucket has it. */
      let stored: HeldLease | undefined
      let writes = 0
      const reading = new Set<string>()
      let opens = 0
      const isThere = () => stored !== undefined && stored.heldUntil > clock.nowMs()
      const isOf = (lease: HeldLease) => isThere() && stored?.holder === lease.holder

      const pollers = ['a', 'b'].map((id) => {
        const store = (epoch: number | undefined): HoldingEvent['type'] => {
          const revision = ++writes
          const own = epoch ?? revision
          stored = {
            ...{ key: '0', value: id, epoch: own, revision, holder: `${id}${own}` },
            heldUntil: clock.nowMs() + input.ttlMs,
          }
          return epoch === undefined ? 'acquired' : 'renewed'
        }
        /** The answer to a question that may be answered, with the time that both took. */
        const ask = (serve: () => HoldingEvent, orElse: HoldingEvent | undefined) => {
          const askedAtMs = clock.nowMs()
          const fate = below(5)
          const answer = (event: HoldingEvent) =>
            later(() => {
              const tookMs = clock.nowMs() - askedAtMs
              holdings.send('0', 'tookMs' in event ? { ...event, tookMs } : event)
            })
          later(() => {
            const event = fate === 0 ? undefined : serve()
            // Whose answer is lost has failed at last: whoever acquires is always told something.
            if (event !== undefined && fate !== 1) answer(event)
            else if (orElse !== undefined) answer(orElse)
          })
        }
        const told = (type: HoldingEvent['type']) =>
          ({ type, lease: stored, tookMs: 0 }) as HoldingEvent
        const holdings = host(holdingMachine, {
          clock,
          log,
          duties: {
            acquire: () => ask(() => (isThere() ? taken : told(store(undefined))), taken),
            renew: ({ lease }) =>
              ask(
                () => (isOf(lease) ? told(store(lease.epoch)) : { ...lost, epoch: lease.epoch }),
                undefined,
              ),
            release: ({ lease }) => {
              if (isOf(lease)) stored = undefined
            },
            open: ({ epoch }) => {
              opens++
              reading.add(id)
              expect([...reading], 'readers').toEqual([id])
              later(() => holdings.send('0', { type: 'opened', epoch }))
            },
            drain: () => void clock.setTimer(() => holdings.send('0', drained), below(60_000)),
            close: () => void reading.delete(id),
          },
          ended: () => void later(() => holdings.start('0', input)),
        })
        holdings.start('0', input)
        return holdings
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
