/** Sequence numbers: made, read and compared. Source: lambda-semantics.md §8.3. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compareSequenceNumbers,
  endingCounter,
  readSequenceNumber,
  type SequenceParts,
  sequenceNumber,
} from '../../../edges/aws/sequence-number.ts'

const second = fc.integer({ min: 1_000_000_000, max: 9_000_000_000 }).map((each) => each * 1000)
const parts: fc.Arbitrary<SequenceParts> = fc.record({
  shardCreatedAtMs: second,
  shard: fc.integer({ min: 0, max: 2_147_483_647 }),
  counter: fc.bigInt({ min: 0n, max: endingCounter }),
  arrivalMs: second,
})

describe('a sequence number', () => {
  test('has 56 digits and the layout that AWS has', () => {
    const made = sequenceNumber({
      shardCreatedAtMs: 1_795_626_000_123,
      shard: 19,
      counter: 258,
      arrivalMs: 1_795_627_000_999,
    })
    expect(made).toMatch(/^\d{56}$/)
    expect(BigInt(made).toString(16)).toBe(
      ['2', '06b071410', '3', '0000000000000102', '00', '06b0717f8', '00000013', '2'].join(''),
    )
  })

  // Recorded in September 2026 and before: lambda-semantics.md §8.3, apache/flink-connector-aws #243.
  test('of AWS is read as what it is', () => {
    const read = readSequenceNumber('49674026002850188218576229259473476449429298564223254594')
    expect(read).toMatchObject({ version: 2, shard: 3_076 })
    expect(new Date(read?.shardCreatedAtMs ?? 0).getUTCFullYear()).toBe(2026)
    expect(
      readSequenceNumber('49635293216433304706025617534454680056322001902963261442'),
    ).toMatchObject({ version: 2, shard: 0, counter: 0n })
  })

  test('is read as it was made, to the second', () => {
    fc.assert(
      fc.property(parts, (made) => {
        expect(readSequenceNumber(sequenceNumber(made))).toEqual({ version: 2, ...made })
      }),
    )
  })

  test('of a shard grows with its counter, whenever the record came', () => {
    fc.assert(
      fc.property(parts, second, fc.bigInt({ min: 0n, max: endingCounter }), (one, at, counter) => {
        const other = { ...one, arrivalMs: at, counter }
        const order = compareSequenceNumbers(sequenceNumber(one), sequenceNumber(other))
        const expected =
          one.counter === counter ? one.arrivalMs - at : BigInt(one.counter) < counter ? -1 : 1
        expect(Math.sign(order)).toBe(Math.sign(expected))
      }),
    )
  })

  test('of any kind compares as the number that it is', () => {
    const number = fc.bigInt({ min: 0n, max: 1n << 200n })
    fc.assert(
      fc.property(number, number, (one, other) => {
        const order = compareSequenceNumbers(String(one), String(other))
        expect(Math.sign(order)).toBe(one < other ? -1 : one > other ? 1 : 0)
      }),
    )
  })

  test('is never read from a text that is none, and nothing throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.bigInt({ min: 0n }).map(String)), (text) => {
        const read = readSequenceNumber(text)
        if (!/^\d{1,129}$/.test(text)) expect(read).toBeUndefined()
      }),
    )
  })

  // Recorded: kinesalite's test/putRecord.js and test/getShardIterator.js.
  test.each([
    ['0', 0, 0],
    ['5', 0, 5],
    [BigInt('0x20000000000000000000000000000000000000000000001').toString(), 1, 0],
    [BigInt('0x20000000000000000000000000000000000000000000002').toString(), 2, 0],
    [BigInt('0x20000000000000000000000000000000000000800000002').toString(), 2, -2_147_483_648],
  ])('%s is one of version %i, of shard %i', (text, version, shard) => {
    expect(readSequenceNumber(text)).toMatchObject({ version, shard })
  })
  test.each([
    ['version 0 in a long one', '20000000000000000000000000000000000000000000000'],
    ['version 3', '20000000000000000000000000000000000000000000003'],
    ['version 4', '20000000000000000000000000000000000000000000004'],
    ['3 at its beginning', '30000000000000000000000000000000000000000000001'],
    ['1 at its beginning', '1ffffffffff7fffffffffffffff000000000007fffffff2'],
    ['8 in its counter', '20000000000800000000000000000000000000000000002'],
    ['a date too large', '13bb2cc3d80000000000000000000000'],
    ['nothing but f', '2ffffffffff7fffffffffffffff000000000007fffffff2'],
  ])('with %s is none', (_, hex) => {
    expect(readSequenceNumber(BigInt(`0x${hex}`).toString())).toBeUndefined()
  })
})
