import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type PoolEvent, poolMachine } from '../../machines/pool.ts'
import { type Entry, type Found, inUse, type Standing } from '../../machines/pool-ledger.ts'
import type { Seat } from '../../machines/reservations.ts'
import { live, type Taken } from './life.ts'
import { storyOf } from './story.ts'

const input = {
  prefix: 's',
  limit: 3,
  elsewhere: 0,
  reason: 'account',
  keepAliveMs: 600_000,
  graceMs: 50,
  roomAgainMs: 500,
  found: [] as Found[],
}
/** The usual reason goes without saying. */
const story = storyOf(poolMachine, input, (key, value) =>
  key === 'reason' && value === 'account' ? '' : undefined,
)

const seatOf = (sandboxId: string, workerId = 'w1'): Seat => ({ sandboxId, workerId })
const want = (frontEnd: string, count: number): PoolEvent => ({ type: 'want', frontEnd, count })
const placed = (sandboxId: string, workerId = 'w1'): PoolEvent => ({
  type: 'placed',
  sandboxId,
  workerId,
})
const noRoom = (sandboxId: string): PoolEvent => ({ type: 'noRoom', sandboxId })
const ready = (sandboxId: string, workerId = 'w1', atMs = 0): PoolEvent => ({
  type: 'ready',
  sandboxId,
  workerId,
  atMs,
})
const freed = (sandboxId: string, workerId = 'w1', atMs = 0): PoolEvent => ({
  type: 'freed',
  seats: [seatOf(sandboxId, workerId)],
  atMs,
})
const stopped = (sandboxId: string, workerId = 'w1'): PoolEvent => ({
  type: 'stopped',
  sandboxId,
  workerId,
})
const released = (frontEnd: string, ...ids: string[]): PoolEvent => ({
  type: 'released',
  frontEnd,
  seats: ids.map((id) => seatOf(id)),
  atMs: 0,
})
const doubted = (frontEnd: string, sandboxId: string): PoolEvent => ({
  type: 'doubted',
  frontEnd,
  seat: seatOf(sandboxId),
})
const holding = (frontEnd: string, audit: number, ...ids: string[]): PoolEvent => ({
  type: 'holding',
  frontEnd,
  owner: 's',
  audit,
  seats: ids.map((id) => seatOf(id)),
})
const frontEndGone = (frontEnd: string): PoolEvent => ({ type: 'frontEndGone', frontEnd })
const workerGone = (workerId: string): PoolEvent => ({ type: 'workerGone', workerId })
const workerDraining = (workerId: string): PoolEvent => ({ type: 'workerDraining', workerId })
const tick = (atMs: number): PoolEvent => ({ type: 'tick', atMs })
const retired: PoolEvent = { type: 'retired' }
const limited = (limit: number, elsewhere = 0, reason = 'account'): PoolEvent => ({
  type: 'limited',
  limit,
  elsewhere,
  reason,
})
const lend = (count: number): PoolEvent => ({ type: 'lend', count })

const warm = (frontEnd: string, sandboxId: string): PoolEvent[] => [
  want(frontEnd, 1),
  placed(sandboxId),
  ready(sandboxId),
]

