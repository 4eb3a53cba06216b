import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { evenRanges, openShards } from '../../machines/shard-map.ts'
import {
  type Shard,
  type StreamCommand,
  type StreamEvent,
  type StreamInput,
  type StreamRecord,
  streamMachine,
  type WantedStream,
} from '../../machines/stream.ts'
import type { StreamRefusal } from '../../machines/stream-rules.ts'
import { type Life, live, type Taken } from './life.ts'
import { byName, type Shorten, storyOf } from './story.ts'
import '../seed.ts'

const input: StreamInput = {
  name: 's',
  record: undefined,
  nowMs: 0,
  settleMs: 500,
  againMs: 1_000,
}

/** Shares of the hash space in 60ths, where they are some. */
function sixtieth(hash: string): string {
  const share = Number((BigInt(hash) * 60_000n) / 2n ** 128n) / 1_000
  return share < 0.001 && hash !== '0' ? `#${hash}` : String(Number(share.toFixed(1)))
}
const printShard = ({ index, startHash, endHash, closedAtMs, ...shard }: Shard): string => {
  const parents = [shard.parent, shard.adjacentParent].filter((one) => one !== undefined)
  const of = parents.length === 0 ? '' : ` of ${parents.join('+')} after ${shard.after}`
  const closed = closedAtMs === undefined ? '' : ` until ${shard.until}`
  return `${index}:${sixtieth(startHash)}-${sixtieth(String(BigInt(endHash) + 1n))}${of}${closed}`
}
const printRecord = ({ status, shards, consumers, tags }: StreamRecord): string => {
  const named = consumers.map(({ name, status: is }) => `${name} ${is}`)
  return [
    status,
    ...(shards.length === 0 ? [] : [`(${shards.map(printShard).join(', ')})`]),
    ...(named.length === 0 ? [] : [`{${named.join(', ')}}`]),
    ...Object.keys(tags),
  ].join(' ')
}
const shorten: Shorten = (key, value) => {
  if (['incarnation', 'room', 'nowMs', 'mode', 'maxRecordKib'].includes(key)) return ''
  if (key === 'record') return printRecord(value as StreamRecord)
  if (key === 'refusal') return (value as StreamRefusal).why
  if (key === 'wanted') return `[${(value as WantedStream).open.join(' ')}]`
  if (key === 'tags') return Object.keys(value as object).join(' ')
  if (key === 'name') return ''
  return byName(key, value)
}
const story = storyOf(streamMachine, input, shorten)

const ask = (command: Omit<StreamCommand, 'name'> & { type: StreamCommand['type'] }, more = {}) =>
  ({
    name: 's',
    asked: 'a',
    nowMs: 0,
    incarnation: 'i',
    room: 100,
    ...command,
    ...more,
  }) as StreamEvent
const create = (shardCount: number, more: object = {}) =>
  ask({
    type: 'create',
    shardCount,
    mode: 'PROVISIONED',
    maxRecordKib: 1024,
    tags: {},
    ...more,
  } as StreamCommand)
const remove = (enforceConsumerDeletion = false) =>
  ask({ type: 'delete', enforceConsumerDeletion } as StreamCommand)
const split = (shard: number, newStartingHashKey: string, nowMs = 0) =>
  ask({ type: 'split', shard, newStartingHashKey } as StreamCommand, { nowMs })
const merge = (shard: number, adjacent: number) =>
  ask({ type: 'merge', shard, adjacent } as StreamCommand)
const scale = (target: number) => ask({ type: 'updateShardCount', target } as StreamCommand)
const retain = (hours: number, direction: 'increase' | 'decrease') =>
  ask({ type: 'retain', hours, direction } as StreamCommand)
const register = (consumer: string) =>
  ask({ type: 'registerConsumer', consumer, tags: {} } as StreamCommand)
const deregister = (consumer: string) =>
  ask({ type: 'deregisterConsumer', consumer } as StreamCommand)
