import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type InvocationEvent, invocationMachine } from '../../machines/invocation.ts'
import { live } from './life.ts'
import { byName, storyOf } from './story.ts'

const input = { reservationTimeoutMs: 30_000, overdueMs: 1_000, aheadMs: 50 }
const story = storyOf(invocationMachine, input, byName)

const resolved: InvocationEvent = { type: 'resolved', pool: 'f:g1', timeoutMs: 3_000 }
const movedTo: InvocationEvent = { type: 'resolved', pool: 'f:g2', timeoutMs: 5_000 }
const moved: InvocationEvent = { type: 'moved' }
const missed: InvocationEvent = { type: 'missed' }
const answered: InvocationEvent = { type: 'answered' }
const throttled: InvocationEvent = { type: 'throttled', reason: 'too many' }
const seated = (sandboxId: string, workerId = 'w1'): InvocationEvent => ({
  type: 'seated',
  seat: { sandboxId, workerId },
})
const sentAhead = (sandboxId: string, workerId = 'w1'): InvocationEvent => ({
  type: 'sentAhead',
  seat: { sandboxId, workerId },
})
const begun: InvocationEvent = { type: 'begun' }
const calledBack: InvocationEvent = { type: 'calledBack' }
const forsaken: InvocationEvent = { type: 'forsaken' }
const workerGone = (workerId: string): InvocationEvent => ({ type: 'workerGone', workerId })

test('an invocation finds its function, takes a seat, is run, and leaves the seat', () => {
  expect(story(resolved, seated('s1'), answered)).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    seated s1/w1       → invoking   stop waiting, invoke s1/w1, wait 4000 ms
    answered           → answered   stop waiting, leave f:g1 s1/w1, answer
    "
  `)
})

test('an invocation of what cannot be invoked is refused before it asks for a seat', () => {
  expect(
    story({ type: 'unresolved', refusal: { why: 'not active', state: 'Pending' } }),
  ).toMatchInlineSnapshot(`
    "
    (start)                       → resolving  resolve
    unresolved not active/Pending → refused    refuse not active/Pending
    "
  `)
})

// lambda-semantics.md §1.3: a dry run executes nothing and is not throttled.
test('a dry run is approved without a seat', () => {
  expect(story({ type: 'approved' })).toMatchInlineSnapshot(`
    "
    (start)  → resolving  resolve
    approved → answered   approve
    "
  `)
})

test('an invocation beyond the limit is refused', () => {
  expect(story(resolved, throttled)).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    throttled too many → refused    stop waiting, refuse throttled/too many
    "
  `)
})

test('an invocation that finds nobody at its seat looks for another one: nothing was started', () => {
  expect(story(resolved, seated('s1'), missed, seated('s2'), answered)).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    seated s1/w1       → invoking   stop waiting, invoke s1/w1, wait 4000 ms
    missed             → reserving  stop waiting, loseSeat f:g1 s1/w1, reserve f:g1, wait 30000 ms
    seated s2/w1       → invoking   stop waiting, invoke s2/w1, wait 4000 ms
    answered           → answered   stop waiting, leave f:g1 s2/w1, answer
    "
  `)
})

test('an invocation whose function has moved on looks where to', () => {
  expect(story(resolved, moved, movedTo, seated('s2'), answered)).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    moved              → resolving  stop waiting, resolve
    resolved f:g2 5000 → reserving  reserve f:g2, wait 30000 ms
    seated s2/w1       → invoking   stop waiting, invoke s2/w1, wait 6000 ms
    answered           → answered   stop waiting, leave f:g2 s2/w1, answer
    "
  `)
})

test('an invocation that waits too long for a seat withdraws and is refused', () => {
  expect(story(resolved, 'reservationTimeout')).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    reservationTimeout → refused    stop waiting, withdraw f:g1, refuse no sandbox in time
    "
  `)
})

// DESIGN §6: at most once; an answer or an error before the deadline + 1 s, also when its worker is killed.
test('an invocation whose worker dies fails and is not started again', () => {
  expect(story(resolved, seated('s1'), workerGone('w2'), workerGone('w1'))).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    seated s1/w1       → invoking   stop waiting, invoke s1/w1, wait 4000 ms
    workerGone w2      → invoking   ignored
    workerGone w1      → failed     stop waiting, fail worker gone, loseSeat f:g1 s1/w1
    "
  `)
})

// DESIGN §6: an answer or an error before the deadline + 1 s.
test('an invocation whose worker says nothing fails a second after the function’s timeout', () => {
  expect(story(resolved, seated('s1'), 'overdue')).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    seated s1/w1       → invoking   stop waiting, invoke s1/w1, wait 4000 ms
    overdue            → failed     stop waiting, fail overdue, loseSeat f:g1 s1/w1
    "
  `)
})

test('an invocation that was sent ahead begins when the one before it has ended', () => {
  expect(story(resolved, sentAhead('s1'), begun, answered)).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    begun              → invoking   stop waiting, wait 4000 ms
    answered           → answered   stop waiting, leave f:g1 s1/w1, answer
    "
  `)
})

