import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { trackerEnded, trackerResult, trackerSync } from '../../bus/subjects.ts'
import type { MappingCommand, MappingRecord } from '../../machines/mapping.ts'
import { until } from '../bus/waiting.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import {
  arnOf,
  createOf,
  deleteOf,
  type Leader,
  type LiveMappings,
  liveMappings,
  makeRecords,
  mergedShards,
  putRecords,
  splitShards,
  streamOf,
  turn,
  wholeShard,
} from './live-mappings.ts'

let server: TestServer
let live: LiveMappings
beforeEach(async () => {
  server = await startNatsServer()
  live = await liveMappings(server.url)
})
afterEach(async () => {
  await live.stop()
  await server.stop()
})

/** Each change is seen on its way for as long as that. */
async function settleIn(settleMs: number): Promise<void> {
  await live.stop()
  live = await liveMappings(server.url, { settleMs })
}

const refused = (what: string, uuid?: string) =>
  uuid === undefined ? { refused: what } : { refused: what, uuid }

/** The leader has heard that a poller reads a shard. */
const isReadFor = (leader: Leader, poller: string) =>
  until(() =>
    leader.mappings.overview().some(({ shards }) => shards.some(({ reader }) => reader === poller)),
  )

/** Made, enabled, and its shards are there. */
async function made(uuid: string, stream = 's', shards = [wholeShard(0)]): Promise<Leader> {
  await live.putStream(streamOf(stream, shards))
  const leader = await live.lead()
  expect(await live.ask(createOf(uuid, stream))).toHaveProperty('record')
  await until(() => live.state(uuid) === 'Enabled')
  return leader
}

describe('creating', () => {
  // lambda-semantics.md §5.1: the answer to CreateEventSourceMapping
  test('is answered when the mapping is stored, and its shards are open at once', async () => {
    await live.putStream(streamOf('s'))
    const leader = await live.lead()
    const answer = await live.ask(createOf('u', 's'))
    const record = (answer as { record: MappingRecord }).record
    expect(record).toMatchObject({
      uuid: 'u',
      incarnation: 'i1',
      state: 'Creating',
      reason: 'User action',
      lastResult: 'No records processed',
      lastModifiedMs: 1,
    })
    await until(() => live.state('u') === 'Enabled')
    await until(() => live.shards('u') === '0 open')
    expect(leader.mappings.get('u')?.state).toBe('Enabled')
    expect([...live.copies.works.entries()]).toEqual([
      [
        'u.0',
        {
          mapping: 'u',
          stream: 's',
          incarnation: 'i1',
          shard: 0,
          start: { after: 0 },
          state: 'open',
        },
      ],
    ])
    expect(leader.mappings.records()).toEqual([live.copies.records.get('u')])
    expect(leader.mappings.works()).toEqual([live.copies.works.get('u.0')])
    expect(leader.mappings.overview()).toEqual([
      {
        record: live.copies.records.get('u'),
        shards: [{ shard: 0, state: 'open', start: { after: 0 } }],
      },
    ])
  })

  test('with LATEST reads all that is put after the answer, whoever leads by then', async () => {
    await makeRecords(live.bus, 's', 5)
    await live.putStream(streamOf('s'))
    const leader = await live.lead()
    await live.ask(createOf('u', 's', { startingPosition: 'LATEST' }))
    await putRecords(live.bus, 's', 2)
    await until(() => live.state('u') === 'Enabled' && live.shards('u') === '0 open')
    expect(live.copies.works.get('u.0')?.start).toEqual({ after: 5 })
    await live.follow(leader)
    await live.ask(turn('u', 2, false))
    await until(() => live.state('u') === 'Disabled')
    await live.ask(turn('u', 3, true))
    await until(() => live.shards('u') === '0 open')
    expect(live.copies.works.get('u.0')?.start).toEqual({ after: 5 })
  })

  test('of a stream that has no shards yet waits for them', async () => {
    await live.putStream(streamOf('s', [], { status: 'CREATING' }))
    await live.lead()
    await live.ask(createOf('u', 's', { startingPosition: 'LATEST' }))
    await live.putStream(streamOf('s'))
    await until(() => live.shards('u') === '0 open')
  })

  test('is done once, however often it is asked for', async () => {
    await settleIn(60_000)
    await live.putStream(streamOf('s'))
    await live.lead()
    const [one, other] = await Promise.all([
      live.ask(createOf('u', 's')),
      live.ask(createOf('u', 's')),
    ])
    expect(one).toEqual(other)
    expect(one).toHaveProperty('record.state', 'Creating')
  })

  test('is refused for what is not there, and for what there is already', async () => {
    await made('u')
    expect(await live.ask(createOf('v', 'nowhere'))).toEqual(refused('noSuchStream'))
    expect(await live.ask(createOf('v', 's'))).toEqual(refused('exists', 'u'))
    const sourceArn = `${arnOf('s')}/consumer/c:7`
    expect(await live.ask(createOf('v', 's', { sourceArn }))).toEqual(refused('noSuchConsumer'))
    await live.putStream(
      streamOf('s', [wholeShard(0)], {
        consumers: [{ name: 'c', createdAtMs: 7_999, status: 'ACTIVE', tags: {} }],
      }),
    )
    expect(await live.ask(createOf('v', 's', { sourceArn }))).toHaveProperty('record')
    await live.putStream(streamOf('leaving', [wholeShard(0)], { status: 'DELETING' }))
    expect(await live.ask(createOf('w', 'leaving'))).toEqual(refused('noSuchStream'))
  })

  test('of two that are the same at once makes one', async () => {
    await live.putStream(streamOf('s'), false)
    await live.lead()
    const answers = await Promise.all([live.ask(createOf('u', 's')), live.ask(createOf('v', 's'))])
    expect(answers.filter((one) => one !== undefined && 'refused' in one)).toHaveLength(1)
  })

  test('is nobody’s affair who does not lead', async () => {
    const leader = await live.lead()
    leader.mappings.follow()
    expect(await live.ask(createOf('u', 's'), 100)).toBeUndefined()
  })
})

