import { DiscardPolicy } from '@nats-io/jetstream'
import { nanos } from 'nats'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { Bus, Clock } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import {
  ensureLogs,
  type LogEntry,
  type LogQuery,
  openLogWriter,
  readLogs,
} from '../../bus/logs.ts'
import { logStream, log as logSubject } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { cutOff, until } from './waiting.ts'

let server: TestServer
let bus: Bus
let name: string
let names = 0

const limits = { maxAgeMs: 604_800_000, maxBytes: 64 * 1024 * 1024 }

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
  await ensureLogs(bus, limits)
})
beforeEach(() => {
  name = `function-${names++}`
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

/** Flushes only when a test says so. */
const stillClock: Clock = { ...systemClock, setTimer: () => 0, clearTimer: () => {} }
const entry = (text: string, more: Partial<LogEntry> = {}): LogEntry => ({
  atMs: 1_700_000_000_000,
  stream: 'stdout',
  text,
  ...more,
})

async function read(query: LogQuery = {}, from = name): Promise<LogEntry[]> {
  const found: LogEntry[] = []
  for await (const each of readLogs(bus, from, query)) found.push(each)
  return found
}
const texts = async (query?: LogQuery) => (await read(query)).map(({ text }) => text)
const stored = (count: number) => until(async () => (await read()).length >= count)

async function messages(): Promise<number> {
  const manager = await bus.jetstreamManager()
  const info = await manager.streams.info(logStream, { subjects_filter: logSubject(name) })
  return info.state.subjects?.[logSubject(name)] ?? 0
}

test('the stream keeps logs by age and size, and lets the oldest go first', async () => {
  const { config } = await ensureLogs(bus, limits)
  expect(config).toMatchObject({
    max_age: nanos(limits.maxAgeMs),
    max_bytes: limits.maxBytes,
    discard: DiscardPolicy.Old,
  })
})

test('what a function wrote is read in order, each function by itself', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 5, clock: systemClock })
  const written = Array.from({ length: 200 }, (_, n) =>
    entry(`line ${n} ü\n`, { requestId: `r${n % 3}`, stream: n % 2 ? 'stderr' : 'stdout' }),
  )
  for (const each of written) {
    writer.write(name, each)
    writer.write('somebody-else', entry('no'))
  }
  await stored(200)
  expect(await read()).toEqual(written)
  await until(async () => (await read({}, 'somebody-else')).length > 0)
  expect(await read({}, 'nobody')).toEqual([])
  await writer.close()
})

test('entries that are written together travel in one message', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 1, clock: stillClock })
  for (let n = 0; n < 50; n++) writer.write(name, entry(`${n}`))
  await writer.close()
  await stored(50)
  expect(await messages()).toBe(1)
})

test('a full message is sent without waiting for the next flush', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 1, clock: stillClock })
  for (let n = 0; n < 300; n++) writer.write(name, entry('x'.repeat(1_000)))
  await stored(200)
  await writer.close()
  await stored(300)
  expect(await messages()).toBe(2)
})

test('no message is too large for a server with the default limit, whatever JSON makes of the text', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 1, clock: stillClock })
  let longestBytes = 0
  const subscription = bus.subscribe(logSubject(name), ({ data }) => {
    longestBytes = Math.max(longestBytes, data.length)
  })
  onTestFinished(subscription.stop)
  await bus.nats.flush()
  for (let n = 0; n < 30; n++) writer.write(name, entry('\u0001'.repeat(10_000)))
  for (let n = 0; n < 30; n++) writer.write(name, entry('€'.repeat(10_000)))
  writer.write(name, entry('\u0001'.repeat(65_536)))
  await writer.close()
  await stored(61)
  expect(longestBytes).toBeGreaterThan(300_000)
  expect(longestBytes).toBeLessThan(1_048_576)
})

test('a text of any length and content arrives whole', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 5, clock: systemClock })
  const text = '\u0000"😀'.repeat(100_000)
  writer.write(name, entry(text, { requestId: 'r' }))
  writer.write(name, entry(''))
  await writer.close()
  await until(async () => (await texts()).join('').length === text.length)
  expect((await texts()).join('')).toBe(text)
  expect((await texts()).at(-1)).toBe('')
})

test('reading can begin at a moment, and keep to one request', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 5, clock: systemClock })
  const now = Date.now()
  for (let n = 0; n < 6; n++) {
    writer.write(name, entry(`${n}`, { atMs: now + n, requestId: n % 2 ? 'odd' : 'even' }))
  }
  await writer.close()
  await stored(6)
  expect(await texts({ sinceMs: now + 3 })).toEqual(['3', '4', '5'])
  expect(await texts({ requestId: 'odd' })).toEqual(['1', '3', '5'])
  expect(await texts({ requestId: 'even', sinceMs: now + 1 })).toEqual(['2', '4'])
  expect(await texts({ sinceMs: now + 3_600_000 })).toEqual([])
})

