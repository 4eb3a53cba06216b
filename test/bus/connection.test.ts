import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { type BusOptions, openBus } from '../../bus/connection.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { listeningLog } from './listening-log.ts'
import { cutOff, until } from './waiting.ts'

let server: TestServer
const open: Bus[] = []

beforeAll(async () => {
  server = await startNatsServer()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close()))
})
afterAll(() => server.stop())

async function busFor(options: Partial<BusOptions> = {}): Promise<Bus> {
  const bus = await openBus({ servers: server.url, role: 'front-end', id: 'a', ...options })
  open.push(bus)
  return bus
}

describe('connecting', () => {
  test('where no server listens, it says so at once, with a code and without the password', async () => {
    const failed = openBus({ servers: 'nats://ada:secret@127.0.0.1:1', role: 'worker', id: 'a' })
    await expect(failed).rejects.toMatchObject({
      code: 'BUS_NO_SERVER',
      message: expect.stringMatching(/^no NATS server at nats:\/\/127\.0\.0\.1:1 /),
    })
  })

  test('an address that is none is refused without repeating it', async () => {
    for (const servers of ['nats://', 'http://127.0.0.1:4222', 'nats://a:b:c:d']) {
      const failed = openBus({ servers, role: 'worker', id: 'a' })
      await expect(failed).rejects.toMatchObject({
        code: 'BUS_BAD_ADDRESS',
        message: 'a NATS address looks like nats://host:4222',
      })
    }
  })

  test('the connection carries the role and the id, and its inboxes the role', async () => {
    const bus = await busFor({ role: 'worker-manager', id: 'w1' })
    // By then the server knows of its inbox.
    await bus.nats.flush()
    const response = await fetch(`${server.monitoringUrl}/connz?subs=1`)
    const { connections } = (await response.json()) as {
      connections: { name: string; subscriptions_list: string[] }[]
    }
    const mine = connections.find(({ name }) => name === 'lambus worker-manager w1')
    expect(mine?.subscriptions_list).toEqual([
      expect.stringMatching(/^_INBOX_worker_manager\.\w{22}\.\*$/),
    ])
    expect(bus.up).toBe(true)
  })
})

describe('credentials', () => {
  let guarded: TestServer
  beforeAll(async () => {
    guarded = await startNatsServer({
      conf: `
authorization {
  users: [
    { user: "ada", password: "p@ss:w/rd" }
    { user: "limited", password: "x", permissions: {
        publish: { allow: ["allowed", "answers", "_INBOX_worker.>"] }
        subscribe: { allow: ["allowed", "_INBOX_worker.>"] } } }
  ]
}`,
    })
  })
  afterAll(() => guarded.stop())

  test('they are taken from the address, percent-encoded as addresses are', async () => {
    const servers = guarded.url.replace('nats://', 'nats://ada:p%40ss%3Aw%2Frd@')
    expect((await busFor({ servers })).up).toBe(true)
  })

  test('those given as options win over the address', async () => {
    const servers = guarded.url.replace('nats://', 'nats://limited:wrong@')
    expect((await busFor({ servers, user: 'ada', password: 'p@ss:w/rd' })).up).toBe(true)
  })

  test('wrong ones are refused with a code, and without repeating the password', async () => {
    const failed = openBus({
      servers: guarded.url,
      role: 'worker',
      id: 'a',
      user: 'ada',
      password: 'guess',
    })
    await expect(failed).rejects.toMatchObject({
      code: 'BUS_CREDENTIALS_REFUSED',
      message: `the NATS server at ${guarded.url} does not let 'ada' in`,
    })
    await expect(openBus({ servers: guarded.url, role: 'worker', id: 'a' })).rejects.toMatchObject({
      code: 'BUS_CREDENTIALS_REFUSED',
    })
  })

  test('a server that comes back and refuses us is asked again until it does not, and says so once', async () => {
    const withUser = (password: string) =>
      `authorization {\n  user: ada\n  password: "${password}"\n}`
    const first = await startNatsServer({ conf: withUser('right') })
    const log = listeningLog()
    const bus = await busFor({ servers: first.url, user: 'ada', password: 'right', log })
    await first.kill()
    const second = await startNatsServer({ conf: withUser('other'), port: first.port })
    await until(() => log.codes().includes('BUS_SERVER_ERROR'))
    // Long enough for a dozen refusals; nats.js itself would give up at the second.
    await wait(1_500)
    expect(bus.nats.isClosed()).toBe(false)
    await second.stop()
    await first.restart()
    await bus.ready()
    expect(log.codes()).toEqual(['BUS_LINK_DOWN', 'BUS_SERVER_ERROR'])
    await first.stop()
  })

  test('what the server denies us is logged once and disturbs nothing else', async () => {
    const log = listeningLog()
    const bus = await busFor({
      servers: guarded.url,
      role: 'worker',
      user: 'limited',
      password: 'x',
      log,
    })
    const heard: string[] = []
    bus.subscribe('allowed', (message) => heard.push(message.string()))
    bus.subscribe('secret', () => heard.push('secret'))
    bus.publish('denied', 'one')
    bus.publish('denied', 'two')
    bus.publish('allowed', 'through')
    await until(() => heard.length > 0 && log.codes().length >= 2)
    await bus.nats.flush()
    expect(heard).toEqual(['through'])
    expect(log.lines.map(({ fields }) => fields)).toMatchObject([
      { code: 'BUS_PERMISSION_DENIED', operation: 'subscription', subject: 'secret' },
      { code: 'BUS_PERMISSION_DENIED', operation: 'publish', subject: 'denied' },
    ])
  })
})