const reached = (nth: number, lastSequence = 0, nowMs = 0): StreamEvent => ({
  type: 'reached',
  ask: `i.${nth}`,
  lastSequence,
  nowMs,
})
const made = (shards: number) => [create(shards), 'settle', reached(1)]
const half = String(2n ** 127n)

describe('a life', () => {
  test('is created, and has its shards when the record stream is there', () => {
    expect(story(...made(2))).toMatchInlineSnapshot(`
      "
      (start)       → absent
      create a 2    → existing.creating.settling         store CREATING a, wait 500 ms
      settle        → existing.creating.reaching.asking  stop waiting, reach i.1 [0 1]
      reached i.1 0 → existing.active                    store ACTIVE (0:0-30, 1:30-60)
      "
    `)
  })

  test('of a shard that is split: it takes records until it is closed, and its children come after it', () => {
    expect(
      story(...made(1), split(0, half), 'closeable', reached(2, 7, 600)),
    ).toMatchInlineSnapshot(`
      "
      (start)                                           → absent
      create a 1                                        → existing.creating.settling         store CREATING a, wait 500 ms
      settle                                            → existing.creating.reaching.asking  stop waiting, reach i.1 [0]
      reached i.1 0                                     → existing.active                    store ACTIVE (0:0-60)
      split a 0 170141183460469231731687303715884105728 → existing.updating.settling         store UPDATING (0:0-60) a, wait 500 ms
      closeable                                         → existing.updating.reaching.asking  stop waiting, reach i.2 [1 2]
      reached i.2 7                                     → existing.active                    store ACTIVE (0:0-60 until 7, 1:0-30 of 0 after 7, 2:30-60 of 0 after 7)
      "
    `)
  })

  test('of two shards that are merged', () => {
    expect(story(...made(3), merge(0, 1), 'closeable', reached(2, 7))).toMatchInlineSnapshot(`
      "
      (start)       → absent
      create a 3    → existing.creating.settling         store CREATING a, wait 500 ms
      settle        → existing.creating.reaching.asking  stop waiting, reach i.1 [0 1 2]
      reached i.1 0 → existing.active                    store ACTIVE (0:0-20, 1:20-40, 2:40-60)
      merge a 0 1   → existing.updating.settling         store UPDATING (0:0-20, 1:20-40, 2:40-60) a, wait 500 ms
      closeable     → existing.updating.reaching.asking  stop waiting, reach i.2 [2 3]
      reached i.2 7 → existing.active                    store ACTIVE (0:0-20 until 7, 1:20-40 until 7, 2:40-60, 3:0-40 of 0+1 after 7)
      "
    `)
  })

  // Source: lambda-semantics.md §8.3, recorded from AWS.
  test('goes from 2 shards to 3 as AWS does: splits both, merges the inner two', () => {
    expect(
      story(...made(2), scale(3), 'closeable', reached(2, 10), 'closeable', reached(3, 20)),
    ).toMatchInlineSnapshot(`
      "
      (start)              → absent
      create a 2           → existing.creating.settling         store CREATING a, wait 500 ms
      settle               → existing.creating.reaching.asking  stop waiting, reach i.1 [0 1]
      reached i.1 0        → existing.active                    store ACTIVE (0:0-30, 1:30-60)
      updateShardCount a 3 → existing.updating.settling         store UPDATING (0:0-30, 1:30-60) a, wait 500 ms
      closeable            → existing.updating.reaching.asking  stop waiting, reach i.2 [2 3 4 5]
      reached i.2 10       → existing.updating.settling         store UPDATING (0:0-30 until 10, 1:30-60 until 10, 2:0-20 of 0 after 10, 3:20-30 of 0 after 10, 4:30-40 of 1 after 10, 5:40-60 of 1 after 10), wait 1000 ms
      closeable            → existing.updating.reaching.asking  stop waiting, reach i.3 [2 5 6]
      reached i.3 20       → existing.active                    store ACTIVE (0:0-30 until 10, 1:30-60 until 10, 2:0-20 of 0 after 10, 3:20-30 of 0 after 10 until 20, 4:30-40 of 1 after 10 until 20, 5:40-60 of 1 after 10, 6:20-40 of 3+4 after 20)
      "
    `)
  })

  test('is asked for again when the record stream could not be changed; a late answer counts for nothing', () => {
    expect(
      story(
        create(1),
        'settle',
        { type: 'failed', ask: 'i.1' },
        'again',
        reached(1),
        reached(2),
        remove(),
        'settle',
        { type: 'failed', ask: 'i.3' },
        'again',
        { type: 'removed', ask: 'i.3' },
        { type: 'removed', ask: 'i.4' },
      ),
    ).toMatchInlineSnapshot(`
      "
      (start)       → absent
      create a 1    → existing.creating.settling          store CREATING a, wait 500 ms
      settle        → existing.creating.reaching.asking   stop waiting, reach i.1 [0]
      failed i.1    → existing.creating.reaching.waiting  wait 1000 ms
      again         → existing.creating.reaching.asking   stop waiting, reach i.2 [0]
      reached i.1 0 → existing.creating.reaching.asking   ignored
      reached i.2 0 → existing.active                     store ACTIVE (0:0-60)
      delete a      → deleting.settling                   store DELETING (0:0-60) a, wait 500 ms
      settle        → deleting.removing                   stop waiting, removeRecords i.3
      failed i.3    → deleting.waiting                    wait 1000 ms
      again         → deleting.removing                   stop waiting, removeRecords i.4
      removed i.3   → deleting.removing                   ignored
      removed i.4   → gone                                withdraw
      "
    `)
  })

  test('may end while it is being created, and while it is being changed', () => {
    expect(
      story(create(1), remove(), 'settle', { type: 'removed', ask: 'i.1' }),
    ).toMatchInlineSnapshot(`
      "
      (start)     → absent
      create a 1  → existing.creating.settling  store CREATING a, wait 500 ms
      delete a    → deleting.settling           stop waiting, store DELETING a, wait 500 ms
      settle      → deleting.removing           stop waiting, removeRecords i.1
      removed i.1 → gone                        withdraw
      "
    `)
    expect(
      story(...made(1), split(0, half), 'closeable', remove(), reached(2, 3), 'settle'),
    ).toMatchInlineSnapshot(`
      "
      (start)                                           → absent
      create a 1                                        → existing.creating.settling         store CREATING a, wait 500 ms
      settle                                            → existing.creating.reaching.asking  stop waiting, reach i.1 [0]
      reached i.1 0                                     → existing.active                    store ACTIVE (0:0-60)
      split a 0 170141183460469231731687303715884105728 → existing.updating.settling         store UPDATING (0:0-60) a, wait 500 ms
      closeable                                         → existing.updating.reaching.asking  stop waiting, reach i.2 [1 2]
      delete a                                          → deleting.settling                  store DELETING (0:0-60) a, wait 500 ms
      reached i.2 3                                     → deleting.settling                  ignored
      settle                                            → deleting.removing                  stop waiting, removeRecords i.3
      "
    `)
  })

  test('with consumers ends only when that is asked for', () => {
    expect(
      story(
        ...made(1),
        register('c'),
        'consumersSettled',
        remove(),
        deregister('c'),
        'consumersSettled',
        register('d'),
        remove(true),
      ),
    ).toMatchInlineSnapshot(`
      "
      (start)                          → absent
      create a 1                       → existing.creating.settling         store CREATING a, wait 500 ms
      settle                           → existing.creating.reaching.asking  stop waiting, reach i.1 [0]
      reached i.1 0                    → existing.active                    store ACTIVE (0:0-60)
      registerConsumer a c             → existing.active                    store ACTIVE (0:0-60) {c CREATING} a, wait 500 ms
      consumersSettled                 → existing.active                    store ACTIVE (0:0-60) {c ACTIVE}
      delete a                         → existing.active                    refuse a has consumers
      deregisterConsumer a c           → existing.active                    store ACTIVE (0:0-60) {c DELETING} a, wait 500 ms
      consumersSettled                 → existing.active                    store ACTIVE (0:0-60)
      registerConsumer a d             → existing.active                    store ACTIVE (0:0-60) {d CREATING} a, wait 500 ms
      delete a enforceConsumerDeletion → deleting.settling                  store DELETING (0:0-60) a, wait 500 ms
      "
    `)
  })

  test('changes its retention', () => {
    expect(
      story(
        ...made(1),
        retain(23, 'increase'),
        retain(25, 'decrease'),
        retain(24, 'increase'),
        retain(48, 'increase'),
        'closeable',
        reached(2),
        retain(25, 'increase'),
      ),
    ).toMatchInlineSnapshot(`
      "
      (start)              → absent
      create a 1           → existing.creating.settling         store CREATING a, wait 500 ms
      settle               → existing.creating.reaching.asking  stop waiting, reach i.1 [0]
      reached i.1 0        → existing.active                    store ACTIVE (0:0-60)
      retain a 23 increase → existing.active                    refuse a retention too short
      retain a 25 decrease → existing.active                    refuse a retention above
      retain a 24 increase → existing.active                    agree ACTIVE (0:0-60) a
      retain a 48 increase → existing.updating.settling         store UPDATING (0:0-60) a, wait 500 ms
      closeable            → existing.updating.reaching.asking  stop waiting, reach i.2 [0]
      reached i.2 0        → existing.active                    store ACTIVE (0:0-60)
      retain a 25 increase → existing.active                    refuse a retention below
      "
    `)
  })

  test('has no shard any more whose records have all expired', () => {
    const day = 24 * 3_600_000
    expect(
      story(
        ...made(1),
        split(0, half),
        'closeable',
        reached(2, 7, 600),
        { type: 'looked', nowMs: day + 599 },
        { type: 'looked', nowMs: day + 600 },
        merge(0, 1),
      ),
    ).toMatchInlineSnapshot(`
      "
      (start)                                           → absent
      create a 1                                        → existing.creating.settling         store CREATING a, wait 500 ms
      settle                                            → existing.creating.reaching.asking  stop waiting, reach i.1 [0]
      reached i.1 0                                     → existing.active                    store ACTIVE (0:0-60)
      split a 0 170141183460469231731687303715884105728 → existing.updating.settling         store UPDATING (0:0-60) a, wait 500 ms
      closeable                                         → existing.updating.reaching.asking  stop waiting, reach i.2 [1 2]
      reached i.2 7                                     → existing.active                    store ACTIVE (0:0-60 until 7, 1:0-30 of 0 after 7, 2:30-60 of 0 after 7)
      looked                                            → existing.active                    ignored
      looked                                            → existing.active                    store ACTIVE (1:0-30 of 0 after 7, 2:30-60 of 0 after 7)
      merge a 0 1                                       → existing.active                    refuse a no such shard
      "
    `)
  })

  test('is on demand with four shards, and how many is not to be said', () => {
    expect(
      story(create(1, { mode: 'ON_DEMAND' }), 'settle', reached(1), split(0, '7'), scale(8)),
    ).toMatchInlineSnapshot(`
      "
      (start)              → absent
      create a 1           → existing.creating.settling         store CREATING a, wait 500 ms
      settle               → existing.creating.reaching.asking  stop waiting, reach i.1 [0 1 2 3]
      reached i.1 0        → existing.active                    store ACTIVE (0:0-15, 1:15-30, 2:30-45, 3:45-60)
      split a 0 7          → existing.active                    refuse a on demand
      updateShardCount a 8 → existing.active                    refuse a on demand
      "
    `)
  })

  test('has 50 tags at most, of characters that AWS takes', () => {
    const tags = (...keys: string[]) =>
      ask({
        type: 'tag',
        tags: Object.fromEntries(keys.map((key) => [key, 'ü0 _./=+-@'])),
      } as StreamCommand)
    const many = Array.from({ length: 49 }, (_, index) => String(index))
    const refusals = refusalsOf(tags('a'), tags(...many), tags('b'), tags('a;'), tags('a%'))
    expect(refusals).toEqual(['too many tags', 'bad tags', 'illegal tags'])
  })

  test('has 20 consumers at most, five of them new', () => {
    const names = Array.from({ length: 21 }, (_, index) => `c${index}`)
    const life = born(1)
    const why = names.flatMap((name, index) => {
      if (index > 0 && index % 5 === 0 && index < 20) life.ringTimer('consumersSettled')
      return whyOf(life.take(register(name)))
    })
    expect(why).toEqual(['too many consumers'])
    expect(refusalsOf(...names.slice(0, 6).map(register))).toEqual(['too many new consumers'])
  })
})

