/** Shard iterators and shard ids, and what is none. Source: kinesalite's test/helpers.js and test/getShardIterator.js. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { shardId, shardIndex } from '../../../edges/aws/shard-id.ts'
import { readShardIterator, shardIterator } from '../../../edges/aws/shard-iterator.ts'

const position = { stream: 'orders', incarnation: 'abc', shard: 3, from: 17 }
const refusal = { refused: 'InvalidArgumentException', message: 'Invalid ShardIterator.' }
const nowMs = Date.UTC(2026, 10, 5, 9, 2, 3)

describe('an iterator', () => {
  test('is read as it was made, and looks like one of AWS', () => {
    const name = fc.stringMatching(/^[\w.-]{1,128}$/)
    const from = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
    fc.assert(
      fc.property(name, from, (stream, sequence) => {
        const made = shardIterator({ ...position, stream, from: sequence }, nowMs)
        const bytes = Buffer.from(made, 'base64')
        expect(bytes.toString('base64')).toBe(made)
        expect((bytes.length - 152) % 16).toBe(0)
        expect(bytes.length).toBeGreaterThanOrEqual(152)
        expect(bytes.subarray(0, 8).toString('hex')).toBe('0000000000000001')
        expect(made.length).toBeLessThanOrEqual(512)
        expect(readShardIterator(made, nowMs)).toEqual({ ...position, stream, from: sequence })
      }),
    )
  })

  test('expires after five minutes', () => {
    const made = shardIterator(position, nowMs)
    expect(readShardIterator(made, nowMs + 299_999)).toEqual(position)
    expect(readShardIterator(made, nowMs + 300_000)).toEqual({
      refused: 'ExpiredIteratorException',
      status: 400,
      message:
        'Iterator expired. The iterator was created at time Thu Nov 05 09:02:03 UTC 2026 while right now it is Thu Nov 05 09:07:03 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds.',
    })
  })

  test('is no other text, and nothing throws', () => {
    const made = Buffer.from(shardIterator(position, nowMs), 'base64')
    expect(readShardIterator('', nowMs)).toMatchObject(refusal)
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ minLength: 100, maxLength: 300 }), (text, bytes) => {
        expect(readShardIterator(text, nowMs)).toMatchObject(refusal)
        const encoded = Buffer.concat([made.subarray(0, 8), bytes]).toString('base64')
        expect(readShardIterator(encoded, nowMs)).toMatchObject(refusal)
      }),
    )
    expect(readShardIterator(made.subarray(0, 136).toString('base64'), nowMs)).toMatchObject(
      refusal,
    )
  })
})

describe('a shard id', () => {
  test('has twelve digits, and is read as it was made', () => {
    expect(shardId(7)).toBe('shardId-000000000007')
    expect(shardId(-2_147_483_648)).toBe('shardId--02147483648')
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_147_483_647 }), (index) => {
        expect(shardIndex(shardId(index))).toBe(index)
      }),
    )
  })

  test.each([
    ['0', 0],
    ['shardId-0', 0],
    ['shard-5', 5],
    ['-00002147483647', 2_147_483_647],
    ['a-00002147483647', 2_147_483_647],
    ['2147483648', undefined],
    ['shardId-002147483648', undefined],
    ['ABKLFD8', undefined],
    ['2.14E4', undefined],
  ])('%s names %s', (text, index) => {
    expect(shardIndex(text)).toBe(index)
  })
})
