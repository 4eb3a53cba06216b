import fc from 'fast-check'
import { expect, test } from 'vitest'
import { host } from '../../actors/actor.ts'
import { type PartitionEvent, partitionMachine } from '../../machines/partition.ts'
import { keptLog } from '../kept-log.ts'
import { simulatedClock } from '../simulated-clock.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'

const input = { partition: 0, ttlMs: 15_000, renewEveryMs: 5_000, vacancyMs: 1_000 }
const story = storyOf(partitionMachine, input)

const ours: PartitionEvent = { type: 'preferred', isOurs: true }
const theirs: PartitionEvent = { type: 'preferred', isOurs: false }
const vacant: PartitionEvent = { type: 'vacant' }
const heldByOthers: PartitionEvent = { type: 'held', byUs: false }
const heldByUs: PartitionEvent = { type: 'held', byUs: true }
const holderGone: PartitionEvent = { type: 'holderGone', revision: 7 }
const acquired: PartitionEvent = { type: 'acquired', tookMs: 2 }
const taken: PartitionEvent = { type: 'taken' }
const unanswered: PartitionEvent = { type: 'unanswered' }
const renewed: PartitionEvent = { type: 'renewed', tookMs: 3 }
const lost: PartitionEvent = { type: 'lost' }
const rebuilt: PartitionEvent = { type: 'rebuilt' }
const stop: PartitionEvent = { type: 'stop' }
const served = [ours, vacant, acquired, rebuilt, renewed]

test('a vacant partition is taken by its preferred owner, rebuilt, served and renewed', () => {
  expect(story(...served, heldByUs, 'renewEvery', renewed)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    held true      → owned.serving.renewed   ignored
    renewEvery     → owned.serving.renewing  stop waiting, renew, wait 9997 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    "
  `)
})

test('who is not preferred leaves a vacancy to the one who is, for a while', () => {
  expect(story(theirs, vacant, heldByOthers)).toMatchInlineSnapshot(`
    "
    (start)         → elsewhere  wait 15000 ms
    preferred false → elsewhere
    vacant          → vacant     stop waiting, wait 1000 ms
    held false      → elsewhere  stop waiting, wait 15000 ms
    "
  `)
  expect(story(theirs, vacant, 'vacancy', acquired)).toMatchInlineSnapshot(`
    "
    (start)         → elsewhere         wait 15000 ms
    preferred false → elsewhere
    vacant          → vacant            stop waiting, wait 1000 ms
    vacancy         → acquiring         stop waiting, acquire, wait 15000 ms
    acquired 2      → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    "
  `)
  expect(story(theirs, vacant, ours, acquired)).toMatchInlineSnapshot(`
    "
    (start)         → elsewhere         wait 15000 ms
    preferred false → elsewhere
    vacant          → vacant            stop waiting, wait 1000 ms
    preferred true  → acquiring         stop waiting, acquire, wait 15000 ms
    acquired 2      → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    "
  `)
})

test('of two who take it, the one who comes second steps back', () => {
  expect(story(ours, vacant, taken, heldByOthers)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere  wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring  stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    taken          → elsewhere  stop waiting, wait 15000 ms
    held false     → elsewhere  ignored
    "
  `)
})

test('an owner hands it over when the preferred owner comes back, also while it rebuilds', () => {
  expect(story(...served, theirs, vacant, heldByOthers)).toMatchInlineSnapshot(`
    "
    (start)         → elsewhere               wait 15000 ms
    preferred true  → elsewhere
    vacant          → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2      → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt         → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3       → owned.serving.renewed   stop waiting, wait 5000 ms
    preferred false → elsewhere               stop waiting, stopServing, release, wait 15000 ms
    vacant          → vacant                  stop waiting, wait 1000 ms
    held false      → elsewhere               stop waiting, wait 15000 ms
    "
  `)
  expect(story(ours, vacant, acquired, theirs, rebuilt)).toMatchInlineSnapshot(`
    "
    (start)         → elsewhere         wait 15000 ms
    preferred true  → elsewhere
    vacant          → acquiring         stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2      → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    preferred false → elsewhere         stop waiting, stopServing, release, wait 15000 ms
    rebuilt         → elsewhere         ignored
    "
  `)
})