describe('changing', () => {
  test('is refused while another change is on its way, and for what is not there', async () => {
    await settleIn(60_000)
    await live.putStream(streamOf('s'))
    await live.lead()
    expect(await live.ask(deleteOf('u', 2))).toEqual(refused('noSuchMapping'))
    expect(await live.ask(turn('u', 2, false))).toEqual(refused('noSuchMapping'))
    await live.ask(createOf('u', 's'))
    expect(await live.ask(turn('u', 2, false))).toEqual(refused('busy'))
    expect(await live.ask(deleteOf('u', 2))).toEqual(refused('busy'))
  })

  test('may not make two that are the same', async () => {
    await made('u')
    const functionArn = 'arn:aws:lambda:us-east-1:000000000000:function:g'
    await live.ask(createOf('v', 's', { functionName: 'g', functionArn }))
    await until(() => live.state('v') === 'Enabled')
    const to = { functionName: 'g', functionArn }
    const change = { type: 'update', uuid: 'u', nowMs: 2, settings: {} } as const
    expect(await live.ask({ ...change, to })).toEqual(refused('exists', 'v'))
    const other = { functionName: 'h', functionArn: functionArn.replace(/g$/, 'h') }
    expect(await live.ask({ ...change, to: other })).toHaveProperty('record.functionName', 'h')
  })

  test('of tags is answered', async () => {
    await made('u')
    await live.ask({ type: 'tag', uuid: 'u', nowMs: 2, tags: { a: '1' } })
    expect(live.copies.records.get('u')?.tags ?? {}).toBeDefined()
    await until(() => live.copies.records.get('u')?.tags['a'] === '1')
    await live.ask({ type: 'untag', uuid: 'u', nowMs: 2, keys: ['a'] })
    await until(() => live.copies.records.get('u')?.tags['a'] === undefined)
  })
})

// lambda-semantics.md §5.7, §9
describe('children', () => {
  test('begin when the checkpoints of all their parents say that they have ended, and not when somebody else does', async () => {
    await made('u', 's', mergedShards)
    await until(() => live.shards('u') === '0 open, 1 blocked, 2 blocked, 3 blocked')
    live.bus.publish(trackerEnded, JSON.stringify({ mapping: 'u', shard: 0 }))
    await live.putCheckpoint('u.0', { epoch: 1, done: 8, lanes: [] })
    live.bus.publish(trackerEnded, JSON.stringify({ mapping: 'u', shard: 0 }))
    await wait(50)
    expect(live.shards('u')).toBe('0 open, 1 blocked, 2 blocked, 3 blocked')
    await live.end('u', 0)
    await until(() => live.shards('u') === '0 ended, 1 open, 2 open, 3 blocked')
    await live.end('u', 2)
    await until(() => live.shards('u') === '0 ended, 1 open, 2 ended, 3 blocked')
    await live.end('u', 1)
    await until(() => live.shards('u') === '0 ended, 1 ended, 2 ended, 3 open')
  })

  test('appear when their shard is split', async () => {
    await made('u')
    await live.end('u', 0)
    await live.putStream(streamOf('s', splitShards))
    await until(() => live.shards('u') === '0 ended, 1 open, 2 open')
  })

  test('do not wait for a parent that their stream does not know any more', async () => {
    await made('u', 's', splitShards)
    await live.putStream(streamOf('s', splitShards.slice(1)))
    await until(() => live.shards('u') === '1 open, 2 open')
  })

  test('begin also when nobody has said that their parent ended', async () => {
    await made('u', 's', splitShards)
    await live.end('u', 0, false)
    const found = await live.bus.request(trackerSync, JSON.stringify({ stream: 's' }))
    if (typeof found === 'string') throw new Error(found)
    expect(found.json()).toMatchObject({
      stream: 's',
      status: 'ACTIVE',
      mappings: [
        {
          record: { uuid: 'u' },
          shards: [
            { shard: 0, state: 'ended' },
            { shard: 1, state: 'open' },
            { shard: 2, state: 'open' },
          ],
        },
      ],
    })
    await until(() => live.shards('u') === '0 ended, 1 open, 2 open')
  })
})

