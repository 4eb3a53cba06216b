import { createHash } from 'node:crypto'
import { connect, errors } from 'nats'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { openDelivery } from '../../actors/delivery.ts'
import type { Assignment } from '../../actors/holding.ts'
import { openQueueChoice } from '../../actors/queue-choice.ts'
import { openActorStore } from '../../bus/actor-store.ts'
import { readEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import { openCode } from '../../bus/code.ts'
import { openBus } from '../../bus/connection.ts'
import { openDirectory } from '../../bus/directory.ts'
import { openDurableInbox } from '../../bus/durable-inbox.ts'
import { encodePacket, type StoredEvent } from '../../bus/event-packet.ts'
import { openRedrive } from '../../bus/event-redrive.ts'
import { listEvents } from '../../bus/event-shelf.ts'
import { ensureEvents, waitingEvents } from '../../bus/event-stream.ts'
import { openEventWriter } from '../../bus/event-writer.ts'
import { openFunctions } from '../../bus/functions.ts'
import { type EventRef, openLane } from '../../bus/lane.ts'
import { openLeases } from '../../bus/leases.ts'
import { ensureLogs, openLogWriter, readLogs } from '../../bus/logs.ts'
import { openPresence } from '../../bus/presence.ts'
import { checkDurability, checkServer } from '../../bus/server.ts'
import { sqsDelivery } from '../../bus/sqs-delivery.ts'
import { messageExists, removeMessage } from '../../bus/sqs-message.ts'
import { openSqsMoves } from '../../bus/sqs-moves.ts'
import { openSqsQueues } from '../../bus/sqs-queues.ts'
import { makeVisibleIn, receive } from '../../bus/sqs-receive.ts'
import { ensureBucket } from '../../bus/streams.ts'
import * as subjects from '../../bus/subjects.ts'
import { registerWorker, watchWorkers } from '../../bus/workers.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { credentials, startServerOnConf, users } from '../nats-conf.ts'
import type { TestServer } from '../nats-server.ts'

const roles = users.filter((user) => user !== 'system' && user !== 'client')

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

/** Resolves with what the server says when it does not let a user listen there. */
async function refusedSubscription(bus: Bus, subject: string): Promise<unknown> {
  const subscription = bus.nats.subscribe(subject, { callback: () => {} })
  const refused = await subscription.closed.then((reason) => reason)
  return refused
}

async function refusedPublish(bus: Bus, subject: string): Promise<unknown> {
  const error = await bus.nats.request(subject, '{}', { timeout: 5_000 }).catch((reason) => reason)
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
    expect(await presence.probe(`${role}-1`, 5_000)).toBe('alive')
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
      [subjects.queuesBucket]: ['state_manager'],
      [subjects.assignmentsBucket]: ['leasing'],
      [subjects.functionsBucket]: ['control_plane'],
      [subjects.actorsBucket]: ['control_plane'],
      [subjects.leasesBucket]: [
        'worker_manager',
        'poller',
        'state_manager',
        'stream_tracker',
        'leasing',
      ],
      [subjects.streamsBucket]: ['stream_tracker'],
      [subjects.mappingsBucket]: ['stream_tracker'],
      [subjects.shardsBucket]: ['stream_tracker'],
      [subjects.shardAssignmentsBucket]: ['leasing'],
      [subjects.checkpointsBucket]: ['poller', 'stream_tracker'],
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
  expect(await watch.reached(renewed.revision, 10_000)).toBe(true)
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

test('control planes see whether there is a queue', async () => {
  const bus = await busOf('control_plane')
  await ensureBucket(bus, subjects.sqsBucket)
  expect(await readEntry(bus, subjects.sqsBucket, 'q')).toBeUndefined()
})

test('functions are written by the control plane and watched by those who need them', async () => {
  const own = await openFunctions(await busOf('control_plane'))
  const put = await own.put({ name: 'f', incarnation: 'i', step: 1 })
  if (put === 'stale') throw new Error('stale')
  for (const user of ['front_end', 'worker_manager', 'poller', 'inspector', 'control_plane']) {
    const functions = await openFunctions(await busOf(user))
    const watched = await functions.watch({ clock, reconcileEveryMs: 1_000 })
    onTestFinished(() => watched.stop())
    expect(await watched.reached(put.revision, 10_000), user).toBe(true)
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
  // What was sent at last is stored a moment later.
  const texts: string[] = []
  await vi.waitUntil(
    async () => {
      for await (const { text } of readLogs(people, 'f')) texts.push(text)
      return texts.length > 0
    },
    { timeout: 10_000 },
  )
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
  const [message] = await receive(frontEnd, queues, changed, { most: 1, waitMs: 10_000 })
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
  const answers = await frontEnd.askAll(subjects.sqsInFlight, 'i', { waitMs: 5_000, expected: 1 })
  expect(answers).toHaveLength(1)
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

test('leaders of state managers and leasing services are leaders by lease', async () => {
  for (const user of ['state_manager', 'leasing', 'poller']) {
    const leases = await openLeases<string>(await busOf(user), {
      bucket: subjects.leasesBucket,
      ttlMs: 5_000,
      clock,
    })
    const watch = await leases.watch(() => {})
    onTestFinished(() => watch.stop())
    const lease = await leases.acquire(`leader.${user}`, 'a')
    if (lease === undefined) throw new Error('somebody else has it')
    expect(await watch.reached(lease.revision, 10_000)).toBe(true)
    expect(await leases.evict(lease.key, lease.revision)).toBe(true)
  }
})

test('state managers say which queues there are, leasing services who reads which lane', async () => {
  const watching = { reconcileEveryMs: 1_000, clock, log }
  const tells = async (bucket: string, owner: string, readers: string[]) => {
    const own = await openDirectory<{ poller: string }>(await busOf(owner), bucket)
    expect(await own.put('shared-0', { poller: 'p' }, 1)).toBe('stored')
    for (const user of [owner, ...readers]) {
      const copy = await (await openDirectory<Assignment>(await busOf(user), bucket)).watch(
        watching,
      )
      onTestFinished(() => copy.stop())
      expect(copy.get('shared-0'), user).toEqual({ poller: 'p' })
    }
    expect(await own.remove('shared-0', 1)).toBe('stored')
  }
  await tells(subjects.queuesBucket, 'state_manager', ['front_end', 'poller', 'leasing'])
  await tells(subjects.assignmentsBucket, 'leasing', ['poller'])
})

const storedEvent = (id: string, more: Partial<StoredEvent> = {}): StoredEvent => ({
  id,
  acceptedAtMs: Date.now(),
  attempts: 0,
  putOff: 0,
  payload: Buffer.from('{}'),
  ...more,
})

test('an event is stored by a front end, read and decided by pollers, and put back by a state manager', async () => {
  const manager = await busOf('state_manager')
  await ensureEvents(manager)
  const frontEnd = await busOf('front_end')
  await ensureEvents(frontEnd)
  const poller = await busOf('poller')
  await ensureEvents(poller)
  const at = { queue: 'shared-0', lane: 0 }
  const writer = openEventWriter(frontEnd, { choose: () => at })
  const storedAs = new Promise((tell) => writer.write('f', storedEvent('r1'), tell))
  expect(await storedAs).toBeUndefined()
  expect(await waitingEvents(manager)).toEqual([{ ...at, functionName: 'f', events: 1 }])

  const heard: { ref: EventRef; event: StoredEvent }[] = []
  const read = async (epoch: number) => {
    const lane = await openLane(poller, {
      ...at,
      epoch,
      mostPackets: 8,
      take: (ref, _, event) => heard.push({ ref, event }),
      lost: () => {},
      clock,
      log,
    })
    if (lane === 'fenced') throw new Error('fenced')
    await lane.read()
    return lane
  }
  const next = async () => {
    await vi.waitUntil(() => heard.length > 0, 5_000)
    return heard.shift() as (typeof heard)[number]
  }
  await read(1)
  await next()
  // The second reader takes the consumer of the first away, as of one that died.
  const lane = await read(2)
  const { ref, event } = await next()
  const due = new Date(Date.now() + 100).toISOString()
  const body = encodePacket([{ ...event, attempts: 1 }])
  const schedule = {
    'Nats-Schedule': `@at ${due}`,
    'Nats-Schedule-Target': subjects.eventPacket(at.queue, at.lane, 'f', 1),
  }
  const subject = subjects.retry(at.queue, at.lane, 'f', event.id)
  expect(await lane.finish([ref], [{ subject, body, headers: schedule }])).toBe('stored')
  const again = await next()
  expect(again.event.attempts).toBe(1)
  const dead = { subject: subjects.dead('f', event.id), body }
  expect(await lane.finish([again.ref], [dead])).toBe('stored')

  expect(await listEvents(manager, { limit: 10 })).toMatchObject({
    events: [{ state: 'dead', functionName: 'f', event: { id: 'r1' } }],
  })
  const redrive = openRedrive(manager, {
    choose: () => at,
    nowMs: () => Date.now(),
    newId: () => crypto.randomUUID(),
  })
  expect(await redrive.these(['r1'])).toEqual(['r1'])
  const { ref: last } = await next()
  expect(await lane.finish([last], [])).toBe('stored')
  await vi.waitUntil(async () => (await waitingEvents(manager)).length === 0, 5_000)
  await lane.close()
})

test('front ends, pollers and state managers hear what they say to each other', async () => {
  const [frontEnd, poller, manager] = await Promise.all(
    ['front_end', 'poller', 'state_manager'].map((user) => busOf(user)),
  )
  if (frontEnd === undefined || poller === undefined || manager === undefined) return
  frontEnd.subscribe(subjects.attempt('f1'), (message) => void message.respond('{}'))
  frontEnd.subscribe(subjects.anyInvoke, (message) => void message.respond('{}'))
  await frontEnd.nats.flush()
  expect(typeof (await poller.request(subjects.attempt('f1'), '{}'))).toBe('object')
  expect(typeof (await poller.request(subjects.invoke('f'), '{}'))).toBe('object')

  const heard: string[] = []
  const hear = ({ subject }: { subject: string }) => void heard.push(subject)
  manager.subscribe(subjects.anyOverflow, hear)
  manager.subscribe(subjects.anyPollerReport, hear)
  await manager.nats.flush()
  poller.publish(subjects.overflow('f'))
  poller.publish(subjects.pollerReport('p1'), '{}')
  await vi.waitUntil(() => heard.length === 2, 10_000)

  for (const bus of [frontEnd, poller, manager]) {
    const backlog = new Promise((tell) => void bus.subscribe(subjects.backlog, tell))
    await bus.nats.flush()
    manager.publish(subjects.backlog, '{}')
    await backlog
  }
  const choice = await openQueueChoice(frontEnd, {
    queues: await openDirectory(frontEnd, subjects.queuesBucket),
    sharedQueues: 1,
    reconcileMs: 1_000,
    clock,
    log,
  })
  expect(choice.choose('f', 1)).toEqual({ queue: 'shared-0', lane: 0 })
  choice.stop()
})

test('pollers say which shards they read, and the inspector hears it', async () => {
  const inspector = await busOf('inspector')
  const heard = new Promise((tell) => void inspector.subscribe(subjects.anyShardsReport, tell))
  await inspector.nats.flush()
  const poller = await busOf('poller')
  poller.publish(subjects.shardsReport('p1'), '{}')
  await heard
})

test('people ask the state manager, and hear topics and event buses', async () => {
  const manager = await busOf('state_manager')
  const people = await busOf('client', 'cli')
  const asked = [subjects.queues, subjects.queuedEvents, subjects.queuedEvent, subjects.redrive]
  for (const subject of asked) manager.subscribe(subject, (message) => void message.respond('{}'))
  await manager.nats.flush()
  for (const subject of asked) expect(typeof (await people.request(subject, '{}'))).toBe('object')

  const poller = await busOf('poller')
  for (const subject of [subjects.snsTopic('t'), subjects.eventBus('default')]) {
    const told = new Promise((tell) => void people.subscribe(subject, tell))
    await people.nats.flush()
    poller.publish(subject, '{}')
    await told
  }
})

test('a poller sends records where nats.conf lets it, and says so where it does not', async () => {
  const poller = await busOf('poller')
  const delivery = openDelivery({
    bus: poller,
    place: { region: 'us-east-1', account: '000000000000' },
    deliverToQueue: async () => 'no such queue',
    patienceMs: 0,
  })
  const deliver = (subject: string) => {
    const arn = `arn:lambus:nats:::${subject}`
    const to = { as: 'destination' as const, arn }
    const telling = { condition: 'Success', endedAtMs: Date.now(), to: [to] }
    return delivery.deliver('f', storedEvent('r2', { telling }), to)
  }
  expect(await deliver('orders')).toMatchObject({ undeliverable: 'nobody listens on orders' })
  expect(await deliver('orders.failed')).toMatchObject({
    undeliverable: 'NATS denies us orders.failed',
  })
})

test('a poller writes what it reads and decides, and nothing else of ours', async () => {
  const bus = await busOf('poller')
  for (const subject of [
    subjects.api('DeleteFunction'),
    subjects.place,
    subjects.pool(0, 'want'),
    subjects.sandbox('w1', 's', 'invoke'),
    subjects.durable('function', 'f'),
    subjects.backlog,
    subjects.redrive,
    subjects.beat('front-end', 'x'),
    subjects.log('f'),
    '_INBOX_client.x',
    '$JS.API.STREAM.UPDATE.LAMBUS_EVENTS',
    '$JS.API.STREAM.PURGE.LAMBUS_EVENTS',
    '$JS.API.STREAM.MSG.DELETE.LAMBUS_EVENTS',
    '$JS.API.CONSUMER.CREATE.LAMBUS_SQS.x',
  ])
    expect(await refusedPublish(bus, subject), subject).toBeInstanceOf(
      errors.PermissionViolationError,
    )
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
    subjects.eventPacket('shared-0', 0, 'f', 1),
    subjects.dead('f', 'r'),
    subjects.attempt('f1'),
    subjects.backlog,
    '$JS.API.STREAM.MSG.GET.KV_lambus_functions',
  ])
    expect(await refusedPublish(bus, subject), subject).toBeInstanceOf(
      errors.PermissionViolationError,
    )
  for (const subject of ['_INBOX.>', '_INBOX_front_end.>', 'lambus.invoke.>', 'lambus.>', '>'])
    expect(await refusedSubscription(bus, subject)).toBeInstanceOf(errors.PermissionViolationError)
})