test('the first wish has a sandbox started, and its seat goes to who wished', () => {
  expect(
    story(want('a', 1), placed('s-0'), ready('s-0'), released('a', 's-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    released a [s-0/w1] 0 → serving
    "
  `)
})

test('a sandbox that is ready before its placement is known is as good', () => {
  expect(
    story(want('a', 1), ready('s-0'), placed('s-0'), released('a', 's-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    placed s-0 w1         → serving
    released a [s-0/w1] 0 → serving
    "
  `)
})

test('a sandbox that was called off and comes all the same is of use', () => {
  expect(
    story(want('a', 1), placed('s-0'), want('a', 0), ready('s-0'), want('b', 1)),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving  place s-0
    placed s-0 w1  → serving
    want a 0       → serving  callOff s-0 w1
    ready s-0 w1 0 → serving
    want b 1       → serving  grant b [s-0/w1]
    "
  `)
})

test('who waits takes what comes back first, and the sandbox that is not needed is called off', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      want('b', 1),
      placed('s-1'),
      released('a', 's-0'),
      stopped('s-1'),
      tick(1_000),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    want b 1              → serving  place s-1
    placed s-1 w1         → serving
    released a [s-0/w1] 0 → serving  grant b [s-0/w1], callOff s-1 w1
    stopped s-1 w1        → serving
    tick 1000             → serving  audit b s 1
    "
  `)
})

test('a sandbox that was called off before it had a worker is called off again when it has one', () => {
  expect(story(want('a', 1), want('a', 0), placed('s-0'), stopped('s-0'))).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving  place s-0
    want a 0       → serving
    placed s-0 w1  → serving  callOff s-0 w1
    stopped s-0 w1 → serving
    "
  `)
  expect(story(want('a', 1), want('a', 0), ready('s-0'), placed('s-0'))).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving  place s-0
    want a 0       → serving
    ready s-0 w1 0 → serving
    placed s-0 w1  → serving
    "
  `)
  expect(story(want('a', 1), want('a', 0), noRoom('s-0'), want('a', 1))).toMatchInlineSnapshot(`
    "
    (start)    → serving
    want a 1   → serving  place s-0
    want a 0   → serving
    noRoom s-0 → serving
    want a 1   → serving  place s-1
    "
  `)
})

test('a hundred that were wanted and are called off leave nothing behind', () => {
  const many = live(poolMachine, { ...input, limit: 1000 })
  const { asked } = many.take(want('a', 100))
  const ids = asked.map(({ params }) => (params as { sandboxId: string }).sandboxId)
  expect(ids.length).toBe(100)
  for (const id of ids.slice(0, 50)) many.take(placed(id))
  const off = many.take(want('a', 0))
  expect(off.asked.filter(({ type }) => type === 'callOff').length).toBe(50)
  let late = 0
  for (const id of ids.slice(50)) late += many.take(placed(id)).asked.length
  expect(late).toBe(50)
  for (const id of ids) many.take(stopped(id))
  many.take(tick(0))
  expect(many.state).toBe('over')
})

test('seats go round among the front ends that wait', () => {
  expect(
    story(want('a', 2), want('b', 2), placed('s-0'), ready('s-0'), ready('s-1'), ready('s-2')),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 2       → serving    place s-0, place s-1
    want b 2       → saturated  place s-2, wait 50 ms
    placed s-0 w1  → saturated
    ready s-0 w1 0 → saturated  grant a [s-0/w1]
    ready s-1 w1 0 → saturated  grant a [s-1/w1]
    ready s-2 w1 0 → saturated  grant b [s-2/w1]
    "
  `)
})

// lambda-semantics.md §3: concurrency is capped; what is beyond the cap is throttled.
test('at the limit idle seats are called back before anybody is throttled', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      ...warm('a', 's-2'),
      want('b', 1),
      released('a', 's-1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving    place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving    grant a [s-0/w1]
    want a 1              → serving    place s-1
    placed s-1 w1         → serving
    ready s-1 w1 0        → serving    grant a [s-1/w1]
    want a 1              → serving    place s-2
    placed s-2 w1         → serving
    ready s-2 w1 0        → serving    grant a [s-2/w1]
    want b 1              → saturated  recall a 1, wait 50 ms
    released a [s-1/w1] 0 → serving    grant b [s-1/w1], stop waiting
    "
  `)
  expect(
    story(...warm('a', 's-0'), ...warm('a', 's-1'), ...warm('a', 's-2'), want('b', 1), 'grace'),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving    place s-0
    placed s-0 w1  → serving
    ready s-0 w1 0 → serving    grant a [s-0/w1]
    want a 1       → serving    place s-1
    placed s-1 w1  → serving
    ready s-1 w1 0 → serving    grant a [s-1/w1]
    want a 1       → serving    place s-2
    placed s-2 w1  → serving
    ready s-2 w1 0 → serving    grant a [s-2/w1]
    want b 1       → saturated  recall a 1, wait 50 ms
    grace          → serving    stop waiting, throttle b 0
    "
  `)
})

test('at the limit only those are throttled that no sandbox is coming for', () => {
  expect(
    story(...warm('a', 's-0'), want('b', 5), 'grace', ready('s-1'), ready('s-2')),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving    place s-0
    placed s-0 w1  → serving
    ready s-0 w1 0 → serving    grant a [s-0/w1]
    want b 5       → saturated  place s-1, place s-2, recall a 3, wait 50 ms
    grace          → serving    stop waiting, throttle b 2
    ready s-1 w1 0 → serving    grant b [s-1/w1]
    ready s-2 w1 0 → serving    grant b [s-2/w1]
    "
  `)
})

test('at the limit what is being stopped makes room, and nobody is throttled for it', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      released('a', 's-0'),
      tick(600_000),
      want('a', 4),
      'grace',
      stopped('s-0'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving    place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving    grant a [s-0/w1]
    released a [s-0/w1] 0 → serving
    tick 600000           → serving    stop s-0 w1
    want a 4              → saturated  place s-1, place s-2, wait 50 ms
    grace                 → serving    stop waiting, throttle a 3
    stopped s-0 w1        → serving    place s-3
    "
  `)
})

// AWS Lambda Developer Guide, "Configuring reserved concurrency for a function"; lambda-semantics.md §3.3.
test('a limit that is lowered calls seats back, also from who waits, and none is granted before enough have come', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('b', 's-1'),
      ...warm('b', 's-2'),
      want('a', 1),
      limited(1, 0, 'reserved'),
      released('b', 's-1'),
      tick(1_000),
      released('b', 's-2'),
      'grace',
      released('a', 's-0'),
      want('b', 1),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving    place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving    grant a [s-0/w1]
    want b 1              → serving    place s-1
    placed s-1 w1         → serving
    ready s-1 w1 0        → serving    grant b [s-1/w1]
    want b 1              → serving    place s-2
    placed s-2 w1         → serving
    ready s-2 w1 0        → serving    grant b [s-2/w1]
    want a 1              → saturated  recall b 1, wait 50 ms
    limited 1 0 reserved  → saturated  recall a 1, recall b 2
    released b [s-1/w1] 0 → saturated
    tick 1000             → saturated  audit a s 1, audit b s 1, recall a 1, recall b 1
    released b [s-2/w1] 0 → saturated
    grace                 → serving    stop waiting, throttle a 0 reserved
    released a [s-0/w1] 0 → serving
    want b 1              → serving    grant b [s-0/w1]
    "
  `)
})