test('to sync a stream that is not there says so', async () => {
  await live.lead()
  const found = await live.bus.request(trackerSync, JSON.stringify({ stream: 'nowhere' }))
  expect(typeof found === 'string' ? found : found.json()).toEqual(refused('noSuchStream'))
})

// UpdateEventSourceMapping, Enabled: "Disables the event source mapping to pause polling and invocation"
describe('turning off', () => {
  test('is over when no poller has a lease of it, and turning on goes on where it was', async () => {
    const leader = await made('u', 's', splitShards)
    const lease = await live.leases.acquire('shard.u.0', 'p1')
    await isReadFor(leader, 'p1')
    await live.end('u', 0)
    await until(() => live.shards('u') === '0 ended, 1 open, 2 open')
    expect(await live.ask(turn('u', 2, false))).toHaveProperty('record.state', 'Disabling')
    await until(() => live.shards('u') === '')
    await wait(100)
    expect(live.state('u')).toBe('Disabling')
    if (lease !== undefined) await live.leases.release(lease)
    await until(() => live.state('u') === 'Disabled')
    expect(await live.ask(turn('u', 3, true))).toHaveProperty('record.state', 'Enabling')
    await until(() => live.shards('u') === '0 ended, 1 open, 2 open')
    await until(() => live.state('u') === 'Enabled')
  })

  test('is not over while a poller is still told to read one of its shards', async () => {
    // Time enough for the leader to hear who is told.
    await settleIn(500)
    await made('u')
    await live.assignments.put('u.0', { poller: 'p1' }, 1)
    await live.ask(turn('u', 2, false))
    await wait(800)
    expect(live.state('u')).toBe('Disabling')
    await live.assignments.remove('u.0', 1)
    await until(() => live.state('u') === 'Disabled')
  })
})

test('a mapping that is deleted leaves nothing behind', async () => {
  const leader = await made('u', 's', splitShards)
  await live.putStream(streamOf('other'))
  await live.ask(createOf('other', 'other'))
  await live.putCheckpoint('u.0', { epoch: 1, done: 8, lanes: [] })
  await live.putCheckpoint('other.0', { epoch: 1, done: 8, lanes: [] })
  const lease = await live.leases.acquire('shard.u.0', 'p1')
  await isReadFor(leader, 'p1')
  expect(await live.ask(deleteOf('u', 2))).toHaveProperty('record.state', 'Deleting')
  await until(() => live.shards('u') === '')
  await wait(100)
  expect(live.state('u')).toBe('Deleting')
  expect(await live.checkpoints.read('u.0')).toBeDefined()
  if (lease !== undefined) await live.leases.release(lease)
  await until(() => live.state('u') === undefined)
  expect(await live.checkpoints.read('u.0')).toBeUndefined()
  expect(await live.checkpoints.read('other.0')).toBeDefined()
  expect(leader.mappings.get('u')).toBeUndefined()
  expect(await live.ask(deleteOf('u', 3))).toEqual(refused('noSuchMapping'))
})

