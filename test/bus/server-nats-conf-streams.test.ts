/** What nats.conf lets roles do with Kinesis streams, their records and mappings, tried on a server that runs on it. */
import { readFileSync } from 'node:fs'
import { errors } from 'nats'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { writeEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import { openCheckpoints } from '../../bus/checkpoints.ts'
import { openBus } from '../../bus/connection.ts'
import { openDirectory } from '../../bus/directory.ts'
import { openLeases } from '../../bus/leases.ts'
import { reachRecordStream, removeRecordStream } from '../../bus/record-stream.ts'
import { openShardReader } from '../../bus/shard-read.ts'
import { lastSequenceOfShard, openShardSource } from '../../bus/shard-source.ts'
import { openShardWriter } from '../../bus/shard-write.ts'
import * as subjects from '../../bus/subjects.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { credentials, startServerOnConf } from '../nats-conf.ts'
import type { TestServer } from '../nats-server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServerOnConf()
})
afterAll(() => server.stop())

const log = { debug() {}, info() {}, warn() {}, error() {} }

async function busOf(user: string, role = user.replaceAll('_', '-')): Promise<Bus> {
  const bus = await openBus({ servers: server.url, role, id: 'a', ...credentials(user) })
  onTestFinished(() => bus.close())
  return bus
}

/** Undefined: the server lets it through. */
async function refusal(bus: Bus, subject: string): Promise<unknown> {
  const error = await bus.nats.request(subject, '{}', { timeout: 5_000 }).catch((reason) => reason)
  return error instanceof errors.RequestError ? error.cause : undefined
}

test('stream trackers make, cut and remove record streams; front ends store and read; pollers read', async () => {
  const [tracker, frontEnd, poller] = (await Promise.all(
    ['stream_tracker', 'front_end', 'poller'].map((user) => busOf(user)),
  )) as [Bus, Bus, Bus]
  const leading = { epoch: 1, isLeading: () => true }
  const wanted = {
    name: 'orders.new',
    incarnation: 'i',
    open: [0, 1],
    retentionHours: 24,
    step: 2,
  }
  await reachRecordStream(tracker, wanted, leading)
  const address = { stream: 'orders.new', incarnation: 'i', shard: 0 }
  const writer = openShardWriter(frontEnd)
  const record = { partitionKey: 'k', arrivalMs: Date.now(), data: Buffer.from('data') }
  expect(await writer.put(address, record)).toEqual({ sequence: 1 })
  const many = await writer.putMany(
    address,
    Array.from({ length: 20 }, () => record),
  )
  expect(many.at(-1)).toEqual({ sequence: 21 })
  const cut = { ...wanted, open: [1, 2, 3], step: 4 }
  expect(await reachRecordStream(tracker, cut, leading)).toEqual({ lastSequence: 21 })
  expect(await writer.put(address, record)).toBe('closed')

  const reader = openShardReader(frontEnd)
  onTestFinished(() => reader.stop())
  const page = await reader.read(address, { from: 1, most: 10, mostBytes: 1_000_000 })
  expect(page.records).toHaveLength(10)
  expect(await reader.newest(address)).toBe(21)
  expect(await reader.isOver(address, 22)).toBe(true)

  for (const bus of [frontEnd, poller]) {
    const pulled: number[] = []
    const source = await openShardSource(
      bus,
      clock,
      address,
      { after: 0 },
      {
        record: ({ sequence }) => void pulled.push(sequence),
        room: () => 21 - pulled.length,
        broken: () => {},
      },
    )
    source.more()
    await vi.waitUntil(() => pulled.length === 21, 10_000)
    source.stop()
    await bus.nats.flush()
  }
  expect(await lastSequenceOfShard(poller, address)).toBe(21)
  await vi.waitUntil(async () => {
    const manager = await tracker.jetstreamManager()
    const { state } = await manager.streams.info(subjects.recordStream('orders.new'))
    return state.consumer_count === 0
  }, 10_000)
  expect(await removeRecordStream(tracker, cut, leading)).toBe('removed')
})

