import { Kvm } from '@nats-io/kv'
import { headers } from 'nats'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Bus, Clock } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openWatched, type Watched, type WatchOptions } from '../../bus/watched.ts'
import { systemClock } from '../../edges/clock.ts'
import { type CutProxy, cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { listeningLog } from './listening-log.ts'
import { until } from './waiting.ts'

type Value = { n: number }

let server: TestServer
let proxy: CutProxy
/** Watches through the proxy, so that its link can be cut. */
let watching: Bus
/** Writes beside the proxy. */
let writing: Bus
const opened: Watched<Value>[] = []
let buckets = 0

beforeAll(async () => {
  server = await startNatsServer()
  proxy = await cutProxy(server.port)
  watching = await openBus({ servers: proxy.url, role: 'front-end', id: 'watching' })
  writing = await openBus({ servers: server.url, role: 'control-plane', id: 'writing' })
})
afterEach(() => {
  for (const watched of opened.splice(0)) watched.stop()
})
afterAll(async () => {
  await watching.close()
  await writing.close()
  await proxy.close()
  await server.stop()
})

const newBucket = () => `bucket_${++buckets}`
const kvOf = (bucket: string) => new Kvm(writing.nats).open(bucket)
const json = (value: unknown) => JSON.stringify(value)

async function watch(
  bucket: string,
  options: Partial<WatchOptions<Value>> = {},
  bus = watching,
): Promise<{ watched: Watched<Value>; changes: unknown[] }> {
  const changes: unknown[] = []
  const watched = await openWatched<Value>(bus, {
    bucket,
    // So long that only a test which asks for less sees it.
    reconcileEveryMs: 60_000,
    clock: systemClock,
    onChange: (key, value, revision) => changes.push([key, value?.n, revision]),
    ...options,
  })
  opened.push(watched)
  return { watched, changes }
}

async function consumersOf(bucket: string): Promise<string[]> {
  const manager = await writing.jetstreamManager()
  const consumers = await manager.consumers.list(`KV_${bucket}`).next()
  return consumers.map(({ name }) => name)
}

async function loseLinkWhile(work: () => Promise<unknown>): Promise<void> {
  // Held back and then cut: what the server sends meanwhile is lost in the dying connection.
  proxy.pause()
  await work()
  proxy.cut()
  await until(() => !watching.up)
  proxy.resume()
  await watching.ready()
}

describe('what is kept', () => {
  test('an empty bucket is known to be empty at once', async () => {
    const started = performance.now()
    const { watched } = await watch(newBucket())
    expect(watched.size).toBe(0)
    expect(watched.revision).toBe(0)
    // Without waiting for the first heartbeat, which takes 5 s.
    expect(performance.now() - started).toBeLessThan(2_000)
  })

  test('everything that is there is here when it has opened, and changes follow', async () => {
    const bucket = newBucket()
    await watch(bucket)
    const kv = await kvOf(bucket)
    for (let n = 1; n <= 500; n += 1) await kv.put(`key.${n}`, json({ n }))
    await kv.delete('key.1')
    const { watched, changes } = await watch(bucket)
    expect(watched.size).toBe(499)
    expect(watched.get('key.1')).toBeUndefined()
    expect(watched.get('key.500')).toEqual({ value: { n: 500 }, revision: 500 })
    expect(watched.revision).toBe(501)
    expect(new Map(watched.entries()).get('key.2')?.value).toEqual({ n: 2 })

    changes.length = 0
    const revision = await kv.put('key.2', json({ n: 22 }))
    expect(await watched.reached(revision, 5_000)).toBe(true)
    await kv.purge('key.3')
    await kv.delete('nobody')
    await kv.put('key.4', json({ n: 44 }))
    expect(await watched.reached(505, 5_000)).toBe(true)
    expect(changes).toEqual([
      ['key.2', 22, 502],
      ['key.3', undefined, 503],
      ['key.4', 44, 505],
    ])
  })

  test('a bucket in which everything has been deleted is known to be empty', async () => {
    const bucket = newBucket()
    await watch(bucket)
    const kv = await kvOf(bucket)
    await kv.put('a', json({ n: 1 }))
    await kv.purge('a')
    const { watched, changes } = await watch(bucket)
    expect(watched.size).toBe(0)
    expect(changes).toEqual([])
    const manager = await writing.jetstreamManager()
    await manager.streams.purge(`KV_${bucket}`)
    expect((await watch(bucket)).watched.size).toBe(0)
  })

  test('an entry that expires goes away with its marker', async () => {
    const bucket = newBucket()
    const { watched, changes } = await watch(bucket, { markerTtlMs: 1_000 })
    const kv = await kvOf(bucket)
    await kv.create('a', json({ n: 1 }), '1s')
    expect(await watched.reached(1, 5_000)).toBe(true)
    expect(await watched.reached(2, 5_000)).toBe(true)
    expect(changes).toEqual([
      ['a', 1, 1],
      ['a', undefined, 2],
    ])
  })

  test('a value that cannot be read is counted, logged once, and the last good one stays', async () => {
    const log = listeningLog()
    const bucket = newBucket()
    const { watched } = await watch(bucket, { log })
    const kv = await kvOf(bucket)
    await kv.put('a', json({ n: 1 }))
    // A bucket keeps one value per key: what is overwritten before it is read is never seen.
    expect(await watched.reached(1, 5_000)).toBe(true)
    await kv.put('a', '{"n":')
    expect(await watched.reached(2, 5_000)).toBe(true)
    await kv.put('b', 'not JSON')
    await kv.put('c', json({ n: 3 }))
    expect(await watched.reached(4, 5_000)).toBe(true)
    expect(watched.get('a')).toEqual({ value: { n: 1 }, revision: 1 })
    expect(watched.get('b')).toBeUndefined()
    expect(watched.get('c')?.value).toEqual({ n: 3 })
    expect(watched.counts.unreadable).toBe(2)
    expect(log.codes()).toEqual(['BUS_VALUE_UNREADABLE'])
  })

  test('a watcher that throws is logged and the watch goes on', async () => {
    const log = listeningLog()
    const bucket = newBucket()
    const { watched } = await watch(bucket, {
      log,
      onChange: () => {
        throw new Error('a bug')
      },
    })
    const kv = await kvOf(bucket)
    await kv.put('a', json({ n: 1 }))
    expect(await watched.reached(1, 5_000)).toBe(true)
    await kv.put('a', json({ n: 2 }))
    expect(await watched.reached(2, 5_000)).toBe(true)
    expect(watched.get('a')?.value).toEqual({ n: 2 })
    expect(log.codes()).toEqual(['BUS_HANDLER_FAILED', 'BUS_HANDLER_FAILED'])
  })

  test('many processes may open a bucket that does not exist yet at the same time', async () => {
    const bucket = newBucket()
    const all = await Promise.all(Array.from({ length: 20 }, () => watch(bucket, {}, writing)))
    await (await kvOf(bucket)).put('a', json({ n: 1 }))
    for (const { watched } of all) expect(await watched.reached(1, 5_000)).toBe(true)
  })

  test('a stopped watch leaves no consumer behind and hears no more', async () => {
    const bucket = newBucket()
    const { watched, changes } = await watch(bucket)
    expect(await consumersOf(bucket)).toHaveLength(1)
    watched.stop()
    await until(async () => (await consumersOf(bucket)).length === 0)
    await (await kvOf(bucket)).put('a', json({ n: 1 }))
    await watching.nats.flush()
    expect(changes).toEqual([])
  })
})

describe('reading', () => {
  test('asks the leader, whatever is kept', async () => {
    const bucket = newBucket()
    const { watched } = await watch(bucket)
    const kv = await kvOf(bucket)
    watched.stop()
    await kv.put('a', json({ n: 1 }))
    await kv.put('b', json({ n: 2 }))
    await kv.delete('b')
    expect(watched.get('a')).toBeUndefined()
    expect(await watched.read('a')).toEqual({ value: { n: 1 }, revision: 1 })
    expect(await watched.read('b')).toBeUndefined()
    expect(await watched.read('c')).toBeUndefined()
  })

  test('a revision that has not come is not reached', async () => {
    const { watched } = await watch(newBucket())
    expect(await watched.reached(7, 50)).toBe(false)
  })

  test('a revision whose entry is gone already is reached all the same', async () => {
    const bucket = newBucket()
    const { watched } = await watch(bucket)
    const kv = await kvOf(bucket)
    const manager = await writing.jetstreamManager()
    for (const name of await consumersOf(bucket)) {
      await manager.consumers.delete(`KV_${bucket}`, name)
    }
    const revision = await kv.put('a', json({ n: 1 }))
    await manager.streams.purge(`KV_${bucket}`)
    expect(await watched.reached(revision, 5_000)).toBe(true)
    expect(watched.size).toBe(0)
  })
})

describe('what a watch alone would miss', () => {
  test('an update lost in a dying connection is found after the reconnect, though the bucket stays quiet', async () => {
    const bucket = newBucket()
    const { watched, changes } = await watch(bucket)
    const kv = await kvOf(bucket)
    await kv.put('a', json({ n: 1 }))
    await watched.reached(1, 5_000)
    await loseLinkWhile(() => kv.put('a', json({ n: 2 })))
    expect(await watched.reached(2, 5_000)).toBe(true)
    expect(changes).toEqual([
      ['a', 1, 1],
      ['a', 2, 2],
    ])
    await until(async () => (await consumersOf(bucket)).length === 1)
  })

  test('an entry removed while the link was down is gone, though its marker is gone too', async () => {
    const bucket = newBucket()
    const { watched, changes } = await watch(bucket, { markerTtlMs: 1_000 })
    const kv = await kvOf(bucket)
    const manager = await writing.jetstreamManager()
    for (const key of ['a', 'b', 'c']) await kv.put(key, json({ n: 1 }))
    await watched.reached(3, 5_000)
    await loseLinkWhile(async () => {
      await kv.purge('a', { ttl: '1s' })
      await manager.streams.purge(`KV_${bucket}`, { filter: `$KV.${bucket}.b` })
      await until(async () => (await manager.streams.info(`KV_${bucket}`)).state.messages === 1)
    })
    await until(() => watched.size === 1)
    expect(watched.get('c')?.value).toEqual({ n: 1 })
    expect(changes.slice(3)).toEqual([
      ['a', undefined, expect.any(Number)],
      ['b', undefined, expect.any(Number)],
    ])
  })

  test('an update that never came, on a link that holds, is found by reconciling', async () => {
    const log = listeningLog()
    const bucket = newBucket()
    const { watched } = await watch(bucket, { reconcileEveryMs: 100, log })
    const kv = await kvOf(bucket)
    const manager = await writing.jetstreamManager()
    // Its consumer is taken away behind its back: the server goes silent, as after a lost message.
    for (const name of await consumersOf(bucket)) {
      await manager.consumers.delete(`KV_${bucket}`, name)
    }
    await kv.put('a', json({ n: 1 }))
    await until(() => watched.get('a') !== undefined)
    expect(watched.counts.missed).toBe(1)
    expect(log.codes()).toEqual(['BUS_WATCH_BEHIND'])
  })

  test('an entry that was purged without a marker is found by reconciling', async () => {
    const bucket = newBucket()
    const { watched } = await watch(bucket, { reconcileEveryMs: 100 })
    const kv = await kvOf(bucket)
    const manager = await writing.jetstreamManager()
    await kv.put('a', json({ n: 1 }))
    await kv.put('b', json({ n: 2 }))
    await watched.reached(2, 5_000)
    await manager.streams.purge(`KV_${bucket}`, { filter: `$KV.${bucket}.a` })
    await until(() => watched.get('a') === undefined)
    expect(watched.get('b')?.value).toEqual({ n: 2 })
  })

  test('a heartbeat that counts more messages than came opens the watch anew', async () => {
    const log = listeningLog()
    const bucket = newBucket()
    const { watched } = await watch(bucket, { log })
    const manager = await writing.jetstreamManager()
    const [consumer] = await manager.consumers.list(`KV_${bucket}`).next()
    // nats-server says this every 5 s on the consumer's own subject; here it says it now.
    const heartbeat = headers(100, 'Idle Heartbeat')
    heartbeat.set('Nats-Last-Consumer', '1')
    writing.publish(consumer?.config.deliver_subject ?? '', '', { headers: heartbeat })
    await until(() => watched.counts.missed === 1)
    expect(log.codes()).toEqual(['BUS_WATCH_BROKEN'])
    await (await kvOf(bucket)).put('a', json({ n: 1 }))
    expect(await watched.reached(1, 5_000)).toBe(true)
  })

  test('a busy bucket is not taken for one that is behind', async () => {
    const bucket = newBucket()
    // What is on its way has the time that a busy machine may need.
    const clock: Clock = {
      ...systemClock,
      setTimer: (callback, delayMs) =>
        systemClock.setTimer(callback, delayMs === 250 ? 5_000 : delayMs),
    }
    const { watched, changes } = await watch(bucket, { reconcileEveryMs: 10, clock })
    const kv = await kvOf(bucket)
    for (let n = 1; n <= 1_000; n += 1) await kv.put('a', json({ n }))
    await watched.reached(1_000, 5_000)
    expect(watched.counts.missed).toBe(0)
    expect(changes.at(-1)).toEqual(['a', 1_000, 1_000])
  })

  test('a bucket that was deleted and made again starts over', async () => {
    const bucket = newBucket()
    const { watched, changes } = await watch(bucket, { reconcileEveryMs: 100 })
    const kv = await kvOf(bucket)
    for (const key of ['a', 'b', 'c']) await kv.put(key, json({ n: 1 }))
    await watched.reached(3, 5_000)
    changes.length = 0
    const manager = await writing.jetstreamManager()
    await manager.streams.delete(`KV_${bucket}`)
    await watch(bucket, {}, writing)
    await kv.put('b', json({ n: 2 }))
    await until(() => watched.get('b')?.value.n === 2 && watched.size === 1)
    expect(changes).toContainEqual(['a', undefined, expect.any(Number)])
  })

  test('deliveries may name domain and account, as they will from nats-server 2.16 on', async () => {
    const own = await startNatsServer({ conf: 'feature_flags {\n  js_ack_fc_v2: true\n}' })
    const bus = await openBus({ servers: own.url, role: 'front-end', id: 'own' })
    const { watched, changes } = await watch('later', {}, bus)
    for (let n = 1; n <= 200; n += 1) {
      await bus.jetstream.publish(`$KV.later.${n}`, json({ n }))
    }
    expect(await watched.reached(200, 5_000)).toBe(true)
    expect((await watch('later', {}, bus)).watched.size).toBe(200)
    expect(changes).toHaveLength(200)
    for (const one of opened.splice(0)) one.stop()
    await bus.close()
    await own.stop()
  })

  test('a server that is killed and restarted is watched again from where it was', async () => {
    const own = await startNatsServer()
    const bus = await openBus({ servers: own.url, role: 'front-end', id: 'own' })
    const { watched, changes } = await watch('restarted', {}, bus)
    await bus.jetstream.publish('$KV.restarted.a', json({ n: 1 }))
    await watched.reached(1, 5_000)
    await own.kill()
    await own.restart()
    await bus.ready()
    const { seq } = await bus.jetstream.publish('$KV.restarted.a', json({ n: 2 }))
    expect(await watched.reached(seq, 5_000)).toBe(true)
    expect(changes).toEqual([
      ['a', 1, 1],
      ['a', 2, 2],
    ])
    watched.stop()
    await bus.close()
    await own.stop()
  })
})
