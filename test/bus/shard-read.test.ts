/** Shards read by their sequences, on a real nats-server. */
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openShardReader, type ShardReader } from '../../bus/shard-read.ts'
import { openShardWriter, type ShardWriter } from '../../bus/shard-write.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { makeRecordStream, openOnly } from './record-stream.ts'

let server: TestServer
let bus: Bus
let writer: ShardWriter
let reader: ShardReader
beforeEach(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'front-end', id: 'f' })
  writer = openShardWriter(bus)
  reader = openShardReader(bus)
  await makeRecordStream(bus, { stream: 's', incarnation: 'i', open: [0, 1] })
})
afterEach(async () => {
  reader.stop()
  await bus.close()
  await server.stop()
})

const address = (shard: number) => ({ stream: 's', incarnation: 'i', shard })
const put = (shard: number, bytes: number, arrivalMs = Date.now()) =>
  writer.put(address(shard), { partitionKey: 'k', arrivalMs, data: Buffer.alloc(bytes, 'x') })
const all = { from: 1, most: 10_000, mostBytes: 10_485_760 }
const sequences = async (shard: number, more: Partial<typeof all>) => {
  const page = await reader.read(address(shard), { ...all, ...more })
  return { sequences: page.records.map(({ sequence }) => sequence), pending: page.pending }
}

describe('a page', () => {
  test('has only records of its shard, from a sequence on, and says how many are behind', async () => {
    for (let index = 0; index < 10; index++) await put(index % 2, 10)
    expect(await sequences(1, {})).toEqual({ sequences: [2, 4, 6, 8, 10], pending: 0 })
    expect(await sequences(1, { from: 5, most: 2 })).toEqual({ sequences: [6, 8], pending: 1 })
    expect(await sequences(1, { from: 11 })).toEqual({ sequences: [], pending: 0 })
    expect(await sequences(1, { from: 0 })).toMatchObject({ sequences: [2, 4, 6, 8, 10] })
    expect(await sequences(0, { from: Number.MAX_SAFE_INTEGER })).toMatchObject({ sequences: [] })
  })

  test('has no more bytes than asked for, but one record at least', async () => {
    for (const bytes of [400, 5_000, 400, 400]) await put(0, bytes)
    expect(await sequences(0, { mostBytes: 1_000 })).toEqual({ sequences: [1], pending: 3 })
    expect(await sequences(0, { mostBytes: 1_000, from: 2 })).toEqual({
      sequences: [2],
      pending: 2,
    })
    expect(await sequences(0, { mostBytes: 1_000, from: 3 })).toEqual({
      sequences: [3, 4],
      pending: 0,
    })
  })

  test('may be 10,000 records long', async () => {
    const data = Buffer.from('x')
    for (let batch = 0; batch < 21; batch++) {
      const records = Array.from({ length: 500 }, () => ({
        partitionKey: 'k',
        arrivalMs: 0,
        data,
      }))
      await writer.putMany(address(0), records)
    }
    const page = await reader.read(address(0), all)
    expect(page.records).toHaveLength(10_000)
    expect(page.pending).toBe(500)
  })

  test('may be 10 MiB large', async () => {
    for (let index = 0; index < 11; index++) await put(0, 1_048_576)
    const page = await reader.read(address(0), all)
    expect(page.records).toHaveLength(10)
    expect(page.pending).toBe(1)
  })

  test('is read again when the link breaks', async () => {
    for (let index = 0; index < 500; index++) await put(0, 10)
    const proxy = await cutProxy(server.port)
    const shaky = await openBus({ servers: proxy.url, role: 'front-end', id: 'g' })
    const other = openShardReader(shaky)
    const reading = other.read(address(0), all)
    proxy.cut()
    expect((await reading).records).toHaveLength(500)
    other.stop()
    await shaky.close()
    await proxy.close()
  })
})

describe('the first record since', () => {
  test('is the first that arrived then or later', async () => {
    const start = Date.now()
    await put(0, 1, start)
    await put(1, 1, start + 5)
    await put(0, 1, start + 10)
    await put(0, 1, start + 20)
    expect(await reader.firstSince(address(0), start)).toBe(1)
    expect(await reader.firstSince(address(0), start + 1)).toBe(3)
    expect(await reader.firstSince(address(0), start + 11)).toBe(4)
    expect(await reader.firstSince(address(0), start + 21)).toBeUndefined()
    expect(await reader.firstSince(address(0), 0)).toBe(1)
    expect(await reader.firstSince(address(0), start + 3_600_000)).toBeUndefined()
  })

  test('is found behind many that came before', async () => {
    const start = Date.now()
    for (let index = 0; index < 200; index++) void put(0, 1, start)
    await wait(100)
    await put(0, 1, start + 50)
    expect(await reader.firstSince(address(0), start + 50)).toBe(201)
  })
})

test('the newest of a shard is the last that was stored, also when it is closed', async () => {
  expect(await reader.newest(address(0))).toBeUndefined()
  await put(0, 1)
  await put(0, 1)
  await put(1, 1)
  expect(await reader.newest(address(0))).toBe(2)
  await openOnly(bus, { stream: 's', incarnation: 'i', open: [1, 2] })
  expect(await reader.newest(address(0))).toBe(2)
  expect(await sequences(0, {})).toEqual({ sequences: [1, 2], pending: 0 })
  expect(await reader.isOver(address(0), 2)).toBe(false)
  expect(await reader.isOver(address(0), 3)).toBe(true)
})