test('a limit that is raised counts at once, for who waits as well', () => {
  expect(
    story(...warm('a', 's-0'), limited(1), want('b', 3), limited(3), limited(9)),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving    place s-0
    placed s-0 w1  → serving
    ready s-0 w1 0 → serving    grant a [s-0/w1]
    limited 1 0    → serving
    want b 3       → saturated  recall a 3, wait 50 ms
    limited 3 0    → saturated  place s-1, place s-2
    limited 9 0    → serving    place s-3, stop waiting
    "
  `)
})

test('at a limit of 0 everybody is throttled, whatever lies free', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      released('a', 's-0'),
      limited(0, 0, 'reserved'),
      want('a', 1),
      'grace',
      limited(3),
      want('a', 1),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving    place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving    grant a [s-0/w1]
    released a [s-0/w1] 0 → serving
    limited 0 0 reserved  → serving
    want a 1              → saturated  wait 50 ms
    grace                 → serving    stop waiting, throttle a 0 reserved
    limited 3 0           → serving
    want a 1              → serving    grant a [s-0/w1]
    "
  `)
})

test('what the function’s other pools have in use counts, and idle seats are borrowed from them', () => {
  expect(
    story(limited(1, 1), want('a', 1), limited(1, 0), ready('s-0'), limited(1, 0)),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    limited 1 1    → serving
    want a 1       → saturated  borrow 1, wait 50 ms
    limited 1 0    → serving    place s-0, stop waiting
    ready s-0 w1 0 → serving    grant a [s-0/w1]
    limited 1 0    → serving
    "
  `)
  expect(story(limited(1, 1), want('a', 1), 'grace')).toMatchInlineSnapshot(`
    "
    (start)     → serving
    limited 1 1 → serving
    want a 1    → saturated  borrow 1, wait 50 ms
    grace       → serving    stop waiting, throttle a 0
    "
  `)
  expect(
    story(...warm('a', 's-0'), ...warm('b', 's-1'), want('b', 1), lend(1)),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving  place s-0
    placed s-0 w1  → serving
    ready s-0 w1 0 → serving  grant a [s-0/w1]
    want b 1       → serving  place s-1
    placed s-1 w1  → serving
    ready s-1 w1 0 → serving  grant b [s-1/w1]
    want b 1       → serving  place s-2
    lend 1         → serving  recall a 1
    "
  `)
})

