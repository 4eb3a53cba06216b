import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { StorageType } from '@nats-io/jetstream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Leases, openLeases } from '../../bus/leases.ts'
import { systemClock } from '../../edges/clock.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { until } from './waiting.ts'

let server: TestServer
let bus: Bus
let buckets = 0

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'worker-manager', id: 'leases' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const LONG_MS = 60_000
// The least that NATS can let expire.
const SHORT_MS = 1_000

const newBucket = () => `leases_${++buckets}`
const leasesIn = (bucket: string, ttlMs: number, on = bus): Promise<Leases<string>> =>
  openLeases<string>(on, { bucket, ttlMs, clock: systemClock })

async function acquired(leases: Leases<string>, key: string, value: string) {
  const lease = await leases.acquire(key, value)
  if (lease === undefined) throw new Error(`${key} is held by somebody`)
  return lease
}

describe('acquiring', () => {
  test('gives a lease to one, and nothing to the next until it is released', async () => {
    const leases = await leasesIn(newBucket(), LONG_MS)
    const before = Date.now()
    const lease = await acquired(leases, 'p.1', 'a')
    expect(lease).toMatchObject({ key: 'p.1', value: 'a', epoch: lease.revision })
    expect(lease.heldUntil).toBeGreaterThanOrEqual(before + LONG_MS)
    expect(lease.heldUntil).toBeLessThanOrEqual(Date.now() + LONG_MS)
    expect(await leases.acquire('p.1', 'b')).toBeUndefined()
    expect(await leases.read('p.1')).toEqual({
      value: 'a',
      epoch: lease.epoch,
      revision: lease.revision,
    })
    await leases.release(lease)
    await leases.release(lease)
    expect(await leases.read('p.1')).toBeUndefined()
    const next = await acquired(leases, 'p.1', 'b')
    expect(next.epoch).toBeGreaterThan(lease.epoch)
  })

  test('has exactly one winner among twenty, first come, after a release and after an expiry', async () => {
    const bucket = newBucket()
    const buses = await Promise.all(
      Array.from({ length: 4 }, (_, n) =>
        openBus({ servers: server.url, role: 'worker-manager', id: `racer-${n}` }),
      ),
    )
    const racers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => leasesIn(bucket, 3 * SHORT_MS, buses[n % 4])),
    )
    let lastEpoch = 0
    for (let round = 0; round < 12; round += 1) {
      const results = await Promise.all(racers.map((racer, n) => racer.acquire('one', `${n}`)))
      const winners = results.filter((lease) => lease !== undefined)
      expect(winners).toHaveLength(1)
      const [winner] = winners
      if (winner === undefined) throw new Error('nobody won')
      expect(winner.epoch).toBeGreaterThan(lastEpoch)
      lastEpoch = winner.epoch
      expect((await racers[0]?.read('one'))?.value).toBe(winner.value)
      if (round % 6 === 5) await until(async () => (await racers[0]?.read('one')) === undefined)
      else await racers[Number(winner.value)]?.release(winner)
    }
    await Promise.all(buses.map((each) => each.close()))
  })

  test('refuses a key that no bucket can hold', async () => {
    const leases = await leasesIn(newBucket(), LONG_MS)
    for (const key of ['', 'a b', 'a.*', 'a.>', '.a', 'a.', 'a..b', 'ü']) {
      await expect(leases.acquire(key, 'a')).rejects.toMatchObject({ code: 'BUS_BAD_SUBJECT' })
    }
  })
})

