/** SQS queues on JetStream: what survives, what comes twice, and what does not. */
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { remove } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import { changeEntry } from '../../bus/change-entry.ts'
import { openBus } from '../../bus/connection.ts'
import { type SqsDelivery, sqsDelivery } from '../../bus/sqs-delivery.ts'
import { messageExists, removeMessage, storeMessage } from '../../bus/sqs-message.ts'
import { type MoveTask, openSqsMoves } from '../../bus/sqs-moves.ts'
import { openSqsQueues, type QueueRecord, type SqsQueues } from '../../bus/sqs-queues.ts'
import { makeVisibleIn, receive } from '../../bus/sqs-receive.ts'
import { sqsBucket, sqsConsumer, sqsStream } from '../../bus/subjects.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { until } from './waiting.ts'

let server: TestServer
let bus: Bus
let queues: SqsQueues
const kept = { clock, newId: randomUUID, reconcileEveryMs: 60_000 }
beforeEach(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'front-end', id: 'f' })
  queues = await openSqsQueues(bus, kept)
})
afterEach(async () => {
  queues.stop()
  await bus.close()
  await server.stop()
})

const settings = {
  delaySeconds: 0,
  maximumMessageBytes: 1_048_576,
  retentionSeconds: 345_600,
  receiveWaitSeconds: 0,
  visibilitySeconds: 30,
}
const recordOf = (name: string, more: Partial<QueueRecord['settings']> = {}): QueueRecord => ({
  name,
  incarnation: randomUUID().slice(0, 8),
  settings: { ...settings, ...more },
  tags: {},
  createdAtMs: 0,
  modifiedAtMs: 0,
})
async function make(name: string, more: Partial<QueueRecord['settings']> = {}) {
  return (await queues.create(recordOf(name, more))).record
}
const store = (queue: QueueRecord, text: string, options = {}) =>
  storeMessage(
    bus,
    queue,
    { messageId: randomUUID(), body: Buffer.from(text), attributes: {}, sentAtMs: Date.now() },
    options,
  )
const take = (queue: QueueRecord, more: { most?: number; waitMs?: number } = {}) =>
  receive(bus, queues, queue, { most: 10, waitMs: 0, ...more })
/** The server tells a consumer of a message a moment after it has told the sender that it is stored. */
const soon = { waitMs: 2_000 }
/** A long poll on it has come to the server. */
const isPolled = (queue: QueueRecord) =>
  until(async () => {
    const { consumers } = await bus.jetstreamManager()
    const consumer = sqsConsumer(queue.name, queue.incarnation)
    const info = await consumers.info(sqsStream, consumer).catch(() => undefined)
    return info?.num_waiting === 1
  })
const textsOf = (received: Awaited<ReturnType<typeof take>>) =>
  received.map(({ message }) => Buffer.from(message.body).toString()).sort()

describe('a queue', () => {
  test('is made once, by whoever is first', async () => {
    const made = await Promise.all([1, 2, 3].map(() => queues.create(recordOf('q'))))
    expect(made.filter(({ isNew }) => isNew)).toHaveLength(1)
    expect(new Set(made.map(({ record }) => record.incarnation)).size).toBe(1)
  })

  test('that is made again does not get what late senders store into the one before', async () => {
    const before = await make('q')
    await store(before, 'old')
    await queues.remove('q')
    const after = await make('q')
    await store(before, 'late')
    expect(await take(after)).toEqual([])
    await store(after, 'new')
    expect(textsOf(await take(after, soon))).toEqual(['new'])
  })

  test('whose removal was cut off is swept away by the next who starts', async () => {
    const queue = await make('q')
    await store(queue, 'left')
    await take(queue)
    const consumer = sqsConsumer(queue.name, queue.incarnation)
    // What `remove` does first; the rest is what died with its process.
    const where = { bucket: sqsBucket, key: 'q' }
    await changeEntry(bus, where, { parse: () => ({}), newId: randomUUID }, () => remove)
    const next = await openSqsQueues(bus, kept)
    onTestFinished(() => next.stop())
    const manager = await bus.jetstreamManager()
    await expect(manager.consumers.info(sqsStream, consumer)).rejects.toThrow()
    expect((await manager.streams.info(sqsStream)).state.messages).toBe(0)
  })

  test('that is deleted ends the long polls on it, and does not get its consumer back', async () => {
    const queue = await make('q')
    const polling = take(queue, { waitMs: 10_000 })
    await isPolled(queue)
    const endedAt = performance.now()
    await queues.remove('q')
    expect(await polling).toEqual([])
    expect(performance.now() - endedAt).toBeLessThan(3_000)
    const manager = await bus.jetstreamManager()
    expect((await manager.streams.info(sqsStream)).state.consumer_count).toBe(0)
  })

  test('changes its visibility timeout for all that hold its record', async () => {
    const queue = await make('q')
    await store(queue, 'm')
    const changed = await queues.change('q', (record) => ({
      ...record,
      settings: { ...record.settings, visibilitySeconds: 1 },
    }))
    if (changed === undefined) throw new Error('gone')
    expect(textsOf(await take(changed))).toEqual(['m'])
    expect(textsOf(await take(changed, { waitMs: 3_000 }))).toEqual(['m'])
  })
})

