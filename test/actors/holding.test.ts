import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type Assignment, type Holdings, openHoldings, type Reader } from '../../actors/holding.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Directory, openDirectory } from '../../bus/directory.ts'
import { type Leases, openLeases } from '../../bus/leases.ts'
import { leasesBucket, shardAssignmentsBucket } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { until } from '../bus/waiting.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

/** Longer than any test. */
const LONG_MS = 60_000

let server: TestServer
let bus: Bus
let leases: Leases<string>
let assignments: Directory<Assignment>
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'poller', id: 'test' })
  leases = await openLeases<string>(bus, {
    bucket: leasesBucket,
    ttlMs: LONG_MS,
    clock: systemClock,
  })
  assignments = await openDirectory<Assignment>(bus, shardAssignmentsBucket)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

let key: string
let keys = 0
beforeEach(() => {
  key = `m.${keys++}`
})
const assign = (poller: string) => assignments.put(key, { poller }, 1)
afterEach(() => assignments.remove(key, 1))
const holderOf = async () => (await leases.read(`shard.${key}`))?.value
const isHeldBy = (id: string) => until(async () => (await holderOf()) === id)

type Poller = {
  holdings: Holdings<Reader>
  /** What it was told to do with this test's key, in order. */
  heard: string[]
  /** Of each time that it was opened. */
  lost: (() => void)[]
}

type Nature = {
  open?: () => Promise<void>
  drains?: boolean
  on?: Stores
  leaseTtlMs?: number
  drainForMs?: number
  silenceMs?: number
}
type Stores = { leases: Leases<string>; assignments: Directory<Assignment> }

async function startPoller(
  id: string,
  {
    open = async () => {},
    drains = true,
    on = { leases, assignments },
    leaseTtlMs = LONG_MS,
    drainForMs = 500,
    silenceMs = LONG_MS,
  }: Nature = {},
): Promise<Poller> {
  const heard: string[] = []
  const lost: Poller['lost'] = []
  const note = (what: string) => (of: string) => void (of === key && heard.push(what))
  const holdings = openHoldings<Reader>({
    prefix: 'shard.',
    clock: systemClock,
    log: keptLog(),
    ...on,
    pollerId: id,
    leaseTtlMs,
    drainForMs,
    reconcileMs: 1_000,
    silenceMs,
    async open(of, _, tellLost) {
      note('open')(of)
      lost.push(tellLost)
      await open()
      return {
        read: async () => note('read')(of),
        pause: () => note('pause')(of),
        close: async () => note('close')(of),
      }
    },
    left: note('left'),
    drain(of) {
      note('drain')(of)
      if (drains) holdings.emptied(of)
    },
  })
  await holdings.join()
  onTestFinished(() => holdings.stop())
  return { holdings, heard, lost }
}

test('what is assigned is opened and read, and given back when it is withdrawn', async () => {
  const { holdings, heard } = await startPoller('a')
  await assign('a')
  await isHeldBy('a')
  await until(() => heard.includes('read'))
  expect(holdings.isHeld(key)).toBe(true)
  expect(holdings.epochOf(key)).toBe((await leases.read(`shard.${key}`))?.epoch)
  await assignments.remove(key, 1)
  await until(async () => (await holderOf()) === undefined)
  expect(heard).toEqual(['open', 'read', 'pause', 'drain', 'left', 'close'])
  expect(holdings.get(key)).toBeUndefined()
  expect(holdings.isHeld(key)).toBe(false)
})

test('what moves is read by the next as soon as it is left, and its lease is renewed meanwhile', async () => {
  const leaseTtlMs = 4_000
  const renewed = await openLeases<string>(bus, {
    bucket: leasesBucket,
    ttlMs: leaseTtlMs,
    clock: systemClock,
  })
  const a = await startPoller('a', {
    drains: false,
    drainForMs: LONG_MS,
    on: { leases: renewed, assignments },
    leaseTtlMs,
  })
  const b = await startPoller('b')
  await assign('a')
  await until(() => a.heard.includes('read'))
  await wait(5_000)
  expect(a.heard).toEqual(['open', 'read'])
  await assign('b')
  await until(() => a.heard.includes('drain'))
  expect(a.holdings.isDraining(key)).toBe(true)
  expect(a.holdings.isHeld(key)).toBe(true)
  expect(b.heard).toEqual([])
  a.holdings.emptied(key)
  await until(() => b.heard.includes('read'))
  expect(await holderOf()).toBe('b')
})

