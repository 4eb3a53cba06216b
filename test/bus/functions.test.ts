import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Functions, openFunctions } from '../../bus/functions.ts'
import { functionsBucket, kvEntry, kvStream } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { listeningLog } from './listening-log.ts'
import { cutOff, until } from './waiting.ts'

type Configured = { name: string; incarnation: string; step: number; memoryMb: number }

let server: TestServer
let bus: Bus
let functions: Functions<Configured>
let name = ''
let names = 0

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'control-plane', id: 'functions' })
  functions = await openFunctions<Configured>(bus)
})
beforeEach(() => {
  name = `f${++names}`
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const record = (incarnation: string, step: number, memoryMb = 128 * step): Configured => ({
  name,
  incarnation,
  step,
  memoryMb,
})
const stepNow = async () => (await functions.read(name))?.value.step

describe('storing', () => {
  test('a higher step replaces a lower one, whatever comes between', async () => {
    expect(await functions.put(record('a', 1))).toEqual({ revision: expect.any(Number) })
    expect(await functions.put(record('a', 4))).toEqual({ revision: expect.any(Number) })
    expect((await functions.read(name))?.value).toEqual(record('a', 4))
  })

  test('a late writer of a lower step changes nothing and is told', async () => {
    await functions.put(record('a', 5))
    const before = await functions.read(name)
    expect(await functions.put(record('a', 4))).toBe('stale')
    expect(await functions.read(name)).toEqual(before)
  })

  test('the same step again is stored already', async () => {
    const first = await functions.put(record('a', 2))
    expect(await functions.put(record('a', 2))).toEqual(first)
  })

  test('of many writers at once the highest step stays', async () => {
    const steps = Array.from({ length: 20 }, (_, n) => n + 1)
    const outcomes = await Promise.all(steps.map((step) => functions.put(record('a', step))))
    expect(await stepNow()).toBe(20)
    expect(outcomes.at(-1)).toEqual({ revision: (await functions.read(name))?.revision })
  })

  test('a function that nobody has stored is not there', async () => {
    expect(await functions.read(name)).toBeUndefined()
  })
})

describe('removing', () => {
  test('takes the record away, and again does nothing', async () => {
    await functions.put(record('a', 1))
    const removed = await functions.remove(record('a', 2))
    expect(removed).toEqual({ revision: expect.any(Number) })
    expect(await functions.read(name)).toBeUndefined()
    expect(await functions.remove(record('a', 2))).toEqual(removed)
  })

  test('a late removal does not take away what has been changed since', async () => {
    await functions.put(record('a', 3))
    expect(await functions.remove(record('a', 2))).toBe('stale')
    expect(await stepNow()).toBe(3)
  })

  test('nothing of what was removed can be stored any more', async () => {
    await functions.put(record('a', 1))
    await functions.remove(record('a', 3))
    for (const step of [1, 2, 3, 4]) expect(await functions.put(record('a', step))).toBe('stale')
    expect(await functions.read(name)).toBeUndefined()
  })

  test('a removal that overtakes the first record keeps it away', async () => {
    await functions.remove(record('a', 2))
    expect(await functions.put(record('a', 1))).toBe('stale')
  })

  test('a new creation starts again at step 1, and late writers of earlier ones stay late', async () => {
    for (const [incarnation, next] of [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'd'],
    ] as const) {
      await functions.put(record(incarnation, 1))
      await functions.remove(record(incarnation, 9))
      expect(await functions.put(record(next, 1))).toEqual({ revision: expect.any(Number) })
    }
    await functions.put(record('d', 2))
    for (const incarnation of ['a', 'b', 'c']) {
      expect(await functions.put(record(incarnation, 99))).toBe('stale')
      await functions.remove(record(incarnation, 99))
    }
    expect((await functions.read(name))?.value).toEqual(record('d', 2))
    await functions.remove(record('d', 3))
    expect(await functions.put(record('a', 100))).toBe('stale')
    expect(await functions.read(name)).toBeUndefined()
  })

  test('an incarnation that has not ended is not replaced by another', async () => {
    await functions.put(record('a', 1))
    expect(await functions.put(record('b', 7))).toBe('stale')
    expect(await functions.remove(record('b', 7))).toBe('stale')
    expect((await functions.read(name))?.value.incarnation).toBe('a')
  })

  test('the marker goes away by itself after a day', async () => {
    await functions.put(record('a', 1))
    await functions.remove(record('a', 2))
    const manager = await bus.jetstreamManager()
    const marker = await manager.streams.getMessage(kvStream(functionsBucket), {
      last_by_subj: kvEntry(functionsBucket, name),
    })
    expect(marker?.header.get('Nats-TTL')).toBe('86400000ms')
  })
})

describe('watching', () => {
  test('a copy in memory follows, and waits for what one has just written', async () => {
    const changes: unknown[] = []
    const watched = await functions.watch({
      clock: systemClock,
      reconcileEveryMs: 60_000,
      onChange: (key, value) => {
        if (key === name) changes.push(value?.step)
      },
    })
    for (const step of [1, 2]) {
      const put = await functions.put(record('a', step))
      if (put === 'stale') throw new Error('stale')
      expect(await watched.reached(put.revision, 5_000)).toBe(true)
      expect(watched.get(name)?.value).toEqual(record('a', step))
    }
    const removed = await functions.remove(record('a', 3))
    if (removed === 'stale') throw new Error('stale')
    expect(await watched.reached(removed.revision, 5_000)).toBe(true)
    expect(watched.get(name)).toBeUndefined()
    expect(changes).toEqual([1, 2, undefined])
    watched.stop()
  })

  test('what is not a record is skipped', async () => {
    const log = listeningLog()
    const watched = await functions.watch({ clock: systemClock, reconcileEveryMs: 60_000, log })
    const { seq } = await bus.jetstream.publish(kvEntry(functionsBucket, name), '{"name":"f"}')
    expect(await watched.reached(seq, 5_000)).toBe(true)
    expect(watched.get(name)).toBeUndefined()
    expect(log.codes()).toEqual(['BUS_VALUE_UNREADABLE'])
    await expect(functions.read(name)).rejects.toMatchObject({ code: 'BUS_DOCUMENT_UNREADABLE' })
    watched.stop()
  })
})

test('a record put while the link is down is stored when it is back, once', async () => {
  const proxy = await cutProxy(server.port)
  const far = await openBus({ servers: proxy.url, role: 'control-plane', id: 'far' })
  const there = await openFunctions<Configured>(far)
  await cutOff(proxy, far)
  const putting = there.put(record('a', 1))
  proxy.resume()
  expect(await putting).toEqual({ revision: (await functions.read(name))?.revision })

  // Cut in the middle of many: every one is answered, and none is stored over a higher one.
  const steps = Array.from({ length: 40 }, (_, n) => n + 2)
  const all = Promise.all(steps.map((step) => there.put(record('a', step))))
  await until(async () => ((await stepNow()) ?? 0) > 1)
  proxy.cut()
  await all
  expect(await stepNow()).toBe(41)
  await far.close()
  await proxy.close()
})
