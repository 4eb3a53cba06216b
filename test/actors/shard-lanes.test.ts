import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openShardLanes } from '../../actors/shard-lanes.ts'
import type { StoredRecord } from '../../bus/shard-record.ts'
import { anyChance } from '../seed.ts'

const record = (sequence: number, key: number): StoredRecord => ({
  sequence,
  partitionKey: `k${key}`,
  arrivalMs: 0,
  data: new Uint8Array(3),
})

/** What a checkpoint would claim that is not so, or what is more in memory than may be. */
function wrongIn(
  { lanes, processed }: ReturnType<typeof world>,
  records: readonly StoredRecord[],
  count: number,
  wanted: number,
): string | undefined {
  for (let lane = 0; lane < count; lane++) {
    if (lanes.size(lane) > 2 * wanted) return `lane ${lane} holds ${lanes.size(lane)}`
    const last = processed[lane]?.at(-1) ?? 0
    const next = records.find(
      (one) => lanes.laneOf(one) === lane && one.sequence > last && one.partitionKey !== 'k7',
    )
    const done = lanes.done(lane)
    if (done < last || done >= (next?.sequence ?? Number.POSITIVE_INFINITY)) {
      return `lane ${lane} has done ${last}, claims ${done}, and ${next?.sequence} is next`
    }
  }
  return undefined
}

/** A stream of records, and the two readings of it, each of which may bring as many as there is room for. */
function world(records: readonly StoredRecord[], count: number, wanted: number) {
  const lanes = openShardLanes({
    done: Array.from({ length: count }, () => 0),
    after: 0,
    isDone: () => false,
    passes: ({ partitionKey }) => partitionKey !== 'k7',
    wanted: () => wanted,
  })
  const processed = Array.from({ length: count }, (): number[] => [])
  let mainAt = 0
  let behindAt: number | undefined
  return {
    lanes,
    processed,
    bringMain() {
      const next = records[mainAt]
      if (next === undefined || lanes.main.room() <= 0) return
      mainAt++
      lanes.main.take(next)
    },
    bringBehind() {
      const after = lanes.behind.begin()
      if (after !== undefined) behindAt = records.findIndex(({ sequence }) => sequence > after)
      const next = behindAt === undefined ? undefined : records[behindAt]
      if (next === undefined || behindAt === undefined || lanes.behind.room() <= 0) return
      behindAt++
      lanes.behind.take(next)
    },
    process(lane: number, batch: number) {
      for (let index = 0; index < batch; index++) {
        const first = lanes.at(lane, 0)
        if (first === undefined) return
        processed[lane]?.push(first.sequence)
        lanes.drop(lane, first.sequence)
      }
    },
    get isOver() {
      return (
        mainAt === records.length &&
        lanes.behind.isOver &&
        processed.every((_, lane) => lanes.size(lane) === 0)
      )
    },
  }
}

test('whichever lanes stand still and go on again, each gets its records once and in order', () => {
  fc.assert(
    fc.property(
      anyChance,
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 5 }),
      (chance, count, wanted) => {
        const keys = 1 + chance(12)
        const records = Array.from({ length: 120 }, (_, index) =>
          record(2 * index + 1, chance(keys)),
        )
        const it = world(records, count, wanted)
        const isStuck = new Set<number>()
        for (let step = 0; step < 1_000; step++) {
          const lane = chance(count)
          const what = chance(20)
          if (what === 0) isStuck.add(lane)
          else if (what === 1) isStuck.delete(lane)
          else if (what < 8) it.bringMain()
          else if (what < 14) it.bringBehind()
          else if (!isStuck.has(lane)) it.process(lane, 1 + chance(wanted))
          expect(wrongIn(it, records, count, wanted)).toBeUndefined()
        }
        for (let calm = 0; calm < 5_000 && !it.isOver; calm++) {
          it.bringMain()
          it.bringBehind()
          it.process(calm % count, wanted)
        }
        const expected = it.processed.map((_, lane) =>
          records
            .filter((one) => it.lanes.laneOf(one) === lane && one.partitionKey !== 'k7')
            .map(({ sequence }) => sequence),
        )
        expect(it.processed).toEqual(expected)
      },
    ),
    { numRuns: 100 },
  )
})

test('a lane that has had enough keeps the others from nothing', () => {
  const records = Array.from({ length: 400 }, (_, index) => record(index + 1, index % 20))
  const it = world(records, 4, 4)
  const stuck = it.lanes.laneOf(record(1, 0))
  for (let step = 0; step < 4_000; step++) {
    it.bringMain()
    it.bringBehind()
    if (step % 4 !== stuck) it.process(step % 4, 4)
  }
  const others = records.filter(
    (one) => it.lanes.laneOf(one) !== stuck && one.partitionKey !== 'k7',
  )
  const done = it.processed.filter((_, lane) => lane !== stuck).flat()
  expect(done).toHaveLength(others.length)
  expect(it.processed[stuck]).toEqual([])
})