test('where no worker has room, who is beyond the limit is throttled all the same', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      want('a', 1),
      noRoom('s-1'),
      limited(2, 0, 'reserved'),
      want('b', 2),
      'roomAgain',
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)              → serving
    want a 1             → serving  place s-0
    placed s-0 w1        → serving
    ready s-0 w1 0       → serving  grant a [s-0/w1]
    want a 1             → serving  place s-1
    noRoom s-1           → crowded  wait 500 ms
    limited 2 0 reserved → crowded
    want b 2             → crowded
    roomAgain            → crowded  stop waiting, throttle a 0 reserved, throttle b 1 reserved, place s-2, wait 500 ms
    "
  `)
})

test('where no worker has room nobody is throttled: room is asked for again after a while', () => {
  expect(
    story(
      want('a', 3),
      noRoom('s-0'),
      noRoom('s-1'),
      noRoom('s-2'),
      'roomAgain',
      noRoom('s-3'),
      'roomAgain',
      placed('s-4'),
      ready('s-4'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 3       → serving  place s-0, place s-1, place s-2
    noRoom s-0     → crowded  wait 500 ms
    noRoom s-1     → crowded
    noRoom s-2     → crowded
    roomAgain      → crowded  stop waiting, place s-3, wait 500 ms
    noRoom s-3     → crowded
    roomAgain      → crowded  stop waiting, place s-4, wait 500 ms
    placed s-4 w1  → serving  stop waiting, place s-5, place s-6
    ready s-4 w1 0 → serving  grant a [s-4/w1]
    "
  `)
})

test('that there was no room for a sandbox that came all the same is not believed', () => {
  expect(
    story(want('a', 1), ready('s-0'), noRoom('s-0'), released('a', 's-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    noRoom s-0            → serving
    released a [s-0/w1] 0 → serving
    "
  `)
})

test('a twin that a slow worker started as well is stopped there, and the seat stays', () => {
  expect(
    story(
      want('a', 1),
      placed('s-0', 'w2'),
      ready('s-0', 'w1'),
      ready('s-0', 'w2'),
      stopped('s-0', 'w1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 1       → serving  place s-0
    placed s-0 w2  → serving
    ready s-0 w1 0 → serving  stop s-0 w1
    ready s-0 w2 0 → serving  grant a [s-0/w2]
    stopped s-0 w1 → serving
    "
  `)
})

test('the seats of a dead front end are asked after, and go to others when they are free', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      frontEndGone('a'),
      want('b', 1),
      tick(1_000),
      freed('s-1'),
      stopped('s-0'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)          → serving
    want a 1         → serving  place s-0
    placed s-0 w1    → serving
    ready s-0 w1 0   → serving  grant a [s-0/w1]
    want a 1         → serving  place s-1
    placed s-1 w1    → serving
    ready s-1 w1 0   → serving  grant a [s-1/w1]
    frontEndGone a   → serving  reclaim s-0 w1, reclaim s-1 w1
    want b 1         → serving  place s-2
    tick 1000        → serving  reclaim s-0 w1, reclaim s-1 w1
    freed [s-1/w1] 0 → serving  grant b [s-1/w1]
    stopped s-0 w1   → serving
    "
  `)
})

test('what only a dead front end waited for is called off', () => {
  expect(story(want('a', 2), placed('s-0'), frontEndGone('a'))).toMatchInlineSnapshot(`
    "
    (start)        → serving
    want a 2       → serving  place s-0, place s-1
    placed s-0 w1  → serving
    frontEndGone a → serving  reclaim s-0 w1, callOff s-0 w1
    "
  `)
})

test('a sandbox that its holder lost sight of is nobody’s until its worker says that it is free', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      doubted('a', 's-0'),
      want('b', 1),
      released('a', 's-0'),
      freed('s-0'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    doubted a s-0/w1      → serving  reclaim s-0 w1
    want b 1              → serving  place s-1
    released a [s-0/w1] 0 → serving
    freed [s-0/w1] 0      → serving  grant b [s-0/w1]
    "
  `)
})