describe('when nats-server is killed', () => {
  test('between receive and delete, what is deleted then stays deleted, and the rest comes again', async () => {
    const queue = await make('q', { visibilitySeconds: 2 })
    for (const text of ['a', 'b', 'c']) await store(queue, text)
    const received = await take(queue)
    // At once: the server has not written down yet what it delivered.
    await server.kill()
    await server.restart()
    const [deleted] = received
    await removeMessage(bus, deleted?.delivery.sequence ?? 0)
    // What was taken first may come a second time before the other one comes.
    const takeTwo = async () => {
      const two = new Set<string>()
      while (two.size < 2) {
        for (const text of textsOf(await take(queue, { waitMs: 5_000 }))) two.add(text)
      }
      return [...two].sort()
    }
    const text = Buffer.from(deleted?.message.body ?? '').toString()
    const rest = ['a', 'b', 'c'].filter((each) => each !== text)
    expect(await takeTwo()).toEqual(rest)
    expect((await queues.counts(queue)).waiting).toBe(0)
    expect(await takeTwo()).toEqual(rest)
  })

  test('what was stored, and what was delayed, is there', async () => {
    const queue = await make('q')
    await store(queue, 'now')
    await store(queue, 'later', { delaySeconds: 1 })
    await server.kill()
    await server.restart()
    const got: string[] = []
    while (got.length < 2) got.push(...textsOf(await take(queue, { waitMs: 5_000 })))
    expect(got.sort()).toEqual(['later', 'now'])
  })

  test('a long poll goes on when it is back', async () => {
    const queue = await make('q')
    const polling = take(queue, { waitMs: 10_000 })
    await isPolled(queue)
    await server.kill()
    await server.restart()
    await store(queue, 'm')
    expect(textsOf(await polling)).toEqual(['m'])
  })

  test('and does not come back, a receive says so in time', async () => {
    const queue = await make('q')
    await take(queue)
    await server.kill()
    await expect(take(queue)).rejects.toMatchObject({ code: 'BUS_STORE_UNAVAILABLE' })
  })
})

describe('a message', () => {
  test('is visible again after exactly as long as was said', async () => {
    const queue = await make('q')
    await store(queue, 'm')
    const [first] = await take(queue)
    if (first === undefined) throw new Error('nothing came')
    await makeVisibleIn(bus, first.delivery, 2_000)
    expect(await take(queue)).toEqual([])
    const [again] = await take(queue, { waitMs: 5_000 })
    expect(again?.delivery).toMatchObject({ sequence: first.delivery.sequence, deliveries: 2 })
  })

  test('that is called off at the moment it comes is given back', async () => {
    const queue = await make('q')
    for (let round = 0; round < 30; round++) {
      const gone = new AbortController()
      const polling = receive(bus, queues, queue, { most: 1, waitMs: 5_000, signal: gone.signal })
      await wait(5)
      const storing = store(queue, `${round}`)
      if (round % 2 === 0) await storing
      gone.abort()
      await storing
      const first = await polling
      const waitMs = first.length === 0 ? 10_000 : 1_000
      const came = [...first, ...(await take(queue, { waitMs }))]
      expect(textsOf(came)).toEqual([`${round}`])
      await removeMessage(bus, came[0]?.delivery.sequence ?? 0)
    }
  })

  test('goes with the time to live that it was given', async () => {
    const queue = await make('q')
    await store(queue, 'm', { timeToLiveMs: 5_000 })
    expect(textsOf(await take(queue, soon))).toEqual(['m'])
    await store(queue, 'd', { timeToLiveMs: 5_000, delaySeconds: 2 })
    expect(textsOf(await take(queue, { waitMs: 10_000 }))).toEqual(['d'])
    const gone = async () => {
      const manager = await bus.jetstreamManager()
      return (await manager.streams.info(sqsStream)).state.messages
    }
    await expect.poll(gone, { timeout: 12_000 }).toBe(0)
    expect(await messageExists(bus, queue, 1)).toBe(false)
  })
})

