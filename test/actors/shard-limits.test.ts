/** What a shard takes and gives in a second. Source: lambda-semantics.md §8.2. */
import { expect, test } from 'vitest'
import { openShardLimits } from '../../actors/shard-limits.ts'

const started = () => {
  let nowMs = 0
  const limits = openShardLimits({ monotonicMs: () => nowMs })
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { limits, pass }
}
const times = (count: number, ask: () => boolean) =>
  Array.from({ length: count }, ask).filter(Boolean).length

test('a shard takes 1,000 records in a second', () => {
  const { limits, pass } = started()
  expect(times(1_200, () => limits.mayWrite('s.0', 1))).toBe(1_000)
  pass(100)
  expect(times(1_200, () => limits.mayWrite('s.0', 1))).toBe(100)
  pass(60_000)
  expect(times(1_200, () => limits.mayWrite('s.0', 1))).toBe(1_000)
})

test('a shard takes 1 MiB in a second, and other shards have their own', () => {
  const { limits } = started()
  expect(times(8, () => limits.mayWrite('s.0', 262_144))).toBe(4)
  expect(times(8, () => limits.mayWrite('s.1', 262_144))).toBe(4)
})

// Recorded: bursts are borrowed.
test('a record that is larger than a second of its shard is taken, and paid back', () => {
  const { limits, pass } = started()
  expect(limits.mayWrite('s.0', 4_194_304)).toBe(true)
  pass(3_000)
  expect(limits.mayWrite('s.0', 1)).toBe(false)
  pass(1_000)
  expect(limits.mayWrite('s.0', 1)).toBe(true)
})

test('a shard is read five times in a second', () => {
  const { limits, pass } = started()
  expect(times(9, () => limits.mayRead('s.0'))).toBe(5)
  pass(200)
  expect(times(9, () => limits.mayRead('s.0'))).toBe(1)
})

test('a shard gives nothing for some seconds when it has given 10 MiB', () => {
  const { limits, pass } = started()
  expect(limits.mayRead('s.0')).toBe(true)
  limits.hasRead('s.0', 10_485_760)
  pass(3_900)
  expect(limits.mayRead('s.0')).toBe(false)
  pass(1_100)
  expect(limits.mayRead('s.0')).toBe(true)
})

test('shards that nobody uses are forgotten', () => {
  const { limits, pass } = started()
  for (let shard = 0; shard < 30_000; shard++) {
    limits.mayWrite(`s.${shard}`, 1)
    pass(10)
  }
  expect(limits.mayWrite('s.0', 1_048_576)).toBe(true)
})
