import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { HeldShard } from '../../actors/held-shard.ts'
import {
  collectShardReports,
  reportOf,
  reportShards,
  type ShardReports,
} from '../../actors/shards-report.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { readConfig } from '../../config.ts'
import { systemClock } from '../../edges/clock.ts'
import { startInspector } from '../../roles/inspector.ts'
import type { Process } from '../../roles/role.ts'
import { until } from '../bus/waiting.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { simulatedClock } from '../simulated-clock.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'poller', id: 'p1' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const NOW_MS = 1_000_000
/** A shard that is held: two lanes, in one of them a record of 250 ms ago. */
const held = (shard: number, more: { to?: number; stream?: string } = {}): HeldShard => {
  const reading = {
    lanes: {
      lanes: 2,
      size: (lane: number) => (lane === 0 ? 3 : 0),
      at: (lane: number) => (lane === 0 ? { arrivalMs: NOW_MS - 250 } : undefined),
      done: (lane: number) => (lane === 0 ? 17 : 20),
    },
    pending: 5,
    progress: { from: 10, at: 20, to: more.to },
  }
  const counts = {
    ...{ batches: 6, recordsTried: 60, records: 40, retries: 2, invokeErrors: 1, throttles: 1 },
    ...{ discarded: 0, filtered: 4, iteratorAgeMs: 30 },
  }
  return {
    key: `m.${shard}`,
    mapping: { functionName: 'f' },
    work: { mapping: 'm', shard, stream: more.stream ?? 'orders' },
    reading,
    counts,
  } as unknown as HeldShard
}

test('a report says how far a shard is and how it fares', () => {
  expect(reportOf(held(3), NOW_MS)).toEqual({
    ...{ mapping: 'm', functionName: 'f', stream: 'orders', shard: 3, lanes: 2, done: 17 },
    ...{ behindRecords: 8, behindMs: 250, iteratorAgeMs: 250, batches: 6, recordsTried: 60 },
    ...{ records: 40, retries: 2, invokeErrors: 1, throttles: 1, discarded: 0, filtered: 4 },
  })
})

test('a long way to where a stream ended is told of while it lasts', () => {
  expect(reportOf(held(3, { to: 5_000 }), NOW_MS).rereading).toEqual({
    from: 10,
    at: 20,
    to: 5_000,
  })
  expect(reportOf(held(3, { to: 500 }), NOW_MS).rereading).toBeUndefined()
  expect(reportOf(held(3, { to: 20 }), NOW_MS).rereading).toBeUndefined()
})

test('what pollers say of their shards is heard, thousands too, and forgotten when they say no more', async () => {
  const clock = simulatedClock(NOW_MS)
  const reports: ShardReports = collectShardReports(bus, clock)
  onTestFinished(() => reports.stop())
  await bus.nats.flush()
  const shards = Array.from({ length: 2_500 }, (_, shard) => held(shard))
  const stop = reportShards(bus, { clock, pollerId: 'p1', held: () => shards })
  await until(() => reports.all().length === 2_500)
  expect(reports.get('m', 2_499)).toMatchObject({ poller: 'p1', shard: 2_499, behindRecords: 8 })
  expect(reports.get('m', 2_500)).toBeUndefined()
  stop()
  const stopOther = reportShards(bus, { clock, pollerId: 'p2', held: () => shards.slice(0, 1) })
  await until(() => reports.get('m', 0)?.poller === 'p2')
  clock.advance(4_500)
  await until(() => reports.all().length === 2_500)
  clock.advance(600)
  stopOther()
  expect(reports.get('m', 1)).toBeUndefined()
  await until(() => reports.all().length === 1)
})

/** DESIGN §3: `lambus_<name>{function_name="…"}`, names as AWS's in snake case. */
test('the inspector serves it all as metrics', async () => {
  const process = {
    ...{ bus, clock: systemClock, log: keptLog(), id: 'inspector' },
    config: readConfig({}, { inspectorPort: 0 }),
  } as unknown as Process
  const inspector = await startInspector(process)
  onTestFinished(() => inspector.stop())
  await bus.nats.flush()
  const scrape = async () => {
    const answer = await fetch(`${inspector.address}/metrics`)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    return await answer.text()
  }
  expect(await scrape()).toContain('# TYPE lambus_iterator_age_milliseconds gauge')
  const clock = { ...systemClock, nowMs: () => NOW_MS }
  const shards = [held(0), held(1, { stream: 'odd"name' })]
  const stop = reportShards(bus, { clock, pollerId: 'p1', held: () => shards })
  onTestFinished(stop)
  let text = ''
  await until(async () => {
    text = await scrape()
    return text.includes('orders')
  })
  expect(text.split('\n').filter((line) => line.includes('shard="0"'))).toMatchInlineSnapshot(`
    [
      "lambus_iterator_age_milliseconds{function_name="f",stream="orders",shard="0"} 250",
      "lambus_batch_size_count{function_name="f",stream="orders",shard="0"} 6",
      "lambus_batch_size_sum{function_name="f",stream="orders",shard="0"} 60",
      "lambus_stream_records_total{function_name="f",stream="orders",shard="0"} 40",
      "lambus_stream_retries_total{function_name="f",stream="orders",shard="0"} 2",
      "lambus_stream_errors_total{function_name="f",stream="orders",shard="0"} 1",
      "lambus_stream_throttles_total{function_name="f",stream="orders",shard="0"} 1",
      "lambus_stream_records_discarded_total{function_name="f",stream="orders",shard="0"} 0",
      "lambus_stream_records_filtered_total{function_name="f",stream="orders",shard="0"} 4",
      "lambus_shard_lanes{function_name="f",stream="orders",shard="0"} 2",
      "lambus_checkpoint_lag_records{function_name="f",stream="orders",shard="0"} 8",
      "lambus_checkpoint_lag_milliseconds{function_name="f",stream="orders",shard="0"} 250",
      "lambus_shard_rereading{function_name="f",stream="orders",shard="0"} 0",
    ]
  `)
  expect(text).toContain('lambus_shard_lanes{function_name="f",stream="odd\\"name",shard="1"} 2')
  expect(text).toContain('# TYPE lambus_stream_retries_total counter')
  // What is counted is not counted again by being looked at.
  expect(await scrape()).toBe(text)
  expect((await fetch(`${inspector.address}/constructor`)).status).toBe(404)
})
