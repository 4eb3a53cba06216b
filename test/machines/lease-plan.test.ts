import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Plan, planOf as planOfAny } from '../../machines/lease-plan.ts'
import '../seed.ts'

const queueOf = (lane: string) => lane.slice(0, lane.lastIndexOf('.'))
const lanesOf = (queues: Record<string, number>): string[] =>
  Object.entries(queues).flatMap(([queue, lanes]) =>
    Array.from({ length: lanes }, (_, lane) => `${queue}.${lane}`),
  )
/** Lanes of one queue are to be read by different pollers. */
const planOf = (lanes: readonly string[], pollers: readonly string[], before: Plan) =>
  planOfAny(lanes, pollers, before, { groupOf: queueOf })
const planned = (plan: Plan) =>
  Object.fromEntries([...plan].sort(([one], [other]) => (one < other ? -1 : 1)))

const lanes = lanesOf({ a: 2, b: 2, c: 2 })

test('lanes are read by all pollers alike, those of one queue by different ones', () => {
  expect(planned(planOf(lanes, ['p1', 'p2', 'p3'], new Map()))).toMatchInlineSnapshot(`
    {
      "a.0": "p1",
      "a.1": "p2",
      "b.0": "p3",
      "b.1": "p1",
      "c.0": "p2",
      "c.1": "p3",
    }
  `)
  expect(planned(planOf(lanes, ['p1'], new Map()))).toMatchInlineSnapshot(`
    {
      "a.0": "p1",
      "a.1": "p1",
      "b.0": "p1",
      "b.1": "p1",
      "c.0": "p1",
      "c.1": "p1",
    }
  `)
})

test('nobody reads anything when there is nobody', () => {
  expect(planOf(lanes, [], new Map([['a.0', 'p1']]))).toEqual(new Map())
})

test('a poller that comes gets what makes it even, and nothing else moves', () => {
  const before = planOf(lanes, ['p1', 'p2'], new Map())
  const after = planOf(lanes, ['p1', 'p2', 'p3'], before)
  const moved = lanes.filter((lane) => after.get(lane) !== before.get(lane))
  expect(moved.map((lane) => after.get(lane))).toEqual(['p3', 'p3'])
})

test('a queue with more lanes than pollers does not push the lanes of another together', () => {
  const before: Plan = new Map([
    ...['a.0', 'a.1', 'a.2', 'a.3', 'b.0'].map((lane) => [lane, 'p1'] as const),
    ...['a.4', 'a.5', 'b.1'].map((lane) => [lane, 'p2'] as const),
  ])
  expect(planned(planOf([...before.keys()], ['p1', 'p2'], before))).toMatchInlineSnapshot(`
    {
      "a.0": "p2",
      "a.1": "p1",
      "a.2": "p1",
      "a.3": "p1",
      "a.4": "p2",
      "a.5": "p2",
      "b.0": "p1",
      "b.1": "p2",
    }
  `)
})

const pollerIds = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6']
const anyLanes = fc
  .array(fc.integer({ min: 1, max: 6 }), { maxLength: 8 })
  .map((sizes) => lanesOf(Object.fromEntries(sizes.map((size, n) => [`q${n}`, size]))))
const anyPollers = fc.subarray(pollerIds, { minLength: 1 })
/** Whatever was written down before: of lanes that are no more, by pollers that are no more. */
const anyBefore: fc.Arbitrary<Plan> = fc
  .array(fc.tuple(fc.nat(9), fc.nat(6), fc.constantFrom(...pollerIds, 'gone')), { maxLength: 40 })
  .map((all) => new Map(all.map(([queue, lane, poller]) => [`q${queue}.${lane}`, poller])))

const loadsOf = (plan: Plan, pollers: readonly string[]): number[] =>
  pollers.map((poller) => [...plan.values()].filter((one) => one === poller).length)

test('whatever was before: each lane has one living poller, loads are even, queues are spread', () => {
  fc.assert(
    fc.property(anyLanes, anyPollers, anyBefore, (all, pollers, before) => {
      const plan = planOf(all, pollers, before)
      expect([...plan.keys()].sort()).toEqual([...all].sort())
      for (const poller of plan.values()) expect(pollers).toContain(poller)
      const loads = loadsOf(plan, pollers)
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
      for (const queue of new Set(all.map(queueOf))) {
        const readers = all.filter((lane) => queueOf(lane) === queue).map((lane) => plan.get(lane))
        expect(new Set(readers).size, queue).toBe(Math.min(readers.length, pollers.length))
      }
    }),
    { numRuns: 500 },
  )
})