test('what AWS refuses is refused for its reason', () => {
  expect(refusalsOf(split(0, '1'), split(0, half), split(0, half))).toEqual([
    'bad split key',
    'not active',
  ])
  expect(refusalsOf(split(1, half), split(4, half), merge(0, 9))).toEqual([
    'no such shard',
    'no such shard',
    'no such shard',
  ])
  const three = (...events: StreamEvent[]) => refusalsOfLife(born(3), ...events)
  expect(three(merge(0, 2), merge(1, 0), merge(1, 1))).toEqual([
    'not adjacent',
    'not adjacent',
    'not adjacent',
  ])
  const life = born(1)
  finish(life, split(0, half))
  expect(refusalsOfLife(life, split(0, '7'), merge(0, 1), create(1))).toEqual([
    'closed shard',
    'closed shard',
    'exists',
  ])
  expect(whyOf(live(streamMachine, input).take(remove()))).toEqual(['no such stream'])
  expect(whyOf(live(streamMachine, input).take(create(3, { room: 2 })))).toEqual(['shard limit'])
  const dotted = (dots: number) => create(1, { name: 'a.'.repeat(dots).padEnd(128, 'a') })
  expect(whyOf(live(streamMachine, input).take(dotted(56)))).toEqual([])
  expect(whyOf(live(streamMachine, input).take(dotted(57)))).toEqual(['too many dots'])
})

