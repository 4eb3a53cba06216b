/**
 * What the pools of one worker manager share: the concurrency of a function with several generations, and the account's.
 * The front ends, the worker and placement are played by the test, over a real server.
 */
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { openPools } from '../../actors/pool.ts'
import { eventOf, type RoomRequest } from '../../actors/pool-messages.ts'
import type { Bus, Clock } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import * as subjects from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import type { FunctionRecord, Generation } from '../../machines/function.ts'
import type { Seat } from '../../machines/reservations.ts'
import { keptLog } from '../kept-log.ts'
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

const recordOf = (name: string, generation: string, reserved?: number): FunctionRecord =>
  ({
    name,
    ...(reserved === undefined ? {} : { reservedConcurrency: reserved }),
    serving: { id: generation, settings: { memoryMb: 128 } } as Generation,
  }) as FunctionRecord

/** Idle seats are waited for at the limit as long as a busy machine may need; so is all that pools do now and then. */
const slowly: Clock = {
  ...systemClock,
  setTimer: (callback, delayMs) => systemClock.setTimer(callback, 20 * delayMs),
}

/** Pools of partition 0, a worker that starts every sandbox at once, and one front end. */
function startPools(accountConcurrency: number) {
  const records = new Map<string, FunctionRecord>()
  const log = keptLog()
  const pools = openPools({
    bus,
    clock: slowly,
    log,
    read: async (name) => records.get(name),
    known: (name) => records.get(name),
    accountConcurrency,
    managers: () => 1,
    keepAliveMs: 60_000,
  })
  pools.serve(0, 'e', [])
  const toPool = (event: string, fields: object) =>
    bus.publish(subjects.pool(0, event), JSON.stringify(fields))
  /** Seats of the front end, by pool. */
  const seats = new Map<string, Seat[]>()
  const throttled: [pool: unknown, reason: unknown][] = []
  const seatsOf = (pool: string) => seats.get(pool) ?? []
  const giveBack = (pool: string, count: number) => {
    const given = seatsOf(pool).splice(0, count)
    toPool('released', { pool, frontEnd: 'f1', seats: given, atMs: 0 })
  }
  let gives = true
  const hearings = [
    bus.subscribe(subjects.place, (message) => {
      const { sandboxId, pool } = message.json<RoomRequest>()
      message.respond(JSON.stringify({ placed: 'w1' }))
      toPool('ready', { pool, sandboxId, workerId: 'w1', atMs: 0 })
    }),
    bus.subscribe(subjects.anySandbox('w1'), (message) => {
      const [, , , , sandboxId, event] = subjects.tokens(message.subject)
      if (event === 'reclaim') message.respond(JSON.stringify({ isHere: true }))
      if (event !== 'stop') return
      for (const pool of pools.host.instances()) {
        toPool('stopped', { pool, sandboxId, workerId: 'w1' })
      }
    }),
    bus.subscribe(subjects.anyFrontEnd('f1'), (message) => {
      const event = eventOf(message)
      const pool = String(event?.['pool'])
      if (event?.type === 'granted') {
        seats.set(pool, [...seatsOf(pool), ...(event['seats'] as Seat[])])
      }
      if (event?.type === 'throttled') throttled.push([pool, event['reason']])
      if (event?.type === 'recalled' && gives) giveBack(pool, Number(event['count']))
      if (event?.type === 'audit') {
        const { owner, audit } = event
        toPool('holding', { pool, frontEnd: 'f1', owner, audit, seats: seatsOf(pool) })
      }
    }),
  ]
  onTestFinished(() => {
    for (const hearing of hearings) hearing.stop()
    pools.stop()
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([])
  })
  const want = (pool: string, count: number) => toPool('want', { pool, frontEnd: 'f1', count })
  return {
    pools,
    throttled,
    giveBack,
    want,
    /** From now on its seats are all in use: it gives none back when it is asked. */
    keeps() {
      gives = false
    },
    change(record: FunctionRecord) {
      records.set(record.name, record)
      pools.functionChanged(record.name, record)
    },
    has: (pool: string, count: number) =>
      vi.waitFor(() => expect(seatsOf(pool).length).toBe(count), { timeout: 10_000 }),
    hasThrottled: (...what: typeof throttled) =>
      vi.waitFor(() => expect(throttled).toEqual(what), { timeout: 10_000 }),
  }
}

const reserved = 'ReservedFunctionConcurrentInvocationLimitExceeded'
const account = 'ConcurrentInvocationLimitExceeded'

// AWS Lambda Developer Guide, "Configuring reserved concurrency": for the function, all its versions; §3.3.
test('what is reserved counts for all generations of a function together', async () => {
  const { want, has, change, giveBack, keeps, hasThrottled } = startPools(100)
  change(recordOf('f', 'g1', 2))
  want('f:g1', 2)
  await has('f:g1', 2)
  keeps()
  change(recordOf('f', 'g2', 2))
  want('f:g2', 1)
  await hasThrottled(['f:g2', reserved])
  giveBack('f:g1', 1)
  want('f:g2', 2)
  await has('f:g2', 1)
  await hasThrottled(['f:g2', reserved], ['f:g2', reserved])
  giveBack('f:g1', 1)
  want('f:g2', 1)
  await has('f:g2', 2)
})

test('seats that lie idle in one pool are called back for another of the same function', async () => {
  const { want, has, change, throttled } = startPools(100)
  change(recordOf('f', 'g1', 3))
  want('f:g1', 3)
  await has('f:g1', 3)
  change(recordOf('f', 'g2', 3))
  want('f:g2', 2)
  await has('f:g2', 2)
  expect(throttled).toEqual([])
})

test('a cap that changes is kept to at once, up and down', async () => {
  const { want, has, change, hasThrottled, keeps } = startPools(100)
  change(recordOf('f', 'g1'))
  want('f:g1', 5)
  await has('f:g1', 5)
  change(recordOf('f', 'g1', 2))
  await has('f:g1', 2)
  keeps()
  want('f:g1', 1)
  await hasThrottled(['f:g1', reserved])
  change(recordOf('f', 'g1', 4))
  want('f:g1', 2)
  await has('f:g1', 4)
  change(recordOf('f', 'g1'))
  want('f:g1', 4)
  await has('f:g1', 8)
})

test('functions without a reservation share what the reservations leave', async () => {
  const { want, has, change, hasThrottled, keeps } = startPools(5)
  change(recordOf('f', 'g1', 3))
  change(recordOf('g', 'g1'))
  want('g:g1', 4)
  await has('g:g1', 2)
  await hasThrottled(['g:g1', account])
  want('f:g1', 3)
  await has('f:g1', 3)
  change(recordOf('f', 'g1', 1))
  await has('f:g1', 1)
  want('g:g1', 2)
  await has('g:g1', 4)
  keeps()
  change(recordOf('f', 'g1', 5))
  want('g:g1', 1)
  await hasThrottled(['g:g1', account], ['g:g1', account])
  want('f:g1', 4)
  await has('f:g1', 5)
})
