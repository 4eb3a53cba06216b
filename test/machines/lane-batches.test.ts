import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Batch,
  cutOff,
  halve,
  type LaneBatches,
  noneInHand,
  putBack,
  take,
} from '../../machines/lane-batches.ts'
import '../seed.ts'

/** Of records `from` to `to`, with every sequence between them. */
const batchOf = (from: number, to: number): Batch => ({
  from,
  middle: from + Math.ceil((to - from + 1) / 2) - 1,
  to,
  records: to - from + 1,
  firstMs: 0,
})
const inHand = (batch: Batch, ...ends: number[]): LaneBatches => ({
  ...noneInHand,
  batch,
  attempts: 2,
  batches: ends.map((to) => ({ to, attempts: 0 })),
})

test('halves come before what follows, each with all its attempts before it', () => {
  expect(halve(inHand(batchOf(1, 8), 12))).toEqual({
    ...noneInHand,
    batches: [
      { to: 4, attempts: 0 },
      { to: 8, attempts: 0 },
      { to: 12, attempts: 0 },
    ],
  })
})

test('what is left of a batch is one of its own, and of one that is done with nothing is left', () => {
  const held = inHand(batchOf(1, 8), 12)
  expect(cutOff(held, 3).batches).toEqual([
    { to: 8, attempts: 0 },
    { to: 12, attempts: 0 },
  ])
  expect(cutOff(held, 8).batches).toEqual([{ to: 12, attempts: 0 }])
})

test('one that comes again as it was has failed as often as before', () => {
  const held = inHand(batchOf(1, 8))
  expect(take(putBack(held), batchOf(1, 8))).toEqual({ ...held, putOff: undefined })
})

test('one that turns out shorter than it was cut leaves the rest, and has not failed yet', () => {
  expect(take([{ to: 8, attempts: 2 }], batchOf(1, 5))).toEqual({
    batch: batchOf(1, 5),
    attempts: 0,
    batches: [{ to: 8, attempts: 0 }],
  })
})

test('one that was cut and is not there any more passes its attempts on to nobody', () => {
  expect(take([{ to: 8, attempts: 2 }], batchOf(9, 20)).attempts).toBe(0)
})

const anyCut = fc.oneof(
  fc.constant({ do: 'put back' as const }),
  fc.constant({ do: 'halve' as const }),
  fc.record({ do: fc.constant('cut off' as const), at: fc.nat(9) }),
)

test('whatever is cut, each record is in one batch, and they are in order', () => {
  const last = 40
  fc.assert(
    fc.property(fc.array(anyCut, { maxLength: 60 }), (cuts) => {
      let done = 0
      let batches: LaneBatches['batches'] = [{ to: last, attempts: 0 }]
      for (const cut of cuts) {
        const [next] = batches
        if (next === undefined) break
        const batch = batchOf(done + 1, next.to)
        const held = { ...noneInHand, ...take(batches, batch) }
        if (cut.do === 'put back') batches = putBack(held)
        if (cut.do === 'halve' && batch.records > 1) batches = halve(held).batches ?? []
        if (cut.do === 'cut off') {
          done = Math.min(done + 1 + cut.at, batch.to)
          batches = cutOff(held, done).batches
        }
        const ends = [done, ...batches.map(({ to }) => to)]
        expect(ends).toEqual([...new Set(ends)].sort((a, b) => a - b))
        expect(ends.at(-1)).toBe(last)
      }
    }),
  )
})
