import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, errors } from 'nats'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openActorStore } from '../../bus/actor-store.ts'
import type { Bus } from '../../bus/bus.ts'
import { openCode } from '../../bus/code.ts'
import { openBus } from '../../bus/connection.ts'
import { openDurableInbox } from '../../bus/durable-inbox.ts'
import { openFunctions } from '../../bus/functions.ts'
import { openLeases } from '../../bus/leases.ts'
import { ensureLogs, openLogWriter, readLogs } from '../../bus/logs.ts'
import { openPresence } from '../../bus/presence.ts'
import { checkDurability, checkServer } from '../../bus/server.ts'
import { sqsDelivery } from '../../bus/sqs-delivery.ts'
import { messageExists, removeMessage } from '../../bus/sqs-message.ts'
import { openSqsMoves } from '../../bus/sqs-moves.ts'
import { openSqsQueues } from '../../bus/sqs-queues.ts'
import { makeVisibleIn, receive } from '../../bus/sqs-receive.ts'
import * as subjects from '../../bus/subjects.ts'
import { registerWorker, watchWorkers } from '../../bus/workers.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

const conf = readFileSync(new URL('../../nats.conf', import.meta.url), 'utf8')
const users = [...conf.matchAll(/user: (\w+)/g)].map(([, user = '']) => user)
const roles = users.filter((user) => user !== 'system' && user !== 'client')

const storeDir = mkdtempSync(join(tmpdir(), 'lambus-test-conf-'))
let server: TestServer

beforeAll(async () => {
  for (const user of users)
    process.env[`LAMBUS_${user.toUpperCase()}_PASSWORD`] = `password-of-${user}`
  // A port and a store of the test's own; everything else is what people are given.
  const mine = conf
    .replace(/^port: .*$/m, '')
    .replace(/^ {2}store_dir: .*$/m, `  store_dir: ${JSON.stringify(storeDir)}`)
  server = await startNatsServer({ conf: mine })
})
afterAll(async () => {
  await server.stop()
  rmSync(storeDir, { recursive: true, force: true })
})

const credentials = (user: string) => ({ user, password: `password-of-${user}` })

async function busOf(user: string, role = user.replaceAll('_', '-')): Promise<Bus> {
  const bus = await openBus({ servers: server.url, role, id: 'a', ...credentials(user) })
  onTestFinished(() => bus.close())
  return bus
}

/** Resolves with what the server says when it does not let a user listen there. */
async function refusedSubscription(bus: Bus, subject: string): Promise<unknown> {
  const subscription = bus.nats.subscribe(subject, { callback: () => {} })
  const refused = await subscription.closed.then((reason) => reason)
  return refused
}

async function refusedPublish(bus: Bus, subject: string): Promise<unknown> {
  const error = await bus.nats.request(subject, '{}', { timeout: 1_000 }).catch((reason) => reason)
  expect(error, subject).toBeInstanceOf(errors.RequestError)
  return error.cause
}

test('every role and people have a user of their own', () => {
  expect(users).toEqual([
    'system',
    'front_end',
    'control_plane',
    'worker_manager',
    'placement',
    'worker',
    'poller',
    'state_manager',
    'stream_tracker',
    'leasing',
    'inspector',
    'client',
  ])
})

test('the server that runs on this file is what lambus needs', async () => {
  await checkServer((await busOf('front_end')).nats)
  const { user, password } = credentials('system')
  const nats = await connect({ servers: server.url, user, pass: password, reconnect: false })
  onTestFinished(() => nats.close())
  await checkDurability(nats)
})

test('nobody is let in without a password', async () => {
  await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/uthorization/)
})

describe.each(roles)('%s', (user) => {
  const role = user.replaceAll('_', '-')

  test('connects, sees what the server is, beats and is found', async () => {
    const bus = await busOf(user)
    await checkServer(bus.nats)
    const presence = openPresence(bus, {
      roles: [role],
      id: `${role}-1`,
      beatMs: 100,
      describe: () => ({}),
      clock,
    })
    onTestFinished(() => presence.goodbye())
    await bus.nats.flush()
    expect(await presence.probe(`${role}-1`, 1_000)).toBe('alive')
  })

  test('hears no answers that are for others, and does not speak to the server itself', async () => {
    const bus = await busOf(user)
    for (const subject of ['>', '_INBOX.>', '_INBOX_*.>', '_INBOX_client.>', '$JS.>', '$SYS.>'])
      expect(await refusedSubscription(bus, subject)).toBeInstanceOf(
        errors.PermissionViolationError,
      )
    for (const subject of ['$JS.API.STREAM.DELETE.KV_lambus_functions', '$JS.API.STREAM.NAMES'])
      expect(await refusedPublish(bus, subject)).toBeInstanceOf(errors.PermissionViolationError)
  })

  test('writes only the buckets that are its own', async () => {
    const bus = await busOf(user)
    const owners: Record<string, string[]> = {
      [subjects.functionsBucket]: ['control_plane'],
      [subjects.actorsBucket]: ['control_plane'],
      [subjects.leasesBucket]: ['worker_manager', 'poller', 'leasing'],
      [subjects.workersBucket]: ['worker'],
      [subjects.sqsBucket]: ['front_end'],
      [subjects.sqsMovesBucket]: ['front_end'],
    }
    for (const [bucket, owner] of Object.entries(owners)) {
      if (owner.includes(user)) continue
      expect(await refusedPublish(bus, subjects.kvEntry(bucket, 'x'))).toBeInstanceOf(
        errors.PermissionViolationError,
      )
    }
  })
})