describe('publish and subscribe', () => {
  test('messages of one publisher arrive in order, with headers and reply', async () => {
    const bus = await busFor()
    const heard: string[] = []
    bus.subscribe('order', (message) => heard.push(message.string()))
    for (let index = 0; index < 100; index += 1) bus.publish('order', `${index}`)
    await until(() => heard.length === 100)
    expect(heard).toEqual(Array.from({ length: 100 }, (_, index) => `${index}`))
  })

  test('of a queue group one member hears each message', async () => {
    const bus = await busFor()
    let heard = 0
    for (let member = 0; member < 3; member += 1) {
      bus.subscribe('work', () => (heard += 1), { queue: 'workers' })
    }
    for (let index = 0; index < 30; index += 1) bus.publish('work', '')
    await bus.nats.flush()
    expect(heard).toBe(30)
  })

  test('a handler that throws, or rejects, is logged with a code and goes on hearing', async () => {
    const log = listeningLog()
    const bus = await busFor({ log })
    const heard: string[] = []
    bus.subscribe('bad', (message) => {
      heard.push(message.string())
      throw new Error('a bug')
    })
    bus.subscribe('worse', async () => {
      throw new Error('a late bug')
    })
    bus.publish('bad', 'one')
    bus.publish('bad', 'two')
    bus.publish('worse', '')
    await until(() => log.codes().length === 3)
    expect(heard).toEqual(['one', 'two'])
    expect(log.codes()).toEqual(Array(3).fill('BUS_HANDLER_FAILED'))
    expect(bus.up).toBe(true)
  })

  test('a stopped subscription still handles what was on its way, and nothing after', async () => {
    const bus = await busFor()
    const other = await busFor({ id: 'b' })
    const heard: string[] = []
    const subscription = bus.subscribe('stopping', (message) => heard.push(message.string()))
    await bus.nats.flush()
    other.publish('stopping', 'before')
    await other.nats.flush()
    subscription.stop()
    subscription.stop()
    await bus.nats.flush()
    other.publish('stopping', 'after')
    await other.nats.flush()
    await bus.nats.flush()
    expect(heard).toEqual(['before'])
  })

  test('what NATS cannot carry is refused where it is published', async () => {
    const bus = await busFor()
    const tooLarge = new Uint8Array(8 * 1024 * 1024 + 1)
    expect(() => bus.publish('big', tooLarge)).toThrow(
      expect.objectContaining({ code: 'BUS_PAYLOAD_TOO_LARGE' }),
    )
    expect(() => bus.publish('two words', '')).toThrow(
      expect.objectContaining({ code: 'BUS_BAD_SUBJECT' }),
    )
    expect(() => bus.subscribe('two words', () => {})).toThrow(
      expect.objectContaining({ code: 'BUS_BAD_SUBJECT' }),
    )
  })
})

