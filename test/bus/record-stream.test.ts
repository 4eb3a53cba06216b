import { headers } from 'nats'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import {
  lastSequenceOf,
  type RecordStream,
  reachRecordStream,
  removeRecordStream,
} from '../../bus/record-stream.ts'
import { recordStream, shard } from '../../bus/subjects.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const leader = (epoch: number) => ({ epoch, isLeading: () => true })
const wanted = (more: Partial<RecordStream> & { name: string }): RecordStream => ({
  incarnation: 'i1',
  open: [0],
  retentionHours: 24,
  step: 1,
  ...more,
})
const put = async (name: string, index: number, incarnation = 'i1') => {
  const answer = await bus.request(shard(name, incarnation, index), 'data')
  return typeof answer === 'string' ? answer : answer.json<{ seq: number }>().seq
}
const configOf = async (name: string) =>
  (await (await bus.jetstreamManager()).streams.info(recordStream(name))).config

test('a stream takes records in its open shards, and says how far it is', async () => {
  const name = 'takes.records'
  expect(await reachRecordStream(bus, wanted({ name, open: [0, 1], step: 2 }), leader(1))).toEqual({
    lastSequence: 0,
  })
  expect([await put(name, 0), await put(name, 1), await put(name, 2)]).toEqual([
    1,
    2,
    'no responders',
  ])
  expect(await lastSequenceOf(bus, name)).toBe(2)
  expect(await lastSequenceOf(bus, 'nobody')).toBe(0)
  expect(await configOf(name)).toMatchObject({
    storage: 'file',
    retention: 'limits',
    allow_direct: true,
    allow_atomic: true,
    max_age: 24 * 3_600 * 1_000_000_000,
  })
})

test('a shard that is closed takes no records any more, and can still be read', async () => {
  const name = 'closes'
  await reachRecordStream(bus, wanted({ name }), leader(1))
  await put(name, 0)
  const split = wanted({ name, open: [1, 2], step: 3 })
  expect(await reachRecordStream(bus, split, leader(1))).toEqual({ lastSequence: 1 })
  expect(await put(name, 0)).toBe('no responders')
  expect(await put(name, 1)).toBe(2)
  const manager = await bus.jetstreamManager()
  const subject = shard(name, 'i1', 0)
  const found = await manager.direct.getMessage(recordStream(name), { last_by_subj: subject })
  expect(found?.seq).toBe(1)
  // A leader that finds it done goes on from what it finds.
  expect(await reachRecordStream(bus, split, leader(2))).toEqual({ lastSequence: 2 })
})

test('what was stored while a shard was being closed is never behind what is said to be its end', async () => {
  const name = 'crowded'
  await reachRecordStream(bus, wanted({ name }), leader(1))
  const writers = await Promise.all(
    Array.from({ length: 4 }, async (_, index) => {
      const writer = await openBus({ servers: server.url, role: 'test', id: `w${index}` })
      onTestFinished(() => writer.close())
      return writer
    }),
  )
  for (let parent = 0; parent < 6; parent++) {
    let isOver = false
    const stored: number[] = []
    const write = async (writer: Bus) => {
      while (!isOver) {
        const answer = await writer.request(shard(name, 'i1', parent), 'data')
        if (typeof answer !== 'string') stored.push(answer.json<{ seq: number }>().seq)
      }
    }
    const writing = writers.flatMap((writer) => Array.from({ length: 16 }, () => write(writer)))
    while (stored.length < 100) await put(name, parent)
    const next = wanted({ name, open: [parent + 1], step: parent + 2 })
    const reached = await reachRecordStream(bus, next, leader(1))
    isOver = true
    await Promise.all(writing)
    if (reached === 'stale') throw new Error('stale')
    expect(stored.length).toBeGreaterThan(0)
    expect(Math.max(...stored)).toBeLessThanOrEqual(reached.lastSequence)
  }
})

const BATCH_REFUSED = [10174, 10176]