// ── Played lives ───────────────────────────────────────────────────────────────────────────────────────────────────

type StreamLife = Life<typeof streamMachine>

const whyOf = ({ asked }: Taken): string[] =>
  asked
    .filter(({ type }) => type === 'refuse')
    .map(({ params }) => (params as { refusal: StreamRefusal }).refusal.why)
const refusalsOfLife = (life: StreamLife, ...events: StreamEvent[]): string[] =>
  events.flatMap((event) => whyOf(life.take(event)))
const refusalsOf = (...events: StreamEvent[]) => refusalsOfLife(born(1), ...events)

/** One that is ACTIVE. */
function born(shards: number): StreamLife {
  const life = live(streamMachine, input)
  finish(life, create(shards))
  return life
}

/** Takes an event, and lets the world do all that is asked of it. Time goes on by a second with each answer. */
function finish(life: StreamLife, event: StreamEvent, lastSequence = () => 0): Taken {
  const taken = life.take(event)
  for (let rounds = 0; rounds < 50; rounds++) {
    const timer = [...life.timers.keys()].find((id) => /existing|deleting/.test(id))
    if (timer === undefined) return taken
    const { asked } = life.ringTimer(timer)
    const ask = askedFor(asked)
    if (ask === undefined) continue
    const nowMs = life.snapshot.context.nowMs + 1_000
    if (life.state.startsWith('deleting')) life.take({ type: 'removed', ask })
    else life.take({ type: 'reached', ask, lastSequence: lastSequence(), nowMs })
  }
  throw new Error('it never ends')
}
const askedFor = (asked: Taken['asked']): string | undefined =>
  asked.flatMap(({ params }) => (params as { ask?: string } | undefined)?.ask ?? [])[0]

