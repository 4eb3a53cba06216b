import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { errors } from 'nats'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type ActorStore, openActorStore, type StoredActor } from '../../bus/actor-store.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { actorsBucket, kvEntry } from '../../bus/subjects.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { keepCutting } from './waiting.ts'

let server: TestServer
let bus: Bus
let store: ActorStore

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
  store = await openActorStore(bus)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const actor = (step: number): StoredActor => ({
  value: { open: 'idle' },
  context: { name: 'Ada' },
  status: 'active',
  step,
  handled: [10 * step],
  owed: [{ type: 'publish', params: { subject: 'a.b' } }],
  write: randomUUID(),
})

const saved = async (instance: string, step = 1) =>
  (await store.save('door', instance, actor(step), 0)) as number

test('what was saved is loaded, by another process as well', async () => {
  const document = actor(1)
  const revision = await store.save('door', 'front', document, 0)
  const other = await openBus({ servers: server.url, role: 'test', id: '2' })
  onTestFinished(() => other.close())
  const loaded = await (await openActorStore(other)).load('door', 'front')
  expect(loaded).toEqual({ document, revision })
})

test('an actor that nobody saved is not there', async () => {
  expect(await store.load('door', 'nowhere')).toBeUndefined()
})

test('a save over an old revision is a conflict, and changes nothing', async () => {
  const first = await saved('stale')
  const second = actor(2)
  const revision = await store.save('door', 'stale', second, first)
  expect(await store.save('door', 'stale', actor(3), first)).toBe('conflict')
  expect(await store.load('door', 'stale')).toEqual({ document: second, revision })
})

test('of twenty processes that create the same actor, one does', async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, n) => store.save('door', 'raced', actor(n), 0)),
  )
  expect(outcomes.filter((outcome) => outcome === 'conflict')).toHaveLength(19)
})

test('a removed actor leaves nothing behind, and can be created again', async () => {
  const revision = await saved('gone')
  expect(await store.remove('door', 'gone', revision)).toBe(true)
  expect(await store.load('door', 'gone')).toBeUndefined()
  expect(await store.save('door', 'gone', actor(1), 0)).toBeTypeOf('number')
})

test('only the revision that was seen is removed', async () => {
  const first = await saved('kept')
  const second = await store.save('door', 'kept', actor(2), first)
  expect(await store.remove('door', 'kept', first)).toBe(false)
  expect((await store.load('door', 'kept'))?.revision).toBe(second)
  expect(await store.remove('door', 'absent', 1)).toBe(false)
})

test('whoever saves over a removed actor conflicts', async () => {
  const revision = await saved('late')
  await store.remove('door', 'late', revision)
  expect(await store.save('door', 'late', actor(2), revision)).toBe('conflict')
})

test('instances are listed by machine, under the names they were given', async () => {
  const names = ['a', 'b.c', 'order 7/ü', '*', '>', '', '$KV']
  for (const name of names) await store.save('list.me', name, actor(1), 0)
  await store.save('list', 'me.other', actor(1), 0)
  const removed = (await store.save('list.me', 'removed', actor(1), 0)) as number
  await store.remove('list.me', 'removed', removed)

  const listed: string[] = []
  for await (const name of store.list('list.me')) listed.push(name)
  expect(listed.sort()).toEqual([...names].sort())
  expect((await store.load('list.me', 'order 7/ü'))?.document.step).toBe(1)
})

test('a save whose acknowledgement is lost finds its own document and is a success', async () => {
  const forgetful = await openActorStore(losingAcknowledgements(bus, 1))
  const revision = await forgetful.save('door', 'lost', actor(1), 0)
  expect((await store.load('door', 'lost'))?.revision).toBe(revision)
  expect(await store.save('door', 'lost', actor(2), revision as number)).toBeTypeOf('number')
})