test('only the holder of a seat can give it back or doubt it', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      released('b', 's-0'),
      doubted('b', 's-0'),
      freed('s-0'),
      want('b', 1),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    released b [s-0/w1] 0 → serving
    doubted b s-0/w1      → serving  reclaim s-0 w1
    freed [s-0/w1] 0      → serving
    want b 1              → serving  place s-1
    "
  `)
})

test('sandboxes on a dead worker are forgotten, and others started for who waits', () => {
  expect(
    story(...warm('a', 's-0'), want('b', 1), placed('s-1'), workerGone('w1'), released('a', 's-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    want b 1              → serving  place s-1
    placed s-1 w1         → serving
    workerGone w1         → serving  place s-2
    released a [s-0/w1] 0 → serving  stop s-0 w1
    "
  `)
})

test('sandboxes on a worker that leaves are stopped as they come back', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      released('a', 's-0'),
      workerDraining('w1'),
      stopped('s-0'),
      released('a', 's-1'),
      stopped('s-1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    want a 1              → serving  place s-1
    placed s-1 w1         → serving
    ready s-1 w1 0        → serving  grant a [s-1/w1]
    released a [s-0/w1] 0 → serving
    workerDraining w1     → serving  stop s-0 w1
    stopped s-0 w1        → serving
    released a [s-1/w1] 0 → serving  stop s-1 w1
    stopped s-1 w1        → serving
    "
  `)
})

test('a sandbox that nobody used for long is stopped, and a pool without any is over', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      released('a', 's-0'),
      tick(599_999),
      tick(600_000),
      stopped('s-0'),
      tick(601_000),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    released a [s-0/w1] 0 → serving
    tick 599999           → serving
    tick 600000           → serving  stop s-0 w1
    stopped s-0 w1        → serving
    tick 601000           → over
    "
  `)
})

test('a message that was lost is made up for: each tick workers are asked after what is uncertain', () => {
  expect(
    story(want('a', 1), placed('s-0'), tick(1_000), freed('s-0'), want('a', 0)),
  ).toMatchInlineSnapshot(`
    "
    (start)          → serving
    want a 1         → serving  place s-0
    placed s-0 w1    → serving
    tick 1000        → serving  reclaim s-0 w1
    freed [s-0/w1] 0 → serving  grant a [s-0/w1]
    want a 0         → serving
    "
  `)
  expect(
    story(want('a', 1), placed('s-0'), want('a', 0), tick(1_000), freed('s-0'), stopped('s-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)          → serving
    want a 1         → serving  place s-0
    placed s-0 w1    → serving
    want a 0         → serving  callOff s-0 w1
    tick 1000        → serving  reclaim s-0 w1
    freed [s-0/w1] 0 → serving
    stopped s-0 w1   → serving
    "
  `)
})

test('a seat that its holder does not list, because the grant or the return was lost, is asked after', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      tick(1_000),
      holding('a', 1, 's-0'),
      want('b', 1),
      freed('s-1'),
      released('a', 's-0'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                → serving
    want a 1               → serving  place s-0
    placed s-0 w1          → serving
    ready s-0 w1 0         → serving  grant a [s-0/w1]
    want a 1               → serving  place s-1
    placed s-1 w1          → serving
    ready s-1 w1 0         → serving  grant a [s-1/w1]
    tick 1000              → serving  audit a s 1
    holding a s 1 [s-0/w1] → serving  reclaim s-1 w1
    want b 1               → serving  place s-2
    freed [s-1/w1] 0       → serving  grant b [s-1/w1]
    released a [s-0/w1] 0  → serving
    "
  `)
})

test('an answer from before a grant says nothing of it', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      tick(1_000),
      ...warm('a', 's-1'),
      holding('a', 1, 's-0'),
      tick(2_000),
      holding('a', 2, 's-0', 's-1'),
      released('a', 's-1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                       → serving
    want a 1                      → serving  place s-0
    placed s-0 w1                 → serving
    ready s-0 w1 0                → serving  grant a [s-0/w1]
    tick 1000                     → serving  audit a s 1
    want a 1                      → serving  place s-1
    placed s-1 w1                 → serving
    ready s-1 w1 0                → serving  grant a [s-1/w1]
    holding a s 1 [s-0/w1]        → serving
    tick 2000                     → serving  audit a s 2
    holding a s 2 [s-0/w1 s-1/w1] → serving
    released a [s-1/w1] 0         → serving
    "
  `)
})

test('an answer to another owner says nothing here', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      tick(1_000),
      { type: 'holding', frontEnd: 'a', owner: 'other', audit: 9, seats: [] },
      released('a', 's-0'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving  place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving  grant a [s-0/w1]
    tick 1000             → serving  audit a s 1
    holding a other 9 []  → serving  ignored
    released a [s-0/w1] 0 → serving
    "
  `)
})

test('a seat that a front end lists is its own when nobody else has it', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      frontEndGone('a'),
      holding('a', 0, 's-0', 's-1'),
      want('b', 1),
      freed('s-0'),
      released('a', 's-1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                       → serving
    want a 1                      → serving  place s-0
    placed s-0 w1                 → serving
    ready s-0 w1 0                → serving  grant a [s-0/w1]
    want a 1                      → serving  place s-1
    placed s-1 w1                 → serving
    ready s-1 w1 0                → serving  grant a [s-1/w1]
    frontEndGone a                → serving  reclaim s-0 w1, reclaim s-1 w1
    holding a s 0 [s-0/w1 s-1/w1] → serving
    want b 1                      → serving  place s-2
    freed [s-0/w1] 0              → serving
    released a [s-1/w1] 0         → serving  grant b [s-1/w1]
    "
  `)
  expect(
    story(...warm('a', 's-0'), released('a', 's-0'), holding('b', 0, 's-0'), want('a', 1)),
  ).toMatchInlineSnapshot(`
    "
    (start)                → serving
    want a 1               → serving  place s-0
    placed s-0 w1          → serving
    ready s-0 w1 0         → serving  grant a [s-0/w1]
    released a [s-0/w1] 0  → serving
    holding b s 0 [s-0/w1] → serving
    want a 1               → serving  place s-1
    "
  `)
})

test('a seat that a front end lists and another one has stays with that one', () => {
  expect(
    story(...warm('a', 's-0'), holding('b', 0, 's-0'), released('b', 's-0'), released('a', 's-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)                → serving
    want a 1               → serving  place s-0
    placed s-0 w1          → serving
    ready s-0 w1 0         → serving  grant a [s-0/w1]
    holding b s 0 [s-0/w1] → serving
    released b [s-0/w1] 0  → serving
    released a [s-0/w1] 0  → serving
    "
  `)
})