test('stream trackers say which streams, mappings and shards there are, leasing services who reads them', async () => {
  const watching = { reconcileEveryMs: 1_000, clock, log }
  const tells = async (bucket: string, owner: string, readers: string[]) => {
    const own = await openDirectory<string>(await busOf(owner), bucket)
    expect(await own.put('x', 'value', 1)).toBe('stored')
    for (const user of [owner, ...readers]) {
      const copy = await (await openDirectory<string>(await busOf(user), bucket)).watch(watching)
      onTestFinished(() => copy.stop())
      expect(copy.get('x'), user).toBe('value')
    }
    expect(await own.take('x', 2)).toBe('value')
    expect(await own.remove('x', 2)).toBe('stored')
  }
  await tells(subjects.streamsBucket, 'stream_tracker', ['front_end', 'control_plane', 'poller'])
  await tells(subjects.mappingsBucket, 'stream_tracker', ['control_plane', 'poller'])
  await tells(subjects.shardsBucket, 'stream_tracker', ['leasing', 'poller'])
  await tells(subjects.shardAssignmentsBucket, 'leasing', ['poller', 'stream_tracker'])
})

test('stream trackers lead by lease', async () => {
  const options = { bucket: subjects.leasesBucket, ttlMs: 5_000, clock }
  // The owner of the bucket makes it.
  await openLeases<string>(await busOf('worker_manager'), options)
  const leases = await openLeases<string>(await busOf('stream_tracker'), options)
  const watch = await leases.watch(() => {})
  onTestFinished(() => watch.stop())
  const lease = await leases.acquire('leader.stream-tracker', 'a')
  if (lease === undefined) throw new Error('somebody else has it')
  const renewed = await leases.renew(lease)
  if (renewed === 'lost') throw new Error('lost')
  expect(await watch.reached(renewed.revision, 10_000)).toBe(true)
  await leases.release(renewed)
})

test('pollers say how far they are, and stream trackers take away what is left', async () => {
  const poller = await busOf('poller')
  const tracker = await busOf('stream_tracker')
  const key = 'mapping.0'
  await openCheckpoints(poller)
  const checkpoints = await openCheckpoints(tracker)
  const entry = { value: '{"epoch":1,"done":0,"lanes":[]}', expectedRevision: 0, write: 'w' }
  expect(await writeEntry(poller, subjects.checkpointsBucket, key, entry)).not.toBe('conflict')
  expect(await checkpoints.keys('mapping')).toEqual([key])
  await checkpoints.remove([key])
  expect(await checkpoints.read(key)).toBeUndefined()
})

test('front ends, control planes and pollers speak to the stream tracker, people to front ends', async () => {
  const tracker = await busOf('stream_tracker')
  const heard: string[] = []
  const hear = ({ subject, respond }: { subject: string; respond(body: string): unknown }) => {
    heard.push(subject)
    respond('{}')
  }
  for (const subject of [
    subjects.trackerStream,
    subjects.trackerMapping,
    subjects.trackerSync,
    subjects.trackerEnded,
    subjects.trackerResult,
    subjects.trackedStreams,
    subjects.anyShardsReport,
    subjects.beatsOf('poller'),
    subjects.beatsOf('stream-tracker'),
  ])
    tracker.subscribe(subject, (message) =>
      hear({ subject, respond: (body) => message.respond(body) }),
    )
  await tracker.nats.flush()
  const frontEnd = await busOf('front_end')
  const controlPlane = await busOf('control_plane')
  const poller = await busOf('poller')
  expect(typeof (await frontEnd.request(subjects.trackerStream, '{}'))).toBe('object')
  expect(typeof (await controlPlane.request(subjects.trackerMapping, '{}'))).toBe('object')
  poller.publish(subjects.trackerEnded, '{}')
  poller.publish(subjects.trackerResult, '{}')
  await vi.waitUntil(() => heard.length === 4, 10_000)

  const people = await busOf('client', 'cli')
  frontEnd.subscribe(subjects.anyKinesis, (message) => void message.respond('{}'))
  await frontEnd.nats.flush()
  expect(typeof (await people.request(subjects.kinesis('orders.new'), '{}'))).toBe('object')
  const told = new Promise((tell) =>
    frontEnd.subscribe(subjects.subscribedToShard, (message) => tell(message)),
  )
  await frontEnd.nats.flush()
  frontEnd.publish(subjects.subscribedToShard, '{}')
  await told
})

