import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { decodePacket, encodePacket, type StoredEvent } from '../../bus/event-packet.ts'
import { mostAtOnce, openRedrive, type Redrive } from '../../bus/event-redrive.ts'
import { findEvent, listEvents, readPage } from '../../bus/event-shelf.ts'
import { ensureEvents } from '../../bus/event-stream.ts'
import { type EventRef, openLane } from '../../bus/lane.ts'
import { anyPacket, dead, eventPacket, eventStream, retry } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { until } from './waiting.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'state-manager', id: 'shelf' })
  await ensureEvents(bus)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})
afterEach(async () => {
  await (await bus.jetstreamManager()).streams.purge(eventStream)
})

const event = (id: string, more: Partial<StoredEvent> = {}): StoredEvent => ({
  id,
  acceptedAtMs: 1,
  attempts: 0,
  putOff: 0,
  payload: Buffer.from(`{"id":"${id}"}`),
  ...more,
})
const died = (id: string): StoredEvent =>
  event(id, {
    attempts: 3,
    last: { statusCode: 200, functionError: 'Unhandled' },
    response: Buffer.from('{"errorMessage":"no"}'),
    telling: { condition: 'RetriesExhausted', endedAtMs: 2, to: [] },
  })

const put = (functionName: string, ...ids: string[]) =>
  bus.jetstream.publish(
    eventPacket('q', 0, functionName, ids.length),
    encodePacket(ids.map((id) => event(id))),
  )
const kill = (functionName: string, id: string, on = bus) =>
  on.jetstream.publish(dead(functionName, id), encodePacket([died(id)]))
const dueAtMs = Date.now() + 3_600_000
const delay = (functionName: string, id: string) =>
  bus.jetstream.publish(
    retry('q', 0, functionName, id),
    encodePacket([event(id, { attempts: 1 })]),
    {
      schedule: { specification: new Date(dueAtMs), target: eventPacket('q', 0, functionName, 1) },
    },
  )

const list = async (query: Partial<Parameters<typeof listEvents>[1]> = {}) => {
  const { events, ...rest } = await listEvents(bus, { limit: 100, ...query })
  return { ids: events.map(({ event: { id }, state }) => `${state} ${id}`), ...rest }
}

describe('a list', () => {
  test('has the events in all states, with where they are and when they are due', async () => {
    await put('f', 'a', 'b')
    await delay('f', 'c')
    await kill('f', 'd')
    expect(await list()).toEqual({ ids: ['dead d', 'waiting c', 'queued a', 'queued b'] })
    const { events } = await listEvents(bus, { limit: 2 })
    expect(events).toMatchObject([
      { functionName: 'f', event: { attempts: 3, telling: { condition: 'RetriesExhausted' } } },
      { functionName: 'f', queue: 'q', lane: 0, dueAtMs, event: { attempts: 1 } },
    ])
  })

  test('can be of one function, or of one state', async () => {
    await put('f', 'a')
    await put('g', 'b')
    await delay('g', 'c')
    await kill('g', 'd')
    await kill('f', 'e')
    expect((await list({ functionName: 'g' })).ids).toEqual(['dead d', 'waiting c', 'queued b'])
    expect((await list({ state: 'dead' })).ids).toEqual(['dead d', 'dead e'])
    expect((await list({ state: 'queued', functionName: 'f' })).ids).toEqual(['queued a'])
  })

  test('comes in pages, in the middle of a packet too', async () => {
    await put('f', 'a', 'b', 'c')
    await put('f', 'd')
    await kill('f', 'e')
    const seen: string[][] = []
    let cursor: string | undefined
    do {
      const page = await list({ limit: 2, cursor })
      seen.push(page.ids)
      cursor = page.cursor
    } while (cursor !== undefined)
    expect(seen).toEqual([['dead e', 'queued a'], ['queued b', 'queued c'], ['queued d']])
    await expect(list({ cursor: 'x' })).rejects.toThrow("'x' is no cursor")
  })

  test('leaves out what has been decided, though its packet is still there', async () => {
    await put('f', 'a', 'b')
    const refs = new Map<string, EventRef>()
    const lane = await openLane(bus, {
      queue: 'q',
      lane: 0,
      epoch: 1,
      mostPackets: 10,
      take: (ref, _, { id }) => refs.set(id, ref),
      lost: () => {},
      clock: systemClock,
      log: keptLog(),
    })
    if (lane === 'fenced') throw new Error('fenced')
    await lane.read()
    await until(() => refs.size === 2)
    await lane.finish(
      [refs.get('a') ?? { sequence: 0, index: 0 }],
      [{ subject: dead('f', 'a'), body: encodePacket([died('a')]) }],
    )
    expect((await list()).ids).toEqual(['dead a', 'queued b'])
    expect(await redriveOn(bus).these(['a'])).toEqual(['a'])
    expect(await findEvent(bus, 'a')).toMatchObject({ state: 'queued', lane: 1 })
    await lane.close()
  })

  test('is empty where nobody has made the stream', async () => {
    const own = await startNatsServer()
    const ownBus = await openBus({ servers: own.url, role: 'state-manager', id: 'none' })
    expect(await listEvents(ownBus, { limit: 10 })).toEqual({ events: [] })
    await ownBus.close()
    await own.stop()
  })
})

test('an event is found by its request id, wherever it is', async () => {
  await put('f', 'a', 'b')
  await delay('f', 'c')
  await kill('f', 'd')
  const states: (string | undefined)[] = []
  for (const id of ['b', 'c', 'd', 'e']) {
    const found = await findEvent(bus, id)
    states.push(found !== undefined && 'state' in found ? found.state : undefined)
  }
  expect(states).toEqual(['queued', 'waiting', 'dead', undefined])
})

