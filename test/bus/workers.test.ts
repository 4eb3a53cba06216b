import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { Bus, Clock } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import type { Watched } from '../../bus/watched.ts'
import { registerWorker, type WorkerRecord, watchWorkers } from '../../bus/workers.ts'
import { systemClock } from '../../edges/clock.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { cutOff, until } from './waiting.ts'

let server: TestServer
let bus: Bus
let workers: Watched<WorkerRecord>
let changes: [id: string, record: WorkerRecord | undefined][]
let ids = 0
let id: string

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
  workers = await watchWorkers(bus, (...change) => changes.push(change), {
    clock: systemClock,
    reconcileEveryMs: 60_000,
  })
})
beforeEach(() => {
  id = `worker-${ids++}`
  changes = []
})
afterAll(async () => {
  workers.stop()
  await bus.close()
  await server.stop()
})

const record = (more: Partial<WorkerRecord> = {}): WorkerRecord => ({
  id,
  host: 'localhost',
  pid: 1,
  memoryMb: 4_096,
  usedMb: 0,
  sandboxes: 0,
  runtimes: ['nodejs24.x'],
  labels: {},
  startedAtMs: 1_700_000_000_000,
  draining: false,
  ...more,
})
const seen = () => changes.filter(([changed]) => changed === id).map(([, value]) => value)
const options = { ttlMs: 30_000, clock: systemClock }
/** For workers that are to go away by themselves: it is seen before that they are there. */
const short = { ...options, ttlMs: 3_000 }
/** Never renews. */
const deadClock: Clock = { ...systemClock, setTimer: () => 0, clearTimer: () => {} }

test('a worker is seen when it registers, when it changes and when it leaves', async () => {
  // What is written over at once may never be seen.
  const registration = await registerWorker(bus, record(), options)
  await until(() => seen().length === 1)
  await registration.update(record({ usedMb: 512, sandboxes: 4 }))
  await until(() => seen().length === 2)
  await registration.remove()
  await until(() => seen().at(-1) === undefined && seen().length > 0)
  expect(seen()).toEqual([record(), record({ usedMb: 512, sandboxes: 4 }), undefined])
})

test('a worker that no longer renews goes away by itself', async () => {
  await registerWorker(bus, record(), { ...short, clock: deadClock })
  await until(() => seen().length === 2)
  expect(seen()).toEqual([record(), undefined])
})

test('a worker that renews stays', async () => {
  const other = `${id}-that-does-not`
  const registration = await registerWorker(bus, record(), short)
  await registerWorker(bus, record({ id: other }), { ...short, clock: deadClock })
  // By the server's own clock: the other one was stored later and has gone first.
  await until(() => changes.some(([changed, value]) => changed === other && value === undefined))
  expect(seen()).not.toContain(undefined)
  await registration.remove()
})

test('of many updates at once the last one counts', async () => {
  const registration = await registerWorker(bus, record(), options)
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => registration.update(record({ sandboxes: n }))),
  )
  await until(() => seen().at(-1)?.sandboxes === 49)
  expect(seen().length).toBeLessThan(10)
  await registration.remove()
})

test('a worker that was cut off for longer than its TTL is back as soon as its link is', async () => {
  const proxy = await cutProxy(server.port)
  const fragile = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
  onTestFinished(async () => {
    await fragile.close()
    await proxy.close()
  })
  const registration = await registerWorker(fragile, record(), { ...short, clock: deadClock })
  await cutOff(proxy, fragile)
  await until(() => seen().at(-1) === undefined && seen().length === 2)
  proxy.resume()
  await until(() => seen().length === 3)
  expect(seen().at(-1)).toEqual(record())
  await registration.remove()
})

test('a removal while an update is on its way is the last word', async () => {
  const registration = await registerWorker(bus, record(), options)
  await until(() => seen().length > 0)
  const updating = registration.update(record({ sandboxes: 1 }))
  await registration.remove()
  await updating
  await until(() => seen().length > 0 && seen().at(-1) === undefined)
  await bus.nats.flush()
  expect(workers.get(id)).toBeUndefined()
  expect(await workers.read(id)).toBeUndefined()
})

test('workers are there again after kill -9 of the server', async () => {
  const registration = await registerWorker(bus, record(), options)
  await until(() => workers.get(id) !== undefined)
  await server.kill()
  await server.restart()
  await registration.update(record({ sandboxes: 7 }))
  await until(() => seen().at(-1)?.sandboxes === 7)
  await registration.remove()
})

test('a TTL that the server would refuse is refused here', async () => {
  await expect(registerWorker(bus, record(), { ...options, ttlMs: 999 })).rejects.toThrow(
    RangeError,
  )
})
