import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { holesIn } from '../../machines/hash-audit.ts'
import type { MappingRecord, ShardWork } from '../../machines/mapping.ts'
import { parentsOf, readsShard, shardsOf, startIn } from '../../machines/mapping-shards.ts'
import { type ShardEvent, shardMachine } from '../../machines/shard.ts'
import type { Shard, StreamRecord } from '../../machines/stream.ts'
import { type Life, live, type Taken } from './life.ts'
import { type Shorten, storyOf } from './story.ts'
import '../seed.ts'

const work = { mapping: 'u1', stream: 's', incarnation: 'i1', shard: 2, start: { after: 7 } }
const shorten: Shorten = (key, value) => {
  if (key !== 'work') return undefined
  const { shard, state } = value as ShardWork
  return `${shard} ${state}`
}
const story = (waitsFor: number[], found?: ShardWork['state']) =>
  storyOf(shardMachine, { work, waitsFor, found }, shorten)
const parentEnded = (shard: number): ShardEvent => ({ type: 'parentEnded', shard })
const ended: ShardEvent = { type: 'ended' }

test('a shard without parents is open at once, and lets its children begin when it has ended', () => {
  expect(story([])(ended, ended, { type: 'withdraw' })).toMatchInlineSnapshot(`
    "
    (start)  → open       publish 2 open
    ended    → ended      publish 2 ended, release
    ended    → ended      ignored
    withdraw → withdrawn  remove
    "
  `)
})

// lambda-semantics.md §5.7: "a merged child waits for both parents"
test('a shard of two that were merged waits for both', () => {
  expect(
    story([0, 1])(parentEnded(1), parentEnded(1), parentEnded(0), ended),
  ).toMatchInlineSnapshot(`
    "
    (start)       → blocked  publish 2 blocked
    parentEnded 1 → blocked
    parentEnded 1 → blocked
    parentEnded 0 → open     publish 2 open
    ended         → ended    publish 2 ended, release
    "
  `)
})

test('a shard that is not read any more is taken away', () => {
  expect(story([0])({ type: 'withdraw' })).toMatchInlineSnapshot(`
    "
    (start)  → blocked    publish 2 blocked
    withdraw → withdrawn  remove
    "
  `)
})

test('a new leader finds it as it was, writes nothing again, and forgets no end', () => {
  expect(story([], 'open')(ended)).toMatchInlineSnapshot(`
    "
    (start) → open
    ended   → ended  publish 2 ended, release
    "
  `)
  expect(story([0], 'blocked')(parentEnded(0))).toMatchInlineSnapshot(`
    "
    (start)       → blocked
    parentEnded 0 → open     publish 2 open
    "
  `)
  expect(story([0], 'ended')()).toMatchInlineSnapshot(`
    "
    (start) → ended  release
    "
  `)
})

const shard = (index: number, more: Partial<Shard> = {}): Shard => ({
  index,
  startHash: '0',
  endHash: '9',
  createdAtMs: 1_000,
  after: 0,
  ...more,
})
/** 0 was split into 1 and 2 when 100 records were there, at 50 s. */
const split = [
  shard(0, { closedAtMs: 50_000, until: 100 }),
  shard(1, { parent: 0, after: 100, createdAtMs: 50_000 }),
  shard(2, { parent: 0, after: 100, createdAtMs: 50_000 }),
]
const stream = (shards: Shard[]): StreamRecord => ({
  name: 's',
  incarnation: 'i1',
  status: 'ACTIVE',
  mode: 'PROVISIONED',
  createdAtMs: 0,
  retentionHours: 24,
  maxRecordKib: 1_024,
  shards,
  nextShard: shards.length,
  tags: {},
  consumers: [],
})
const from = (
  startingPosition: MappingRecord['startingPosition'],
  more: Partial<MappingRecord> = {},
) => ({ startingPosition, ...more })
const readBy = (mapping: ReturnType<typeof from>, shards: Shard[]) =>
  shardsOf(mapping, stream(shards)).map((one) => ({
    shard: one.index,
    ...startIn(mapping, one),
    parents: parentsOf(mapping, stream(shards), one),
  }))

// lambda-semantics.md §5.1, StartingPosition
describe('a mapping reads', () => {
  test('from TRIM_HORIZON all shards, parents first', () => {
    expect(readBy(from('TRIM_HORIZON'), split)).toEqual([
      { shard: 0, after: 0, parents: [] },
      { shard: 1, after: 100, parents: [0] },
      { shard: 2, after: 100, parents: [0] },
    ])
  })

  test('from LATEST those that were open then, behind what was there', () => {
    expect(readBy(from('LATEST', { startsAfter: 120 }), split)).toEqual([
      { shard: 1, after: 120, parents: [] },
      { shard: 2, after: 120, parents: [] },
    ])
  })

  test('from LATEST a shard that was closed later, and its children from their beginning', () => {
    expect(readBy(from('LATEST', { startsAfter: 60 }), split)).toEqual([
      { shard: 0, after: 60, parents: [] },
      { shard: 1, after: 100, parents: [0] },
      { shard: 2, after: 100, parents: [0] },
    ])
  })

  test('from LATEST nothing of a shard that was closed with nothing behind that moment', () => {
    expect(readBy(from('LATEST', { startsAfter: 100 }), split)).toEqual([
      { shard: 1, after: 100, parents: [] },
      { shard: 2, after: 100, parents: [] },
    ])
  })

  test('AT_TIMESTAMP all shards from then on, and those made later from their beginning', () => {
    const mapping = from('AT_TIMESTAMP', { startingTimestampMs: 40_000 })
    expect(readBy(mapping, split)).toEqual([
      { shard: 0, atMs: 40_000, parents: [] },
      { shard: 1, after: 100, parents: [0] },
      { shard: 2, after: 100, parents: [0] },
    ])
  })

  test('children without waiting for parents that the stream does not know any more', () => {
    expect(readBy(from('TRIM_HORIZON'), split.slice(1))).toEqual([
      { shard: 1, after: 100, parents: [] },
      { shard: 2, after: 100, parents: [] },
    ])
  })
})