describe('a mapping whose stream', () => {
  const stopped = {
    state: 'Disabled',
    reason: `Stream not found: ${arnOf('s')}`,
    lastResult: `PROBLEM: Stream not found: ${arnOf('s')}`,
  }

  test('is deleted stops with a reason, and cannot be turned on', async () => {
    await made('u')
    await live.putStream(streamOf('s', [wholeShard(0)], { status: 'DELETING' }))
    await until(() => live.state('u') === 'Disabled')
    expect(live.copies.records.get('u')).toMatchObject(stopped)
    await until(() => live.shards('u') === '')
    await live.removeStream('s')
    expect(await live.ask(turn('u', 2, true))).toEqual(refused('noSuchStream'))
  })

  test('is made again stops, and begins anew when it is turned on', async () => {
    await made('u')
    await live.putCheckpoint('u.0', { epoch: 1, done: 8, lanes: [] })
    await live.removeStream('s')
    await live.putStream(streamOf('s', [wholeShard(0)], { incarnation: 'i2' }))
    await until(() => live.state('u') === 'Disabled')
    expect(live.copies.records.get('u')).toMatchObject({ ...stopped, incarnation: 'i1' })
    await until(() => live.shards('u') === '')
    expect(await live.ask(turn('u', 2, true))).toMatchObject({
      record: { state: 'Enabling', reason: 'User action', incarnation: 'i2' },
    })
    await until(() => live.shards('u') === '0 open')
    expect(live.copies.works.get('u.0')?.incarnation).toBe('i2')
    expect(await live.checkpoints.read('u.0')).toBeUndefined()
  })

  test('is only not heard of goes on', async () => {
    const leader = await made('u')
    leader.mappings.streamChanged('s', undefined)
    await wait(50)
    expect(live.state('u')).toBe('Enabled')
    await live.removeStream('s')
    await until(() => live.state('u') === 'Disabled')
  })

  test('has lost the consumer that it reads by stops', async () => {
    const consumers = [{ name: 'c', createdAtMs: 7_000, status: 'ACTIVE' as const, tags: {} }]
    const sourceArn = `${arnOf('s')}/consumer/c:7`
    await live.putStream(streamOf('s', [wholeShard(0)], { consumers }))
    await live.lead()
    await live.ask(createOf('u', 's', { sourceArn }))
    await until(() => live.state('u') === 'Enabled')
    await live.putStream(streamOf('s'))
    await until(() => live.state('u') === 'Disabled')
    expect(await live.ask(turn('u', 2, true))).toEqual(refused('noSuchConsumer'))
  })
})

// lambda-semantics.md §5.2
test('how the last batches went is shown when it changes, once a second at most', async () => {
  await made('u')
  const say = (result: string) =>
    live.bus.publish(trackerResult, JSON.stringify({ mapping: 'u', result }))
  for (let batch = 0; batch < 50; batch++)
    say(batch % 2 === 0 ? 'OK' : 'PROBLEM: Function call failed')
  say('OK')
  const before = live.copies.records.get('u')
  await until(() => live.copies.records.get('u')?.lastResult === 'OK')
  expect(live.copies.records.get('u')).toEqual({ ...before, lastResult: 'OK' })
})

test('what is in the directories and should not be, or is not and should be, is put right', async () => {
  await live.stop()
  live = await liveMappings(server.url, { lookEveryMs: 20 })
  await made('u')
  const works = live.works
  await until(() => live.shards('u') === '0 open')
  const work = live.copies.works.get('u.0')
  if (work === undefined) throw new Error('no work')
  // The bucket itself is asked: a copy may never show what was put right at once.
  await works.remove('u.0', 9)
  await until(async () => (await works.read('u.0')) !== undefined)
  await works.put('u.7', { ...work, shard: 7 }, 1)
  await until(async () => (await works.read('u.7')) === undefined)
  await works.put('gone.0', { ...work, mapping: 'gone' }, 1)
  await until(async () => (await works.read('gone.0')) === undefined)
  await live.records.remove('u', 9)
  await until(async () => (await live.records.read('u'))?.state === 'Enabled')
  await until(() => live.state('u') === 'Enabled' && live.shards('u') === '0 open')
})

test('checkpoints of mappings and shards that are no more are taken away, and no others', async () => {
  const leader = await made('u')
  await live.ask(createOf('v', 's', { functionName: 'g', functionArn: 'arn:g' }, false))
  const checkpoint = { epoch: 1, done: 8, lanes: [] }
  for (const key of ['u.0', 'u.5', 'v.0', 'v.5', 'gone.0', 'read.0']) {
    await live.putCheckpoint(key, checkpoint)
  }
  await live.leases.acquire('shard.read.0', 'p1')
  await live.follow(leader)
  await until(async () => (await live.checkpoints.read('gone.0')) === undefined)
  const left = await Promise.all(
    ['u.0', 'u.5', 'v.0', 'v.5', 'read.0'].map((key) => live.checkpoints.read(key)),
  )
  expect(left.map((one) => one !== undefined)).toEqual([true, false, true, false, true])
})

