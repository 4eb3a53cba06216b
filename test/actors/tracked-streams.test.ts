import { expect, test } from 'vitest'
import type { ShardReport } from '../../actors/shards-report.ts'
import { answerTo, type Tracked } from '../../actors/tracked-streams.ts'
import type { MappingRecord, ShardWork } from '../../machines/mapping.ts'
import type { Shard, StreamRecord } from '../../machines/stream.ts'

const most = 2n ** 128n
const shard = (index: number, from: bigint, to: bigint, more: Partial<Shard> = {}): Shard => ({
  index,
  startHash: String(from),
  endHash: String(to - 1n),
  createdAtMs: 0,
  after: 0,
  ...more,
})
const stream = (name: string, shards: Shard[]): StreamRecord => ({
  ...{ name, incarnation: 'i', status: 'ACTIVE', mode: 'PROVISIONED', createdAtMs: 0, shards },
  ...{ retentionHours: 24, maxRecordKib: 1024, nextShard: shards.length, tags: {}, consumers: [] },
})
const mapping = (uuid: string, of: string, functionName = 'f'): MappingRecord =>
  ({
    ...{ uuid, stream: of, functionName, state: 'Enabled', reason: 'User action' },
    lastResult: 'OK',
  }) as MappingRecord
const work = (uuid: string, index: number, state: ShardWork['state']): ShardWork =>
  ({ mapping: uuid, shard: index, state }) as ShardWork

const reportOf = (of: Partial<ShardReport>): ShardReport => ({
  ...{ mapping: 'm', functionName: 'f', stream: 's', shard: 0, lanes: 1, done: 7 },
  ...{ behindRecords: 0, behindMs: 0, iteratorAgeMs: 3, batches: 5, recordsTried: 9, records: 8 },
  ...{ retries: 1, invokeErrors: 1, throttles: 0, discarded: 0, filtered: 0 },
  ...of,
})
const nobody = { get: () => undefined }

test('a stream is told with its shards, how they came of each other, and who reads them for whom', () => {
  const half = most / 2n
  const tracked: Tracked = {
    streams: [
      stream('orders', [
        shard(0, 0n, half, { closedAtMs: 1, until: 9 }),
        shard(1, half, most, { closedAtMs: 1, until: 9 }),
        shard(2, 0n, most, { parent: 0, adjacentParent: 1 }),
      ]),
    ],
    mappings: [mapping('m2', 'orders', 'g'), mapping('m1', 'orders'), mapping('m3', 'another')],
    works: [work('m1', 2, 'blocked'), work('m1', 0, 'open'), work('m1', 1, 'ended')],
  }
  const report = { ...reportOf({ mapping: 'm1', behindRecords: 12, behindMs: 40 }), poller: 'p1' }
  const reports = {
    get: (uuid: string, index: number) => (uuid === 'm1' && index < 2 ? report : undefined),
  }
  const { streams, isMore } = answerTo({}, tracked, reports)
  expect(isMore).toBe(false)
  expect(streams).toMatchObject([
    {
      stream: 'orders',
      status: 'ACTIVE',
      retentionHours: 24,
      shards: [
        {
          shardId: 'shardId-000000000000',
          isOpen: false,
          hashShare: 0.5,
          parents: [],
          children: [2],
        },
        { shard: 1, isOpen: false, hashShare: 0.5, parents: [], children: [2] },
        { shard: 2, isOpen: true, hashShare: 1, parents: [0, 1], children: [] },
      ],
      mappings: [
        {
          functionName: 'f',
          state: 'Enabled',
          leftOut: 0,
          shards: [
            { shard: 0, state: 'open', poller: 'p1', behindRecords: 12, behindMs: 40, lanes: 1 },
            { shard: 1, state: 'ended' },
            { shard: 2, state: 'blocked' },
          ],
        },
        { functionName: 'g', shards: [] },
      ],
    },
  ])
  // What its reader said last does not count any more.
  expect(streams[0]?.mappings[0]?.shards[1]).toEqual({ shard: 1, state: 'ended' })
})

test('streams are told in pages, one at least in each; one may be asked for alone', () => {
  const shards = Array.from({ length: 900 }, (_, index) => shard(index, 0n, most))
  const tracked: Tracked = {
    streams: ['d', 'b', 'a', 'c'].map((name) => stream(name, shards)),
    mappings: [],
    works: [],
  }
  const names = (question: Parameters<typeof answerTo>[0]) => {
    const { streams, isMore } = answerTo(question, tracked, nobody)
    return [streams.map((one) => one.stream).join(), isMore]
  }
  expect(names({})).toEqual(['a,b', true])
  expect(names({ after: 'b' })).toEqual(['c,d', false])
  expect(names({ stream: 'c' })).toEqual(['c', false])
  expect(names({ stream: 'e' })).toEqual(['', false])
})

test('of very many shards of a mapping those are told that are most behind', () => {
  const tracked: Tracked = {
    streams: [stream('s', [])],
    mappings: [mapping('m', 's')],
    works: Array.from({ length: 2_500 }, (_, index) => work('m', index, 'open')),
  }
  const reports = {
    get: (_: string, index: number) => ({
      ...reportOf({ shard: index, behindMs: index }),
      poller: 'p',
    }),
  }
  const [told] = answerTo({}, tracked, reports).streams
  expect(told?.mappings[0]?.leftOut).toBe(500)
  expect(told?.mappings[0]?.shards.map((one) => one.shard)).toEqual(
    Array.from({ length: 2_000 }, (_, index) => 500 + index),
  )
})
