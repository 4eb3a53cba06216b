/**
 * Who reads which shard, on a real server with a real leasing service and pollers that open nothing. Promise (DESIGN §6): the
 * work of a poller that dies goes on elsewhere.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Assignment, openHoldings, type Reader, shardLeases } from '../../actors/holding.ts'
import { openIntake } from '../../actors/intake.ts'
import { laneLeases } from '../../actors/lane.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Directory, openDirectory } from '../../bus/directory.ts'
import { type LeaseWatch, openLeases } from '../../bus/leases.ts'
import { openPresence } from '../../bus/presence.ts'
import {
  assignmentsBucket,
  leasesBucket,
  queuesBucket,
  shardAssignmentsBucket,
  shardsBucket,
} from '../../bus/subjects.ts'
import { readConfig } from '../../config.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import type { ShardWork } from '../../machines/mapping.ts'
import type { QueueRecord } from '../../machines/queue.ts'
import { startLeasing } from '../../roles/leasing.ts'
import { openRoleLeases, type Process } from '../../roles/role.ts'
import { until } from '../bus/waiting.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

const config = readConfig({}, {})
const SHARDS = 200

let server: TestServer
let bus: Bus
let work: Directory<ShardWork>
let offers: Directory<Assignment>
/** Of everything that is held. */
let held: LeaseWatch<string>
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'stream-tracker', id: 'test' })
  work = await openDirectory<ShardWork>(bus, shardsBucket)
  offers = await openDirectory<Assignment>(bus, shardAssignmentsBucket)
  const queues = await openDirectory<QueueRecord>(bus, queuesBucket)
  for (const name of ['a', 'b', 'c', 'd']) {
    await queues.put(name, { kind: 'shared', lanes: 2 } as QueueRecord, 1)
  }
  const leases = await openLeases<string>(bus, {
    bucket: leasesBucket,
    ttlMs: config.leaseTtlMs,
    clock,
  })
  held = await leases.watch(() => {})
})
afterAll(async () => {
  held.stop()
  await bus.close()
  await server.stop()
})

const shardOf = (shard: number, state: ShardWork['state']): ShardWork => ({
  ...{ mapping: 'm', stream: 's', incarnation: 'i', shard, state },
  start: { after: 0 },
})
const set = (shards: readonly number[], state: ShardWork['state']) =>
  Promise.all(shards.map((shard) => work.put(`m.${shard}`, shardOf(shard, state), 1)))
const all = Array.from({ length: SHARDS }, (_, shard) => shard)

/** How many leases with that prefix each of the pollers has. */
function loadsOf(pollers: readonly string[], prefix: string): number[] {
  const loads = new Map(pollers.map((id) => [id, 0]))
  for (const [key, { value }] of held.entries()) {
    if (key.startsWith(prefix)) loads.set(value, (loads.get(value) ?? 0) + 1)
  }
  return [...loads.values()]
}
/** Everything is held, by these and evenly. */
const areEven = (pollers: readonly string[], count = SHARDS): boolean => {
  const loads = loadsOf(pollers, shardLeases)
  return (
    loads.length === pollers.length &&
    loads.reduce((sum, load) => sum + load, 0) === count &&
    Math.max(...loads) - Math.min(...loads) <= 1
  )
}

async function processOf(role: string, id: string): Promise<Process> {
  const own = await openBus({ servers: server.url, role, id })
  const log = keptLog()
  const presence = openPresence(own, {
    roles: [role],
    id,
    beatMs: config.beatMs,
    describe: () => ({}),
    clock,
    log,
  })
  const newId = () => crypto.randomUUID()
  const intake = openIntake({ clock, log })
  return { id, bus: own, config, clock, log, presence, newId, attemptDoors: new Map(), intake }
}

async function startLeasingService(id: string) {
  const process = await processOf('leasing', id)
  const role = await startLeasing(process)
  let isStopped = false
  const stop = async () => {
    if (isStopped) return
    isStopped = true
    await process.presence.goodbye()
    await role.stop()
    await process.bus.close()
  }
  onTestFinished(stop)
  await role.ready?.()
  return { role, stop, log: process.log as ReturnType<typeof keptLog> }
}

