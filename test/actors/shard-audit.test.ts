import { expect, test } from 'vitest'
import type { TrackedShard } from '../../actors/shard.ts'
import { openShardAudit } from '../../actors/shard-audit.ts'
import type { ShardWork } from '../../machines/mapping.ts'
import { keptLog } from '../kept-log.ts'
import { simulatedClock } from '../simulated-clock.ts'
import { splitShards, wholeShard } from './live-mappings.ts'

function audited() {
  const clock = simulatedClock()
  const log = keptLog()
  const readers = new Map<string, string>()
  const audit = openShardAudit({ clock, log, readerOf: (key) => readers.get(key) })
  return { clock, log, readers, audit }
}

const tracked = (
  shard: TrackedShard['shard'],
  state: ShardWork['state'],
  mapping = 'u',
): TrackedShard => ({
  key: `${mapping}.${shard.index}`,
  shard,
  work: {
    mapping,
    stream: 's',
    incarnation: 'i1',
    shard: shard.index,
    start: { after: 0 },
    state,
  },
})

test('an open shard that nobody reads for ten seconds is told of, once until it is read', () => {
  const { clock, log, readers, audit } = audited()
  const shards = [tracked(wholeShard(0), 'open'), tracked(wholeShard(1), 'blocked')]
  const lookFor = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      audit.look(shards)
      clock.advance(1_000)
    }
  }
  lookFor(10)
  expect(audit.counts.unread).toBe(0)
  lookFor(10)
  expect(audit.counts.unread).toBe(1)
  expect(log.lines.map(({ code }) => code)).toEqual(['SHARD_UNREAD'])
  readers.set('u.0', 'p1')
  lookFor(5)
  readers.delete('u.0')
  lookFor(5)
  expect(audit.counts.unread).toBe(1)
  lookFor(10)
  expect(audit.counts.unread).toBe(2)
})

// lambda-semantics.md §9: "3 consecutive holes → shard sync"
test('hash keys that no shard covers are believed when they were seen three times in a row', () => {
  const { audit, log } = audited()
  const [parent, one, other] = splitShards as [TrackedShard['shard'], ...TrackedShard['shard'][]]
  if (one === undefined || other === undefined) throw new Error('not split')
  const whole = [tracked(parent, 'ended'), tracked(one, 'open'), tracked(other, 'blocked')]
  const missing = [tracked(parent, 'ended'), tracked(one, 'open')]
  const fine = tracked(wholeShard(0), 'open', 'v')
  expect([whole, missing, missing, whole].map((shards) => audit.look([...shards, fine]))).toEqual(
    Array(4).fill([]),
  )
  expect(Array.from({ length: 7 }, () => audit.look([...missing, fine]))).toEqual([
    [],
    [],
    ['u'],
    [],
    [],
    ['u'],
    [],
  ])
  expect(audit.counts.uncovered).toBe(2)
  expect(log.lines[0]?.code).toBe('SHARDS_UNCOVERED')
})