test('among many it is looked for piece by piece', async () => {
  const packets = Array.from({ length: 2_100 }, (_, index) => put('f', `e${index}`))
  await Promise.all(packets)
  const first = await findEvent(bus, 'e2099')
  expect(first).toEqual({ cursor: expect.any(String) })
  const { cursor } = first as { cursor: string }
  expect(await findEvent(bus, 'e2099', cursor)).toMatchObject({ event: { id: 'e2099' } })
})

let ids = 0
const redriveOn = (on: Bus): Redrive =>
  openRedrive(on, {
    choose: (functionName) => ({ queue: functionName === 'g' ? 'own' : 'q', lane: 1 }),
    nowMs: () => 1_000,
    newId: () => `write-${++ids}`,
  })
const all = async (redrive: Redrive, functionName?: string) => {
  const redriven: string[] = []
  let cursor: string | undefined
  let total: number | undefined
  do {
    const some = await redrive.next({ functionName, cursor })
    redriven.push(...some.redriven)
    total ??= some.total
    cursor = some.cursor
  } while (cursor !== undefined)
  return { redriven, total }
}
const packets = async () =>
  (await readPage(bus, anyPacket, 1)).map(({ subject, data }) => ({
    subject,
    events: decodePacket(data) ?? [],
  }))

describe('a dead event that is put back', () => {
  test('is fresh, keeps its request id, and goes to the lane of its function', async () => {
    await kill('f', 'a')
    await kill('g', 'b')
    expect(await all(redriveOn(bus))).toEqual({ redriven: ['a', 'b'], total: 2 })
    const [first, second] = await packets()
    expect(first?.events.map((one) => ({ ...one, payload: String(one.payload) }))).toEqual([
      { id: 'a', acceptedAtMs: 1_000, attempts: 0, putOff: 0, payload: '{"id":"a"}' },
    ])
    expect(first?.subject).toBe(eventPacket('q', 1, 'f', 1))
    expect(second?.subject).toBe(eventPacket('own', 1, 'g', 1))
    expect((await list({ state: 'dead' })).ids).toEqual([])
  })

  test('may be one of many, of one function, and they go back in packets', async () => {
    for (let index = 0; index < 70; index++) await kill('f', `f${index}`)
    await kill('g', 'other')
    const { redriven } = await all(redriveOn(bus), 'f')
    expect(redriven.length).toBe(70)
    expect((await packets()).map(({ events }) => events.length)).toEqual([64, 6])
    expect((await list({ state: 'dead' })).ids).toEqual(['dead other'])
  })

  test('can be named; what is not dead is left alone', async () => {
    await kill('f', 'a')
    await kill('f', 'b')
    await put('f', 'c')
    expect(await redriveOn(bus).these(['b', 'c', 'nobody', 'b'])).toEqual(['b'])
    expect((await list()).ids).toEqual(['dead a', 'queued c', 'queued b'])
  })

  test('is put back once, when two do it at the same time', async () => {
    const many = Array.from({ length: mostAtOnce + 100 }, (_, index) => `e${index}`)
    await Promise.all(many.map((id) => kill('f', id)))
    const other = await openBus({ servers: server.url, role: 'state-manager', id: 'other' })
    const [one, two, three] = await Promise.all([
      all(redriveOn(bus)),
      all(redriveOn(other)),
      redriveOn(other).these(['e1', 'e550']),
    ])
    const redriven = [...one.redriven, ...two.redriven, ...three]
    expect(redriven.toSorted()).toEqual(many.toSorted())
    const { ids: listed } = await list({ limit: 2_000 })
    expect(listed.toSorted()).toEqual(many.map((id) => `queued ${id}`).toSorted())
    await other.close()
  })

  test('can die and be put back again at once', async () => {
    for (let time = 0; time < 3; time++) {
      await kill('f', 'a')
      expect(await redriveOn(bus).these(['a'])).toEqual(['a'])
    }
    expect((await list()).ids).toEqual(['queued a', 'queued a', 'queued a'])
  })

  test('that dies again meanwhile does not make it endless', async () => {
    await Promise.all(Array.from({ length: 600 }, (_, index) => kill('f', `e${index}`)))
    const redrive = redriveOn(bus)
    const first = await redrive.next({})
    expect(first.total).toBe(600)
    await kill('f', 'late')
    const second = await redrive.next({ cursor: first.cursor })
    const third =
      second.cursor === undefined ? second : await redrive.next({ cursor: second.cursor })
    expect(first.redriven.length + second.redriven.length).toBe(600)
    expect(third.cursor).toBeUndefined()
    expect((await list({ state: 'dead' })).ids).toEqual(['dead late'])
  })
})

test.each([0, 2, 5, 10, 20])(
  'a server that is killed %i ms into it loses none and doubles none',
  async (delayMs) => {
    const own = await startNatsServer()
    const ownBus = await openBus({ servers: own.url, role: 'state-manager', id: 'killed' })
    await ensureEvents(ownBus)
    const many = Array.from({ length: 300 }, (_, index) => `e${index}`)
    await Promise.all(many.map((id) => kill('f', id, ownBus)))
    const redriving = all(redriveOn(ownBus))
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    await own.kill()
    await own.restart()
    expect((await redriving).redriven.toSorted()).toEqual(many.toSorted())
    const { events } = await listEvents(ownBus, { limit: 1_000 })
    expect(events.map(({ state, event: { id } }) => `${state} ${id}`).toSorted()).toEqual(
      many.map((id) => `queued ${id}`).toSorted(),
    )
    await ownBus.close()
    await own.stop()
  },
)