/** A history of splits and merges: choices of whom to split or to merge. */
const anyHistory = fc.array(
  fc.record({ at: fc.nat(), isMerge: fc.boolean(), records: fc.nat(3) }),
  {
    maxLength: 8,
  },
)

function shardsAfter(
  history: readonly { at: number; isMerge: boolean; records: number }[],
): Shard[] {
  const shards = [shard(0), shard(1)]
  let last = 0
  for (const { at, isMerge, records } of history) {
    last += records
    const open = shards.filter(({ closedAtMs }) => closedAtMs === undefined)
    const [one, other] = [open[at % open.length], open[(at + 1) % open.length]]
    if (one === undefined || other === undefined) continue
    const parents = isMerge && one !== other ? [one, other] : [one]
    for (const parent of parents) {
      shards[parent.index] = { ...parent, closedAtMs: 1, until: last }
    }
    const lineage = {
      parent: one.index,
      ...(parents.length === 2 ? { adjacentParent: other.index } : {}),
      after: last,
    }
    for (let child = 0; child < (parents.length === 2 ? 1 : 2); child++) {
      shards.push(shard(shards.length, lineage))
    }
  }
  return shards
}

test('whatever is split and merged, and in whatever order it is heard, no child is read before its parents', () => {
  fc.assert(
    fc.property(
      anyHistory,
      fc.nat(10),
      fc.array(fc.record({ shard: fc.nat(), kind: fc.constantFrom('ended', 'parent') }), {
        maxLength: 80,
      }),
      (history, startsAfter, events) => {
        const shards = shardsAfter(history)
        const mapping = from('LATEST', { startsAfter })
        const read = shardsOf(mapping, stream(shards))
        const lives = new Map<number, Life<typeof shardMachine>>()
        const ends = new Set<number>()
        const check = (index: number, { asked }: Taken): void => {
          for (const { type, params } of asked) {
            if (type === 'release') ends.add(index)
            if (type !== 'publish') continue
            const { state } = (params as { work: ShardWork }).work
            if (state !== 'open') continue
            for (const parent of parentsOf(mapping, stream(shards), shards[index] as Shard)) {
              expect(ends).toContain(parent)
            }
          }
        }
        for (const one of read) {
          const waitsFor = parentsOf(mapping, stream(shards), one)
          const start = startIn(mapping, one)
          const life = live(shardMachine, {
            work: { ...work, shard: one.index, start },
            waitsFor,
            found: undefined,
          })
          lives.set(one.index, life)
          check(one.index, life.born)
        }
        const tell = (index: number) => {
          for (const child of read) {
            const isChild = child.parent === index || child.adjacentParent === index
            const life = lives.get(child.index)
            if (isChild && life !== undefined && ends.has(index))
              check(child.index, life.take(parentEnded(index)))
          }
        }
        const end = (index: number) => {
          const life = lives.get(index)
          // Only what is open is read, and so can end.
          if (life?.state === 'open') check(index, life.take(ended))
        }
        for (const event of events) {
          const one = read[event.shard % Math.max(1, read.length)]
          if (one === undefined) continue
          if (event.kind === 'ended' && one.closedAtMs !== undefined) end(one.index)
          if (event.kind === 'parent') tell(one.index)
        }
        // Nobody waits for ever.
        for (const one of read) {
          if (one.closedAtMs !== undefined) end(one.index)
          tell(one.index)
        }
        for (const life of lives.values()) expect(life.state).not.toBe('blocked')
        for (const one of shards)
          if (one.until === undefined) expect(readsShard(mapping, one)).toBe(true)
      },
    ),
  )
})

// lambda-semantics.md §9: periodic hash-range audit
describe('the hash audit', () => {
  const last = String(2n ** 128n - 1n)
  test.each([
    [[['0', last]], []],
    [
      [
        ['10', last],
        ['0', '9'],
      ],
      [],
    ],
    [
      [
        ['0', '9'],
        ['0', last],
        ['5', '7'],
      ],
      [],
    ],
    [
      [
        ['0', '9'],
        ['11', last],
      ],
      [['10', '10']],
    ],
    [
      [['1', '9']],
      [
        ['0', '0'],
        ['10', last],
      ],
    ],
    [[], [['0', last]]],
  ] as [string[][], string[][]][])('of %j finds %j', (ranges, holes) => {
    const range = ([startHash = '', endHash = '']: string[]) => ({ startHash, endHash })
    expect(holesIn(ranges.map(range))).toEqual(holes.map(range))
  })
})