test('planning again changes nothing', () => {
  fc.assert(
    fc.property(anyLanes, anyPollers, anyBefore, (all, pollers, before) => {
      const plan = planOf(all, pollers, before)
      expect(planned(planOf(all, pollers, plan))).toEqual(planned(plan))
    }),
    { numRuns: 500 },
  )
})

test('when a poller goes, its lanes move, and no more of the others than make it even', () => {
  fc.assert(
    fc.property(anyLanes, fc.subarray(pollerIds, { minLength: 2 }), (all, pollers) => {
      const before = planOf(all, pollers, new Map())
      const [gone, ...left] = pollers
      const after = planOf(all, left, before)
      const orphans = all.filter((lane) => before.get(lane) === gone)
      const moved = all.filter(
        (lane) => before.get(lane) !== gone && before.get(lane) !== after.get(lane),
      )
      expect(moved.length).toBeLessThanOrEqual(orphans.length)
    }),
    { numRuns: 500 },
  )
})

const shardsOf = (count: number) =>
  Array.from({ length: count }, (_, shard) => `m${shard % 7}.${shard}`)
const pollersOf = (count: number) => Array.from({ length: count }, (_, n) => `p${n}`)
const spread = (plan: Plan, pollers: readonly string[]) => {
  const loads = loadsOf(plan, pollers)
  return Math.max(...loads) - Math.min(...loads)
}

test('shards are spread evenly, also thousands of them, and stay where they are when one poller comes or goes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 3, max: 20 }), (count, n) => {
      const shards = shardsOf(count)
      const pollers = pollersOf(n)
      const before = planOfAny(shards, pollers, new Map())
      expect(spread(before, pollers)).toBeLessThanOrEqual(1)
      const moves = (after: Plan) =>
        shards.filter((shard) => after.get(shard) !== before.get(shard)).length
      expect(moves(planOfAny(shards, pollers, before))).toBe(0)

      const more = planOfAny(shards, [...pollers, 'new'], before)
      expect(spread(more, [...pollers, 'new'])).toBeLessThanOrEqual(1)
      expect(moves(more)).toBe(Math.floor(count / (n + 1)))

      const left = pollers.slice(1)
      const fewer = planOfAny(shards, left, before)
      expect(spread(fewer, left)).toBeLessThanOrEqual(1)
      expect(moves(fewer)).toBe([...before.values()].filter((one) => one === 'p0').length)
    }),
    { numRuns: 50 },
  )
})

test('who reads fewer lanes is given what is left over of the shards', () => {
  const pollers = ['p1', 'p2', 'p3']
  const besides = new Map([
    ['p1', 3],
    ['p2', 3],
    ['p3', 2],
  ])
  const plan = (count: number) =>
    loadsOf(planOfAny(shardsOf(count), pollers, new Map(), { besides }), pollers)
  expect(plan(1)).toEqual([0, 0, 1])
  expect(plan(200)).toEqual([67, 66, 67])
  // It is not worth a move.
  const before: Plan = new Map([['m0.0', 'p1']])
  expect(planOfAny(['m0.0'], pollers, before, { besides })).toEqual(before)
})

test('2,000 shards are planned in less than 20 ms', () => {
  const shards = shardsOf(2_000)
  const pollers = pollersOf(10)
  const whole = planOfAny(shards, pollers, new Map())
  const plans = {
    anew: () => planOfAny(shards, pollers, new Map()),
    'after one died': () => planOfAny(shards, pollers.slice(1), whole),
    'after one came': () => planOfAny(shards, [...pollers, 'new'], whole),
    'from one to ten': () => planOfAny(shards, pollers, new Map(shards.map((key) => [key, 'p0']))),
  }
  for (const [when, plan] of Object.entries(plans)) {
    const tookMs = Array.from({ length: 7 }, () => {
      const beganMs = performance.now()
      plan()
      return performance.now() - beganMs
    })
    // The machine has other things to do.
    const ms = Math.min(...tookMs)
    console.log(`2,000 shards, ten pollers, ${when}: planned in ${ms.toFixed(1)} ms`)
    expect(ms, when).toBeLessThan(20)
  }
})
