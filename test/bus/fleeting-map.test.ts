import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { FleetingMap } from '../../bus/fleeting-map.ts'

test('a fleeting map holds what a map holds', () => {
  const map = new FleetingMap<number>()
  map.set('a', 1)
  map.set('b', 2)
  map.set('a', 3)
  expect([map.size, map.get('a'), map.get('b'), map.get('c')]).toEqual([2, 3, 2, undefined])
  expect([map.has('b'), map.delete('b'), map.delete('b'), map.has('b')]).toEqual([
    true,
    true,
    false,
    false,
  ])
  expect([...map.keys()]).toEqual(['a'])
})

test('what is deleted while its keys are read is left out', () => {
  const map = new FleetingMap<number>()
  for (const key of ['a', 'b', 'c']) map.set(key, 0)
  const read: string[] = []
  for (const key of map.keys()) {
    read.push(key)
    map.delete('b')
  }
  expect(read).toEqual(['a', 'c'])
})

// Without a full collection, as under load. V8's own Map stands beside it: the reason why there is another one.
test('young collections free what was deleted', () => {
  expect(keptMb(new Map<string, object>())).toBeGreaterThan(20)
  expect(keptMb(new FleetingMap<object>())).toBeLessThan(10)
})

/** 20,000 entries of 4 kB pass through, 64 at a time; gives what is still held of them. */
function keptMb(map: {
  set(key: string, value: object): unknown
  delete(key: string): boolean
}): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options?: { type: 'minor' | 'major' }) => void
  collect()
  // The map itself grows old first.
  for (let key = 0; key < 64; key++) map.set(String(key), {})
  for (let times = 0; times < 3; times++) collect({ type: 'minor' })
  const before = process.memoryUsage().heapUsed
  for (let key = 64; key < 20_000; key++) {
    map.set(
      String(key),
      Array.from({ length: 512 }, () => key),
    )
    map.delete(String(key - 64))
    if (key % 1_000 === 0) collect({ type: 'minor' })
  }
  collect({ type: 'minor' })
  collect({ type: 'minor' })
  return (process.memoryUsage().heapUsed - before) / 1_048_576
}
