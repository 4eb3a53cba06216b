import fc from 'fast-check'
import { expect, test } from 'vitest'
import { partitionOf, preferredOwner } from '../../bus/partitions.ts'

const names = fc.string({ minLength: 1, maxLength: 64 })
const ids = fc.uniqueArray(fc.uuid(), { minLength: 1, maxLength: 12 })
const partitions = Array.from({ length: 64 }, (_, index) => index)

test('the partition of a name never changes from one release to the next', () => {
  expect(['hello', 'orders', 'a', 'ünicode'].map((name) => partitionOf(name, 8))).toEqual([
    2, 3, 2, 0,
  ])
})

test('every name has a partition in range, the same each time', () => {
  fc.assert(
    fc.property(names, fc.integer({ min: 1, max: 256 }), (name, count) => {
      const partition = partitionOf(name, count)
      expect(partition).toBeGreaterThanOrEqual(0)
      expect(partition).toBeLessThan(count)
      expect(partitionOf(name, count)).toBe(partition)
    }),
  )
})

test('ten thousand functions are spread over eight partitions to within a tenth', () => {
  const found = Array.from({ length: 10_000 }, (_, n) => partitionOf(`function-${n}`, 8))
  for (let partition = 0; partition < 8; partition++) {
    const count = found.filter((one) => one === partition).length
    expect(Math.abs(count - 1250)).toBeLessThan(125)
  }
})

test('nobody owns a partition when nobody is there', () => {
  expect(preferredOwner(3, [])).toBeUndefined()
})

test('everyone prefers the same owner, in whatever order they know the others', () => {
  fc.assert(
    fc.property(ids, fc.nat(255), fc.integer(), (owners, partition, seed) => {
      const shuffled = [...owners].sort(
        (a, b) => partitionOf(`${seed}${a}`, 97) - partitionOf(`${seed}${b}`, 97),
      )
      expect(preferredOwner(partition, shuffled)).toBe(preferredOwner(partition, owners))
    }),
  )
})

test('when an owner leaves, only what it had moves', () => {
  fc.assert(
    fc.property(ids, fc.nat(), (owners, pick) => {
      const leaver = owners[pick % owners.length]
      const rest = owners.filter((id) => id !== leaver)
      for (const partition of partitions) {
        const before = preferredOwner(partition, owners)
        if (before !== leaver) expect(preferredOwner(partition, rest)).toBe(before)
      }
    }),
  )
})

test('a newcomer takes from everyone and nothing moves between the others', () => {
  fc.assert(
    fc.property(ids, fc.uuid(), (owners, newcomer) => {
      for (const partition of partitions) {
        const after = preferredOwner(partition, [...owners, newcomer])
        expect([preferredOwner(partition, owners), newcomer]).toContain(after)
      }
    }),
  )
})

test('256 partitions over four owners give each of them a fair share', () => {
  const owners = ['manager-a', 'manager-b', 'manager-c', 'manager-d']
  const preferred = Array.from({ length: 256 }, (_, partition) => preferredOwner(partition, owners))
  for (const owner of owners) {
    const share = preferred.filter((one) => one === owner).length
    expect(share).toBeGreaterThan(40)
    expect(share).toBeLessThan(90)
  }
})