test('following shows what is there and goes on with what comes, until it is told to stop', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 5, clock: systemClock })
  writer.write(name, entry('before'))
  await stored(1)
  const stop = new AbortController()
  const seen: string[] = []
  const following = (async () => {
    for await (const { text } of readLogs(bus, name, { follow: true, signal: stop.signal })) {
      seen.push(text)
      if (text === 'before') for (let n = 0; n < 100; n++) writer.write(name, entry(`${n}`))
      if (text === '99') stop.abort()
    }
  })()
  await following
  expect(seen).toEqual(['before', ...Array.from({ length: 100 }, (_, n) => `${n}`)])
  await writer.close()
})

test('following ends at once when nothing is written any more and it is told to stop', async () => {
  const stop = new AbortController()
  const following = (async () => {
    for await (const _ of readLogs(bus, name, { follow: true, signal: stop.signal })) {
    }
  })()
  await bus.nats.flush()
  stop.abort()
  await following
})

test('a follower whose link keeps breaking misses nothing and repeats nothing', async () => {
  const proxy = await cutProxy(server.port)
  const fragile = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
  onTestFinished(async () => {
    await fragile.close()
    await proxy.close()
  })
  const writer = openLogWriter(bus, { flushEveryMs: 3, clock: systemClock })
  const seen: string[] = []
  const following = (async () => {
    for await (const { text } of readLogs(fragile, name, { follow: true })) {
      seen.push(text)
      if (text === '149') return
    }
  })()
  for (let n = 0; n < 150; n++) {
    writer.write(name, entry(`${n}`))
    if (n % 20 === 0) proxy.cut()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await following
  await writer.close()
  expect(seen).toEqual(Array.from({ length: 150 }, (_, n) => `${n}`))
})

test('what is written while the link is down is kept and sent when it is back', async () => {
  const proxy = await cutProxy(server.port)
  const fragile = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
  onTestFinished(async () => {
    await fragile.close()
    await proxy.close()
  })
  const writer = openLogWriter(fragile, { flushEveryMs: 5, clock: systemClock })
  await cutOff(proxy, fragile)
  for (let n = 0; n < 300; n++) writer.write(name, entry(`${n} ${'x'.repeat(5_000)}`))
  proxy.resume()
  await stored(300)
  expect((await texts()).map((text) => Number.parseInt(text, 10))).toEqual(
    Array.from({ length: 300 }, (_, n) => n),
  )
  expect(await messages()).toBeGreaterThan(4)
  expect(writer.dropped).toBe(0)
})

test('what does not fit into the buffer is dropped, counted, and said in the log', async () => {
  const proxy = await cutProxy(server.port)
  const fragile = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
  onTestFinished(async () => {
    await fragile.close()
    await proxy.close()
  })
  const writer = openLogWriter(fragile, {
    flushEveryMs: 5,
    clock: systemClock,
    bufferCharacters: 10_000,
  })
  await cutOff(proxy, fragile)
  for (let n = 0; n < 100; n++) writer.write(name, entry('x'.repeat(920)))
  proxy.resume()
  await until(async () => (await texts()).length > 0)
  const found = await read()
  expect(writer.dropped).toBe(90)
  expect(found).toHaveLength(11)
  expect(found.at(-1)).toMatchObject({
    stream: 'lambus',
    text: expect.stringContaining('90 log entries'),
  })
})

test('what is not one of our entries is shown as it is', async () => {
  await bus.jetstream.publish(logSubject(name), 'hello\n{"text":1}')
  expect(await read()).toMatchObject([
    { stream: 'foreign', text: 'hello' },
    { stream: 'foreign', text: '{"text":1}' },
  ])
})

test('before anybody has made the stream, logs are empty; who follows hears what comes then', async () => {
  const fresh = await startNatsServer()
  const early = await openBus({ servers: fresh.url, role: 'test', id: 'early' })
  onTestFinished(async () => {
    await early.close()
    await fresh.stop()
  })
  for await (const _ of readLogs(early, name)) expect.unreachable()
  const following = (async () => {
    for await (const { text } of readLogs(early, name, { follow: true })) return text
  })()
  await ensureLogs(early, limits)
  const writer = openLogWriter(early, { flushEveryMs: 5, clock: systemClock })
  writer.write(name, entry('first'))
  expect(await following).toBe('first')
  await writer.close()
})

test('logs are read across a restart of the server', async () => {
  const writer = openLogWriter(bus, { flushEveryMs: 5, clock: systemClock })
  writer.write(name, entry('kept'))
  await stored(1)
  await server.kill()
  const reading = texts()
  await server.restart()
  expect(await reading).toEqual(['kept'])
  await writer.close()
})