test('worker managers lease partitions and see who has them', async () => {
  const bus = await busOf('worker_manager')
  const leases = await openLeases<string>(bus, {
    bucket: subjects.leasesBucket,
    ttlMs: 5_000,
    clock,
  })
  const watch = await leases.watch(() => {})
  onTestFinished(() => watch.stop())
  const lease = await leases.acquire('worker-manager.0', 'a')
  if (lease === undefined) throw new Error('somebody else has it')
  const renewed = await leases.renew(lease)
  if (renewed === 'lost') throw new Error('lost')
  expect(await watch.reached(renewed.revision, 2_000)).toBe(true)
  expect(watch.get('worker-manager.0')?.value).toBe('a')
  await leases.release(renewed)
  expect(await leases.read('worker-manager.0')).toBeUndefined()
})

test('control planes run durable actors', async () => {
  const bus = await busOf('control_plane')
  const store = await openActorStore(bus)
  const document = { write: 'w' } as unknown as Parameters<typeof store.save>[2]
  const revision = await store.save('function', 'f', document, 0)
  expect((await store.load('function', 'f'))?.revision).toBe(revision)
  expect(await store.remove('function', 'f', revision as number)).toBe(true)

  const inbox = await openDurableInbox(bus)
  const heard: string[] = []
  const consumption = await inbox.consume(
    'function',
    async ({ event }) => {
      heard.push(event.type)
      if (event.type === 'later') done.resolve()
    },
    { concurrency: 1, ackWaitMs: 5_000 },
  )
  const done = Promise.withResolvers<void>()
  await inbox.post('function', 'f', { type: 'now' })
  await inbox.postLater('function', 'f', 'never', { type: 'never' }, Date.now() + 60_000, 'n')
  await inbox.cancelLater('function', 'f', 'never')
  await inbox.postLater('function', 'f', 'soon', { type: 'later' }, Date.now(), 's')
  await done.promise
  await consumption.stop()
  expect(heard).toEqual(['now', 'later'])
})

test('functions are written by the control plane and watched by those who need them', async () => {
  const own = await openFunctions(await busOf('control_plane'))
  const put = await own.put({ name: 'f', incarnation: 'i', step: 1 })
  if (put === 'stale') throw new Error('stale')
  for (const user of ['front_end', 'worker_manager', 'poller', 'inspector', 'control_plane']) {
    const functions = await openFunctions(await busOf(user))
    const watched = await functions.watch({ clock, reconcileEveryMs: 1_000 })
    onTestFinished(() => watched.stop())
    expect(await watched.reached(put.revision, 2_000), user).toBe(true)
    expect((await functions.read('f'))?.revision).toBe(put.revision)
  }
  expect(await own.remove({ name: 'f', incarnation: 'i', step: 2 })).not.toBe('stale')
})

test('packages are stored by front ends, read by workers and removed by control planes', async () => {
  const bytes = Buffer.alloc(300_000, 'x')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  await (await openCode(await busOf('front_end'))).put(sha256, bytes)
  const worker = await openCode(await busOf('worker'))
  expect(await worker.get(sha256)).toHaveLength(bytes.length)
  await (await openCode(await busOf('control_plane'))).remove(sha256)
  expect(await worker.has(sha256)).toBe(false)
})

test('a worker says that it is there, and the inspector sees it', async () => {
  const record = {
    id: 'w1',
    host: 'here',
    pid: 1,
    memoryMb: 1,
    usedMb: 0,
    sandboxes: 0,
    runtimes: [],
    labels: {},
    startedAtMs: 0,
    draining: false,
  }
  const registration = await registerWorker(await busOf('worker'), record, { ttlMs: 5_000, clock })
  const seen = Promise.withResolvers<string>()
  const watched = await watchWorkers(await busOf('inspector'), seen.resolve, {
    clock,
    reconcileEveryMs: 1_000,
  })
  onTestFinished(() => watched.stop())
  expect(watched.get('w1')?.value ?? (await seen.promise)).toBeTruthy()
  await registration.remove()
})

test('workers write logs and people read them', async () => {
  const worker = await busOf('worker')
  await ensureLogs(worker, { maxAgeMs: 60_000, maxBytes: 1_000_000 })
  const writer = openLogWriter(worker, { flushEveryMs: 1, clock })
  writer.write('f', { atMs: Date.now(), stream: 'stdout', text: 'hello' })
  await writer.close()
  const people = await busOf('client', 'cli')
  const texts: string[] = []
  for await (const { text } of readLogs(people, 'f')) texts.push(text)
  expect(texts).toEqual(['hello'])
})