test('a lease that is lost ends serving at once, also while it rebuilds or renews', () => {
  expect(story(...served, lost)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    lost           → acquiring               stop waiting, stopServing, acquire, wait 15000 ms
    "
  `)
  expect(story(...served, heldByOthers)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    held false     → elsewhere               stop waiting, stopServing, release, wait 15000 ms
    "
  `)
  expect(story(ours, vacant, acquired, lost, rebuilt)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere         wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring         stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    lost           → acquiring         stop waiting, stopServing, acquire, wait 15000 ms
    rebuilt        → acquiring         ignored
    "
  `)
  expect(story(...served, 'renewEvery', lost)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    renewEvery     → owned.serving.renewing  stop waiting, renew, wait 9997 ms
    lost           → acquiring               stop waiting, stopServing, acquire, wait 15000 ms
    "
  `)
})

test('an owner whose renewal is not answered stops before its lease can have run out', () => {
  expect(story(...served, 'renewEvery', 'untilRunOut')).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    renewEvery     → owned.serving.renewing  stop waiting, renew, wait 9997 ms
    untilRunOut    → acquiring               stop waiting, stopServing, acquire, wait 15000 ms
    "
  `)
})

test('the later a renewal was answered, the sooner the next one is given up', () => {
  const slow: PartitionEvent = { type: 'renewed', tookMs: 4_000 }
  expect(
    story(ours, vacant, acquired, rebuilt, slow, 'renewEvery', 'untilRunOut'),
  ).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 4000   → owned.serving.renewed   stop waiting, wait 5000 ms
    renewEvery     → owned.serving.renewing  stop waiting, renew, wait 6000 ms
    untilRunOut    → acquiring               stop waiting, stopServing, acquire, wait 15000 ms
    "
  `)
})

test('a lease that is stored after it was given up is released', () => {
  expect(story(...served, 'renewEvery', 'untilRunOut', renewed)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    renewEvery     → owned.serving.renewing  stop waiting, renew, wait 9997 ms
    untilRunOut    → acquiring               stop waiting, stopServing, acquire, wait 15000 ms
    renewed 3      → acquiring               release
    "
  `)
  expect(story(ours, vacant, 'ttl', acquired)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere  wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring  stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    ttl            → unsure     stop waiting, wait 100 ms
    acquired 2     → unsure     release
    "
  `)
})

test('an owner that cannot rebuild in time gives the lease back', () => {
  expect(story(ours, vacant, acquired, 'renewEvery', rebuilt)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere         wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring         stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    renewEvery     → elsewhere         stop waiting, stopServing, release, wait 15000 ms
    rebuilt        → elsewhere         ignored
    "
  `)
})

test('a vacancy that was missed is found all the same', () => {
  expect(story(ours, vacant, vacant, taken, 'ttl', acquired)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere         wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring         stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    vacant         → acquiring         ignored
    taken          → elsewhere         stop waiting, wait 15000 ms
    ttl            → acquiring         stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    "
  `)
})

test('a lease that nobody knows whether it was stored is asked for again in a moment', () => {
  expect(story(ours, vacant, unanswered, renewed, 'moment', acquired)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere         wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring         stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    unanswered     → unsure            stop waiting, wait 100 ms
    renewed 3      → unsure            release
    moment         → acquiring         stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding  stop waiting, rebuild, wait 5000 ms
    "
  `)
  expect(story(ours, vacant, unanswered, heldByUs, heldByOthers)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere  wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring  stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    unanswered     → unsure     stop waiting, wait 100 ms
    held true      → unsure     ignored
    held false     → elsewhere  stop waiting, wait 15000 ms
    "
  `)
})

test('the lease of a dead holder is not waited for', () => {
  expect(story(holderGone, vacant, 'vacancy')).toMatchInlineSnapshot(`
    "
    (start)      → elsewhere  wait 15000 ms
    holderGone 7 → elsewhere  evict 7
    vacant       → vacant     stop waiting, wait 1000 ms
    vacancy      → acquiring  stop waiting, acquire, wait 15000 ms
    "
  `)
})