describe('renewing', () => {
  test('keeps the epoch, moves the revision, and keeps or replaces the value', async () => {
    const leases = await leasesIn(newBucket(), LONG_MS)
    const lease = await acquired(leases, 'p', 'a')
    await wait(2)
    const renewed = await leases.renew(lease)
    if (renewed === 'lost') throw new Error('lost')
    expect(renewed).toMatchObject({ epoch: lease.epoch, value: 'a' })
    expect(renewed.revision).toBeGreaterThan(lease.revision)
    expect(renewed.heldUntil).toBeGreaterThan(lease.heldUntil)
    const again = await leases.renew(renewed, 'b')
    expect(again).toMatchObject({ epoch: lease.epoch, value: 'b' })
    expect(await leases.read('p')).toMatchObject({ value: 'b', epoch: lease.epoch })
  })

  test('a lease that is renewed outlives its TTL, and one that is not ends', async () => {
    const ttlMs = 3 * SHORT_MS
    const leases = await leasesIn(newBucket(), ttlMs)
    let kept = await acquired(leases, 'kept', 'a')
    await acquired(leases, 'left', 'a')
    const endMs = Date.now() + 2 * ttlMs
    while (Date.now() < endMs) {
      await wait(ttlMs / 3)
      const renewed = await leases.renew(kept)
      if (renewed === 'lost') throw new Error('lost')
      kept = renewed
    }
    expect(await leases.read('kept')).toMatchObject({ epoch: kept.epoch })
    await until(async () => (await leases.read('left')) === undefined)
  })

  test('is refused after an expiry, whether nobody has it now or somebody else', async () => {
    const bucket = newBucket()
    const leases = await leasesIn(bucket, SHORT_MS)
    const lease = await acquired(leases, 'p', 'a')
    await until(async () => (await leases.read('p')) === undefined)
    expect(Date.now()).toBeGreaterThanOrEqual(lease.heldUntil)
    expect(await leases.renew(lease)).toBe('lost')
    const next = await acquired(await leasesIn(bucket, LONG_MS), 'p', 'b')
    expect(await leases.renew(lease)).toBe('lost')
    await leases.release(lease)
    expect(await leases.read('p')).toMatchObject({ value: 'b', epoch: next.epoch })
  })

  test('is refused to a holder that was evicted and replaced by another', async () => {
    const leases = await leasesIn(newBucket(), LONG_MS)
    const stale = await acquired(leases, 'p', 'a')
    expect(await leases.evict('p', stale.revision)).toBe(true)
    expect(await leases.renew(stale)).toBe('lost')
    const next = await acquired(leases, 'p', 'b')
    expect(next.epoch).toBeGreaterThan(stale.epoch)
    expect(await leases.renew(stale)).toBe('lost')
    expect(await leases.renew(next)).toMatchObject({ epoch: next.epoch })
  })
})

describe('evicting', () => {
  test('a renewal in between saves the lease', async () => {
    const leases = await leasesIn(newBucket(), LONG_MS)
    const lease = await acquired(leases, 'p', 'a')
    const renewed = await leases.renew(lease)
    if (renewed === 'lost') throw new Error('lost')
    expect(await leases.evict('p', lease.revision)).toBe(false)
    expect(await leases.evict('p', renewed.revision)).toBe(true)
    expect(await leases.evict('p', renewed.revision)).toBe(false)
    expect(await leases.evict('never', 7)).toBe(false)
  })

  test('against a renewal at the same moment, exactly one of the two succeeds', async () => {
    const bucket = newBucket()
    const other = await openBus({ servers: server.url, role: 'worker-manager', id: 'evictor' })
    const [leases, evictor] = [
      await leasesIn(bucket, LONG_MS),
      await leasesIn(bucket, LONG_MS, other),
    ]
    const outcomes = { renewed: 0, evicted: 0 }
    for (let round = 0; round < 60; round += 1) {
      const lease = await acquired(leases, `p.${round}`, 'a')
      const evict = () => evictor.evict(lease.key, lease.revision)
      const [renewed, evicted] =
        round % 2 === 0
          ? await Promise.all([leases.renew(lease), evict()])
          : (await Promise.all([evict(), leases.renew(lease)])).reverse()
      expect(evicted).toBe(renewed === 'lost')
      outcomes[evicted === true ? 'evicted' : 'renewed'] += 1
    }
    expect(outcomes.renewed + outcomes.evicted).toBe(60)
    await other.close()
  })
})