test('a seat that is listed and not known counts, unless its worker says that it is gone', () => {
  expect(
    story(...warm('a', 's-0'), holding('a', 0, 's-0', 'x-0', 'x-1'), stopped('x-0'), want('b', 2)),
  ).toMatchInlineSnapshot(`
    "
    (start)                              → serving
    want a 1                             → serving    place s-0
    placed s-0 w1                        → serving
    ready s-0 w1 0                       → serving    grant a [s-0/w1]
    holding a s 0 [s-0/w1 x-0/w1 x-1/w1] → serving    reclaim x-0 w1, reclaim x-1 w1
    stopped x-0 w1                       → serving
    want b 2                             → saturated  place s-1, recall a 1, wait 50 ms
    "
  `)
})

test('a pool that is retired asks as well what is held', () => {
  expect(
    story(...warm('a', 's-0'), retired, tick(1_000), holding('a', 1), freed('s-0'), stopped('s-0')),
  ).toMatchInlineSnapshot(`
    "
    (start)          → serving
    want a 1         → serving   place s-0
    placed s-0 w1    → serving
    ready s-0 w1 0   → serving   grant a [s-0/w1]
    retired          → draining
    tick 1000        → draining  audit a s 1
    holding a s 1 [] → draining  reclaim s-0 w1
    freed [s-0/w1] 0 → draining  stop s-0 w1
    stopped s-0 w1   → over
    "
  `)
})

