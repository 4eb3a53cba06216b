/**
 * Streams on a real server: what clients see of them, and what is left when the leader dies at any moment of a change, or
 * sleeps and wakes up when another one leads.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { openStreams, type Streams } from '../../actors/stream.ts'
import { readEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openDirectory } from '../../bus/directory.ts'
import { encodeToken } from '../../bus/encoded-token.ts'
import { lastSequenceOf } from '../../bus/record-stream.ts'
import {
  recordStream,
  shard as shardSubject,
  streamsBucket,
  trackerStream,
} from '../../bus/subjects.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { openShards } from '../../machines/shard-map.ts'
import type { StreamCommand, StreamRecord } from '../../machines/stream.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

const SETTLE_MS = 20

let server: TestServer
let bus: Bus
let epochs = 0
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

async function tracker(
  on: Bus = bus,
  more: { shardLimit?: number; changed?: (name: string, record?: StreamRecord) => void } = {},
): Promise<Streams> {
  const streams = openStreams({
    bus: on,
    clock,
    log: keptLog(),
    newId: () => crypto.randomUUID().slice(0, 8),
    streams: await openDirectory<StreamRecord>(on, streamsBucket),
    place: { region: 'us-east-1', account: '000000000000' },
    shardLimit: 500,
    settleMs: SETTLE_MS,
    // Its requests would be counted with those of a change.
    reconcileMs: 60_000,
    lookEveryMs: 1_000,
    changed: () => {},
    ...more,
  })
  await streams.join()
  onTestFinished(() => streams.stop())
  return streams
}
async function leader(on?: Bus, more?: Parameters<typeof tracker>[1]): Promise<Streams> {
  const streams = await tracker(on, more)
  await streams.lead(++epochs)
  return streams
}

type Answer = { record: StreamRecord; refused?: string; message?: string }
async function ask(command: StreamCommand, timeoutMs = 5_000): Promise<Answer> {
  const answer = await bus.request(trackerStream, JSON.stringify(command), { timeoutMs })
  if (typeof answer === 'string') throw new Error(answer)
  return answer.json<Answer>()
}
const creation = (name: string, shardCount: number): StreamCommand => ({
  type: 'create',
  name,
  shardCount,
  mode: 'PROVISIONED',
  maxRecordKib: 1024,
  tags: {},
})
const active = (streams: Streams, name: string) =>
  vi.waitUntil(
    () => {
      const record = streams.get(name)
      return record?.status === 'ACTIVE' && record
    },
    { timeout: 10_000, interval: 5 },
  )
async function made(streams: Streams, name: string, shards = 1): Promise<StreamRecord> {
  await ask(creation(name, shards))
  return (await active(streams, name)) as StreamRecord
}
const gone = (streams: Streams, name: string) =>
  vi.waitUntil(() => streams.get(name) === undefined, { timeout: 5_000, interval: 5 })
/** The sequence, or why it is not stored. */
async function put({ name, incarnation }: StreamRecord, index: number): Promise<number | string> {
  const answer = await bus.request(shardSubject(name, incarnation, index), 'data')
  return typeof answer === 'string' ? answer : answer.json<{ seq: number }>().seq
}
const half = String(2n ** 127n)
const splitOf = (name: string, shard = 0): StreamCommand => ({
  type: 'split',
  name,
  shard,
  newStartingHashKey: half,
})
/** The directory and the record stream say the same. */
async function expectConsistent(record: StreamRecord): Promise<void> {
  const { name, incarnation } = record
  const { config } = await (await bus.jetstreamManager()).streams.info(recordStream(name))
  const open = openShards(record).map(({ index }) => shardSubject(name, incarnation, index))
  expect([...config.subjects].sort()).toEqual(open.sort())
  expect(config.allow_atomic).toBe(true)
}

