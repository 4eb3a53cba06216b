/** Records put into shards of a record stream on a real nats-server. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sendTogether } from '../../bus/atomic-write.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openShardReader, type ShardReader } from '../../bus/shard-read.ts'
import { openShardWriter, type PutOutcome, type ShardWriter } from '../../bus/shard-write.ts'
import { recordStream, shard as shardSubject } from '../../bus/subjects.ts'
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
  await makeRecordStream(bus, { stream: 's.1', incarnation: 'i', open: [0, 1] })
})
afterEach(async () => {
  reader.stop()
  await bus.close()
  await server.stop()
})

const address = (shard: number) => ({ stream: 's.1', incarnation: 'i', shard })
const record = (text: string, partitionKey = 'k') => ({
  partitionKey,
  arrivalMs: 1_700_000_000_000,
  data: Buffer.from(text),
})
const sequenceIn = (outcome: PutOutcome | undefined): number => {
  if (typeof outcome !== 'object' || !('sequence' in outcome)) throw new Error(String(outcome))
  return outcome.sequence
}
const all = { from: 1, most: 10_000, mostBytes: 10_485_760 }

describe('a record', () => {
  test('is stored with its key, whatever is in that, its time and its bytes', async () => {
    const key = 'a%b\r\nNats-Rollup: all ü😀'
    const outcome = await writer.put(address(0), record('hello', key))
    const { records } = await reader.read(address(0), all)
    expect(records).toEqual([
      {
        sequence: sequenceIn(outcome),
        partitionKey: key,
        arrivalMs: 1_700_000_000_000,
        data: expect.anything(),
      },
    ])
    expect(Buffer.from(records[0]?.data ?? '').toString()).toBe('hello')
  })

  test('may be empty', async () => {
    await writer.put(address(0), record(''))
    const { records } = await reader.read(address(0), all)
    expect(records[0]?.data.length).toBe(0)
  })

  test('is not stored by a stream that is not the one it is for', async () => {
    const manager = await bus.jetstreamManager()
    await manager.streams.add({ name: 'OTHER', subjects: [shardSubject('t', 'i', 0)] })
    const outcome = await writer.put({ stream: 't', incarnation: 'i', shard: 0 }, record('x'))
    expect(outcome).toMatchObject({ refused: 10_060 })
    expect((await manager.streams.info('OTHER')).state.messages).toBe(0)
  })
})

test('a record whose link breaks is one that nobody knows of, as soon as there is another link', async () => {
  const proxy = await cutProxy(server.port)
  const shaky = await openBus({ servers: proxy.url, role: 'front-end', id: 'g' })
  const other = openShardWriter(shaky)
  proxy.pause()
  const many = Array.from({ length: 20 }, () => record('x'))
  const putting = Promise.all([other.put(address(0), record('x')), other.putMany(address(0), many)])
  proxy.cut()
  proxy.resume()
  const startedAtMs = Date.now()
  expect((await putting).flat()).toEqual(Array.from({ length: 21 }, () => 'unanswered'))
  expect(Date.now() - startedAtMs).toBeLessThan(4_000)
  expect(await other.put(address(0), record('x'))).toMatchObject({ sequence: expect.any(Number) })
  other.stop()
  await shaky.close()
  await proxy.close()
})

describe('records of one shard', () => {
  test('that are put together stand one behind the other, as their outcomes say', async () => {
    const texts = Array.from({ length: 500 }, (_, index) => `r${index}`)
    const others = Promise.all(
      Array.from({ length: 50 }, () => writer.put(address(0), record('-'))),
    )
    const outcomes = await writer.putMany(
      address(1),
      texts.map((text) => record(text)),
    )
    await others
    const sequences = outcomes.map(sequenceIn)
    const [first = 0] = sequences
    expect(sequences).toEqual(texts.map((_, index) => first + index))
    const { records } = await reader.read(address(1), all)
    expect(records.map(({ sequence }) => sequence)).toEqual(sequences)
    expect(records.map(({ data }) => Buffer.from(data).toString())).toEqual(texts)
  })

  test('are put one by one where the server has too many batches open, and none is lost', async () => {
    // Sixty that are never committed: more than the server takes of one stream.
    for (let batch = 0; batch < 60; batch++) {
      void sendTogether(bus, [
        { subject: shardSubject('s.1', 'i', 0), body: 'staged' },
        { subject: shardSubject('s.1', 'i', 7), body: 'nobody takes this' },
      ])
    }
    await bus.nats.flush()
    const outcomes = await writer.putMany(
      address(1),
      Array.from({ length: 20 }, (_, index) => record(`r${index}`)),
    )
    expect(new Set(outcomes.map(sequenceIn)).size).toBe(20)
    expect((await reader.read(address(1), all)).records).toHaveLength(20)
  })
})

describe('a closed shard', () => {
  test('takes nothing, one by one or together, and nothing of it is stored elsewhere', async () => {
    await writer.put(address(0), record('before'))
    const until = await openOnly(bus, { stream: 's.1', incarnation: 'i', open: [1, 2, 3] })
    expect(until).toBe(1)
    expect(await writer.put(address(0), record('late'))).toBe('closed')
    const many = Array.from({ length: 10 }, () => record('late'))
    expect(await writer.putMany(address(0), many)).toEqual(many.map(() => 'closed'))
    const info = await (await bus.jetstreamManager()).streams.info(recordStream('s.1'))
    expect(info.state.last_seq).toBe(1)
    expect((await reader.read(address(0), all)).records).toHaveLength(1)
  })

  // What makes one write of several shards unfit for records, on the server that we use.
  test('would get what was staged for it before, by a commit through another shard', async () => {
    const batch = { 'Nats-Batch-Id': 'b' }
    const { headers } = await import('nats')
    const head = (more: Record<string, string>) => {
      const made = headers()
      for (const [name, value] of Object.entries({ ...batch, ...more })) made.set(name, value)
      return made
    }
    bus.publish(shardSubject('s.1', 'i', 0), 'staged', {
      headers: head({ 'Nats-Batch-Sequence': '1' }),
    })
    await bus.nats.flush()
    const until = await openOnly(bus, { stream: 's.1', incarnation: 'i', open: [1, 2] })
    await bus.request(shardSubject('s.1', 'i', 1), 'commit', {
      headers: head({ 'Nats-Batch-Sequence': '2', 'Nats-Batch-Commit': '1' }),
    })
    const { records } = await reader.read(address(0), all)
    expect(records.map(({ sequence }) => sequence > until)).toEqual([true])
  })

  test('ends where it was said to end, however many were writing, and every record they were told of is there', async () => {
    for (let round = 0; round < 5; round++) {
      const stream = `race${round}`
      await makeRecordStream(bus, { stream, incarnation: 'i', open: [0, 1] })
      const here = { stream, incarnation: 'i', shard: 0 }
      const told = new Set<number>()
      const writeUntilClosed = async (many: number): Promise<void> => {
        for (;;) {
          const outcomes = await writer.putMany(
            here,
            Array.from({ length: many }, () => record('r')),
          )
          if (outcomes.includes('closed')) {
            expect(new Set(outcomes)).toEqual(new Set(['closed']))
            return
          }
          for (const outcome of outcomes) told.add(sequenceIn(outcome))
        }
      }
      const writers = Promise.all([
        ...Array.from({ length: 32 }, () => writeUntilClosed(1)),
        ...Array.from({ length: 8 }, () => writeUntilClosed(20)),
      ])
      while (told.size < 200) await new Promise((resolve) => setTimeout(resolve, 1))
      const until = await openOnly(bus, { stream, incarnation: 'i', open: [1, 2, 3] })
      await writers
      expect(Math.max(...told)).toBeLessThanOrEqual(until)
      const found = new Set<number>()
      for (let from = 1; ; ) {
        const { records } = await reader.read(here, { ...all, from })
        for (const { sequence } of records) found.add(sequence)
        const last = records.at(-1)
        if (last === undefined) break
        from = last.sequence + 1
      }
      expect([...told].filter((sequence) => !found.has(sequence))).toEqual([])
      expect(await reader.isOver(here, until + 1)).toBe(true)
    }
  })
})
