import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from 'vitest'
import type { Bus, Log } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import type { Consumption, Delivery, Handle } from '../../bus/durable-delivery.ts'
import { type DurableInbox, openDurableInbox } from '../../bus/durable-inbox.ts'
import { anyDurable, durable, durableConsumer, durableStream } from '../../bus/subjects.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { keepCutting } from './waiting.ts'

let server: TestServer
let bus: Bus
let inbox: DurableInbox
let machine: string
let machines = 0
let consumptions: Consumption[]

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
  inbox = await openDurableInbox(bus)
})
beforeEach(() => {
  machine = `m${machines++}`
  consumptions = []
})
afterEach(async () => {
  await Promise.all(consumptions.map((each) => each.stop()))
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

/** Everything that was delivered, and a way to wait for it. */
function listener(work: Handle = async () => {}) {
  const deliveries: Delivery[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  return {
    deliveries,
    handle: async (delivery: Delivery) => {
      deliveries.push(delivery)
      for (const each of waiting) if (deliveries.length >= each.count) each.resolve()
      await work(delivery)
    },
    heard: (count: number) =>
      deliveries.length >= count
        ? Promise.resolve()
        : new Promise<void>((resolve) => waiting.push({ count, resolve })),
  }
}

async function listen(
  handle: Handle,
  options: { concurrency?: number; ackWaitMs?: number; log?: Log; inbox?: DurableInbox } = {},
): Promise<Consumption> {
  const { concurrency = 8, ackWaitMs = 2_000, log } = options
  const consumption = await (options.inbox ?? inbox).consume(machine, handle, {
    concurrency,
    ackWaitMs,
    ...(log ? { log } : {}),
  })
  consumptions.push(consumption)
  return consumption
}

const numbers = (deliveries: Delivery[]) => deliveries.map(({ event }) => event['n'])
const post = (instance: string, n: number) => inbox.post(machine, instance, { type: 'go', n })

async function stored(): Promise<number> {
  const manager = await bus.jetstreamManager()
  const filter = anyDurable(machine)
  const info = await manager.streams.info(durableStream, { subjects_filter: filter })
  return Object.values(info.state.subjects ?? {}).reduce((sum, count) => sum + count, 0)
}

describe('posting', () => {
  test('an event that was posted before anybody listened is delivered, and then it is gone', async () => {
    const sequence = await inbox.post(machine, 'order 7/ü', { type: 'go', n: 1 }, { id: 'a:1:0' })
    const { handle, heard, deliveries } = listener()
    const consumption = await listen(handle)
    await heard(1)
    expect(deliveries[0]).toMatchObject({
      instance: 'order 7/ü',
      event: { type: 'go', n: 1 },
      sequence,
      redelivered: false,
      id: 'a:1:0',
      timer: undefined,
    })
    await consumption.stop()
    await waitFor(async () => (await stored()) === 0)
  })

  test('what is posted twice with one id is delivered once', async () => {
    const first = await inbox.post(machine, 'a', { type: 'go', n: 1 }, { id: `${machine}:1` })
    expect(await inbox.post(machine, 'a', { type: 'go', n: 1 }, { id: `${machine}:1` })).toBe(first)
    await post('a', 2)
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await heard(2)
    expect(numbers(deliveries)).toEqual([1, 2])
  })

  test('an event with an id that is posted during a restart of the server arrives once', async () => {
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await server.kill()
    const posted = inbox.post(machine, 'a', { type: 'go', n: 1 }, { id: `${machine}:1` })
    await server.restart()
    await posted
    await post('a', 2)
    await heard(2)
    expect(numbers(deliveries)).toEqual([1, 2])
  })

  test('posts over a link that keeps breaking arrive, each once and in the order of their posting', async () => {
    const proxy = await cutProxy(server.port)
    const fragile = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
    const fragileInbox = await openDurableInbox(fragile)
    const stopCutting = keepCutting(proxy, 60)
    onTestFinished(async () => {
      stopCutting()
      await fragile.close()
      await proxy.close()
    })
    for (let n = 0; n < 40; n++) {
      await fragileInbox.post(machine, 'a', { type: 'go', n }, { id: `${machine}:${n}` })
    }
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await heard(40)
    expect(numbers(deliveries)).toEqual(Array.from({ length: 40 }, (_, n) => n))
  })

  test('an event that does not fit into a message is refused with a code', async () => {
    const event = { type: 'go', text: 'x'.repeat(9 * 1024 * 1024) }
    await expect(inbox.post(machine, 'a', event, { id: 'large' })).rejects.toMatchObject({
      code: 'BUS_PAYLOAD_TOO_LARGE',
    })
  })
})

describe('timers', () => {
  const later = (timer: string, n: number, delayMs: number) =>
    inbox.postLater(
      machine,
      'a',
      timer,
      { type: 'rang', n },
      Date.now() + delayMs,
      `${machine}:${n}`,
    )

  test('an event for later comes when it is due, with the name of its timer', async () => {
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    const due = Date.now() + 300
    await later('xstate.after.300.door.open', 1, 300)
    await heard(1)
    expect(Date.now()).toBeGreaterThanOrEqual(due)
    expect(deliveries[0]).toMatchObject({
      instance: 'a',
      event: { type: 'rang', n: 1 },
      id: `${machine}:1`,
      timer: 'xstate.after.300.door.open',
    })
  })

  test('a timer that is set again rings once, at the new time', async () => {
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await later('t', 1, 2_000)
    await later('t', 2, 3_000)
    await later('other', 3, 4_500)
    await heard(2)
    expect(numbers(deliveries)).toEqual([2, 3])
  })

  test('a timer that was taken back does not ring, and the others do', async () => {
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await later('t', 1, 2_000)
    await later('other', 2, 3_000)
    await inbox.cancelLater(machine, 'a', 't')
    await inbox.cancelLater(machine, 'a', 'never set')
    await heard(1)
    expect(numbers(deliveries)).toEqual([2])
  })

  test('taking back a timer that has rung leaves its event', async () => {
    await later('t', 1, -1_000)
    await waitFor(async () => (await stored()) === 1)
    await inbox.cancelLater(machine, 'a', 't')
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await heard(1)
    expect(numbers(deliveries)).toEqual([1])
  })

  test('timers ring after kill -9 of the server, the overdue ones at once', async () => {
    await later('t', 1, 100)
    await server.kill()
    await server.restart()
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await heard(1)
    expect(numbers(deliveries)).toEqual([1])
  })
})

describe('order and parallelism', () => {
  test('events of one actor are handled one at a time and in order, those of several at once', async () => {
    const busy = new Set<string>()
    let most = 0
    const { handle, heard, deliveries } = listener(async ({ instance }) => {
      expect(busy.has(instance)).toBe(false)
      busy.add(instance)
      most = Math.max(most, busy.size)
      await new Promise((resolve) => setTimeout(resolve, 2))
      busy.delete(instance)
    })
    for (let n = 0; n < 120; n++) await post(`i${n % 6}`, n)
    const consumption = await listen(handle, { concurrency: 4 })
    await heard(120)
    expect(most).toBe(4)
    for (let i = 0; i < 6; i++) {
      const order = numbers(deliveries.filter(({ instance }) => instance === `i${i}`)) as number[]
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
    await consumption.stop()
    expect(consumption.counts).toMatchObject({ handled: 120, failed: 0, poisoned: 0 })
  })

  test('an actor with much to do does not keep out the others', async () => {
    for (let n = 0; n < 20; n++) await post('busy', n)
    await post('quiet', 99)
    let release = () => {}
    const stuck = new Promise<void>((resolve) => {
      release = resolve
    })
    const quiet = listener()
    await listen(
      async (delivery) => {
        if (delivery.instance === 'busy') await stuck
        else await quiet.handle(delivery)
      },
      { concurrency: 8 },
    )
    await quiet.heard(1)
    release()
  })

  test('two processes share the events, and each is handled by one of them', async () => {
    const other = await openBus({ servers: server.url, role: 'test', id: '2' })
    onTestFinished(() => other.close())
    const all = listener(() => new Promise((resolve) => setTimeout(resolve, 1)))
    const seenBy: string[] = []
    const by = (who: string) => async (delivery: Delivery) => {
      seenBy.push(who)
      await all.handle(delivery)
    }
    const first = await listen(by('first'), { concurrency: 2 })
    const second = await listen(by('second'), {
      concurrency: 2,
      inbox: await openDurableInbox(other),
    })
    for (let n = 0; n < 100; n++) await post(`i${n % 10}`, n)
    await all.heard(100)
    await Promise.all([first.stop(), second.stop()])
    expect(new Set(numbers(all.deliveries)).size).toBe(100)
    expect(all.deliveries).toHaveLength(100)
    expect(new Set(seenBy).size).toBe(2)
  })
})

describe('failure', () => {
  test('an event whose handler throws comes again, later each time, before younger ones of its actor', async () => {
    let failures = 2
    const at: number[] = []
    const { handle, heard, deliveries } = listener(async ({ event, instance }) => {
      if (instance !== 'a' || event['n'] !== 1) return
      at.push(Date.now())
      if (failures-- > 0) throw new Error('not today')
    })
    for (const n of [1, 2, 3]) await post('a', n)
    const consumption = await listen(handle)
    await heard(1)
    await post('a', 4)
    await heard(6)
    expect(numbers(deliveries)).toEqual([1, 1, 1, 2, 3, 4])
    expect(deliveries.map(({ redelivered }) => redelivered).slice(0, 3)).toEqual([
      false,
      true,
      true,
    ])
    const [first = 0, second = 0, third = 0] = at
    expect(second - first).toBeGreaterThanOrEqual(95)
    expect(third - second).toBeGreaterThanOrEqual(195)
    expect(consumption.counts.failed).toBe(2)
  })

  test('however often handlers throw, the events of one actor are done in order', async () => {
    const done: Record<string, number[]> = {}
    const tries = new Map<unknown, number>()
    const failing = new Set([0, 3, 7, 8, 15, 16, 21, 28, 34])
    const handle: Handle = async ({ instance, event: { n } }) => {
      const tried = tries.get(n) ?? 0
      tries.set(n, tried + 1)
      if (tried === 0 && failing.has(n as number)) throw new Error('not today')
      done[instance] ??= []
      done[instance].push(n as number)
    }
    const consumption = await listen(handle, { concurrency: 3 })
    for (let n = 0; n < 40; n++) await post(`i${n % 4}`, n)
    await waitFor(async () => (await stored()) === 0)
    expect(consumption.counts).toMatchObject({ handled: 40, failed: failing.size })
    for (const order of Object.values(done)) expect(order).toEqual(order.toSorted((a, b) => a - b))
  })

  test('a handler that works longer than the acknowledgement may take keeps its event, and those behind it', async () => {
    const { handle, heard, deliveries } = listener(async ({ event }) => {
      if (event['n'] === 1) await new Promise((resolve) => setTimeout(resolve, 4_000))
    })
    await post('a', 1)
    await post('a', 2)
    await listen(handle, { ackWaitMs: 1_500 })
    await heard(2)
    expect(numbers(deliveries)).toEqual([1, 2])
    expect(deliveries.map(({ redelivered }) => redelivered)).toEqual([false, false])
  })

  test('what a dead process had in hand comes to another', async () => {
    const doomed = await openBus({ servers: server.url, role: 'test', id: 'doomed' })
    const never = listener(() => new Promise(() => {}))
    await (await openDurableInbox(doomed)).consume(machine, never.handle, {
      concurrency: 1,
      ackWaitMs: 1_000,
    })
    await post('a', 1)
    await never.heard(1)
    await doomed.nats.close()
    const { handle, heard, deliveries } = listener()
    await listen(handle, { ackWaitMs: 1_000 })
    await heard(1)
    expect(deliveries[0]).toMatchObject({ event: { n: 1 }, redelivered: true })
  })

  test('nonsense is counted, logged and removed, and does not stop what is behind it', async () => {
    const complaints: object[] = []
    const nothing = () => {}
    const log: Log = {
      debug: nothing,
      info: nothing,
      warn: nothing,
      error: (fields) => complaints.push(fields),
    }
    const raw = (body: string, token = 'a') => bus.jetstream.publish(durable(machine, token), body)
    for (const body of ['not JSON', '', '[]', 'null', '7', '{"n":1}', '{"type":7}']) await raw(body)
    await raw('{"type":"xstate.init"}')
    await raw('{"type":"go"}', '=zz')
    await post('a', 1)
    const { handle, heard, deliveries } = listener()
    const consumption = await listen(handle, { log })
    await heard(1)
    await consumption.stop()
    expect(numbers(deliveries)).toEqual([1])
    expect(consumption.counts.poisoned).toBe(9)
    expect(complaints).toHaveLength(9)
    expect(complaints[0]).toMatchObject({ code: 'BUS_POISON' })
    await waitFor(async () => (await stored()) === 0)
  })
})

describe('life', () => {
  test('stopping waits for the running handler and gives the others back', async () => {
    let release = () => {}
    const stuck = new Promise<void>((resolve) => {
      release = resolve
    })
    const first = listener(() => stuck)
    for (const n of [1, 2, 3]) await post('a', n)
    const consumption = await listen(first.handle, { concurrency: 1 })
    await first.heard(1)
    let isStopped = false
    const stopped = consumption.stop().then(() => {
      isStopped = true
    })
    await bus.nats.flush()
    expect(isStopped).toBe(false)
    release()
    await stopped
    expect(numbers(first.deliveries)).toEqual([1])
    await waitFor(async () => (await stored()) === 2)

    const second = listener()
    await listen(second.handle)
    await second.heard(2)
    expect(numbers(second.deliveries).toSorted()).toEqual([2, 3])
  })

  test('events go on coming when the consumer was deleted', async () => {
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    await post('a', 1)
    await heard(1)
    await waitFor(async () => (await stored()) === 0)
    await (await bus.jetstreamManager()).consumers.delete(durableStream, durableConsumer(machine))
    await post('a', 2)
    await heard(2)
    expect(numbers(deliveries)).toEqual([1, 2])
  })

  test('events go on coming after kill -9 of the server, and none is lost', async () => {
    const { handle, heard, deliveries } = listener()
    await listen(handle)
    for (let n = 0; n < 20; n++) await post(`i${n}`, n)
    await server.kill()
    await server.restart()
    for (let n = 20; n < 30; n++) {
      await inbox.post(machine, `i${n}`, { type: 'go', n }, { id: `${machine}:${n}` })
    }
    await heard(30)
    await waitFor(async () => (await stored()) === 0)
    expect(new Set(numbers(deliveries)).size).toBe(30)
  })

  test('what was acknowledged does not come back after kill -9 of the server', async () => {
    const first = listener()
    const consumption = await listen(first.handle)
    for (let n = 0; n < 10; n++) await post('a', n)
    await first.heard(10)
    await consumption.stop()
    await waitFor(async () => (await stored()) === 0)
    await server.kill()
    await server.restart()
    await post('a', 10)
    const second = listener()
    await listen(second.handle)
    await second.heard(1)
    expect(numbers(second.deliveries)).toEqual([10])
  })

  test('every event is handled while the link of the only process keeps breaking', async () => {
    const proxy = await cutProxy(server.port)
    const fragile = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
    const { handle, deliveries } = listener(() => new Promise((resolve) => setTimeout(resolve, 3)))
    const consumption = await (await openDurableInbox(fragile)).consume(machine, handle, {
      concurrency: 4,
      ackWaitMs: 500,
    })
    const stopCutting = keepCutting(proxy, 150)
    for (let n = 0; n < 200; n++) await post(`i${n % 20}`, n)
    await waitFor(async () => (await stored()) === 0)
    stopCutting()
    await fragile.ready()
    await consumption.stop()
    await fragile.close()
    await proxy.close()
    expect(new Set(numbers(deliveries)).size).toBe(200)
  })

  test('processes that disagree about the acknowledgement wait all listen', async () => {
    const { handle, heard } = listener()
    await listen(handle, { ackWaitMs: 1_000 })
    await listen(handle, { ackWaitMs: 3_000 })
    await post('a', 1)
    await heard(1)
  })
})

/** Asks again until it is so; the test's own timeout ends it. */
async function waitFor(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20))
}