test('a stream is created, split, and deleted, and clients see each of its states', async () => {
  const seen: string[] = []
  const changed = (_: string, record?: StreamRecord) => {
    seen.push(record === undefined ? 'gone' : `${record.status} ${openShards(record).length}`)
  }
  const streams = await leader(bus, { changed })
  const startedAtMs = Date.now()
  expect((await ask(creation('seen', 2))).record).toMatchObject({ status: 'CREATING', shards: [] })
  const record = (await active(streams, 'seen')) as StreamRecord
  expect(Date.now() - startedAtMs).toBeGreaterThanOrEqual(SETTLE_MS)
  expect([await put(record, 0), await put(record, 1)]).toEqual([1, 2])
  const answered = await ask({
    ...splitOf('seen'),
    newStartingHashKey: String(2n ** 126n),
  } as StreamCommand)
  expect(answered.record).toMatchObject({
    status: 'UPDATING',
    shards: [{ index: 0 }, { index: 1 }],
  })
  expect(await put(record, 0)).toBe(3)
  const after = (await active(streams, 'seen')) as StreamRecord
  expect(after.shards.map(({ until, after: from }) => [from, until])).toEqual([
    [0, 3],
    [0, undefined],
    [3, undefined],
    [3, undefined],
  ])
  await expectConsistent(after)
  expect([await put(after, 0), await put(after, 3)]).toEqual(['no responders', 4])
  expect(
    (await ask({ type: 'delete', name: 'seen', enforceConsumerDeletion: false })).record.status,
  ).toBe('DELETING')
  await gone(streams, 'seen')
  expect(await put(after, 1)).toBe('no responders')
  expect(seen).toEqual(['CREATING 0', 'ACTIVE 2', 'UPDATING 2', 'ACTIVE 3', 'DELETING 3', 'gone'])
})

test('what a stream does not do is refused in the words of AWS', async () => {
  const streams = await leader(bus, { shardLimit: 3 })
  const before = streams.all().length
  expect(before).toBe(0)
  await made(streams, 'refused', 2)
  const under = 'stream refused under account 000000000000'
  const refusals: [StreamCommand, string, string][] = [
    [
      creation('refused', 1),
      'ResourceInUseException',
      'Stream refused under account 000000000000 already exists.',
    ],
    [
      creation('other', 2),
      'LimitExceededException',
      'This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard count for the account: 2. Limit: 3. Number of additional shards that would have resulted from this request: 2. Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.',
    ],
    [
      splitOf('nobody'),
      'ResourceNotFoundException',
      'Stream nobody under account 000000000000 not found.',
    ],
    [
      splitOf('refused', 5),
      'ResourceNotFoundException',
      `Could not find shard shardId-000000000005 in ${under}.`,
    ],
    [
      { type: 'split', name: 'refused', shard: 0, newStartingHashKey: '1' },
      'InvalidArgumentException',
      `NewStartingHashKey 1 used in SplitShard() on shard shardId-000000000000 in ${under} is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey 170141183460469231731687303715884105727.`,
    ],
    [
      { type: 'merge', name: 'refused', shard: 1, adjacent: 0 },
      'InvalidArgumentException',
      `Shards shardId-000000000001 and shardId-000000000000 in ${under} are not an adjacent pair of shards eligible for merging`,
    ],
    [
      { type: 'retain', name: 'refused', hours: 23, direction: 'increase' },
      'InvalidArgumentException',
      'Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.',
    ],
    [
      { type: 'retain', name: 'refused', hours: 25, direction: 'decrease' },
      'InvalidArgumentException',
      'Requested retention period (25 hours) for stream refused can not be longer than existing retention period (24 hours). Use IncreaseRetentionPeriod API.',
    ],
    [
      { type: 'tag', name: 'refused', tags: { 'abc;def': '1' } },
      'InvalidArgumentException',
      'Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @.',
    ],
    [
      { type: 'untag', name: 'refused', keys: ['abc%def'] },
      'InvalidArgumentException',
      `Failed to remove tags from ${under} because some tags contained illegal characters. The allowed characters are Unicode letters, white-spaces, '_',',','/','=','+','-','@'.`,
    ],
  ]
  for (const [command, code, message] of refusals) {
    expect(await ask(command)).toEqual({ refused: code, status: 400, message })
  }
  await ask({ type: 'registerConsumer', name: 'refused', consumer: 'c', tags: {} })
  expect(
    await ask({ type: 'delete', name: 'refused', enforceConsumerDeletion: false }),
  ).toMatchObject({
    refused: 'ResourceInUseException',
    message:
      "DeleteStream can't delete 000000000000:refused because there are consumers associated with this data stream. To delete refused anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all the consumers that are associated with it.",
  })
  await vi.waitUntil(() => streams.get('refused')?.consumers[0]?.status === 'ACTIVE', {
    timeout: 10_000,
  })
  await ask({ type: 'merge', name: 'refused', shard: 0, adjacent: 1 })
  expect((await ask(splitOf('refused'))).message).toBe(
    'Stream refused under account 000000000000 not ACTIVE, instead in state UPDATING',
  )
  await active(streams, 'refused')
  expect((await ask(splitOf('refused'))).message).toBe(
    `Shard shardId-000000000000 in ${under} has already been merged or split, and thus is not eligible for merging or splitting.`,
  )
  await ask({ type: 'delete', name: 'refused', enforceConsumerDeletion: true })
  await gone(streams, 'refused')
})