test('a save whose acknowledgement is lost, and which was overwritten since, is a conflict', async () => {
  const forgetful = await openActorStore(
    losingAcknowledgements(bus, 1, async (seq) => {
      await store.save('door', 'overtaken', actor(2), seq)
    }),
  )
  expect(await forgetful.save('door', 'overtaken', actor(1), 0)).toBe('conflict')
  expect((await store.load('door', 'overtaken'))?.document.step).toBe(2)
})

test('a removal whose answer is lost is a success', async () => {
  const revision = await saved('lost-removal')
  const manager = await bus.jetstreamManager()
  let isLost = false
  const forgetful = await openActorStore({
    ...bus,
    jetstreamManager: async () => {
      const streams = Object.create(manager.streams)
      streams.deleteMessage = async (...args: Parameters<typeof manager.streams.deleteMessage>) => {
        const answer = await manager.streams.deleteMessage(...args)
        if (isLost) return answer
        isLost = true
        throw new errors.TimeoutError()
      }
      return Object.create(manager, { streams: { value: streams } })
    },
  })
  expect(await forgetful.remove('door', 'lost-removal', revision)).toBe(true)
  expect(isLost).toBe(true)
})

test('two processes that count together over breaking links count every step once', async () => {
  const seen: number[] = []
  const count = async (id: string) => {
    const proxy = await cutProxy(server.port)
    const mine = await openBus({ servers: proxy.url, role: 'test', id })
    const store = await openActorStore(mine)
    const stopCutting = keepCutting(proxy, 120)
    while (seen.length < 60) {
      const there = await store.load('counter', 'both')
      const step = (there?.document.step ?? 0) + 1
      const outcome = await store.save('counter', 'both', actor(step), there?.revision ?? 0)
      if (outcome !== 'conflict') seen.push(step)
    }
    stopCutting()
    // Closing over a link that has just been cut would wait for its drain.
    await store.load('counter', 'both')
    await mine.close()
    await proxy.close()
  }
  await Promise.all([count('a'), count('b')])
  expect(new Set(seen).size).toBe(seen.length)
  const last = await store.load('counter', 'both')
  expect(last?.document.step).toBeGreaterThanOrEqual(Math.max(...seen))
})

test('what was saved is there after kill -9 of the server', async () => {
  const revision = await saved('durable', 7)
  await server.kill()
  const loading = store.load('door', 'durable')
  await server.restart()
  expect(await loading).toMatchObject({ revision, document: { step: 7 } })
})

test('a save during a restart of the server is carried out once it is back', async () => {
  const revision = await saved('restarted')
  await server.kill()
  const saving = store.save('door', 'restarted', actor(2), revision)
  await wait(50)
  await server.restart()
  expect(await saving).toBeTypeOf('number')
  expect((await store.load('door', 'restarted'))?.document.step).toBe(2)
})

test('an actor that does not fit into a message is refused with a code', async () => {
  const document = { ...actor(1), context: 'x'.repeat(9 * 1024 * 1024) }
  await expect(store.save('door', 'large', document, 0)).rejects.toMatchObject({
    code: 'BUS_PAYLOAD_TOO_LARGE',
  })
})

test('an entry that somebody else wrote is refused with a code', async () => {
  await bus.jetstream.publish(kvEntry(actorsBucket, 'door.foreign'), 'not JSON')
  await expect(store.load('door', 'foreign')).rejects.toMatchObject({
    code: 'BUS_DOCUMENT_UNREADABLE',
  })
})

/** The same bus, whose first `times` JetStream publishes are carried out and seem to time out. */
function losingAcknowledgements(
  bus: Bus,
  times: number,
  meanwhile: (seq: number) => Promise<void> = async () => {},
): Bus {
  let left = times
  const publish: Bus['jetstream']['publish'] = async (...args) => {
    const acknowledged = await bus.jetstream.publish(...args)
    if (left-- <= 0) return acknowledged
    await meanwhile(acknowledged.seq)
    throw new errors.TimeoutError()
  }
  return {
    ...bus,
    jetstream: new Proxy(bus.jetstream, {
      get: (target, name) => (name === 'publish' ? publish : Reflect.get(target, name)),
    }),
  }
}