test('records that are written together are all refused when one of their shards is closed meanwhile', async () => {
  const name = 'batched'
  await reachRecordStream(bus, wanted({ name, open: [0, 1], step: 2 }), leader(1))
  const part = async (index: number, sequence: number, isLast = false) => {
    const head = headers()
    head.set('Nats-Batch-Id', 'b')
    head.set('Nats-Batch-Sequence', String(sequence))
    if (isLast) head.set('Nats-Batch-Commit', '1')
    const answer = await bus.request(shard(name, 'i1', index), 'data', { headers: head })
    if (typeof answer === 'string' || answer.data.length === 0) return undefined
    return answer.json<{ error?: { err_code: number } }>().error?.err_code
  }
  await part(0, 1)
  const split = wanted({ name, open: [1, 2, 3], step: 4 })
  expect(await reachRecordStream(bus, split, leader(1))).toEqual({ lastSequence: 0 })
  expect(BATCH_REFUSED).toContain(await part(1, 2, true))
  expect(await lastSequenceOf(bus, name)).toBe(0)
  expect((await configOf(name)).allow_atomic).toBe(true)
})

test('retention is changed without touching the shards', async () => {
  const name = 'retained'
  await reachRecordStream(bus, wanted({ name }), leader(1))
  await put(name, 0)
  await reachRecordStream(bus, wanted({ name, retentionHours: 48 }), leader(1))
  expect((await configOf(name)).max_age).toBe(48 * 3_600 * 1_000_000_000)
  expect(await put(name, 0)).toBe(2)
})

test('a leader that was replaced changes nothing', async () => {
  const name = 'replaced'
  await reachRecordStream(bus, wanted({ name }), leader(1))
  // The next one has gone a step further,
  await reachRecordStream(bus, wanted({ name, open: [1, 2], step: 3 }), leader(2))
  expect(await reachRecordStream(bus, wanted({ name }), leader(1))).toBe('stale')
  // or has changed something without one,
  await reachRecordStream(
    bus,
    wanted({ name, open: [1, 2], step: 3, retentionHours: 48 }),
    leader(2),
  )
  const late = wanted({ name, open: [3, 2], step: 5 })
  expect(await reachRecordStream(bus, late, leader(1))).toBe('stale')
  expect(await removeRecordStream(bus, wanted({ name }), leader(1))).toBe('stale')
  // or it has heard that it does not lead any more.
  const heard = { epoch: 2, isLeading: () => false }
  expect(await reachRecordStream(bus, late, heard)).toBe('stale')
  expect(await removeRecordStream(bus, wanted({ name }), heard)).toBe('stale')
  expect(await put(name, 1)).toBe(1)
})

test('a stream that is made again is another one, whatever is left of the first, and the first is not removed twice', async () => {
  const name = 'again'
  await reachRecordStream(bus, wanted({ name }), leader(1))
  await put(name, 0)
  const second = wanted({ name, incarnation: 'i2' })
  expect(await reachRecordStream(bus, second, leader(1))).toEqual({ lastSequence: 0 })
  expect([await put(name, 0), await put(name, 0, 'i2')]).toEqual(['no responders', 1])
  expect(await removeRecordStream(bus, wanted({ name }), leader(1))).toBe('removed')
  expect(await put(name, 0, 'i2')).toBe(2)
  expect(await removeRecordStream(bus, second, leader(1))).toBe('removed')
  expect(await put(name, 0, 'i2')).toBe('no responders')
  expect(await removeRecordStream(bus, second, leader(1))).toBe('removed')
})

test('a stream of 500 shards is made and cut in one request each', async () => {
  const name = 'wide'
  const first = Array.from({ length: 500 }, (_, index) => index)
  const startedAt = performance.now()
  await reachRecordStream(bus, wanted({ name, open: first, step: 500 }), leader(1))
  const second = first.map((index) => index + 500)
  await reachRecordStream(bus, wanted({ name, open: second, step: 1_000 }), leader(1))
  expect(performance.now() - startedAt).toBeLessThan(5_000)
  expect([await put(name, 499), await put(name, 999)]).toEqual(['no responders', 1])
})
