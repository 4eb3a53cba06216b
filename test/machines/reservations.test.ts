import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type ReservationsEvent,
  reservationsMachine,
  type Seat,
} from '../../machines/reservations.ts'
import { live, type Taken } from './life.ts'
import {
  aged,
  capped,
  finished,
  granted,
  input,
  lost,
  recalled,
  seatOf,
  soon,
  superseded,
  throttled,
  wanted,
  withdrawn,
  workerDraining,
  workerGone,
} from './reservations-events.ts'
import { storyOf } from './story.ts'

const story = storyOf(reservationsMachine, input)

test('the first invocation asks the pool, the next one takes the seat that came back', () => {
  expect(
    story(wanted('r1'), granted('s1'), finished('s1'), wanted('r2'), 'askAgain', finished('s1')),
  ).toMatchInlineSnapshot(`
    "
    (start)             → content
    wanted r1           → asking   ask 1, wait 200 ms
    granted [s1/w1]     → asking   seat r1 s1/w1
    finished s1/w1 1000 → asking
    wanted r2           → asking   seat r2 s1/w1
    askAgain            → content  stop waiting, ask 0
    finished s1/w1 1000 → content
    "
  `)
})

test('a wish that still holds is said again, and its end is said once', () => {
  expect(
    story(wanted('r1'), 'askAgain', wanted('r2'), withdrawn('r1'), withdrawn('r2'), 'askAgain'),
  ).toMatchInlineSnapshot(`
    "
    (start)      → content
    wanted r1    → asking   ask 1, wait 200 ms
    askAgain     → asking   stop waiting, ask 1, wait 200 ms
    wanted r2    → asking   ask 2
    withdrawn r1 → asking
    withdrawn r2 → asking
    askAgain     → content  stop waiting, ask 0
    "
  `)
})

