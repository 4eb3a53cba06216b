import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type DurableBinding, type DurableHost, durable } from '../../actors/durable.ts'
import { type ActorStore, openActorStore } from '../../bus/actor-store.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import type { Handle } from '../../bus/durable-delivery.ts'
import { type DurableInbox, openDurableInbox } from '../../bus/durable-inbox.ts'
import { systemClock } from '../../edges/clock.ts'
import { type KeptLog, keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { type TallyEvent, tallyMachine } from './tally.ts'

type Binding = DurableBinding<typeof tallyMachine>
type CrashPoint = Parameters<NonNullable<Binding['crash']>>[0]
const crashPoints: CrashPoint[] = ['before the store', 'after the store', 'before the ack']

let server: TestServer
let bus: Bus
let store: ActorStore
let inbox: DurableInbox

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
  store = await openActorStore(bus)
  inbox = await openDurableInbox(bus)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const until = (condition: () => unknown) =>
  vi.waitFor(
    async () => {
      expect(await condition()).toBeTruthy()
    },
    { timeout: 10_000, interval: 10 },
  )

for (const reloading of [false, true]) {
  describe(reloading ? 'a durable actor that is loaded for every event' : 'a durable actor', () => {
    /** A host, as one process would have it; what its effects were told is kept in `told`. */
    function open(options: Partial<Binding> & { told?: string[]; keys?: string[] } = {}) {
      const { told = [], keys = [], ...more } = options
      const log: KeptLog = keptLog()
      const tell =
        (what: string) =>
        (params: { sum: number } | undefined, { key }: { key: string }): void => {
          told.push(params === undefined ? what : `${what} ${params.sum}`)
          keys.push(key)
        }
      const host = durable(tallyMachine, {
        store,
        inbox,
        clock: systemClock,
        log,
        newId: randomUUID,
        ackWaitMs: 1_000,
        reloading,
        duties: { tell: tell('tell'), ring: tell('ring'), bury: tell('bury') },
        ...more,
      })
      onTestFinished(() => host.stop())
      return { host, told, keys, log }
    }

    /** A host to which a test brings each event itself, as the inbox would, with a sequence of its choice. */
    async function byHand(options: Parameters<typeof open>[0] = {}) {
      let handle: Handle = async () => {}
      const opened = open({
        ...options,
        inbox: {
          ...inbox,
          consume: async (_, given) => {
            handle = given
            return { counts: { handled: 0, failed: 0, poisoned: 0 }, stop: async () => {} }
          },
        },
      })
      const bring = (instance: string, sequence: number, event: TallyEvent) =>
        handle({
          instance,
          event,
          sequence,
          redelivered: false,
          id: undefined,
          timer: undefined,
          working: () => {},
        })
      return { ...opened, bring }
    }

    const read = async (instance: string) =>
      (await store.load('tally', instance))?.document as
        | { context: { sum: number; added: number[]; rings: number }; step: number }
        | undefined
    const sumOf = async (instance: string) => (await read(instance))?.context.sum
    const add = (n: number): TallyEvent => ({ type: 'add', n })
    /** Dies once, when it comes to a point for the nth time. */
    const dying = (at: CrashPoint, nth = 1) => {
      let times = 0
      return (point: CrashPoint) => {
        if (point === at && ++times === nth) throw new Error(`died ${point}`)
      }
    }

    test('takes its events in order, and tells after it is stored', async () => {
      const stored: unknown[] = []
      const id = randomUUID()
      const { host } = open({
        duties: {
          tell: async ({ sum }) => void stored.push([sum, await sumOf(id)]),
          ring: () => {},
          bury: () => {},
        },
      })
      for (const n of [1, 2, 3]) await host.post(id, add(n))
      await until(async () => (await sumOf(id)) === 6)
      await until(() => host.counts.steps === 3)
      for (const [told, kept] of stored as number[][])
        expect(kept).toBeGreaterThanOrEqual(told ?? 0)
      expect((await read(id))?.context.added).toEqual([1, 2, 3])
    })

    for (const point of crashPoints) {
      test(`that dies ${point} takes the event once, and loses no effect`, async () => {
        const id = randomUUID()
        const { host, told, keys } = open({ crash: dying(point) })
        await host.post(id, add(1))
        await host.post(id, add(2))
        await until(() => told.includes('tell 3'))
        expect((await read(id))?.context.added).toEqual([1, 2])
        expect(told).toContain('tell 1')
        // A repeat has the key of what it repeats, so that whoever hears it can tell.
        const byKey = new Map(keys.map((key, index) => [key, told[index]]))
        expect([...byKey.values()].sort()).toEqual(['tell 1', 'tell 3'])
        expect(byKey.size).toBe(2)
      })
    }

    test('whose effect fails performs it again, before those of later events', async () => {
      const id = randomUUID()
      const told: number[] = []
      let isFirst = true
      const { host } = open({
        duties: {
          tell: ({ sum }) => {
            if (isFirst) {
              isFirst = false
              throw new Error('not now')
            }
            told.push(sum)
          },
          ring: () => {},
          bury: () => {},
        },
      })
      await host.post(id, add(1))
      await host.post(id, add(2))
      await until(() => told.includes(3))
      expect(told[0]).toBe(1)
      expect((await read(id))?.context.added).toEqual([1, 2])
    })

    test('owes what a dead process did not perform, and another process does', async () => {
      const id = randomUUID()
      const dead = await byHand({ crash: dying('after the store') })
      await expect(dead.bring(id, 1, add(5))).rejects.toThrow('died after the store')
      expect(dead.told).toEqual([])
      const living = await byHand()
      await living.bring(id, 1, add(5))
      expect(living.told).toEqual(['tell 5'])
      expect(living.keys).toEqual([`${id}:1:0`])
      expect(await sumOf(id)).toBe(5)
    })

    test('owes it also when the next event comes first', async () => {
      const id = randomUUID()
      const dead = await byHand({ crash: dying('after the store') })
      await expect(dead.bring(id, 1, add(5))).rejects.toThrow()
      const living = await byHand()
      await living.bring(id, 2, add(2))
      expect(living.told).toEqual(['tell 5', 'tell 7'])
      await living.bring(id, 1, add(5))
      expect(await sumOf(id)).toBe(7)
    })

    test('knows an old event again when newer ones were handled meanwhile', async () => {
      const id = randomUUID()
      const { bring, host } = await byHand()
      for (const n of [1, 2, 3]) await bring(id, n, add(n))
      await bring(id, 1, add(1))
      await bring(id, 3, add(3))
      expect((await read(id))?.context.added).toEqual([1, 2, 3])
      expect(host.counts).toMatchObject({ steps: 3, repeats: 2 })
    })

    test('a request that changes nothing is answered, also twice', async () => {
      const id = randomUUID()
      const { bring, told } = await byHand()
      await bring(id, 1, add(4))
      await bring(id, 2, { type: 'ask' })
      await bring(id, 2, { type: 'ask' })
      expect(told.filter((each) => each === 'tell 4').length).toBeGreaterThanOrEqual(3)
      expect((await read(id))?.step).toBe(2)
    })

    test('two hosts that race for one actor lose no event and take none twice', async () => {
      const id = randomUUID()
      const one = open()
      const other = open()
      const numbers = Array.from({ length: 40 }, (_, index) => index + 1)
      await Promise.all(numbers.map((n) => one.host.post(id, add(n))))
      await until(async () => (await read(id))?.step === 40)
      expect((await read(id))?.context.added.toSorted((a, b) => a - b)).toEqual(numbers)
      // One that was stored may not have been counted yet.
      const steps = () => one.host.counts.steps + other.host.counts.steps
      await until(() => steps() >= 40)
      expect(steps()).toBe(40)
    })

    test('two hosts with old views of one actor: the one that comes second loads again', async () => {
      const id = randomUUID()
      const one = await byHand()
      const other = await byHand()
      await one.bring(id, 1, add(1))
      await other.bring(id, 2, add(2))
      await one.bring(id, 3, add(3))
      await other.bring(id, 4, add(4))
      expect((await read(id))?.context.added).toEqual([1, 2, 3, 4])
      expect(one.host.counts.conflicts + other.host.counts.conflicts).toBe(reloading ? 0 : 2)
    })

    test('that has come to its end leaves nothing, and one of the same name begins anew', async () => {
      const id = randomUUID()
      const { bring, told } = await byHand()
      await bring(id, 1, add(4))
      await bring(id, 2, { type: 'close' })
      expect(told.at(-1)).toBe('bury 4')
      expect(await read(id)).toBeUndefined()
      await bring(id, 3, add(1))
      expect(await sumOf(id)).toBe(1)
    })

    test('has no effect that passes for a repeat of one of its predecessor of the same name', async () => {
      const id = randomUUID()
      const { bring, keys } = await byHand()
      for (const sequence of [1, 3]) {
        await bring(id, sequence, add(1))
        await bring(id, sequence + 1, { type: 'close' })
      }
      expect(new Set(keys).size).toBe(4)
    })

    test('that ended in a process that died: the next event is for its successor, and not lost', async () => {
      const id = randomUUID()
      const dead = await byHand({ crash: dying('after the store') })
      await expect(dead.bring(id, 1, { type: 'close' })).rejects.toThrow()
      const living = await byHand()
      await living.bring(id, 2, add(1))
      expect(living.told).toEqual(['bury 0', 'tell 1'])
      expect(await sumOf(id)).toBe(1)
    })

    test('what was posted twice with one id is taken once', async () => {
      const id = randomUUID()
      const { host, told } = open()
      for (let times = 0; times < 3; times++) await host.post(id, add(1), { id: `${id}-once` })
      await host.post(id, add(10))
      await until(() => told.includes('tell 11'))
      expect((await read(id))?.context.added).toEqual([1, 10])
    })

    test('an event that its machine does not know, or has no use for, is dropped and counted', async () => {
      const id = randomUUID()
      const { bring, host } = await byHand()
      await bring(id, 1, { type: 'unheard of' } as never)
      await bring(id, 2, { type: 'xstate.done.actor.x' } as never)
      await bring(id, 3, { type: 'hush' })
      expect(host.counts).toMatchObject({ deadLetters: 3, steps: 0 })
      expect(await read(id)).toBeUndefined()
    })

    test('an error in an assign leaves the actor as it was, and the event comes again', async () => {
      const id = randomUUID()
      const { bring, log, told } = await byHand()
      await bring(id, 1, add(1))
      await expect(bring(id, 2, { type: 'break' })).rejects.toThrow('a bug')
      expect(log.lines.at(-1)?.code).toBe('ACTOR_STEP_FAILED')
      expect(await sumOf(id)).toBe(1)
      await bring(id, 3, add(1))
      expect(told.at(-1)).toBe('tell 2')
    })

    test('a delay rings once, when its time has come', async () => {
      const id = randomUUID()
      const { host, told } = open()
      const startedAt = Date.now()
      await host.post(id, { type: 'wait' })
      await until(() => told.includes('ring'))
      expect(Date.now() - startedAt).toBeGreaterThanOrEqual(650)
      expect((await read(id))?.context.rings).toBe(1)
    })

    test('a delay that was set anew and whose setting is repeated still rings, once', async () => {
      const id = randomUUID()
      const { host, told } = open({ crash: dying('before the ack', 2) })
      await host.post(id, { type: 'wait' })
      await host.post(id, { type: 'waitOn' })
      await until(() => host.counts.repeats === 1)
      await until(() => told.includes('ring'))
      expect((await read(id))?.context.rings).toBe(1)
    })

    test('a delay whose state was left does not ring', async () => {
      const [id, other] = [randomUUID(), randomUUID()]
      const { host, told } = open()
      await host.post(id, { type: 'wait' })
      await host.post(id, { type: 'hush' })
      // A later one of the same length has rung: so the first would have, too.
      await until(() => host.counts.steps === 2)
      await host.post(other, { type: 'wait' })
      await until(() => told.includes('ring'))
      expect((await read(id))?.context.rings).toBe(0)
      expect((await read(other))?.context.rings).toBe(1)
    })

    test('a bell that nobody set wakes no actor from the dead', async () => {
      const id = randomUUID()
      const { bring, host } = await byHand()
      await bring(id, 1, { type: 'alarm:xstate.after.aWhile.tally.alive.waiting' } as never)
      expect(host.counts).toMatchObject({ deadLetters: 1, steps: 0 })
      expect(await read(id)).toBeUndefined()
    })
  })
}

describe('processes that die', () => {
  for (const point of crashPoints) {
    test(`kill -9 ${point}: another process takes over, the event is taken once, its effect is not lost`, async () => {
      const id = randomUUID()
      const keys = new Set<string>()
      const hearing = bus.subscribe('told', (message) =>
        keys.add(message.json<{ key: string }>().key),
      )
      onTestFinished(() => hearing.stop())
      const script = fileURLToPath(new URL('tally-process.ts', import.meta.url))
      const doomed = spawn(process.execPath, [script, server.url, point], { stdio: 'inherit' })
      const died = once(doomed, 'exit')
      await inbox.post('tally', id, { type: 'add', n: 7 })
      expect(await died).toEqual([null, 'SIGKILL'])
      const living: DurableHost = durable(tallyMachine, {
        store,
        inbox,
        clock: systemClock,
        log: keptLog(),
        newId: randomUUID,
        ackWaitMs: 500,
        duties: {
          tell: (_, { key }) => void keys.add(key),
          ring: () => {},
          bury: () => {},
        },
      })
      onTestFinished(() => living.stop())
      await until(() => living.counts.steps + living.counts.repeats > 0)
      const document = (await store.load('tally', id))?.document
      expect(document?.context).toMatchObject({ added: [7] })
      expect(keys.size).toBe(1)
    })
  }

  test('a delay outlives every process, the server included', async () => {
    const own = await startNatsServer()
    onTestFinished(() => own.stop())
    const id = randomUUID()
    const life = async (work: (host: DurableHost, told: string[]) => Promise<void>) => {
      const itsBus = await openBus({ servers: own.url, role: 'test', id: randomUUID() })
      const told: string[] = []
      const host = durable(tallyMachine, {
        store: await openActorStore(itsBus),
        inbox: await openDurableInbox(itsBus),
        clock: systemClock,
        log: keptLog(),
        newId: randomUUID,
        duties: { tell: () => {}, ring: () => void told.push('ring'), bury: () => {} },
      })
      await work(host, told)
      await host.stop()
      await itsBus.close()
    }
    await life(async (host) => {
      await host.post(id, { type: 'wait' })
      await until(() => host.counts.steps === 1)
    })
    await own.kill()
    await own.restart()
    await life(async (_, told) => until(() => told.includes('ring')))
  })
})