describe('watching', () => {
  test('hears of acquisition, renewal, eviction and release', async () => {
    const leases = await leasesIn(newBucket(), LONG_MS)
    const early = await acquired(leases, 'early', 'a')
    const heard: unknown[] = []
    const watch = await leases.watch((key, holding) =>
      heard.push([key, holding?.value, holding?.epoch]),
    )
    expect(heard).toEqual([['early', 'a', early.epoch]])
    expect(watch.get('early')).toMatchObject({ value: 'a', epoch: early.epoch })
    // What is written over at once may never be heard of.
    await leases.renew(early, 'b')
    await until(() => heard.length === 2)
    await leases.release(early)
    await until(() => heard.length === 3)
    const late = await acquired(leases, 'late', 'c')
    await until(() => heard.length === 4)
    await leases.evict('late', late.revision)
    await until(() => heard.length === 5)
    expect(heard.slice(1)).toEqual([
      ['early', 'b', early.epoch],
      ['early', undefined, undefined],
      ['late', 'c', late.epoch],
      ['late', undefined, undefined],
    ])
    expect([...watch.entries()]).toEqual([])
    watch.stop()
  })

  test('hears of each of 200 leases that expire, none early, and none much later', async () => {
    const leases = await leasesIn(newBucket(), SHORT_MS)
    const ends = new Map<string, number>()
    const watch = await leases.watch((key, holding) => {
      if (holding === undefined) ends.set(key, Date.now())
    })
    const held = await Promise.all(
      Array.from({ length: 200 }, (_, n) => acquired(leases, `p.${n}`, 'a')),
    )
    await until(() => ends.size === held.length)
    for (const lease of held) {
      const lateMs = (ends.get(lease.key) ?? 0) - lease.heldUntil
      // A server's millisecond may begin before ours.
      expect(lateMs).toBeGreaterThanOrEqual(-1)
      // Measured 0–260 ms, because the server looks every 250 ms; a busy machine adds to it.
      expect(lateMs).toBeLessThan(2_000)
    }
    watch.stop()
  })
})

describe('when the answer is lost', () => {
  test('a renewal that was carried out is not taken for a lost lease', async () => {
    const proxy = await deafProxy(server.port)
    const far = await openBus({ servers: proxy.url, role: 'worker-manager', id: 'deaf' })
    const leases = await leasesIn(newBucket(), LONG_MS, far)
    const lease = await acquired(leases, 'p', 'a')
    proxy.swallowAnswers()
    const renewing = leases.renew(lease, 'b')
    // It has reached the bucket and we cannot know.
    const watch = await (await leasesIn(`leases_${buckets}`, LONG_MS)).watch(() => {})
    await until(() => watch.get('p')?.value === 'b')
    const carriedOut = watch.get('p')
    proxy.cut()
    const renewed = await renewing
    expect(renewed).toMatchObject({
      epoch: lease.epoch,
      revision: carriedOut?.revision,
      value: 'b',
    })
    expect(await leases.renew(lease)).toMatchObject({ epoch: lease.epoch })
    watch.stop()
    await far.close()
    await proxy.close()
  })

  test('an acquisition that was carried out is ours', async () => {
    const proxy = await deafProxy(server.port)
    const far = await openBus({ servers: proxy.url, role: 'worker-manager', id: 'deaf' })
    const leases = await leasesIn(newBucket(), LONG_MS, far)
    const near = await leasesIn(`leases_${buckets}`, LONG_MS)
    proxy.swallowAnswers()
    const acquiring = leases.acquire('p', 'a')
    await until(async () => (await near.read('p')) !== undefined)
    proxy.cut()
    const lease = await acquiring
    expect(lease).toMatchObject({ value: 'a', epoch: (await near.read('p'))?.epoch })
    await far.close()
    await proxy.close()
  })

  test('an eviction meanwhile is a lost lease', async () => {
    const proxy = await deafProxy(server.port)
    const far = await openBus({ servers: proxy.url, role: 'worker-manager', id: 'deaf' })
    const leases = await leasesIn(newBucket(), LONG_MS, far)
    const near = await leasesIn(`leases_${buckets}`, LONG_MS)
    const lease = await acquired(leases, 'p', 'a')
    proxy.swallowAnswers()
    const renewing = leases.renew(lease, 'b')
    await until(async () => (await near.read('p'))?.value === 'b')
    expect(await near.evict('p', (await near.read('p'))?.revision ?? 0)).toBe(true)
    await acquired(near, 'p', 'other')
    proxy.cut()
    expect(await renewing).toBe('lost')
    await far.close()
    await proxy.close()
  })

  test('a server that is away for longer than the TTL is unavailable, which is not lost', async () => {
    const own = await startNatsServer()
    const far = await openBus({ servers: own.url, role: 'worker-manager', id: 'own' })
    const leases = await leasesIn(newBucket(), SHORT_MS, far)
    const lease = await acquired(leases, 'p', 'a')
    await own.kill()
    await expect(leases.renew(lease)).rejects.toMatchObject({ code: 'BUS_STORE_UNAVAILABLE' })
    await own.restart()
    await far.ready()
    // Until the server has looked through what expired meanwhile, a renewal would still be in time.
    await until(async () => (await leases.read('p')) === undefined)
    expect(await leases.renew(lease)).toBe('lost')
    await far.close()
    await own.stop()
  })
})

