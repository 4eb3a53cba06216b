import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openGivenBack } from '../../bus/given-back.ts'

test('a younger event waits for every older one of its actor, and for no other actor', () => {
  const givenBack = openGivenBack(1_000)
  givenBack.add('a', 1, 100)
  givenBack.add('a', 2, 300)
  expect(givenBack.arrived('a', 3, 50)).toBe(300)
  expect(givenBack.arrived('b', 3, 50)).toBeUndefined()
  expect(givenBack.arrived('a', 1, 120)).toBeUndefined()
  expect(givenBack.arrived('a', 3, 130)).toBe(300)
  expect(givenBack.arrived('a', 2, 310)).toBeUndefined()
  expect(givenBack.arrived('a', 3, 320)).toBeUndefined()
})

test('an older event that does not come back is not waited for for ever', () => {
  const givenBack = openGivenBack(1_000)
  givenBack.add('a', 1, 100)
  expect(givenBack.arrived('a', 2, 1_100)).toBe(100)
  expect(givenBack.arrived('a', 2, 1_101)).toBeUndefined()
  givenBack.add('a', 1, 100)
  givenBack.tidy(1_101)
  expect(givenBack.arrived('a', 2, 200)).toBeUndefined()
})

test('in whatever order they come again, they are taken in the order of their sequence', () => {
  const arrivals = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 30, maxLength: 60 })
  fc.assert(
    fc.property(arrivals, (order) => {
      const givenBack = openGivenBack(1_000)
      const waiting = new Set([1, 2, 3, 4, 5, 6, 7, 8])
      for (const sequence of waiting) givenBack.add('a', sequence, 0)
      const taken: number[] = []
      for (const sequence of [...order, ...waiting]) {
        if (!waiting.has(sequence)) continue
        if (givenBack.arrived('a', sequence, 0) === undefined) {
          waiting.delete(sequence)
          taken.push(sequence)
        } else givenBack.add('a', sequence, 0)
      }
      expect(taken).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    }),
  )
})