test('a stream may be deleted while it is created, and made again when it is gone', async () => {
  const streams = await leader()
  for (let round = 0; round < 3; round++) {
    await ask(creation('quick', 1))
    await ask({ type: 'delete', name: 'quick', enforceConsumerDeletion: false })
    await gone(streams, 'quick')
  }
  const record = await made(streams, 'quick')
  expect(await put(record, 0)).toBe(1)
  await expectConsistent(record)
  await ask({ type: 'delete', name: 'quick', enforceConsumerDeletion: false })
  await gone(streams, 'quick')
})

test('UpdateShardCount goes from 2 to 3 by splits and merges, and records are kept on the way', async () => {
  const streams = await leader()
  const record = await made(streams, 'scaled', 2)
  await put(record, 0)
  await ask({ type: 'updateShardCount', name: 'scaled', target: 3 })
  const after = (await active(streams, 'scaled')) as StreamRecord
  const lineage = after.shards.map(({ index, parent, adjacentParent }) => [
    index,
    parent,
    adjacentParent,
  ])
  expect(lineage.slice(2)).toEqual([
    [2, 0, undefined],
    [3, 0, undefined],
    [4, 1, undefined],
    [5, 1, undefined],
    [6, 3, 4],
  ])
  await expectConsistent(after)
  expect(await lastSequenceOf(bus, 'scaled')).toBe(1)
})

test('whoever does not lead hears nothing, and a new leader knows everything', async () => {
  const first = await leader()
  await made(first, 'handed.over', 3)
  await ask({ type: 'retain', name: 'handed.over', hours: 48, direction: 'increase' })
  await ask({ type: 'tag', name: 'handed.over', tags: { a: 'b' } })
  first.follow()
  await expect(ask(splitOf('handed.over'))).rejects.toThrow('no responders')
  const seen: string[] = []
  const second = await leader(bus, { changed: (name) => void seen.push(name) })
  expect(seen).toContain('handed.over')
  const record = (await active(second, 'handed.over')) as StreamRecord
  expect(record).toMatchObject({ retentionHours: 48, tags: { a: 'b' } })
  const { config } = await (await bus.jetstreamManager()).streams.info(recordStream('handed.over'))
  expect(config.max_age).toBe(48 * 3_600 * 1_000_000_000)
})

test('a leader that does not know yet that another one has led says nothing wrong', async () => {
  const first = await leader()
  const second = await leader()
  // Both hear it, and only the second can store it.
  const record = await made(second, 'overlap', 2)
  expect(await ask(splitOf('overlap', 7))).toMatchObject({
    message:
      'Could not find shard shardId-000000000007 in stream overlap under account 000000000000.',
  })
  for (let round = 0; round < 20; round++) {
    await ask({ type: 'tag', name: 'overlap', tags: { round: String(round) } })
    expect(second.get('overlap')?.tags).toEqual({ round: String(round) })
    expect(await ask({ type: 'setMode', name: 'overlap', mode: 'PROVISIONED' })).toMatchObject({
      record: { tags: { round: String(round) } },
    })
  }
  await expectConsistent(record)
  await ask({ type: 'delete', name: 'overlap', enforceConsumerDeletion: false })
  await gone(second, 'overlap')
  first.follow()
})

// ── Leaders that die ───────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A bus that stops at one of its requests to JetStream: `before` it is sent, or `after` it was answered. From then on nothing
 * comes in and nothing goes out, as of a process that is killed; `wake()` lets what is held back go on.
 */