test('leases and their deadlines survive kill -9 of the server', async () => {
  const own = await startNatsServer()
  const far = await openBus({ servers: own.url, role: 'worker-manager', id: 'own' })
  const bucket = newBucket()
  const short = await leasesIn(bucket, 2 * SHORT_MS, far)
  const long = await leasesIn(bucket, LONG_MS, far)
  const ends = new Map<string, number>()
  const watch = await long.watch((key, holding) => {
    if (holding === undefined) ends.set(key, Date.now())
  })
  const kept = await acquired(long, 'kept', 'a')
  const ending = await acquired(short, 'ending', 'a')
  await own.kill()
  await own.restart()
  const backAt = Date.now()
  await far.ready()
  expect(await long.read('kept')).toMatchObject({ epoch: kept.epoch })
  expect(await long.acquire('kept', 'b')).toBeUndefined()
  expect(await long.renew(kept)).toMatchObject({ epoch: kept.epoch })
  await until(() => ends.has('ending'))
  const endedAt = ends.get('ending') ?? 0
  expect(endedAt).toBeGreaterThanOrEqual(ending.heldUntil - 1)
  expect(endedAt).toBeLessThan(Math.max(ending.heldUntil, backAt) + 5_000)

  // One that ends while the server is away is heard of when it is back.
  const away = await acquired(short, 'away', 'a')
  await own.kill()
  await wait(Math.max(0, away.heldUntil - Date.now()))
  await own.restart()
  await until(() => ends.has('away'))
  expect(await long.acquire('away', 'b')).toBeDefined()
  watch.stop()
  await far.close()
  await own.stop()
})

describe('a bucket that cannot hold leases', () => {
  test('is refused, because it would lose them with the server', async () => {
    const bucket = newBucket()
    const manager = await bus.jetstreamManager()
    await manager.streams.add({
      name: `KV_${bucket}`,
      subjects: [`$KV.${bucket}.>`],
      storage: StorageType.Memory,
    })
    await expect(leasesIn(bucket, LONG_MS)).rejects.toMatchObject({
      code: 'BUS_STREAM_UNFIT',
      message: expect.stringContaining(bucket),
    })
  })

  test('is made one where that is possible', async () => {
    const bucket = newBucket()
    const manager = await bus.jetstreamManager()
    await manager.streams.add({
      name: `KV_${bucket}`,
      subjects: [`$KV.${bucket}.>`],
      max_msgs_per_subject: 5,
    })
    const leases = await leasesIn(bucket, SHORT_MS)
    await acquired(leases, 'p', 'a')
    await until(async () => (await leases.read('p')) === undefined)
  })

  test('a lease shorter than a second is refused', async () => {
    await expect(leasesIn(newBucket(), 999)).rejects.toMatchObject({ code: 'BUS_LEASE_TOO_SHORT' })
  })
})

/** A proxy that can let questions through and swallow the answers, until its links are cut. */
async function deafProxy(port: number) {
  const sockets = new Set<Socket>()
  let deaf = false
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)))
    }
    near.on('close', () => far.destroy()).on('data', (chunk) => far.write(chunk))
    far.on('close', () => near.destroy()).on('data', (chunk) => deaf || near.write(chunk))
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    url: `nats://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    swallowAnswers() {
      deaf = true
    },
    cut() {
      deaf = false
      for (const socket of sockets) socket.destroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      proxy.close()
      await once(proxy, 'close')
    },
  }
}