test('front ends keep SQS queues, pollers put dead letters into them, people ask for them', async () => {
  const frontEnd = await busOf('front_end')
  const kept = { clock, newId: () => crypto.randomUUID(), reconcileEveryMs: 1_000 }
  const queues = await openSqsQueues(frontEnd, kept)
  const moves = await openSqsMoves(frontEnd, kept)
  const settings = {
    delaySeconds: 0,
    maximumMessageBytes: 1_024,
    retentionSeconds: 60,
    receiveWaitSeconds: 0,
    visibilitySeconds: 1,
  }
  const times = { createdAtMs: 0, modifiedAtMs: 0 }
  const { record } = await queues.create({
    name: 'q',
    incarnation: 'i',
    settings,
    tags: {},
    ...times,
  })
  const changed = await queues.change('q', (queue) => ({
    ...queue,
    settings: { ...settings, visibilitySeconds: 2 },
  }))
  if (changed === undefined) throw new Error('no queue')
  await queues.consumer(record)
  const deliver = sqsDelivery(await busOf('poller'), kept)
  const delivered = { queueName: 'q', body: 'dead', deduplicationId: 'd' }
  expect(await deliver(delivered)).toEqual({ messageId: expect.any(String) })
  const [message] = await receive(frontEnd, queues, changed, { most: 1, waitMs: 2_000 })
  if (message === undefined) throw new Error('nothing came')
  await makeVisibleIn(frontEnd, message.delivery, 1_000)
  expect(await messageExists(frontEnd, record, message.delivery.sequence)).toBe(true)
  expect(await queues.counts(changed)).toEqual({ waiting: 0, inFlight: 1, delayed: 0 })
  await removeMessage(frontEnd, message.delivery.sequence)
  await queues.purge(record)
  await queues.remove('q')
  expect(await moves.list('q')).toEqual([])
  queues.stop()
  moves.stop()

  frontEnd.subscribe(subjects.sqsInFlight, (asked) => void asked.respond('{}'))
  await frontEnd.nats.flush()
  expect(await frontEnd.askAll(subjects.sqsInFlight, 'i', { waitMs: 100 })).toHaveLength(1)
  frontEnd.subscribe(subjects.anySqsApi, (asked) => void asked.respond('{}'))
  await frontEnd.nats.flush()
  const people = await busOf('client', 'cli')
  expect(typeof (await people.request(subjects.sqsApi('ListQueues'), '{}'))).toBe('object')
})

test('an invocation goes from people through a front end to a worker and back', async () => {
  const worker = await busOf('worker')
  worker.subscribe(subjects.anySandbox('w1'), (message) => void message.respond('"hello"'))
  const frontEnd = await busOf('front_end')
  frontEnd.subscribe(
    subjects.anyInvoke,
    async (message) => {
      const answer = await frontEnd.request(subjects.sandbox('w1', 's1', 'invoke'), message.data)
      message.respond(typeof answer === 'string' ? answer : answer.data)
    },
    { queue: 'front-end' },
  )
  await Promise.all([worker.nats.flush(), frontEnd.nats.flush()])
  const answer = await (await busOf('client', 'cli')).request(subjects.invoke('f'), '{}')
  expect(typeof answer === 'string' ? answer : answer.string()).toBe('"hello"')
})

test('a sandbox is asked for from the worker manager, through placement, at a worker', async () => {
  const worker = await busOf('worker')
  worker.subscribe(subjects.provision('w1'), (message) => void message.respond('{}'))
  const placement = await busOf('placement')
  placement.subscribe(subjects.place, async (message) => {
    await placement.request(subjects.provision('w1'), '{}')
    message.respond('{}')
  })
  await Promise.all([worker.nats.flush(), placement.nats.flush()])
  const manager = await busOf('worker_manager')
  expect(typeof (await manager.request(subjects.place, '{}'))).toBe('object')
})

test('a worker neither invokes functions nor asks for changes', async () => {
  const bus = await busOf('worker')
  for (const subject of [
    subjects.invoke('f'),
    subjects.api('DeleteFunction'),
    subjects.place,
    subjects.sandbox('w2', 's', 'invoke'),
    subjects.durable('function', 'f'),
  ])
    expect(await refusedPublish(bus, subject)).toBeInstanceOf(errors.PermissionViolationError)
})

test('people speak to the doors and to nothing behind them', async () => {
  const bus = await busOf('client', 'cli')
  for (const subject of [
    subjects.pool(0, 'reserve'),
    subjects.sandbox('w1', 's', 'invoke'),
    subjects.beat('worker', 'w1'),
    subjects.kvEntry(subjects.functionsBucket, 'f'),
    subjects.kvEntry(subjects.leasesBucket, 'x'),
    subjects.kvEntry(subjects.sqsBucket, 'q'),
    subjects.sqsQueue('q', 'i'),
    '$JS.API.STREAM.MSG.GET.KV_lambus_functions',
  ])
    expect(await refusedPublish(bus, subject), subject).toBeInstanceOf(
      errors.PermissionViolationError,
    )
  for (const subject of ['_INBOX.>', '_INBOX_front_end.>', 'lambus.invoke.>', 'lambus.>', '>'])
    expect(await refusedSubscription(bus, subject)).toBeInstanceOf(errors.PermissionViolationError)
})
