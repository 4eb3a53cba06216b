/** Which shard a key belongs to. Source: lambda-semantics.md §8.3. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { explicitHashKey, hashKeyOf, openShardOf } from '../../../edges/aws/hash-key.ts'
import type { Shard } from '../../../machines/stream.ts'

const largest = (1n << 128n) - 1n
const shardsFrom = (starts: readonly bigint[]): Shard[] =>
  starts.map((start, index) => ({
    index,
    startHash: String(start),
    endHash: String((starts[index + 1] ?? largest + 1n) - 1n),
    createdAtMs: 0,
    after: 0,
  }))

describe('a hash key', () => {
  test("is the MD5 of the key's UTF-8", () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (key) => {
        expect(hashKeyOf(key)).toBe(createHash('md5').update(key, 'utf8').digest('hex'))
      }),
    )
  })

  test('that is given goes up to 2^128 − 1', () => {
    expect(explicitHashKey('0')).toBe('0'.repeat(32))
    expect(explicitHashKey(String(largest))).toBe('f'.repeat(32))
    expect(explicitHashKey(String(largest + 1n))).toBeUndefined()
  })
})

describe('the open shard of a key', () => {
  // Recorded: kinesalite's test/putRecord.js and test/putRecords.js, a stream of three shards.
  test.each([
    ['a', 0],
    ['b', 1],
    ['e', 2],
    ['f', 1],
  ])('of %s is %i of three', (key, index) => {
    const third = (1n << 128n) / 3n
    expect(openShardOf(shardsFrom([0n, third, third * 2n]), hashKeyOf(key))?.index).toBe(index)
  })

  test('is the one whose range has it, whatever the ranges', () => {
    const start = fc.bigInt({ min: 1n, max: largest })
    fc.assert(
      fc.property(
        fc.uniqueArray(start, { maxLength: 20 }),
        fc.bigInt({ min: 0n, max: largest }),
        (starts, key) => {
          const shards = shardsFrom([0n, ...starts.sort((one, other) => (one < other ? -1 : 1))])
          const hash = explicitHashKey(String(key)) ?? ''
          const found = openShardOf([...shards].reverse(), hash)
          const expected = shards.find(
            ({ startHash, endHash }) => BigInt(startHash) <= key && key <= BigInt(endHash),
          )
          expect(found).toBe(expected)
        },
      ),
    )
  })

  test('is none that is closed', () => {
    const [first, second] = shardsFrom([0n, 100n]) as [Shard, Shard]
    const closed = { ...first, closedAtMs: 1 }
    const key = explicitHashKey('5') ?? ''
    expect(openShardOf([closed, second], key)).toBeUndefined()
    const child = { ...first, index: 2 }
    expect(openShardOf([closed, second, child], key)).toBe(child)
  })
})