test('a mapping that another leader has made, when both believed that they lead, is taken over', async () => {
  await live.stop()
  live = await liveMappings(server.url, { lookEveryMs: 20 })
  await live.putStream(streamOf('s'))
  const leader = await live.lead()
  const { record } = createOf('u', 's') as Extract<MappingCommand, { type: 'create' }>
  const stored = {
    ...record,
    uuid: 'u',
    incarnation: 'i1',
    state: 'Creating',
    reason: 'User action',
  }
  await live.records.put('u', { ...stored, lastResult: '', lastModifiedMs: 1 } as MappingRecord, 1)
  await until(() => leader.mappings.get('u')?.state === 'Enabled')
  await until(() => live.shards('u') === '0 open')
})

test('a stream of which a shard is missing is looked at anew', async () => {
  await live.stop()
  live = await liveMappings(server.url, { lookEveryMs: 20 })
  const leader = await made('u')
  await live.end('u', 0, false)
  // It was split, and nobody has told this leader.
  await live.putStream(streamOf('s', splitShards), false)
  live.bus.publish(trackerEnded, JSON.stringify({ mapping: 'u', shard: 0 }))
  await until(() => live.shards('u') === '0 ended, 1 open, 2 open')
  expect(leader.mappings.counts().uncovered).toBe(1)
  expect(leader.log.lines.map(({ code }) => code)).toContain('SHARDS_UNCOVERED')
})

/**
 * A mapping's life, in which each step is asked for until it is answered and waited for until it is done; whenever the
 * leader has died, the next one leads.
 */
async function playLife(
  uuid: string,
  death: { at: number; isCarriedOut: boolean },
): Promise<number> {
  const stream = `of_${uuid}`
  await makeRecords(live.bus, stream, 9)
  await live.putStream(streamOf(stream, splitShards))
  let leader = await live.lead(death)
  let deaths = 0
  const replace = async () => {
    if (!leader.isDead) return
    deaths += 1
    leader = await live.follow(leader)
  }
  const ask = async (command: Parameters<LiveMappings['ask']>[0]) => {
    for (;;) {
      await replace()
      const answer = await live.ask(command, 100)
      // Done before, and its answer was lost.
      if (answer !== undefined && !('refused' in answer && answer.refused === 'busy')) return answer
    }
  }
  const done = async (condition: () => boolean | Promise<boolean>) => {
    await until(async () => {
      await replace()
      return await condition()
    })
  }
  await ask(createOf(uuid, stream, { startingPosition: 'AT_TIMESTAMP', startingTimestampMs: 1 }))
  await done(() => live.state(uuid) === 'Enabled')
  await done(() => live.shards(uuid) === '0 open, 1 blocked, 2 blocked')
  live.history.push(`checkpoint ${uuid}.0`)
  await live.end(uuid, 0)
  await done(() => live.shards(uuid) === '0 ended, 1 open, 2 open')
  await ask(turn(uuid, 2, false))
  await done(() => live.state(uuid) === 'Disabled' && live.shards(uuid) === '')
  await ask(turn(uuid, 3, true))
  await done(() => live.state(uuid) === 'Enabled')
  await done(() => live.shards(uuid) === '0 ended, 1 open, 2 open')
  await live.putStream(streamOf(stream, splitShards, { incarnation: 'i2' }))
  await done(() => live.state(uuid) === 'Disabled' && live.shards(uuid) === '')
  await ask(turn(uuid, 4, true))
  await done(() => live.shards(uuid) === '0 open, 1 blocked, 2 blocked')
  await done(() => live.state(uuid) === 'Enabled')
  expect(await live.checkpoints.read(`${uuid}.0`)).toBeUndefined()
  await live.putCheckpoint(`${uuid}.0`, { epoch: 1, done: 3, lanes: [] })
  await ask(deleteOf(uuid, 5))
  await done(() => live.state(uuid) === undefined && live.shards(uuid) === '')
  expect(await live.checkpoints.read(`${uuid}.0`)).toBeUndefined()
  // A child was never open before its parent had ended.
  const ofThis = live.history.filter((line) => line.includes(uuid))
  const opened = ofThis.indexOf(`open ${uuid}.1`)
  expect(opened).toBeGreaterThan(ofThis.indexOf(`checkpoint ${uuid}.0`))
  leader.mappings.stop()
  return deaths
}

test('a leader may die at any of its writes: the next one goes on, and nothing is lost or left', async () => {
  await live.stop()
  live = await liveMappings(server.url, { settleMs: 10, lookEveryMs: 50 })
  for (const isCarriedOut of [false, true]) {
    let at = 0
    let deaths = 1
    while (deaths > 0) {
      at += 1
      deaths = await playLife(`life-${at}-${isCarriedOut}`, { at, isCarriedOut })
    }
    // As many writes as a life takes: it was cut at each of them.
    expect(at).toBeGreaterThan(25)
  }
}, 120_000)