test('what a worker says of its own accord changes nothing where it is known', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      released('a', 's-1'),
      {
        type: 'freed',
        seats: [seatOf('s-0'), seatOf('s-1'), seatOf('x-0')],
        atMs: 1_000,
      },
      want('b', 1),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                           → serving
    want a 1                          → serving  place s-0
    placed s-0 w1                     → serving
    ready s-0 w1 0                    → serving  grant a [s-0/w1]
    want a 1                          → serving  place s-1
    placed s-1 w1                     → serving
    ready s-1 w1 0                    → serving  grant a [s-1/w1]
    released a [s-1/w1] 0             → serving
    freed [s-0/w1 s-1/w1 x-0/w1] 1000 → serving  stop x-0 w1
    want b 1                          → serving  grant b [s-1/w1]
    "
  `)
})

test('a pool that is retired stops everything, each sandbox as it comes back', () => {
  expect(
    story(
      ...warm('a', 's-0'),
      ...warm('a', 's-1'),
      released('a', 's-0'),
      want('b', 2),
      want('c', 1),
      retired,
      want('d', 1),
      placed('s-2'),
      stopped('s-2'),
      released('b', 's-0'),
      stopped('s-0'),
      doubted('a', 's-1'),
      stopped('s-1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving
    want a 1              → serving    place s-0
    placed s-0 w1         → serving
    ready s-0 w1 0        → serving    grant a [s-0/w1]
    want a 1              → serving    place s-1
    placed s-1 w1         → serving
    ready s-1 w1 0        → serving    grant a [s-1/w1]
    released a [s-0/w1] 0 → serving
    want b 2              → serving    grant b [s-0/w1], place s-2
    want c 1              → saturated  recall a 1, wait 50 ms
    retired               → draining   stop waiting
    want d 1              → draining   ignored
    placed s-2 w1         → draining   stop s-2 w1
    stopped s-2 w1        → draining
    released b [s-0/w1] 0 → draining   stop s-0 w1
    stopped s-0 w1        → draining
    doubted a s-1/w1      → draining   reclaim s-1 w1
    stopped s-1 w1        → over
    "
  `)
})

test('a new owner takes over what it finds: held stays held, free is free, the rest is asked after', () => {
  const found = (sandboxId: string, standing: Standing): Found => ({
    sandboxId,
    workerId: 'w1',
    standing,
  })
  const takeover = storyOf(poolMachine, {
    ...input,
    prefix: 't',
    found: [
      found('s-0', { is: 'held', frontEnd: 'a', audits: 0 }),
      found('s-1', { is: 'free', sinceMs: 0 }),
      found('s-2', { is: 'doubtful' }),
    ],
  })
  expect(
    takeover(want('b', 2), released('a', 's-0'), freed('s-2'), released('b', 's-1')),
  ).toMatchInlineSnapshot(`
    "
    (start)               → serving    reclaim s-2 w1
    want b 2              → saturated  grant b [s-1/w1], recall a 1, wait 50 ms
    released a [s-0/w1] 0 → serving    grant b [s-0/w1], stop waiting
    freed [s-2/w1] 0      → serving
    released b [s-1/w1] 0 → serving
    "
  `)
})

test('what a new owner did not find is stopped when it shows itself', () => {
  expect(story(ready('x-0'), freed('x-1'), released('a', 'x-2'))).toMatchInlineSnapshot(`
    "
    (start)               → serving
    ready x-0 w1 0        → serving  stop x-0 w1
    freed [x-1/w1] 0      → serving  stop x-1 w1
    released a [x-2/w1] 0 → serving  stop x-2 w1
    "
  `)
})

const frontEnds = ['a', 'b']
const workers = ['w1', 'w2']
const anyId = fc.nat(7).map((number) => `s-${number}`)
const anyEvent: fc.Arbitrary<PoolEvent | 'a timer rings'> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...frontEnds), fc.nat(4))
    .map(([frontEnd, count]) => want(frontEnd, count)),
  fc
    .tuple(anyId, fc.constantFrom(...workers))
    .chain(([id, workerId]) =>
      fc.constantFrom(
        placed(id, workerId),
        ready(id, workerId),
        freed(id, workerId),
        stopped(id, workerId),
        noRoom(id),
      ),
    ),
  fc
    .tuple(anyId, fc.constantFrom(...frontEnds))
    .chain(([id, frontEnd]) => fc.constantFrom(released(frontEnd, id), doubted(frontEnd, id))),
  fc
    .tuple(fc.constantFrom(...frontEnds), fc.nat(3), fc.array(anyId, { maxLength: 3 }))
    .map(([frontEnd, audit, ids]) => holding(frontEnd, audit, ...ids)),
  fc.constantFrom(...frontEnds).map(frontEndGone),
  fc.constantFrom(...workers).chain((id) => fc.constantFrom(workerGone(id), workerDraining(id))),
  fc.nat(1_000_000).map(tick),
  fc.tuple(fc.nat(4), fc.nat(2)).map(([limit, elsewhere]) => limited(limit, elsewhere)),
  fc.nat(3).map(lend),
  fc.constant<'a timer rings'>('a timer rings'),
)

