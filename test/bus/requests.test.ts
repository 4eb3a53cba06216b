import { setTimeout as wait } from 'node:timers/promises'
import { headers } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus, Outcome } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { listeningLog } from './listening-log.ts'
import { cutOff, until } from './waiting.ts'

let server: TestServer
let asker: Bus
let answerer: Bus

beforeAll(async () => {
  server = await startNatsServer()
  asker = await openBus({ servers: server.url, role: 'front-end', id: 'asker' })
  answerer = await openBus({ servers: server.url, role: 'worker', id: 'answerer' })
  answerer.subscribe('echo', (message) => {
    message.respond(message.data, message.headers ? { headers: message.headers } : {})
  })
  answerer.subscribe('silence', () => {})
  await answerer.nats.flush()
})
afterAll(async () => {
  await asker.close()
  await answerer.close()
  await server.stop()
})

const textOf = (outcome: Outcome) => (typeof outcome === 'string' ? outcome : outcome.string())

describe('one question', () => {
  test('is answered with the bytes and headers of the answer', async () => {
    const sent = headers()
    sent.set('X-Amzn-Trace-Id', 'Root=1')
    const outcome = await asker.request('echo', '{"n":1}', { headers: sent })
    if (typeof outcome === 'string') throw new Error(outcome)
    expect(outcome.string()).toBe('{"n":1}')
    expect(outcome.headers?.get('X-Amzn-Trace-Id')).toBe('Root=1')
  })

  test('that nobody listens to ends at once', async () => {
    expect(await asker.request('nobody', 'x')).toBe('no responders')
  })

  test('answered with nothing, even with headers, is answered', async () => {
    const empty = await asker.request('echo', '')
    expect(typeof empty).toBe('object')
    const more = headers()
    more.set('a', 'b')
    expect(typeof (await asker.request('echo', '', { headers: more }))).toBe('object')
  })

  test('that was answered in time is answered, although this process stood still since', async () => {
    // Answered by the server itself, which does not stand still.
    const answer = asker.request('$JS.API.INFO', '', { timeoutMs: 200 })
    await new Promise(setImmediate)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    expect(typeof (await answer)).toBe('object')
  })

  test('that is not answered ends at its deadline, and a late answer is ignored', async () => {
    let reply = ''
    const late = answerer.subscribe('late', (message) => {
      reply = message.reply ?? ''
    })
    await answerer.nats.flush()
    const outcomes: Outcome[] = []
    asker.ask('late', undefined, { timeoutMs: 30 }, (outcome) => outcomes.push(outcome))
    await until(() => outcomes.length === 1 && reply !== '')
    answerer.publish(reply, 'too late')
    await answerer.nats.flush()
    await asker.nats.flush()
    expect(outcomes).toEqual(['timeout'])
    late.stop()
  })

  test('hears the first of several answers and no other', async () => {
    const twice = answerer.subscribe('twice', (message) => {
      message.respond('one')
      message.respond('two')
    })
    await answerer.nats.flush()
    const outcomes: string[] = []
    asker.ask('twice', undefined, { timeoutMs: 5_000 }, (outcome) => outcomes.push(textOf(outcome)))
    await until(() => outcomes.length > 0)
    await answerer.nats.flush()
    await asker.nats.flush()
    expect(outcomes).toEqual(['one'])
    twice.stop()
  })

  test('that is forgotten hears nothing', async () => {
    const outcomes: Outcome[] = []
    const forget = asker.ask('echo', 'x', { timeoutMs: 10 }, (outcome) => outcomes.push(outcome))
    forget()
    await asker.request('echo', 'after')
    await wait(20)
    expect(outcomes).toEqual([])
  })

  test('too large for the server throws and leaves nothing behind', async () => {
    const tooLarge = new Uint8Array(8 * 1024 * 1024 + 1)
    expect(() => asker.ask('echo', tooLarge, {}, () => {})).toThrow(
      expect.objectContaining({ code: 'BUS_PAYLOAD_TOO_LARGE' }),
    )
    await expect(asker.request('echo', tooLarge)).rejects.toMatchObject({
      code: 'BUS_PAYLOAD_TOO_LARGE',
    })
  })

  test('whose handler throws is logged, and the next one is answered', async () => {
    const log = listeningLog()
    const bus = await openBus({ servers: server.url, role: 'front-end', id: 'buggy', log })
    bus.ask('echo', 'x', {}, () => {
      throw new Error('a bug')
    })
    expect(textOf(await bus.request('echo', 'still here'))).toBe('still here')
    expect(log.codes()).toEqual(['BUS_HANDLER_FAILED'])
    await bus.close()
  })
})

