import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import type { StoredEvent } from '../../bus/event-packet.ts'
import { encodePacket } from '../../bus/event-packet.ts'
import { countsOf, ensureEvents, waitingEvents } from '../../bus/event-stream.ts'
import { openEventWriter } from '../../bus/event-writer.ts'
import { type EventRef, type Lane, openLane } from '../../bus/lane.ts'
import { decidedIn, openLedger } from '../../bus/lane-ledger.ts'
import { anyPacketOf, endPacket, eventPacket, eventStream, retry } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { until } from './waiting.ts'

let server: TestServer
let bus: Bus
let lanes = 0

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'poller', id: 'lane' })
  await ensureEvents(bus)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const event = (id: string): StoredEvent => ({
  id,
  acceptedAtMs: 1,
  attempts: 0,
  putOff: 0,
  payload: Buffer.from(`{"id":"${id}"}`),
})

type Reader = Lane & { taken: { ref: EventRef; event: StoredEvent }[]; isLost: () => boolean }

async function read(
  lane: number,
  epoch: number,
  { on = bus, mostPackets = 100 }: { on?: Bus; mostPackets?: number } = {},
): Promise<Reader> {
  const taken: Reader['taken'] = []
  let isLost = false
  const opened = await openLane(on, {
    queue: 'q',
    lane,
    epoch,
    mostPackets,
    take: (ref, _, one) => taken.push({ ref, event: one }),
    lost: () => {
      isLost = true
    },
    clock: systemClock,
    log: keptLog(),
  })
  if (opened === 'fenced') throw new Error('fenced')
  const reader = Object.assign(opened, { taken, isLost: () => isLost })
  await opened.read()
  return reader
}

/** Puts one packet into a lane. */
const put = async (lane: number, ...ids: string[]): Promise<number> =>
  (
    await bus.jetstream.publish(
      eventPacket('q', lane, 'f', ids.length),
      encodePacket(ids.map(event)),
    )
  ).seq

const idsOf = ({ taken }: Reader) => taken.map(({ event: { id } }) => id)
const refOf = ({ taken }: Reader, id: string) => {
  const found = taken.find((one) => one.event.id === id)
  if (found === undefined) throw new Error(`${id} has not come`)
  return found.ref
}
const waitingIn = async (lane: number) =>
  (await countsOf(bus, anyPacketOf('q', lane))).reduce((sum, [, messages]) => sum + messages, 0)

describe('a reader', () => {
  test('is given the events of a lane, and a packet goes away when all of its events are finished', async () => {
    const lane = ++lanes
    await put(lane, 'a', 'b')
    const reader = await read(lane, 1)
    await until(() => reader.taken.length === 2)
    await reader.finish([refOf(reader, 'a')], [])
    await wait(50)
    expect(await waitingIn(lane)).toBe(1)
    await reader.finish([refOf(reader, 'b')], [])
    await until(async () => (await waitingIn(lane)) === 0)
    await put(lane, 'c')
    await until(() => reader.taken.length === 3)
    expect(idsOf(reader)).toEqual(['a', 'b', 'c'])
    await reader.close()
  })

  test('has at most so many packets in hand as it asked for', async () => {
    const lane = ++lanes
    for (const id of ['a', 'b', 'c']) await put(lane, id)
    const reader = await read(lane, 1, { mostPackets: 2 })
    await until(() => reader.taken.length === 2)
    await wait(100)
    expect(reader.taken.length).toBe(2)
    await reader.finish([refOf(reader, 'a')], [])
    await until(() => reader.taken.length === 3)
    await reader.close()
  })

  test('stores what follows from decisions before their packet goes away', async () => {
    const lane = ++lanes
    await put(lane, 'a')
    const reader = await read(lane, 1)
    await until(() => reader.taken.length === 1)
    const outcome = await reader.finish(
      [refOf(reader, 'a')],
      [
        {
          subject: retry('q', lane, 'f', 'a'),
          body: encodePacket([{ ...event('a'), attempts: 1 }]),
          headers: {
            'Nats-Schedule': `@at ${new Date(Date.now() + 300).toISOString()}`,
            'Nats-Schedule-Target': eventPacket('q', lane, 'f', 1),
          },
        },
      ],
    )
    expect(outcome).toBe('stored')
    await until(() => reader.taken.length === 2)
    expect(reader.taken[1]?.event).toMatchObject({ id: 'a', attempts: 1 })
    await reader.close()
  })
})