function mortal(real: Bus): {
  bus: Bus
  stopAt(nth: number, when: 'before' | 'after'): void
  readonly hasStopped: boolean
  readonly requests: string[]
  wake(): void
} {
  const requests: string[] = []
  let stop: { nth: number; when: 'before' | 'after' } | undefined
  let hasStopped = false
  const { promise: asleep, resolve: wake } = Promise.withResolvers<void>()
  const request = async <T>(what: string, send: () => Promise<T>): Promise<T> => {
    if (hasStopped) await asleep
    const isLast = stop !== undefined && requests.push(what) === stop.nth
    if (isLast && stop?.when === 'before') {
      hasStopped = true
      await asleep
    }
    const answer = await send()
    if (isLast && stop?.when === 'after') {
      hasStopped = true
      await asleep
    }
    return answer
  }
  const through = <Target extends object>(target: Target, counted: readonly string[]): Target =>
    new Proxy(target, {
      get(_, name) {
        const found = Reflect.get(target, name, target) as unknown
        if (typeof found !== 'function') return found
        const bound = found.bind(target) as (...given: unknown[]) => Promise<unknown>
        if (!counted.includes(String(name))) return bound
        return (...given: unknown[]) => request(String(name), () => bound(...given))
      },
    })
  const jetstream = through(real.jetstream, ['publish'])
  return {
    requests,
    get hasStopped() {
      return hasStopped
    },
    wake,
    stopAt(nth, when) {
      requests.length = 0
      stop = { nth, when }
    },
    bus: new Proxy(real, {
      get(_, name) {
        if (name === 'jetstream') return jetstream
        if (name === 'jetstreamManager') {
          return async () => {
            const manager = await real.jetstreamManager()
            return Object.create(manager, {
              streams: {
                value: through(manager.streams, ['info', 'add', 'update', 'delete', 'getMessage']),
              },
            })
          }
        }
        if (name === 'request') {
          return (...given: Parameters<Bus['request']>) =>
            request('request', () => real.request(...given))
        }
        if (name === 'subscribe') {
          return (...[subject, hear, options]: Parameters<Bus['subscribe']>) =>
            real.subscribe(subject, (message) => hasStopped || hear(message), options)
        }
        const found = Reflect.get(real, name, real) as unknown
        return typeof found === 'function' ? found.bind(real) : found
      },
    }),
  }
}

/** Whoever asks again does so until it is done, as front ends and people do. */
async function insistOn(command: StreamCommand, isDone: () => boolean): Promise<void> {
  for (let round = 0; round < 250 && !isDone(); round++) {
    await ask(command, 300).catch(() => {})
    await wait(20)
  }
}

async function splitAndDie(nth: number, when: 'before' | 'after', name: string) {
  const first = mortal(bus)
  const one = await leader(first.bus)
  const record = await made(one, name)
  let isOver = false
  const stored: number[] = []
  const writing = (async () => {
    while (!isOver) {
      const answer = await put(record, 0)
      if (typeof answer === 'number') stored.push(answer)
      await wait(1)
    }
  })()
  first.stopAt(nth, when)
  void ask(splitOf(name), 300).catch(() => {})
  await vi
    .waitUntil(() => first.hasStopped || openCount(one, name) === 2, {
      timeout: 5_000,
      interval: 1,
    })
    .catch(() => {})
  const hasDied = first.hasStopped
  const two = await leader()
  await insistOn(splitOf(name), () => openCount(two, name) === 2)
  const after = (await active(two, name)) as StreamRecord
  isOver = true
  await writing
  return { first, one, two, after, stored, hasDied, requests: first.requests }
}
const openCount = (streams: Streams, name: string): number => {
  const record = streams.get(name)
  return record?.status === 'ACTIVE' ? openShards(record).length : 0
}