test('many questions at once each get their own answer', async () => {
  const asked = Array.from({ length: 2_000 }, (_, index) => `${index}`)
  const answers = await Promise.all(asked.map((text) => asker.request('echo', text)))
  expect(answers.map(textOf)).toEqual(asked)
})

describe('a question to everybody', () => {
  test('collects the answers that came in time', async () => {
    const others = [1, 2, 3].map((n) =>
      answerer.subscribe('all', (message) => {
        message.respond(`${n}`)
      }),
    )
    await answerer.nats.flush()
    const answers = await asker.askAll('all', '', { waitMs: 3_000 })
    expect(answers.map((message) => message.string()).sort()).toEqual(['1', '2', '3'])
    for (const other of others) other.stop()
  })

  test('ends early with as many as were expected, or at once when nobody listens', async () => {
    const started = performance.now()
    expect(await asker.askAll('echo', 'x', { waitMs: 10_000, expected: 1 })).toHaveLength(1)
    expect(await asker.askAll('nobody', 'x', { waitMs: 10_000 })).toEqual([])
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})

describe('when the link drops', () => {
  test('a question in flight is not failed: its answer may come after the reconnect', async () => {
    const proxy = await cutProxy(server.port)
    const bus = await openBus({ servers: proxy.url, role: 'front-end', id: 'cut' })
    let reply = ''
    const slow = answerer.subscribe('slow', (message) => {
      reply = message.reply ?? ''
    })
    await answerer.nats.flush()
    const outcomes: string[] = []
    bus.ask('slow', 'x', {}, (outcome) => outcomes.push(textOf(outcome)))
    await until(() => reply !== '')
    await cutOff(proxy, bus)
    proxy.resume()
    await bus.ready()
    await bus.nats.flush()
    expect(outcomes).toEqual([])
    answerer.publish(reply, 'at last')
    await until(() => outcomes.length === 1)
    expect(outcomes).toEqual(['at last'])
    slow.stop()
    await bus.close()
    await proxy.close()
  })

  test('a question asked meanwhile is sent when it is back, unless it was given up', async () => {
    const proxy = await cutProxy(server.port)
    const bus = await openBus({ servers: proxy.url, role: 'front-end', id: 'held' })
    const asked: string[] = []
    const counting = answerer.subscribe('counting', (message) => {
      asked.push(message.string())
      message.respond('yes')
    })
    await answerer.nats.flush()
    await cutOff(proxy, bus)
    const outcomes: Outcome[] = []
    const forget = bus.ask('counting', 'forgotten', {}, (outcome) => outcomes.push(outcome))
    bus.ask('counting', 'timed out', { timeoutMs: 1 }, (outcome) => outcomes.push(outcome))
    const held = bus.request('counting', 'held')
    forget()
    await until(() => outcomes.length === 1)
    proxy.resume()
    expect(textOf(await held)).toBe('yes')
    await bus.nats.flush()
    expect(outcomes).toEqual(['timeout'])
    expect(asked).toEqual(['held'])
    counting.stop()
    await bus.close()
    await proxy.close()
  })

  test('closing ends every open question, as a timeout', async () => {
    const bus = await openBus({ servers: server.url, role: 'front-end', id: 'closing' })
    const one = bus.request('silence', 'x')
    const all = bus.askAll('silence', 'x', { waitMs: 60_000 })
    await bus.close()
    expect(await one).toBe('timeout')
    expect(await all).toEqual([])
  })
})