test('the pool hears of a higher wish at once, of a lower one when it is said again', () => {
  expect(
    story(wanted('r1'), wanted('r2'), granted('s1'), wanted('r3'), 'askAgain', granted('s2', 's3')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking   ask 1, wait 200 ms
    wanted r2             → asking   ask 2
    granted [s1/w1]       → asking   seat r1 s1/w1
    wanted r3             → asking   ask 2
    askAgain              → asking   stop waiting, ask 2, wait 200 ms
    granted [s2/w1 s3/w1] → asking   seat r2 s2/w1, seat r3 s3/w1
    "
  `)
})

test('a seat that comes back goes to whoever waits longest', () => {
  expect(
    story(wanted('r1'), granted('s1'), wanted('r2'), wanted('r3'), finished('s1'), finished('s1')),
  ).toMatchInlineSnapshot(`
    "
    (start)             → content
    wanted r1           → asking   ask 1, wait 200 ms
    granted [s1/w1]     → asking   seat r1 s1/w1
    wanted r2           → asking   ask 1
    wanted r3           → asking   ask 2
    finished s1/w1 1000 → asking   seat r2 s1/w1
    finished s1/w1 1000 → asking   seat r3 s1/w1
    "
  `)
})

test('a seat that is granted when nobody waits any more is kept for the next, or aged back', () => {
  expect(
    story(wanted('r1'), withdrawn('r1'), granted('s1'), 'askAgain', aged, aged, aged),
  ).toMatchInlineSnapshot(`
    "
    (start)         → content
    wanted r1       → asking   ask 1, wait 200 ms
    withdrawn r1    → asking
    granted [s1/w1] → asking
    askAgain        → content  stop waiting, ask 0
    aged            → content
    aged            → content  giveBack [s1/w1]
    aged            → over
    "
  `)
})

test('the seat used last is taken first, so that the others can go back', () => {
  expect(
    story(
      wanted('r1'),
      wanted('r2'),
      granted('s1', 's2'),
      finished('s1'),
      finished('s2'),
      aged,
      wanted('r3'),
      finished('s2'),
      aged,
      aged,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking   ask 1, wait 200 ms
    wanted r2             → asking   ask 2
    granted [s1/w1 s2/w1] → asking   seat r1 s1/w1, seat r2 s2/w1
    finished s1/w1 1000   → asking
    finished s2/w1 1000   → asking
    aged                  → asking
    wanted r3             → asking   seat r3 s2/w1
    finished s2/w1 1000   → asking
    aged                  → asking   giveBack [s1/w1]
    aged                  → asking   giveBack [s2/w1]
    "
  `)
})

test('those who came last are throttled, the others go on waiting', () => {
  expect(
    story(wanted('r1'), wanted('r2'), wanted('r3'), throttled(1), granted('s1')),
  ).toMatchInlineSnapshot(`
    "
    (start)              → content
    wanted r1            → asking   ask 1, wait 200 ms
    wanted r2            → asking   ask 2
    wanted r3            → asking   ask 3
    throttled 1 too many → asking   throttle r2 too many, throttle r3 too many
    granted [s1/w1]      → asking   seat r1 s1/w1
    "
  `)
})

test('a refusal that crosses a lower wish refuses nobody who may wait, and a second one nobody else', () => {
  expect(
    story(
      wanted('r1'),
      granted('s1'),
      wanted('r2'),
      wanted('r3'),
      wanted('r4'),
      finished('s1'),
      throttled(2),
      throttled(0),
      throttled(0),
      'askAgain',
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)              → content
    wanted r1            → asking   ask 1, wait 200 ms
    granted [s1/w1]      → asking   seat r1 s1/w1
    wanted r2            → asking   ask 1
    wanted r3            → asking   ask 2
    wanted r4            → asking   ask 3
    finished s1/w1 1000  → asking   seat r2 s1/w1
    throttled 2 too many → asking
    throttled 0 too many → asking   throttle r3 too many, throttle r4 too many
    throttled 0 too many → asking
    askAgain             → content  stop waiting, ask 0
    "
  `)
})

test('seats that are called back go back free ones first, then the next to be free', () => {
  expect(
    story(
      wanted('r1'),
      wanted('r2'),
      wanted('r3'),
      granted('s1', 's2', 's3'),
      finished('s1'),
      recalled(2),
      finished('s2'),
      finished('s3'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                     → content
    wanted r1                   → asking   ask 1, wait 200 ms
    wanted r2                   → asking   ask 2
    wanted r3                   → asking   ask 3
    granted [s1/w1 s2/w1 s3/w1] → asking   seat r1 s1/w1, seat r2 s2/w1, seat r3 s3/w1
    finished s1/w1 1000         → asking
    recalled 2                  → asking   giveBack [s1/w1]
    finished s2/w1 1000         → asking   giveBack [s2/w1]
    finished s3/w1 1000         → asking
    "
  `)
})

test('a seat that is lost is not owed any more', () => {
  expect(
    story(
      wanted('r1'),
      granted('s1'),
      recalled(1),
      lost('s1'),
      wanted('r2'),
      granted('s2'),
      finished('s2'),
      'askAgain',
      wanted('r3'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)             → content
    wanted r1           → asking   ask 1, wait 200 ms
    granted [s1/w1]     → asking   seat r1 s1/w1
    recalled 1          → asking
    lost s1/w1          → asking   reportLost s1/w1
    wanted r2           → asking   ask 1
    granted [s2/w1]     → asking   seat r2 s2/w1
    finished s2/w1 1000 → asking
    askAgain            → content  stop waiting, ask 0
    wanted r3           → content  seat r3 s2/w1
    "
  `)
})

test('seats on a dead worker are no more, and those on a leaving worker go back', () => {
  expect(
    story(wanted('r1'), wanted('r2'), granted('s1', 's2'), finished('s1'), workerGone, lost('s2')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking   ask 1, wait 200 ms
    wanted r2             → asking   ask 2
    granted [s1/w1 s2/w1] → asking   seat r1 s1/w1, seat r2 s2/w1
    finished s1/w1 1000   → asking
    workerGone w1         → asking
    lost s2/w1            → asking   reportLost s2/w1
    "
  `)
  expect(
    story(
      wanted('r1'),
      wanted('r2'),
      granted('s1', 's2'),
      finished('s1'),
      workerDraining,
      finished('s2'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking   ask 1, wait 200 ms
    wanted r2             → asking   ask 2
    granted [s1/w1 s2/w1] → asking   seat r1 s1/w1, seat r2 s2/w1
    finished s1/w1 1000   → asking
    workerDraining w1     → asking   giveBack [s1/w1]
    finished s2/w1 1000   → asking   giveBack [s2/w1]
    "
  `)
})

test('when another generation serves, who waits is sent there, and what runs may finish', () => {
  expect(
    story(
      wanted('r1'),
      wanted('r2'),
      granted('s1', 's2'),
      finished('s2'),
      wanted('r3'),
      wanted('r4'),
      superseded,
      wanted('r5'),
      granted('s3'),
      finished('s2'),
      finished('s1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking    ask 1, wait 200 ms
    wanted r2             → asking    ask 2
    granted [s1/w1 s2/w1] → asking    seat r1 s1/w1, seat r2 s2/w1
    finished s2/w1 1000   → asking
    wanted r3             → asking    seat r3 s2/w1
    wanted r4             → asking    ask 1
    superseded            → retiring  stop waiting, redirect r4
    wanted r5             → retiring  redirect r5
    granted [s3/w1]       → retiring  giveBack [s3/w1]
    finished s2/w1 1000   → retiring  giveBack [s2/w1]
    finished s1/w1 1000   → over      giveBack [s1/w1]
    "
  `)
})

test('reservations that are not used any more are over', () => {
  expect(
    story(wanted('r1'), granted('s1'), finished('s1'), 'askAgain', aged, aged, aged),
  ).toMatchInlineSnapshot(`
    "
    (start)             → content
    wanted r1           → asking   ask 1, wait 200 ms
    granted [s1/w1]     → asking   seat r1 s1/w1
    finished s1/w1 1000 → asking
    askAgain            → content  stop waiting, ask 0
    aged                → content
    aged                → content  giveBack [s1/w1]
    aged                → over
    "
  `)
  expect(story(superseded)).toMatchInlineSnapshot(`
    "
    (start)    → content
    superseded → over
    "
  `)
})

// lambda-semantics.md §3.3: reserved 1 and one running, the next is 429. LocalStack's recording of it is
// test_reserved_concurrency_async_queue.
test('as many as the cap allows run and wait here; whoever comes then is throttled at once', () => {
  expect(
    story(
      capped(2),
      wanted('r1'),
      wanted('r2'),
      wanted('r3'),
      granted('s1', 's2'),
      wanted('r4'),
      finished('s1'),
      wanted('r5'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    capped 2              → content
    wanted r1             → asking   ask 1 0, wait 200 ms
    wanted r2             → asking   ask 2 0
    wanted r3             → asking   throttle r3 ReservedFunctionConcurrentInvocationLimitExceeded
    granted [s1/w1 s2/w1] → asking   seat r1 s1/w1, seat r2 s2/w1
    wanted r4             → asking   throttle r4 ReservedFunctionConcurrentInvocationLimitExceeded
    finished s1/w1 1000   → asking
    wanted r5             → asking   seat r5 s1/w1
    "
  `)
})

test('where there is a cap nobody is sent ahead, and who was is called back', () => {
  expect(
    story(
      wanted('r1'),
      granted('s1'),
      soon('s1'),
      wanted('r2'),
      wanted('r3'),
      capped(1),
      wanted('r3'),
      soon('s1'),
      wanted('r4'),
      wanted('r5'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)          → content
    wanted r1        → asking   ask 1, wait 200 ms
    granted [s1/w1]  → asking   seat r1 s1/w1
    finished s1/w1 5 → asking
    wanted r2        → asking   seat r2 s1/w1
    wanted r3        → asking   sendAhead r3 s1/w1, ask 1
    capped 1         → asking   callBack r3
    wanted r3        → asking   throttle r3 ReservedFunctionConcurrentInvocationLimitExceeded
    finished s1/w1 5 → asking   ask 0 1
    wanted r4        → asking   seat r4 s1/w1
    wanted r5        → asking   throttle r5 ReservedFunctionConcurrentInvocationLimitExceeded
    "
  `)
})

test('a cap that is lowered sends seats back, who waits beyond it is throttled', () => {
  expect(
    story(
      wanted('r1'),
      wanted('r2'),
      granted('s1', 's2'),
      granted('s3'),
      capped(1),
      finished('s1'),
      wanted('r3'),
      finished('s2'),
      wanted('r4'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → content
    wanted r1             → asking   ask 1, wait 200 ms
    wanted r2             → asking   ask 2
    granted [s1/w1 s2/w1] → asking   seat r1 s1/w1, seat r2 s2/w1
    granted [s3/w1]       → asking
    capped 1              → asking   giveBack [s3/w1]
    finished s1/w1 1000   → asking   giveBack [s1/w1]
    wanted r3             → asking   throttle r3 ReservedFunctionConcurrentInvocationLimitExceeded
    finished s2/w1 1000   → asking
    wanted r4             → asking   seat r4 s2/w1
    "
  `)
  expect(
    story(wanted('r1'), wanted('r2'), wanted('r3'), capped(2), capped(0), granted('s1')),
  ).toMatchInlineSnapshot(`
    "
    (start)         → content
    wanted r1       → asking   ask 1, wait 200 ms
    wanted r2       → asking   ask 2
    wanted r3       → asking   ask 3
    capped 2        → asking   throttle r3 ReservedFunctionConcurrentInvocationLimitExceeded
    capped 0        → asking   throttle r1 ReservedFunctionConcurrentInvocationLimitExceeded, throttle r2 ReservedFunctionConcurrentInvocationLimitExceeded
    granted [s1/w1] → asking   giveBack [s1/w1]
    "
  `)
})

test('a cap that is raised or taken away counts at once', () => {
  expect(
    story(
      capped(0),
      wanted('r1'),
      capped(1),
      wanted('r2'),
      wanted('r3'),
      capped(undefined),
      wanted('r4'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)          → content
    capped 0         → content
    wanted r1        → content  throttle r1 ReservedFunctionConcurrentInvocationLimitExceeded
    capped 1         → content
    wanted r2        → asking   ask 1 0, wait 200 ms
    wanted r3        → asking   throttle r3 ReservedFunctionConcurrentInvocationLimitExceeded
    capped undefined → asking
    wanted r4        → asking   ask 2
    "
  `)
})

type Step =
  | 'wanted'
  | 'withdrawn'
  | 'finished'
  | 'lost'
  | 'granted'
  | 'comes back'
  | 'a timer rings'
  | ReservationsEvent

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>('wanted') },
  { weight: 4, arbitrary: fc.constantFrom<Step>('finished', 'granted', 'a timer rings') },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Step>(
      'withdrawn',
      'lost',
      'comes back',
      aged,
      workerGone,
      workerDraining,
    ),
  },
  { weight: 2, arbitrary: fc.nat(4).map((keep) => throttled(keep)) },
  { weight: 2, arbitrary: fc.nat(4).map((count) => recalled(count)) },
  { weight: 1, arbitrary: fc.option(fc.nat(4), { nil: undefined }).map((cap) => capped(cap)) },
  { weight: 1, arbitrary: fc.constant<Step>(superseded) },
)

test('every request is seated, throttled, redirected or withdrawn exactly once; every seat goes back once', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyStep, fc.nat(9)), { maxLength: 80 }), (script) => {
      const life = live(reservationsMachine, input)
      const waiting: string[] = []
      const busy: Seat[] = []
      /** By sandbox: who was sent ahead to it. */
      const ahead = new Map<string, string>()
      /** Given to us and neither given back nor lost. */
      const ours = new Set<string>()
      const dead = new Set<string>()
      let count = 0
      const check = ({ asked }: Taken) => {
        for (const { type, params } of asked) {
          const { requestId, seat, seats } = params as {
            requestId: string
            seat: Seat
            seats: Seat[]
          }
          if (type === 'seat' || type === 'throttle' || type === 'redirect') {
            expect(waiting).toContain(requestId)
            waiting.splice(waiting.indexOf(requestId), 1)
          }
          if (type === 'seat') {
            expect(ours).toContain(seat.sandboxId)
            expect(busy.map(({ sandboxId }) => sandboxId)).not.toContain(seat.sandboxId)
            busy.push(seat)
          }
          if (type === 'sendAhead') {
            expect(waiting).toContain(requestId)
            waiting.splice(waiting.indexOf(requestId), 1)
            expect(busy.map(({ sandboxId }) => sandboxId)).toContain(seat.sandboxId)
            expect(ahead.has(seat.sandboxId)).toBe(false)
            ahead.set(seat.sandboxId, requestId)
          }
          if (type === 'begin' || type === 'forsake') {
            const [sandboxId, seated] = [...ahead].find(([, id]) => id === requestId) ?? ['', seat]
            expect(ahead.delete(sandboxId)).toBe(true)
            if (type === 'begin') busy.push(seatOf(sandboxId))
            expect(seated).toBe(requestId)
          }
          if (type === 'callBack') expect([...ahead.values()]).toContain(requestId)
          if (type === 'giveBack') {
            for (const { sandboxId } of seats) expect(ours.delete(sandboxId)).toBe(true)
          }
          if (type === 'reportLost') expect(ours.delete(seat.sandboxId)).toBe(true)
        }
        const { line, told, cap } = life.snapshot.context
        expect(line.busy).toBe(busy.length)
        expect(line.owed).toBeGreaterThanOrEqual(0)
        expect(line.owed).toBeLessThanOrEqual(busy.length)
        expect(told).toBeGreaterThanOrEqual(0)
        expect([...line.returned, ...line.waiting].sort()).toEqual([...waiting].sort())
        expect(line.ahead.map(({ requestId }) => requestId).sort()).toEqual(
          [...ahead.values()].sort(),
        )
        expect(line.free.length > 0 && waiting.length > 0).toBe(false)
        if (cap === undefined || life.isOver) return
        // What runs may end, and what is held beyond the cap goes back.
        expect(line.free.length).toBeLessThanOrEqual(Math.max(0, cap - busy.length))
        expect(asked.some(({ type }) => type === 'sendAhead')).toBe(false)
        if (asked.some(({ type }) => type === 'seat')) {
          expect(busy.length).toBeLessThanOrEqual(cap)
        }
      }
      const play = (step: Step, choice: number) => {
        if (life.isOver) return
        if (typeof step !== 'string') {
          if (step.type === 'workerGone') {
            for (const { sandboxId } of life.snapshot.context.line.free) {
              ours.delete(sandboxId)
              dead.add(sandboxId)
            }
            ahead.clear()
          }
          check(life.take(step))
          return
        }
        const request = waiting[choice % Math.max(1, waiting.length)]
        const [seat] = busy.slice(choice % Math.max(1, busy.length))
        if (step === 'wanted') {
          waiting.push(`r${count}`)
          check(life.take(wanted(`r${count++}`)))
        } else if (step === 'withdrawn' && request !== undefined) {
          waiting.splice(waiting.indexOf(request), 1)
          check(life.take(withdrawn(request)))
        } else if ((step === 'finished' || step === 'lost') && seat !== undefined) {
          busy.splice(busy.indexOf(seat), 1)
          const tookMs = choice % 2 === 0 ? 5 : 100
          check(life.take(step === 'lost' ? { type: step, seat } : { type: step, seat, tookMs }))
        } else if (step === 'comes back' && ahead.size > 0) {
          const [sandboxId, requestId] = [...ahead][choice % ahead.size] as [string, string]
          ahead.delete(sandboxId)
          waiting.push(requestId)
          check(life.take(wanted(requestId)))
        } else if (step === 'granted') {
          const ids = Array.from({ length: choice % 3 }, () => `s${count++}`)
          for (const id of ids) ours.add(id)
          check(life.take(granted(...ids)))
        } else if (step === 'a timer rings') {
          const [timer] = life.timers.keys()
          if (timer !== undefined) check(life.ringTimer(timer))
        }
      }
      for (const [step, choice] of script) play(step, choice)
      // Everybody is served or gives up, and nothing new comes: then nothing is left.
      while (!life.isOver && ahead.size > 0) play('comes back', 0)
      while (!life.isOver && waiting.length > 0) play('withdrawn', 0)
      while (!life.isOver && busy.length > 0) play('finished', 0)
      for (let steps = 0; steps < 4; steps++) {
        play('a timer rings', 0)
        play(aged, 0)
      }
      expect(life.state).toBe('over')
      expect([...ours]).toEqual([])
    }),
  )
})