const recordOf = (life: StreamLife): StreamRecord => {
  const { record } = life.snapshot.context
  if (record === undefined) throw new Error('no record')
  return record
}

/** Open shards follow each other from 0 to the end. */
function expectNoHoles(record: StreamRecord): void {
  let next = 0n
  for (const { startHash, endHash } of openShards(record)) {
    expect(BigInt(startHash)).toBe(next)
    expect(BigInt(endHash)).toBeGreaterThanOrEqual(next)
    next = BigInt(endHash) + 1n
  }
  expect(next).toBe(2n ** 128n)
}

/** What readers go by: parents that are closed, no later than their children begin. */
function expectLineage(record: StreamRecord): void {
  const byIndex = new Map(record.shards.map((shard) => [shard.index, shard]))
  expect(byIndex.size).toBe(record.shards.length)
  for (const shard of record.shards) {
    for (const parent of [shard.parent, shard.adjacentParent]) {
      if (parent === undefined) continue
      const found = byIndex.get(parent)
      expect(found?.until).toBe(shard.after)
      const secondOf = (ms = Number.NaN) => Math.floor(ms / 1_000)
      expect(secondOf(shard.createdAtMs)).toBeGreaterThan(secondOf(found?.createdAtMs))
      // Source: kinesalite's splitShard test, made against AWS: the child's second is the one after the parent's last.
      expect(secondOf(shard.createdAtMs) - secondOf(found?.closedAtMs)).toBe(1)
    }
  }
}