test('what is assigned again while it is being left is read again', async () => {
  const a = await startPoller('a', { drains: false })
  await assign('a')
  await until(() => a.heard.includes('read'))
  await assign('b')
  await until(() => a.heard.includes('drain'))
  await assign('a')
  await until(() => a.heard.filter((what) => what === 'read').length === 2)
  expect(a.heard).toEqual(['open', 'read', 'pause', 'drain', 'left', 'close', 'open', 'read'])
})

test('what a later epoch has taken is left at once', async () => {
  const a = await startPoller('a')
  await assign('a')
  await until(() => a.heard.includes('read'))
  const { revision } = (await leases.read(`shard.${key}`)) ?? { revision: 0 }
  await leases.evict(`shard.${key}`, revision)
  const thief = await leases.acquire(`shard.${key}`, 'thief')
  // Ours was evicted, and asked for again at once: one of the two has it.
  if (thief === undefined) await until(() => a.heard.filter((what) => what === 'read').length > 1)
  else await until(() => a.heard.includes('left'))
  expect(a.holdings.isHeld(key)).toBe(thief === undefined)
})

test('a reader that has found itself fenced is closed, and its lease given back; an older one’s word changes nothing', async () => {
  const a = await startPoller('a')
  await assign('a')
  await until(() => a.heard.includes('read'))
  a.lost[0]?.()
  await until(() => a.heard.filter((what) => what === 'read').length === 2)
  expect(a.heard).toEqual(['open', 'read', 'left', 'close', 'open', 'read'])
  a.lost[0]?.()
  expect(a.holdings.isHeld(key)).toBe(true)
  expect(a.holdings.get(key)).toBeDefined()
})

test('a poller that was stopped holds nothing when it wakes, also before its timer has come', async () => {
  const a = await startPoller('a', { silenceMs: 2_000 })
  await assign('a')
  await until(() => a.heard.includes('read'))
  expect(a.holdings.isHeld(key)).toBe(true)
  // Nothing else runs in this process meanwhile, as when it is stopped.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_300)
  expect(a.holdings.isHeld(key)).toBe(false)
  expect(a.heard).toEqual(['open', 'read', 'left', 'close'])
})

test('what is withdrawn while it is being opened is closed when it is open', async () => {
  let goOn = () => {}
  const a = await startPoller('a', { open: () => new Promise((resolve) => (goOn = resolve)) })
  await assign('a')
  await until(() => a.heard.includes('open'))
  await assign('b')
  await until(() => a.holdings.host.size === 0)
  expect(a.heard).toEqual(['open', 'left'])
  goOn()
  await until(() => a.heard.includes('close'))
  expect(a.heard).toEqual(['open', 'left', 'close'])
  await until(async () => (await holderOf()) === undefined)
})

test('a process that was away for long gives back what it has before it hears anything else', async () => {
  const a = await startPoller('a', { silenceMs: 2_000 })
  await assign('a')
  await until(() => a.heard.includes('read'))
  const untilMs = performance.now() + 2_500
  while (performance.now() < untilMs);
  await until(() => a.heard.filter((what) => what === 'read').length === 2)
  expect(a.heard).toEqual(['open', 'read', 'left', 'close', 'open', 'read'])
})

test('one that stops leaves everything, and takes nothing that is assigned to it still', async () => {
  const a = await startPoller('a')
  await assign('a')
  await until(() => a.heard.includes('read'))
  await a.holdings.stop()
  expect(await holderOf()).toBeUndefined()
  expect(a.holdings.host.size).toBe(0)
  expect(a.heard.at(-1)).toBe('close')
})

test('one whose server has gone stops all the same', async () => {
  const other = await startNatsServer()
  const link = await openBus({ servers: other.url, role: 'poller', id: 'a' })
  onTestFinished(() => link.close())
  const on: Stores = {
    leases: await openLeases<string>(link, {
      bucket: leasesBucket,
      ttlMs: LONG_MS,
      clock: systemClock,
    }),
    assignments: await openDirectory<Assignment>(link, shardAssignmentsBucket),
  }
  const a = await startPoller('a', { on })
  await on.assignments.put(key, { poller: 'a' }, 1)
  await until(() => a.heard.includes('read'))
  await other.stop()
  await until(() => !link.up)
  const beganMs = performance.now()
  await a.holdings.stop()
  expect(performance.now() - beganMs).toBeLessThan(5_000)
  expect(a.heard.at(-1)).toBe('close')
})