describe('a leader that is killed in the middle of a split', () => {
  const points = Array.from({ length: 14 }, (_, index) => index + 1).flatMap((nth) => [
    [nth, 'before' as const],
    [nth, 'after' as const],
  ])
  test.each(points as [number, 'before' | 'after'][])(
    'at request %i, %s it: the next one finishes it, and no record is lost',
    { timeout: 20_000 },
    async (nth, when) => {
      const name = `killed-${nth}-${when}`
      const { after, stored, two, hasDied, requests } = await splitAndDie(nth, when, name)
      if (!hasDied) expect(requests.length).toBeLessThan(nth)
      expect(after.shards.map(({ index }) => index)).toEqual([0, 1, 2])
      expect(stored.length).toBeGreaterThan(0)
      expect(Math.max(...stored)).toBeLessThanOrEqual(after.shards[0]?.until ?? 0)
      expect(after.shards[1]?.after).toBe(after.shards[0]?.until)
      await expectConsistent(after)
      expect(await put(after, 1)).toBeGreaterThan(after.shards[1]?.after ?? 0)
      await ask({ type: 'delete', name, enforceConsumerDeletion: false })
      await gone(two, name)
    },
  )
})

describe('a leader that is killed in the middle of', () => {
  const points = Array.from({ length: 9 }, (_, index) => 1 + index)
  /** Kills a leader at one of its requests, lets another one lead, and has it asked again until it is done. */
  const killed = async (
    before: (one: Streams) => Promise<void>,
    command: StreamCommand,
    nth: number,
    isDone: (streams: Streams) => boolean,
  ): Promise<Streams> => {
    const first = mortal(bus)
    const one = await leader(first.bus)
    await before(one)
    first.stopAt(nth, 'after')
    void ask(command, 300).catch(() => {})
    await vi
      .waitUntil(() => first.hasStopped || isDone(one), { timeout: 5_000, interval: 1 })
      .catch(() => {})
    const two = await leader()
    await insistOn(command, () => isDone(two))
    return two
  }

  test.each(points)('a creation, at request %i: the next one finishes it', async (nth) => {
    const name = `created-${nth}`
    const isDone = (streams: Streams) => openCount(streams, name) === 3
    const two = await killed(async () => {}, creation(name, 3), nth, isDone)
    const record = two.get(name) as StreamRecord
    await expectConsistent(record)
    expect(await put(record, 2)).toBe(1)
    await ask({ type: 'delete', name, enforceConsumerDeletion: false })
    await gone(two, name)
  })

  test.each(points)('a deletion, at request %i: the next one finishes it', async (nth) => {
    const name = `deleted-${nth}`
    const command: StreamCommand = { type: 'delete', name, enforceConsumerDeletion: false }
    const isDone = (streams: Streams) => streams.get(name) === undefined
    const two = await killed(async (one) => void (await made(one, name)), command, nth, isDone)
    const again = await made(two, name)
    await expectConsistent(again)
    expect(await put(again, 0)).toBe(1)
    await ask(command)
    await gone(two, name)
  })

  test.each(points.map((nth) => 3 * nth))(
    'a change from 2 to 3 shards, at request %i: the next one finishes it',
    { timeout: 20_000 },
    async (nth) => {
      const name = `scaled-${nth}`
      const command: StreamCommand = { type: 'updateShardCount', name, target: 3 }
      const isDone = (streams: Streams) => openCount(streams, name) === 3
      const before = async (one: Streams) => void (await made(one, name, 2))
      const two = await killed(before, command, nth, isDone)
      const record = two.get(name) as StreamRecord
      expect(record.shards.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6])
      await expectConsistent(record)
      await ask({ type: 'delete', name, enforceConsumerDeletion: false })
      await gone(two, name)
    },
  )
})

describe('a leader that wakes up when another one has led', () => {
  const points = Array.from({ length: 14 }, (_, index) => index + 1)
  test.each(points)(
    'from request %i on, does nothing that the other has to undo',
    { timeout: 20_000 },
    async (nth) => {
      const name = `asleep-${nth}`
      const { first, one, two, hasDied } = await splitAndDie(nth, 'after', name)
      if (!hasDied) return
      await ask({ type: 'merge', name, shard: 1, adjacent: 2 })
      await vi.waitUntil(() => openCount(two, name) === 1, { timeout: 5_000 })
      const before = two.get(name)
      first.wake()
      await wait(150)
      one.follow()
      const entry = await readEntry(bus, streamsBucket, encodeToken(name))
      expect(JSON.parse(new TextDecoder().decode(entry?.value)).value).toEqual(before)
      expect(two.get(name)).toEqual(before)
      await expectConsistent(before as StreamRecord)
      await ask({ type: 'delete', name, enforceConsumerDeletion: false })
      await gone(two, name)
    },
  )
})