describe('the gate', () => {
  test('a cut link is noticed, dialled again, and subscriptions go on', async () => {
    const proxy = await cutProxy(server.port)
    const bus = await busFor({ servers: proxy.url })
    const other = await busFor({ id: 'b' })
    const heard: string[] = []
    bus.subscribe('again', (message) => heard.push(message.string()))
    await bus.nats.flush()
    let reconnects = 0
    const forget = bus.onReconnect(() => (reconnects += 1))

    await cutOff(proxy, bus)
    proxy.resume()
    await bus.ready()
    expect(bus.up).toBe(true)
    expect(reconnects).toBe(1)
    await bus.nats.flush()
    other.publish('again', 'after the cut')
    await until(() => heard.length === 1)

    forget()
    await cutOff(proxy, bus)
    proxy.resume()
    await bus.ready()
    expect(reconnects).toBe(1)
    await proxy.close()
  })

  test('what is published while the link is down is dropped, counted, and logged once', async () => {
    const log = listeningLog()
    const proxy = await cutProxy(server.port)
    const bus = await busFor({ servers: proxy.url, log })
    const other = await busFor({ id: 'b' })
    const heard: string[] = []
    other.subscribe('lost', (message) => heard.push(message.string()))
    await other.nats.flush()

    await cutOff(proxy, bus)
    for (let index = 0; index < 5; index += 1) bus.publish('lost', 'while down')
    proxy.resume()
    await bus.ready()
    bus.publish('lost', 'after')
    await until(() => heard.length > 0)
    expect(heard).toEqual(['after'])
    expect(log.codes()).toEqual(['BUS_LINK_DOWN', 'BUS_MESSAGE_DROPPED'])
    expect(log.lines.at(-1)).toMatchObject({
      level: 'info',
      fields: { droppedMessages: 5 },
    })
    await proxy.close()
  })

  test('it outlives more refusals in a row than nats.js would, and a server killed and restarted', async () => {
    const own = await startNatsServer()
    const bus = await busFor({ servers: own.url })
    await own.kill()
    await until(() => !bus.up)
    // Ten attempts is where nats.js gives up by default.
    await wait(2_500)
    expect(bus.nats.isClosed()).toBe(false)
    await own.restart()
    await bus.ready()
    expect(await bus.request('nobody', '')).toBe('no responders')
    await own.stop()
  })
})

describe('closing', () => {
  test('what was received is handled and what was published is sent', async () => {
    const bus = await openBus({ servers: server.url, role: 'worker', id: 'closing' })
    const other = await busFor({ id: 'b' })
    const heard: string[] = []
    const answers: string[] = []
    other.subscribe('answers', (message) => answers.push(message.string()))
    await other.nats.flush()
    bus.subscribe('closing', (message) => {
      heard.push(message.string())
      bus.publish('answers', message.string())
    })
    await bus.nats.flush()
    for (let index = 0; index < 50; index += 1) other.publish('closing', `${index}`)
    await other.nats.flush()
    await bus.close()
    await other.nats.flush()
    expect(heard).toHaveLength(50)
    expect(answers).toHaveLength(50)
    expect(bus.up).toBe(false)
  })

  test('a closed bus drops messages instead of throwing into whoever still has a timer', async () => {
    const bus = await openBus({ servers: server.url, role: 'worker', id: 'closed' })
    await bus.close()
    await bus.close()
    expect(() => bus.publish('late', '')).not.toThrow()
    expect(() => bus.subscribe('late', () => {})).toThrow(
      expect.objectContaining({ code: 'BUS_CLOSED' }),
    )
  })

  test('whoever waits for the link hears that it will not come back', async () => {
    const proxy = await cutProxy(server.port)
    const bus = await openBus({ servers: proxy.url, role: 'worker', id: 'waiting' })
    await cutOff(proxy, bus)
    const waiting = bus.ready()
    const asking = bus.request('nobody', '')
    await Promise.all([
      expect(waiting).rejects.toMatchObject({ code: 'BUS_CLOSED' }),
      expect(asking).resolves.toBe('timeout'),
      bus.close(),
    ])
    await expect(bus.ready()).rejects.toMatchObject({ code: 'BUS_CLOSED' })
    await proxy.close()
  })

  test('it does not wait for a link that is down', async () => {
    const proxy = await cutProxy(server.port)
    const bus = await openBus({ servers: proxy.url, role: 'worker', id: 'down' })
    await proxy.close()
    await until(() => !bus.up)
    await bus.close()
    expect(bus.nats.isClosed()).toBe(true)
  })
})