describe('who takes a lane over', () => {
  test('is given what was in hand, except for events that were decided', async () => {
    const lane = ++lanes
    await put(lane, 'a', 'b', 'c')
    const first = await read(lane, 1)
    await until(() => first.taken.length === 3)
    await first.finish(
      [refOf(first, 'a')],
      [{ subject: eventPacket('q', lane, 'f', 1), body: encodePacket([event('a2')]) }],
    )
    // Finished without anything to follow: it is known a tenth of a second later.
    await first.finish([refOf(first, 'b')], [])
    await until(async () => Object.values(await decidedIn(bus, 'q', lane)).flat().length === 2)
    const second = await read(lane, 2)
    await until(() => second.taken.length === 2)
    expect(idsOf(second)).toEqual(['c', 'a2'])
    await second.close()
  })

  test('keeps the one before from storing anything', async () => {
    const lane = ++lanes
    await put(lane, 'a')
    const first = await read(lane, 1)
    await until(() => first.taken.length === 1)
    const second = await read(lane, 2)
    await until(() => second.taken.length === 1)
    const late = await first.finish(
      [refOf(first, 'a')],
      [{ subject: eventPacket('q', lane, 'f', 1), body: encodePacket([event('late')]) }],
    )
    expect(late).toBe('fenced')
    await until(() => first.isLost())
    await second.finish([refOf(second, 'a')], [])
    await until(async () => (await waitingIn(lane)) === 0)
    expect(idsOf(second)).toEqual(['a'])
    await second.close()
  })

  test('cannot be one of an older epoch', async () => {
    const lane = ++lanes
    const reader = await read(lane, 7)
    await expect(read(lane, 6)).rejects.toThrow('fenced')
    expect(reader.isLost()).toBe(false)
    await reader.close()
  })

  test('does not hear the acknowledgements of the one before', async () => {
    const lane = ++lanes
    await put(lane, 'a')
    const first = await read(lane, 1)
    await until(() => first.taken.length === 1)
    const second = await read(lane, 2)
    await until(() => second.taken.length === 1)
    await first.finish([refOf(first, 'a')], [])
    await wait(200)
    expect(await waitingIn(lane)).toBe(1)
    await second.close()
  })
})

test('a reader goes on where it was when the server is killed and comes back', async () => {
  const own = await startNatsServer()
  const ownBus = await openBus({ servers: own.url, role: 'poller', id: 'restart' })
  await ensureEvents(ownBus)
  const writer = openEventWriter(ownBus, { choose: () => ({ queue: 'q', lane: 0 }) })
  const store = (id: string) =>
    new Promise<unknown>((resolve) => writer.write('f', event(id), resolve))
  const reader = await read(0, 1, { on: ownBus })
  expect(await store('a')).toBeUndefined()
  await until(() => reader.taken.length === 1)
  await own.kill()
  const late = store('b')
  await own.restart()
  expect(await late).toBeUndefined()
  await until(() => reader.taken.length === 2)
  for (const id of ['a', 'b']) await reader.finish([refOf(reader, id)], [])
  await until(async () => (await waitingEvents(ownBus)).length === 0)
  expect(idsOf(reader)).toEqual(['a', 'b'])
  await reader.close()
  await ownBus.close()
  await own.stop()
})

test('an end that nobody has been told yet counts as waiting, so that its lane is read', async () => {
  const lane = ++lanes
  await bus.jetstream.publish(endPacket('q', lane, 'f', 1), encodePacket([event('ended')]))
  expect((await waitingEvents(bus)).filter((one) => one.lane === lane)).toEqual([
    { queue: 'q', lane, functionName: 'f', events: 1 },
  ])
  const reader = await read(lane, 1)
  await until(() => reader.taken.length === 1)
  await reader.finish([refOf(reader, 'ended')], [])
  await until(async () => (await waitingEvents(bus)).every((one) => one.lane !== lane))
  await reader.close()
})

test('events that come while one is being stored are stored together, and each caller is told', async () => {
  const lane = ++lanes
  const writer = openEventWriter(bus, { choose: () => ({ queue: 'q', lane }) })
  const ids = Array.from({ length: 100 }, (_, index) => `e${index}`)
  await Promise.all(
    ids.map(
      (id) =>
        new Promise<void>((resolve, reject) =>
          writer.write('f', event(id), (error) =>
            error === undefined ? resolve() : reject(error),
          ),
        ),
    ),
  )
  expect(writer.pending).toBe(0)
  // 64 in the first, the rest in the next.
  expect(await waitingIn(lane)).toBe(2)
  const [waitingHere] = (await waitingEvents(bus)).filter((one) => one.lane === lane)
  expect(waitingHere).toEqual({ queue: 'q', lane, functionName: 'f', events: 100 })
  const reader = await read(lane, 1)
  await until(() => reader.taken.length === 100)
  expect(idsOf(reader)).toEqual(ids)
  await reader.close()
  await bus.jetstreamManager().then(({ streams }) => streams.purge(eventStream))
})

test('what is stored in the moment in which a write ends is stored, too', async () => {
  const options = { queue: 'q', lane: ++lanes, epoch: 1, reader: 'r', log: keptLog() }
  const ledger = await openLedger(bus, { ...options, decided: () => ({}) })
  if (ledger === 'fenced') throw new Error('fenced')
  // Each follows its predecessor at once.
  for (let n = 0; n < 3; n++) expect(await ledger.store([])).toBe('stored')
  await ledger.settled()
})
