import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openLanes } from '../../bus/lanes.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('within a lane one thing is done at a time and in order; never more lanes at once than allowed', async () => {
  const jobs = fc.array(fc.record({ lane: fc.constantFrom('a', 'b', 'c'), turns: fc.nat(3) }), {
    maxLength: 30,
  })
  await fc.assert(
    fc.asyncProperty(jobs, fc.integer({ min: 1, max: 3 }), async (given, concurrency) => {
      const busy = new Set<string>()
      const done: { lane: string; position: number }[] = []
      let finished = () => {}
      const all = new Promise<void>((resolve) => {
        finished = resolve
      })
      const lanes = openLanes<{ position: number; turns: number }>(
        concurrency,
        async (job, lane) => {
          expect(busy.has(lane)).toBe(false)
          busy.add(lane)
          expect(busy.size).toBeLessThanOrEqual(concurrency)
          for (let n = 0; n < job.turns; n++) await turn()
          busy.delete(lane)
          done.push({ lane, position: job.position })
          if (done.length === given.length) finished()
        },
      )
      for (const [position, { lane, turns }] of given.entries())
        lanes.add(lane, { position, turns })
      if (given.length > 0) await all
      for (const lane of ['a', 'b', 'c']) {
        const order = done.filter((one) => one.lane === lane).map(({ position }) => position)
        expect(order).toEqual([...order].sort((a, b) => a - b))
      }
    }),
  )
})

test('what comes again is done before what is younger', async () => {
  const done: number[] = []
  let release = () => {}
  const first = new Promise<void>((resolve) => {
    release = resolve
  })
  const lanes = openLanes<{ position: number }>(2, async ({ position }) => {
    if (position === 1) await first
    done.push(position)
  })
  for (const position of [1, 4, 3, 2]) lanes.add('a', { position })
  release()
  await turn()
  expect(done).toEqual([1, 2, 3, 4])
})

test('what was taken back is not done, and the lane goes on with what comes then', async () => {
  const done: number[] = []
  const lanes = openLanes<{ position: number }>(1, async ({ position }) => {
    done.push(position)
    await turn()
  })
  for (const position of [1, 2, 3]) lanes.add('a', { position })
  lanes.add('b', { position: 4 })
  expect(lanes.takeBack('a').map(({ position }) => position)).toEqual([2, 3])
  expect(lanes.takeBackAll().map(({ position }) => position)).toEqual([4])
  lanes.add('b', { position: 5 })
  lanes.add('a', { position: 6 })
  for (let n = 0; n < 10; n++) await turn()
  expect(done.toSorted()).toEqual([1, 5, 6])
})