describe('a delivery from outside', () => {
  const deliver = (more: Partial<SqsDelivery> = {}, patienceMs?: number) =>
    sqsDelivery(bus, {
      clock,
      newId: randomUUID,
      ...(patienceMs === undefined ? {} : { patienceMs }),
    })({ queueName: 'q', body: 'dead', deduplicationId: 'd1', ...more })

  test('is stored once, with its attributes, however often it is delivered', async () => {
    const queue = await make('q')
    const more = {
      messageAttributes: { ErrorCode: { DataType: 'Number', StringValue: '200' } },
      systemAttributes: { AWSTraceHeader: 'Root=1' },
    }
    for (let time = 0; time < 3; time++) {
      expect(await deliver(more)).toEqual({ messageId: expect.any(String) })
    }
    const received = await take(queue, soon)
    expect(textsOf(received)).toEqual(['dead'])
    expect(received[0]?.message).toMatchObject({
      attributes: more.messageAttributes,
      traceHeader: 'Root=1',
    })
    await deliver({ deduplicationId: 'd2' })
    expect(await take(queue, soon)).toHaveLength(1)
  })

  test('is stored once in each queue, and into one that was made again', async () => {
    const [one, other] = [await make('q'), await make('p')]
    await deliver()
    await deliver({ queueName: 'p' })
    expect([await take(one, soon), await take(other, soon)].map(textsOf)).toEqual([
      ['dead'],
      ['dead'],
    ])
    await queues.remove('q')
    const again = await make('q')
    await deliver()
    expect(textsOf(await take(again, soon))).toEqual(['dead'])
  })

  test('waits as long as its queue delays messages, once', async () => {
    const queue = await make('q', { delaySeconds: 3 })
    await deliver()
    await deliver()
    expect(await take(queue)).toEqual([])
    expect(textsOf(await take(queue, { waitMs: 8_000 }))).toEqual(['dead'])
    expect(await queues.counts(queue)).toEqual({ waiting: 0, inFlight: 1, delayed: 0 })
  })

  test('says what is in its way', async () => {
    expect(await deliver()).toBe('no such queue')
    expect(await deliver({ queueName: 'no.name' })).toBe('no such queue')
    await make('q', { maximumMessageBytes: 1_024 })
    expect(await deliver({ body: 'x'.repeat(1_025) })).toBe('too large')
    await server.kill()
    expect(await deliver({}, 500)).toBe('unavailable')
  })

  test('finds no queue where no front end has ever run', async () => {
    const fresh = await startNatsServer()
    const alone = await openBus({ servers: fresh.url, role: 'poller', id: 'p' })
    onTestFinished(async () => {
      await alone.close()
      await fresh.stop()
    })
    const delivered = { queueName: 'q', body: 'dead', deduplicationId: 'd' }
    expect(await sqsDelivery(alone, { clock, newId: randomUUID })(delivered)).toBe('no such queue')
  })
})

describe('a move task', () => {
  test('is one at a time for a queue, and remembered when it is over', async () => {
    const moves = await openSqsMoves(bus, kept)
    onTestFinished(() => moves.stop())
    const task = (taskId: string): MoveTask => ({
      taskId,
      source: 'q',
      startedAtMs: 0,
      status: 'RUNNING',
      toMove: 1,
      moved: 0,
      runner: 'f',
      beatAtMs: 0,
    })
    expect(await moves.start(task('1'))).toMatchObject({ isNew: true })
    expect(await moves.start(task('2'))).toMatchObject({ isNew: false, task: { taskId: '1' } })
    await expect.poll(() => moves.active()).toHaveLength(1)
    await moves.change(task('1'), (found) => ({ ...found, status: 'COMPLETED' }))
    expect(await moves.start(task('2'))).toMatchObject({ isNew: true })
    expect((await moves.list('q')).map(({ taskId }) => taskId)).toEqual(['2', '1'])
  })
})