/** Who holds what, as the effects of a pool say. */
function heldBy(asked: Taken['asked']): [string, string][] {
  return asked.flatMap(({ type, params }) => {
    if (type !== 'grant') return []
    const { frontEnd, seats } = params as { frontEnd: string; seats: Seat[] }
    return seats.map(({ sandboxId }): [string, string] => [sandboxId, frontEnd])
  })
}

test('whatever comes, also late and twice, nothing is held by two and the limit holds; in the end nothing is left', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 80 }), fc.nat(80), (events, retiredAt) => {
      const life = live(poolMachine, input)
      const holders = new Map<string, string>()
      const check = (event: PoolEvent | undefined, { asked }: Taken) => {
        const before = new Map(holders)
        const { ledger, limit, elsewhere } = life.snapshot.context
        const { sandboxes, wants } = ledger
        const share = Math.max(0, limit - elsewhere)
        for (const [id, entry] of Object.entries(sandboxes)) {
          if (entry.standing.is !== 'held') holders.delete(id)
        }
        for (const id of holders.keys()) if (sandboxes[id] === undefined) holders.delete(id)
        if (event?.type === 'holding' && !life.isOver) {
          for (const { sandboxId } of event.seats) {
            const { standing } = sandboxes[sandboxId] as Entry
            const isTheirs = standing.is === 'held' && standing.frontEnd === event.frontEnd
            if (isTheirs) {
              expect(before.get(sandboxId) ?? event.frontEnd).toBe(event.frontEnd)
              holders.set(sandboxId, event.frontEnd)
            }
          }
        }
        for (const [id, frontEnd] of heldBy(asked)) {
          // Granted: it was nobody's, or came back with this very event.
          const wasReleased =
            event?.type === 'released' && event.seats.some(({ sandboxId }) => sandboxId === id)
          expect(before.has(id) && !wasReleased, `${id} is granted while it is held`).toBe(false)
          holders.set(id, frontEnd)
        }
        for (const [id, { standing }] of Object.entries(sandboxes)) {
          if (standing.is === 'held') expect(holders.get(id)).toBe(standing.frontEnd)
        }
        // More than the limit are only there when it was higher, or a front end has shown that they are.
        if (asked.some(({ type }) => type === 'place')) {
          expect(Object.keys(sandboxes).length).toBeLessThanOrEqual(share)
        }
        if (asked.some(({ type }) => type === 'grant')) {
          expect(inUse(ledger)).toBeLessThanOrEqual(share)
        }
        // Who waits does so for a reason: nothing is free, or no more may be in use.
        const isFree = Object.values(sandboxes).some(({ standing }) => standing.is === 'free')
        const isWaiting = Object.keys(wants).length > 0
        expect(isFree && isWaiting && inUse(ledger) < share).toBe(false)
      }
      const ring = () => {
        const [timer] = life.timers.keys()
        if (timer !== undefined) check(undefined, life.ringTimer(timer))
      }
      for (const [index, event] of events.entries()) {
        if (life.isOver) break
        if (index === retiredAt) check(retired, life.take(retired))
        if (event === 'a timer rings') ring()
        else check(event, life.take(event))
      }
      // Everything comes back, and workers answer what they are asked.
      for (const frontEnd of frontEnds) {
        check(undefined, life.take(want(frontEnd, 0)))
        check(undefined, life.take(frontEndGone(frontEnd)))
      }
      for (let rounds = 0; rounds < 4 && !life.isOver; rounds++) {
        ring()
        const { asked } = life.take(tick(10_000_000))
        for (const { type, params } of asked) {
          const { sandboxId, workerId } = (params ?? {}) as Seat
          if (type === 'reclaim') check(undefined, life.take(stopped(sandboxId, workerId)))
          if (type === 'stop' || type === 'callOff')
            check(undefined, life.take(stopped(sandboxId, workerId)))
        }
        for (const [id, { workerId }] of Object.entries(life.snapshot.context.ledger.sandboxes)) {
          if (workerId === '') check(undefined, life.take(noRoom(id)))
        }
      }
      expect(life.state).toBe('over')
    }),
    { numRuns: 300 },
  )
})