test('UpdateShardCount ends with as many open shards of equal ranges, from whatever to whatever', () => {
  const count = fc.integer({ min: 1, max: 40 })
  fc.assert(
    fc.property(count, fc.array(count, { minLength: 1, maxLength: 3 }), (first, targets) => {
      const life = born(first)
      for (const target of targets) {
        finish(life, scale(target))
        const record = recordOf(life)
        expect(record.status).toBe('ACTIVE')
        expect(record.change).toBeUndefined()
        const ranges = openShards(record).map(({ startHash, endHash }) => ({ startHash, endHash }))
        expect(ranges).toEqual(evenRanges(target))
        expectNoHoles(record)
        expectLineage(record)
      }
    }),
  )
})

test('no commands leave holes or overlaps in the hash space', () => {
  const command = fc.oneof(
    fc
      .tuple(fc.nat(12), fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }))
      .map(([shard, key]) => split(shard, String(key))),
    fc.tuple(fc.nat(12), fc.nat(12)).map(([shard, adjacent]) => merge(shard, adjacent)),
    fc.integer({ min: 1, max: 9 }).map(scale),
    fc.constantFrom(24, 25, 48).map((hours) => retain(hours, 'increase')),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(command, { maxLength: 8 }),
      (first, all) => {
        const life = born(first)
        let sequence = 0
        for (const event of all) {
          finish(life, event, () => (sequence += 3))
          expect(recordOf(life).status).toBe('ACTIVE')
          expectNoHoles(recordOf(life))
          expectLineage(recordOf(life))
        }
      },
    ),
  )
})

test('whoever takes over in the middle finishes what was begun, as it would have been', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.nat(12),
      (first, target, at) => {
        const alone = born(first)
        finish(alone, scale(target))
        // The same with a new leader after each so many steps, who knows what was stored last and nothing else.
        let life = born(first)
        life.take(scale(target))
        for (let step = 0; recordOf(life).status !== 'ACTIVE' && step < 100; step++) {
          if (step % (at + 1) === 0) {
            const { context } = life.snapshot
            const { record, nowMs } = JSON.parse(JSON.stringify(context)) as typeof context
            life = live(streamMachine, { ...input, record, nowMs })
          }
          const [timer = ''] = life.timers.keys()
          const ask = askedFor(life.ringTimer(timer).asked)
          const nowMs = life.snapshot.context.nowMs + 1_000
          if (ask !== undefined) life.take({ type: 'reached', ask, lastSequence: 0, nowMs })
        }
        const shape = (record: StreamRecord) =>
          record.shards.map(({ createdAtMs, closedAtMs, ...shard }) => ({
            ...shard,
            isOpen: closedAtMs === undefined,
          }))
        expect(shape(recordOf(life))).toEqual(shape(recordOf(alone)))
      },
    ),
  )
})
