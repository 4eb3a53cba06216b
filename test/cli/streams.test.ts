/** `lambus streams`, a process of its own, with what pollers say and what the stream tracker answers on a real server. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { ShardReport } from '../../actors/shards-report.ts'
import { serveTrackedStreams, type Tracked } from '../../actors/tracked-streams.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { shardsReport } from '../../bus/subjects.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import type { MappingRecord, ShardWork } from '../../machines/mapping.ts'
import type { StreamRecord } from '../../machines/stream.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { runLambus } from './run-lambus.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'stream-tracker', id: 'cli' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const lambus = (...args: string[]) => runLambus([...args, '--nats', server.url])
/** Cells of a table: two blanks or more divide them. */
const rows = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))

const half = 2n ** 127n
const orders = {
  ...{ name: 'orders', status: 'ACTIVE', mode: 'PROVISIONED', retentionHours: 24 },
  shards: [
    { index: 0, startHash: '0', endHash: String(2n * half - 1n), closedAtMs: 1, until: 9 },
    { index: 1, startHash: '0', endHash: String(half - 1n), parent: 0 },
    { index: 2, startHash: String(half), endHash: String(2n * half - 1n), parent: 0 },
  ],
} as unknown as StreamRecord
const empty = { ...orders, name: 'new', status: 'CREATING', shards: [] } as StreamRecord
const mapping = {
  ...{ uuid: 'm', functionName: 'f', stream: 'orders', state: 'Enabled', reason: 'User action' },
} as MappingRecord
const work = (shard: number, state: ShardWork['state']): ShardWork =>
  ({ mapping: 'm', shard, state }) as ShardWork
const report: ShardReport = {
  ...{ mapping: 'm', functionName: 'f', stream: 'orders', shard: 0, lanes: 2, done: 17 },
  ...{ behindRecords: 1_234, behindMs: 61_000, iteratorAgeMs: 40, batches: 6, recordsTried: 60 },
  ...{ records: 40, retries: 3, invokeErrors: 1, throttles: 1, discarded: 0, filtered: 4 },
  rereading: { from: 1_000, to: 5_000, at: 2_000 },
}
let tracked: Tracked

test('lambus streams shows shards, how they came of each other, who reads them and how far', async () => {
  tracked = {
    streams: [orders, empty],
    mappings: [mapping],
    works: [work(0, 'open'), work(1, 'blocked'), work(2, 'blocked')],
  }
  const answers = serveTrackedStreams(bus, { clock, tracked: () => tracked })
  answers.leads()
  await bus.nats.flush()
  // As a poller does: once a second.
  const say = () => bus.publish(shardsReport('p1'), JSON.stringify({ shards: [report] }))
  say()
  const saying = setInterval(say, 1_000)
  onTestFinished(() => clearInterval(saying))
  const { stdout } = await lambus('streams')
  const [shards = '', readers = ''] = stdout.split('\n\n')
  expect(rows(shards)).toEqual([
    ['STREAM', 'STATUS', 'KEPT', 'SHARD', 'STATE', 'KEYS', 'PARENTS', 'CHILDREN'],
    ['new', 'CREATING', '24h', '-', '-', '-', '-', '-'],
    ['orders', 'ACTIVE', '24h', '0', 'closed', '100%', '-', '1 2'],
    ['orders', 'ACTIVE', '24h', '1', 'open', '50%', '0', '-'],
    ['orders', 'ACTIVE', '24h', '2', 'open', '50%', '0', '-'],
  ])
  const unread = ['-', '-', '-', '-', '-', '-', '-']
  expect(rows(readers).slice(1)).toEqual([
    ['orders', 'f', 'Enabled', '0', 'open', 'p1', '2', '1234', '1m 1s', '40 ms', '3', '25%'],
    ['orders', 'f', 'Enabled', '1', 'blocked', ...unread],
    ['orders', 'f', 'Enabled', '2', 'blocked', ...unread],
  ])

  const { streams } = JSON.parse((await lambus('streams', 'orders', '--json')).stdout)
  expect(streams).toHaveLength(1)
  expect(streams[0].mappings[0].shards[0]).toMatchObject({
    ...{ poller: 'p1', behindRecords: 1_234, rereading: { at: 2_000 } },
  })
  answers.stop()
})

test('it says when there are none, and when nobody is there who knows', async () => {
  tracked = { streams: [], mappings: [], works: [] }
  const answers = serveTrackedStreams(bus, { clock, tracked: () => tracked })
  answers.leads()
  await bus.nats.flush()
  expect((await lambus('streams')).stderr).toBe('There are no streams.\n')
  answers.stop()
  await bus.nats.flush()
  const { code, stderr } = await lambus('streams', '--json')
  expect(code).toBe(1)
  expect(JSON.parse(stderr).error.code).toBe('NO_STREAM_TRACKER')
})