test('a worker manager that goes home gives its leases back', () => {
  expect(story(...served, stop)).toMatchInlineSnapshot(`
    "
    (start)        → elsewhere               wait 15000 ms
    preferred true → elsewhere
    vacant         → acquiring               stop waiting, wait 1000 ms, stop waiting, acquire, wait 15000 ms
    acquired 2     → owned.rebuilding        stop waiting, rebuild, wait 5000 ms
    rebuilt        → owned.serving.renewing  stop waiting, serve, renew, wait 9998 ms
    renewed 3      → owned.serving.renewed   stop waiting, wait 5000 ms
    stop           → stopped                 stop waiting, stopServing, release
    "
  `)
  expect(story(vacant, stop)).toMatchInlineSnapshot(`
    "
    (start) → elsewhere  wait 15000 ms
    vacant  → vacant     stop waiting, wait 1000 ms
    stop    → stopped    stop waiting
    "
  `)
})

const anyEvent = fc.constantFrom<PartitionEvent | 'a timer rings'>(
  ours,
  theirs,
  vacant,
  heldByOthers,
  heldByUs,
  holderGone,
  acquired,
  taken,
  unanswered,
  renewed,
  lost,
  rebuilt,
  'a timer rings',
  'a timer rings',
)

test('whatever happens, what is served was acquired, and it is never lost for good', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const life = live(partitionMachine, input)
      let isServed = false
      const check = ({ asked }: Taken) => {
        for (const { type } of asked) {
          if (type === 'serve') {
            expect(isServed).toBe(false)
            isServed = true
          }
          if (type === 'stopServing') isServed = false
        }
        expect(isServed).toBe(life.state.startsWith('owned.serving'))
      }
      const ring = () => {
        const [timer] = life.timers.keys()
        if (timer !== undefined) check(life.ringTimer(timer))
      }
      for (const event of events) {
        if (event === 'a timer rings') ring()
        else check(life.take(event))
      }
      // Nobody else is there any more, and what was asked before is never answered: we get it in the end.
      check(life.take(ours))
      for (let steps = 0; steps < 6 && !isServed; steps++) {
        if (life.state === 'acquiring') check(life.take(acquired))
        else if (life.state === 'owned.rebuilding') check(life.take(rebuilt))
        else ring()
      }
      expect(isServed).toBe(true)
      check(life.take(stop))
      expect(life.isOver).toBe(true)
    }),
  )
})

test('two worker managers whose answers are late or never come are never owners at the same time', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(99)), (chance) => {
      const roll = () => chance.next().value as number
      const clock = simulatedClock()
      const log = keptLog()
      const later = (work: () => void) => clock.setTimer(work, roll() * 60)
      let lease: { holder: string; untilMs: number } | undefined
      const serving = new Set<string>()
      let served = 0
      const isHeld = () => lease !== undefined && lease.untilMs > clock.nowMs()

      const managers = ['a', 'b'].map((id) => {
        /** One question in ten is lost on its way, and one answer. */
        const ask = (serve: () => PartitionEvent | undefined) => {
          const fate = roll() % 10
          const answered = (event: PartitionEvent | undefined) => {
            if (event !== undefined && fate !== 1) later(() => manager.send('0', event))
          }
          if (fate !== 0) later(() => answered(serve()))
        }
        const store = () => {
          lease = { holder: id, untilMs: clock.nowMs() + input.ttlMs }
        }
        const asking = () => {
          const askedAtMs = clock.nowMs()
          return () => clock.nowMs() - askedAtMs
        }
        const manager = host(partitionMachine, {
          clock,
          log,
          duties: {
            acquire: () => {
              const took = asking()
              ask(() => {
                if (isHeld()) return taken
                store()
                return {
                  type: 'acquired',
                  get tookMs() {
                    return took()
                  },
                }
              })
            },
            renew: () => {
              const took = asking()
              ask(() => {
                if (lease?.holder !== id || !isHeld()) return lost
                store()
                return {
                  type: 'renewed',
                  get tookMs() {
                    return took()
                  },
                }
              })
            },
            release: () => {
              ask(() => {
                if (lease?.holder === id) lease = undefined
                return undefined
              })
            },
            evict: () => {},
            rebuild: () => void later(() => manager.send('0', rebuilt)),
            serve: () => {
              serving.add(id)
              served++
              expect([...serving], 'owners').toEqual([id])
            },
            stopServing: () => void serving.delete(id),
          },
        })
        manager.start('0', input)
        return manager
      })
      clock.advance(600_000)
      expect(log.lines).toEqual([])
      expect(served).toBeGreaterThan(0)
      for (const manager of managers) manager.send('0', stop)
      expect(serving.size).toBe(0)
    }),
    { numRuns: 100 },
  )
})