/** A poller that reads nothing. */
async function startPoller(id: string) {
  const process = await processOf('poller', id)
  const leases = await openRoleLeases(process)
  let opened = 0
  const holdingsOf = async (prefix: string, bucket: string) => {
    const holdings = openHoldings<Reader>({
      prefix,
      clock,
      log: process.log,
      leases,
      assignments: await openDirectory<Assignment>(process.bus, bucket),
      pollerId: id,
      leaseTtlMs: config.leaseTtlMs,
      drainForMs: config.drainTimeoutMs,
      reconcileMs: config.reconcileMs,
      // A busy machine is not one that has slept.
      silenceMs: 60_000,
      async open() {
        opened++
        return { read: async () => {}, pause: () => {}, close: async () => {} }
      },
      left: () => {},
      drain: (key) => holdings.emptied(key),
    })
    await holdings.join()
    return holdings
  }
  const kinds = [
    await holdingsOf(laneLeases, assignmentsBucket),
    await holdingsOf(shardLeases, shardAssignmentsBucket),
  ]
  let isDead = false
  onTestFinished(async () => {
    if (isDead) return
    await process.presence.goodbye()
    for (const kind of kinds) await kind.stop()
    await process.bus.close()
  })
  return {
    get opened() {
      return opened
    },
    /** Its link is cut, and it says nothing more. */
    async kill() {
      isDead = true
      await process.bus.nats.close()
      for (const { host } of kinds) for (const key of [...host.instances()]) host.forget(key)
    },
  }
}

async function took(what: string, condition: () => boolean): Promise<number> {
  const beganMs = performance.now()
  await until(condition)
  const ms = performance.now() - beganMs
  console.log(`${what}: ${Math.round(ms)} ms`)
  return ms
}

test('200 shards are held evenly, by whoever comes and whoever is left, within 5 s', async () => {
  const { role, log } = await startLeasingService('leasing-1')
  const [p1] = await Promise.all(['p1', 'p2', 'p3'].map(startPoller))
  await until(() => loadsOf(['p1', 'p2', 'p3'], laneLeases).reduce((sum, n) => sum + n) === 8)

  await set(all, 'blocked')
  expect(held.get(`${shardLeases}m.0`)).toBeUndefined()
  const opening = set(all, 'open')
  expect(
    await took('200 shards are new, 3 pollers', () => areEven(['p1', 'p2', 'p3'])),
  ).toBeLessThan(5_000)
  await opening
  // 8 lanes and 200 shards on three: 69 or 70 for each, of both together.
  const totals = loadsOf(['p1', 'p2', 'p3'], '').slice(0, 3)
  expect(Math.max(...totals) - Math.min(...totals)).toBeLessThanOrEqual(1)

  await startPoller('p4')
  expect(await took('a fourth joins', () => areEven(['p1', 'p2', 'p3', 'p4']))).toBeLessThan(5_000)

  const before = new Map([...held.entries()].map(([key, { value }]) => [key, value]))
  await p1?.kill()
  expect(await took('one is killed', () => areEven(['p2', 'p3', 'p4']))).toBeLessThan(5_000)
  const moved = [...held.entries()].filter(([key, { value }]) => before.get(key) !== value)
  expect(moved.every(([key]) => before.get(key) === 'p1')).toBe(true)

  await set(all.slice(0, 50), 'ended')
  await Promise.all(all.slice(50, 100).map((shard) => work.remove(`m.${shard}`, 1)))
  expect(await took('100 shards are over', () => areEven(['p2', 'p3', 'p4'], 100))).toBeLessThan(
    5_000,
  )
  const watching = { reconcileEveryMs: 1_000, clock, log }
  const left = await offers.watch(watching)
  onTestFinished(left.stop)
  await until(() => [...left.entries()].length === 100)
  expect(
    role.hosts.flatMap(({ machine, counts }) => (machine.id === 'lease' ? [counts] : [])),
  ).toMatchObject([{ failures: 0 }, { failures: 0 }])
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([])
}, 60_000)

test('a leader that comes new leaves everything where it is', async () => {
  const first = await startLeasingService('leasing-1')
  await Promise.all(['q1', 'q2'].map(startPoller))
  await set(all, 'open')
  await took('200 shards, 2 pollers', () => areEven(['q1', 'q2']))
  const epochs = () =>
    [...held.entries()]
      .filter(([key]) => key.startsWith(shardLeases))
      .map(([key, { epoch }]) => `${key} ${epoch}`)
      .sort()
  const before = epochs()
  await first.stop()
  const second = await startLeasingService('leasing-2')
  const states = () => second.role.status?.()['shards']
  await until(
    () =>
      JSON.stringify(states()) ===
      JSON.stringify({ states: { held: SHARDS }, readers: { q1: SHARDS / 2, q2: SHARDS / 2 } }),
  )
  expect(epochs()).toEqual(before)
})
