import { RetentionPolicy, StorageType } from '@nats-io/jetstream'
import { nanos } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { ensureBucket, ensureStream } from '../../bus/streams.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let buses: Bus[]

beforeAll(async () => {
  server = await startNatsServer()
  buses = await Promise.all(
    ['1', '2', '3', '4'].map((id) => openBus({ servers: server.url, role: 'test', id })),
  )
})
afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()))
  await server.stop()
})
const bus = () => buses[0] as Bus

test('a stream that many processes want at the same moment exists once, as they want it', async () => {
  const settings = {
    name: 'WANTED',
    subjects: ['wanted.*'],
    storage: StorageType.File,
    max_age: nanos(60_000),
  }
  const infos = await Promise.all(
    Array.from({ length: 5 }, () => buses.map((each) => ensureStream(each, settings))).flat(),
  )
  for (const info of infos) expect(info.config).toMatchObject(settings)
})

test('a stream of an older version is brought into line and keeps its messages', async () => {
  await ensureStream(bus(), { name: 'OLDER', subjects: ['older.a'], max_age: nanos(60_000) })
  await bus().jetstream.publish('older.a', 'kept')

  const info = await ensureStream(bus(), {
    name: 'OLDER',
    subjects: ['older.a', 'older.b'],
    allow_msg_ttl: true,
  })
  expect(info.config).toMatchObject({ subjects: ['older.a', 'older.b'], allow_msg_ttl: true })
  expect(info.config.max_age).toBe(nanos(60_000))
  expect(info.state.messages).toBe(1)
})

test('processes of two versions that start together leave a stream that fits one of them', async () => {
  const wants = (maxMsgs: number) => ({ name: 'MIXED', subjects: ['mixed.*'], max_msgs: maxMsgs })
  const outcomes = await Promise.allSettled(
    buses.map((each, index) => ensureStream(each, wants(index % 2 === 0 ? 100 : 200))),
  )
  expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'fulfilled'))
  const manager = await bus().jetstreamManager()
  expect([100, 200]).toContain((await manager.streams.info('MIXED')).config.max_msgs)
})

test('a setting that cannot be changed any more is refused with a code, and nothing is changed', async () => {
  await ensureStream(bus(), { name: 'FIXED', subjects: ['fixed.*'] })
  await expect(
    ensureStream(bus(), {
      name: 'FIXED',
      subjects: ['fixed.*'],
      retention: RetentionPolicy.Workqueue,
    }),
  ).rejects.toMatchObject({ code: 'BUS_STREAM_UNFIT' })
  const manager = await bus().jetstreamManager()
  expect((await manager.streams.info('FIXED')).config.retention).toBe(RetentionPolicy.Limits)
})

test('subjects that another stream has taken are refused with a code', async () => {
  await ensureStream(bus(), { name: 'FIRST', subjects: ['overlap.*'] })
  await expect(
    ensureStream(bus(), { name: 'SECOND', subjects: ['overlap.a'] }),
  ).rejects.toMatchObject({ code: 'BUS_STREAM_UNFIT' })
})

test('a setting that the server takes in silence and ignores is noticed', async () => {
  const deaf: Bus = {
    ...bus(),
    ready: () => Promise.resolve(),
    onReconnect: () => () => {},
    // What nats-server 2.10 does with allow_msg_ttl (reference measurement): it answers without it.
    jetstreamManager: async () => {
      const manager = await bus().jetstreamManager()
      const streams = {
        info: manager.streams.info.bind(manager.streams),
        async add({ allow_msg_ttl: _, ...settings }: Parameters<typeof manager.streams.add>[0]) {
          return await manager.streams.add(settings)
        },
        update: async (name: string) => await manager.streams.info(name),
      }
      return { ...manager, streams } as unknown as typeof manager
    },
  }
  await expect(
    ensureStream(deaf, { name: 'IGNORED', subjects: ['ignored.*'], allow_msg_ttl: true }),
  ).rejects.toMatchObject({
    code: 'BUS_STREAM_UNFIT',
    message: expect.stringContaining('allow_msg_ttl'),
  })
})

test('a bucket made by other means is made to keep one value per key', async () => {
  const manager = await bus().jetstreamManager()
  await manager.streams.add({
    name: 'KV_found',
    subjects: ['$KV.found.>'],
    max_msgs_per_subject: 5,
    allow_rollup_hdrs: true,
  })
  const info = await ensureBucket(bus(), 'found', { markerTtlMs: 2_000 })
  expect(info.config).toMatchObject({
    max_msgs_per_subject: 1,
    allow_msg_ttl: true,
    subject_delete_marker_ttl: nanos(2_000),
  })
})

test('a stream is made sure of while the server is being restarted', async () => {
  await server.kill()
  const made = ensureStream(bus(), { name: 'LATE', subjects: ['late.*'] })
  await server.restart()
  expect((await made).config.name).toBe('LATE')
})
