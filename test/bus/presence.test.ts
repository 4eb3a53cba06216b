import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Bus, Clock } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Description, openPresence, type Presence } from '../../bus/presence.ts'
import { beat, hello } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { cutOff, until } from './waiting.ts'

let server: TestServer
let bus: Bus
const present: Presence[] = []
let ids = 0

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
})
afterEach(async () => {
  await Promise.all(present.splice(0).map((each) => each.goodbye()))
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const newId = (name: string) => `${name}-${ids++}`

type Opening = Partial<Parameters<typeof openPresence>[1]> & { on?: Bus }

function open(id: string, { on = bus, ...more }: Opening = {}): Presence {
  const presence = openPresence(on, {
    roles: ['worker'],
    id,
    beatMs: 50,
    describe: () => ({}),
    clock: systemClock,
    ...more,
  })
  present.push(presence)
  return presence
}

type Heard = { id: string; description: Description; isLeaving: boolean }

function hearing(presence: Presence, role: string) {
  const beats: Heard[] = []
  const stop = presence.onBeat(role, (id, description, isLeaving) =>
    beats.push({ id, description, isLeaving }),
  )
  return { beats, stop, of: (id: string) => beats.filter((each) => each.id === id) }
}

/** Another process: a connection of its own, which a test can cut. */
async function elsewhere() {
  const proxy = await cutProxy(server.port)
  const other = await openBus({ servers: proxy.url, role: 'test', id: 'elsewhere' })
  onTestFinished(async () => {
    await other.close()
    await proxy.close()
  })
  return { proxy, other }
}

/** Time that only a test moves. */
function handClock() {
  let now = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  const clock: Clock = {
    nowMs: () => now,
    monotonicMs: () => now,
    setTimer(callback, delayMs) {
      const timer = { at: now + delayMs, callback }
      timers.add(timer)
      return timer
    },
    clearTimer: (timer) => void timers.delete(timer as never),
  }
  const fire = () => {
    for (const timer of [...timers].filter(({ at }) => at <= now)) {
      timers.delete(timer)
      timer.callback()
    }
  }
  return {
    clock,
    /** `late`: the process had no turn meanwhile. */
    pass(ms: number, { late = false } = {}) {
      if (late) now += ms
      else for (let n = 0; n < ms; n++, now++) fire()
      fire()
    },
  }
}

test('a process beats for each of its roles, and says how it is', async () => {
  const listener = open(newId('listener'), { roles: ['front-end'] })
  const workers = hearing(listener, 'worker')
  const pollers = hearing(listener, 'poller')
  const id = newId('worker')
  let load = 0
  open(id, { roles: ['worker', 'poller'], describe: () => ({ load: load++ }) })
  await until(() => workers.of(id).length >= 3 && pollers.of(id).length >= 3)
  const loads = workers.of(id).map(({ description }) => description['load'] as number)
  expect(loads).toEqual(loads.toSorted((a, b) => a - b))
  expect(workers.of(id)[0]?.isLeaving).toBe(false)
  workers.stop()
})

test('a newcomer hears everyone at once, however seldom they beat', async () => {
  const time = handClock()
  const peers = Array.from({ length: 5 }, () => newId('seldom'))
  for (const id of peers) open(id, { beatMs: 300_000, clock: time.clock })
  time.pass(100_001, { late: true })
  const { of } = hearing(open(newId('newcomer')), 'worker')
  await until(() => peers.every((id) => of(id).length > 0))
})

test('many newcomers do not make everyone beat for each of them', async () => {
  const time = handClock()
  const id = newId('calm')
  open(id, { beatMs: 300, clock: time.clock })
  const { of } = hearing(open(newId('listener')), 'worker')
  for (let n = 0; n < 50; n++) bus.publish(hello)
  await bus.nats.flush()
  expect(of(id)).toHaveLength(0)
  time.pass(100)
  await bus.nats.flush()
  expect(of(id)).toHaveLength(1)
  time.pass(299)
  await bus.nats.flush()
  expect(of(id)).toHaveLength(1)
  time.pass(1)
  await bus.nats.flush()
  expect(of(id)).toHaveLength(2)
})

test('a process that is there answers a probe, one that is not there is gone', async () => {
  const { other } = await elsewhere()
  const id = newId('there')
  const there = open(id, { on: other })
  await other.nats.flush()
  const asking = open(newId('asking'))
  expect(await asking.probe(id, 5_000)).toBe('alive')
  expect(await asking.probe('nobody', 5_000)).toBe('gone')
  await there.goodbye()
  expect(await asking.probe(id, 5_000)).toBe('gone')
})

test('a process whose connection ended is gone, as soon as the server knows', async () => {
  const { other } = await elsewhere()
  const id = newId('crashed')
  open(id, { on: other })
  await other.nats.flush()
  await other.nats.close()
  const asking = open(newId('asking'))
  // A probe that was delivered while the connection died is silence; the next one finds nobody.
  await until(async () => (await asking.probe(id, 100)) === 'gone')
})

test('a process that hangs is silent', async () => {
  const { other, proxy } = await elsewhere()
  const id = newId('hung')
  open(id, { on: other })
  await other.nats.flush()
  proxy.pause()
  // With a long beat: a busy machine is not one that has slept, who would not know.
  const asking = open(newId('asking'), { beatMs: 10_000 })
  expect(await asking.probe(id, 100)).toBe('silent')
  proxy.resume()
})

test('a probe is unknown when our own link is down, or was down meanwhile', async () => {
  const { other, proxy } = await elsewhere()
  const asking = open(newId('asking'), { on: other })
  const id = newId('asked')
  open(id)
  await cutOff(proxy, other)
  expect(await asking.probe(id, 1_000)).toBe('unknown')
  proxy.resume()
  await other.ready()

  const mute = bus.subscribe(`lambus.ping.${newId('mute')}`, () => {})
  await bus.nats.flush()
  const probing = asking.probe(`mute-${ids - 1}`, 1_500)
  proxy.cut()
  expect(await probing).toBe('unknown')
  mute.stop()
})

test('whoever leaves says so, and beats no more', async () => {
  const { of } = hearing(open(newId('listener')), 'worker')
  const id = newId('leaving')
  const leaving = open(id)
  await until(() => of(id).length >= 2)
  await leaving.goodbye()
  await until(() => of(id).at(-1)?.isLeaving === true)
  const count = of(id).length
  bus.publish(hello)
  leaving.beatNow()
  await bus.nats.flush()
  expect(of(id)).toHaveLength(count)
})

test('beats begin at once when the link is back, and the other side is heard again', async () => {
  const { other, proxy } = await elsewhere()
  const listener = open(newId('listener'))
  const id = newId('cut')
  const { of } = hearing(listener, 'worker')
  await bus.nats.flush()
  const cut = open(id, { on: other, beatMs: 60_000 })
  await until(() => of(id).length >= 1)
  await cutOff(proxy, other)
  const before = of(id).length
  cut.beatNow()
  proxy.resume()
  await until(() => of(id).length > before)

  const heardThere = hearing(cut, 'front-end')
  const late = newId('late')
  open(late, { roles: ['front-end'] })
  await until(() => heardThere.of(late).length > 0)
})

test('beats are heard again after a restart of the server', async () => {
  const id = newId('steady')
  open(id)
  const { of } = hearing(open(newId('listener')), 'worker')
  await until(() => of(id).length > 0)
  await server.kill()
  await server.restart()
  await bus.ready()
  const before = of(id).length
  await until(() => of(id).length > before + 1)
})

test('it is known since when nothing was missed: the link, and having had a turn', async () => {
  const time = handClock()
  const { other, proxy } = await elsewhere()
  const presence = open(newId('aware'), { on: other, clock: time.clock, beatMs: 100 })
  expect(presence.listeningSinceMs()).toBe(0)
  time.pass(1_000)
  expect(presence.listeningSinceMs()).toBe(0)
  time.pass(500, { late: true })
  expect(presence.listeningSinceMs()).toBe(1_500)
  await cutOff(proxy, other)
  expect(presence.listeningSinceMs()).toBeUndefined()
  time.pass(200)
  proxy.resume()
  await other.ready()
  await until(() => presence.listeningSinceMs() === 1_700)
})

test('what is not a beat is counted and heard by nobody', async () => {
  const listener = open(newId('listener'))
  const { beats } = hearing(listener, 'stranger')
  for (const nonsense of [
    '',
    'x',
    '7',
    'null',
    '{}',
    '{"leaving":0,"about":{}}',
    '{"leaving":true}',
  ]) {
    bus.publish(beat('stranger', 'a'), nonsense)
  }
  await until(() => listener.malformed === 7)
  expect(beats).toEqual([])
})