test('an invocation that was sent ahead is asked back when it waits too long or another seat is free', () => {
  expect(
    story(resolved, sentAhead('s1'), 'patience', calledBack, missed, seated('s2'), answered),
  ).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    patience           → ahead      stop waiting, takeBack s1/w1, wait 50 ms
    calledBack         → ahead      takeBack s1/w1
    missed             → reserving  stop waiting, reserve f:g1, wait 30000 ms
    seated s2/w1       → invoking   stop waiting, invoke s2/w1, wait 4000 ms
    answered           → answered   stop waiting, leave f:g1 s2/w1, answer
    "
  `)
})

// DESIGN §6: at most once. Nobody knows whether it has begun, so it is not started again unless its worker gives it back.
test('an invocation that was sent ahead to a seat that is lost is answered, comes back, or fails', () => {
  expect(story(resolved, sentAhead('s1'), forsaken, answered)).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    forsaken           → forsaken   stop waiting, takeBack s1/w1, wait 4000 ms
    answered           → answered   stop waiting, answer
    "
  `)
  expect(story(resolved, sentAhead('s1'), forsaken, missed, seated('s2'))).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    forsaken           → forsaken   stop waiting, takeBack s1/w1, wait 4000 ms
    missed             → reserving  stop waiting, reserve f:g1, wait 30000 ms
    seated s2/w1       → invoking   stop waiting, invoke s2/w1, wait 4000 ms
    "
  `)
  expect(story(resolved, sentAhead('s1'), forsaken, 'overdue')).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    forsaken           → forsaken   stop waiting, takeBack s1/w1, wait 4000 ms
    overdue            → failed     stop waiting, fail overdue
    "
  `)
  expect(story(resolved, sentAhead('s1'), forsaken, workerGone('w1'))).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    forsaken           → forsaken   stop waiting, takeBack s1/w1, wait 4000 ms
    workerGone w1      → failed     stop waiting, fail worker gone
    "
  `)
  expect(story(resolved, sentAhead('s1'), workerGone('w1'))).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    sentAhead s1/w1    → ahead      stop waiting, invoke s1/w1 ahead, wait 50 ms
    workerGone w1      → failed     stop waiting, fail worker gone, withdraw f:g1
    "
  `)
})

test('what comes too early or too late changes nothing', () => {
  expect(
    story(
      seated('s1'),
      missed,
      answered,
      resolved,
      answered,
      resolved,
      workerGone('w1'),
      seated('s1'),
      throttled,
      moved,
      answered,
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)            → resolving  resolve
    seated s1/w1       → resolving  ignored
    missed             → resolving  ignored
    answered           → resolving  ignored
    resolved f:g1 3000 → reserving  reserve f:g1, wait 30000 ms
    answered           → reserving  ignored
    resolved f:g1 3000 → reserving  ignored
    workerGone w1      → reserving  ignored
    seated s1/w1       → invoking   stop waiting, invoke s1/w1, wait 4000 ms
    throttled too many → invoking   ignored
    moved              → invoking   ignored
    answered           → answered   stop waiting, leave f:g1 s1/w1, answer
    "
  `)
})

const anyEvent: fc.Arbitrary<InvocationEvent | 'a timer rings'> = fc.constantFrom(
  resolved,
  movedTo,
  moved,
  missed,
  answered,
  throttled,
  seated('s1'),
  seated('s2', 'w2'),
  sentAhead('s1'),
  sentAhead('s2', 'w2'),
  begun,
  calledBack,
  forsaken,
  workerGone('w1'),
  workerGone('w2'),
  { type: 'unresolved', refusal: { why: 'no function' } } as const,
  { type: 'approved' } as const,
  'a timer rings' as const,
)

test('whatever happens, an invocation is told its end once, and gives up each seat that it took once', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
      const life = live(invocationMachine, input)
      const told: string[] = []
      let seats = 0
      let before = ''
      const check = ({ asked }: typeof life.born) => {
        for (const { type } of asked) {
          if (['answer', 'refuse', 'fail', 'approve'].includes(type)) told.push(type)
          if (type === 'leave' || type === 'loseSeat') seats--
        }
        // Sent ahead it has no seat of its own yet.
        if (life.state === 'invoking' && before !== 'invoking') seats++
        before = life.state
        expect(seats).toBe(life.state === 'invoking' ? 1 : 0)
      }
      const ring = () => {
        const [timer] = life.timers.keys()
        if (timer !== undefined) check(life.ringTimer(timer))
      }
      for (const event of events) {
        if (event === 'a timer rings') ring()
        else check(life.take(event))
        expect(told.length).toBe(life.isOver ? 1 : 0)
      }
      // Nothing more is said; time alone ends it, once its function is known.
      if (life.state === 'resolving') check(life.take(resolved))
      if (life.state === 'ahead') check(life.take(begun))
      ring()
      expect(life.isOver).toBe(true)
      expect(told.length).toBe(1)
    }),
  )
})