test('nobody else stores records, changes streams, or speaks for a poller', async () => {
  const record = subjects.shard('orders', 'i', 0)
  const refused: Record<string, string[]> = {
    client: [record, subjects.trackerStream, subjects.trackerMapping],
    control_plane: [record, subjects.trackerStream, subjects.trackerEnded],
    front_end: [subjects.trackerMapping, subjects.trackerEnded],
    leasing: [record, subjects.trackerStream, subjects.trackerEnded],
    poller: [record, subjects.trackerStream, subjects.trackerMapping],
    stream_tracker: [subjects.invoke('f'), subjects.api('DeleteFunction'), subjects.place],
    worker: [record, subjects.trackerStream, subjects.trackerEnded],
  }
  for (const [user, those] of Object.entries(refused)) {
    const bus = await busOf(user, user === 'client' ? 'cli' : undefined)
    for (const subject of those) {
      expect(await refusal(bus, subject), `${user} ${subject}`).toBeInstanceOf(
        errors.PermissionViolationError,
      )
    }
  }
})

// ── What is allowed for all streams, because record streams have names that people choose ─────────────────────────────

/** Every stream of ours that is no record stream. */
const ours = Object.entries(subjects)
  .filter(([name, value]) => typeof value === 'string' && /(Bucket|Stream)$/.test(name))
  .map(([name, value]) => [name, String(value)] as const)
  .filter(([, value]) => !value.startsWith('lambus.'))
  .map(([name, value]) => {
    if (name === 'codeBucket') return subjects.objectStream(value)
    return name.endsWith('Bucket') ? subjects.kvStream(value) : value
  })

const requests = (stream: string) => [
  ...['INFO', 'CREATE', 'UPDATE', 'DELETE', 'PURGE', 'MSG.GET', 'MSG.DELETE', 'SNAPSHOT'].map(
    (what) => `$JS.API.STREAM.${what}.${stream}`,
  ),
  `$JS.API.DIRECT.GET.${stream}`,
  `$JS.API.DIRECT.GET.${stream}.x`,
  `$JS.API.CONSUMER.CREATE.${stream}.x`,
  `$JS.API.CONSUMER.CREATE.${stream}.x.>`,
  `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.x`,
  `$JS.API.CONSUMER.DELETE.${stream}.x`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.x`,
]

describe.each(['front_end', 'poller', 'stream_tracker'])('%s', (user) => {
  const conf = readFileSync(new URL('../../nats.conf', import.meta.url), 'utf8')
  const [, own = ''] = conf.split(`user: ${user}\n`)
  const [allowed = ''] = own.split('deny: [')
  /** With the name of the stream in it: said of this stream, and tried where it is needed. */
  const isSaid = (subject: string) =>
    [...allowed.matchAll(/"([^"]+)"/g)].some(([, pattern = '']) => {
      const [start = ''] = pattern.split('.>')
      return (
        pattern === subject ||
        pattern.replace(/\*$/, 'x') === subject ||
        (pattern.endsWith('.>') &&
          subject.startsWith(`${start}.`) &&
          /KV_|OBJ_|LAMBUS_/.test(start))
      )
    })

  test('may do with streams of ours only what is said of them', async () => {
    expect(ours).toHaveLength(18)
    const bus = await busOf(user)
    for (const subject of ours.flatMap(requests)) {
      if (isSaid(subject)) continue
      expect(await refusal(bus, subject), subject).toBeInstanceOf(errors.PermissionViolationError)
    }
  })
})
