import { setTimeout as wait } from 'node:timers/promises'
import { DiscardPolicy, type StreamConfig } from '@nats-io/jetstream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { announce } from '../../bus/announce.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { cutOff, until } from './waiting.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: 'announce' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const say = (
  subject: string,
  { on = bus, id = subject, body = 'x', waitMs = 300, patienceMs = 0 } = {},
) => announce(on, { subject, body, headers: { 'Nats-Msg-Id': id }, waitMs, patienceMs })
/** For what is answered: a busy machine has time to. */
const waitMs = 5_000

const addStream = async (settings: Partial<StreamConfig> & { name: string }) =>
  (await bus.jetstreamManager()).streams.add(settings)
const messagesIn = async (name: string) =>
  (await (await bus.jetstreamManager()).streams.info(name)).state.messages

test('a subject that nobody hears is said to be one', async () => {
  expect(await say('nobody.a')).toBe('nobody')
})

test('a subscriber hears without having to answer', async () => {
  const heard: string[] = []
  const hearing = bus.subscribe('core.a', (message) => heard.push(message.string()))
  expect(await say('core.a')).toBe('heard')
  expect(heard).toEqual(['x'])
  hearing.stop()
})

test('a stream stores the same message once', async () => {
  await addStream({ name: 'KEEPS', subjects: ['kept.*'] })
  expect(await say('kept.a', { id: '1', waitMs })).toBe('heard')
  expect(await say('kept.a', { id: '1', waitMs })).toBe('heard')
  expect(await say('kept.a', { id: '2', waitMs })).toBe('heard')
  expect(await messagesIn('KEEPS')).toBe(2)
})

test('a stream that does not take a message says why', async () => {
  await addStream({ name: 'FULL', subjects: ['full.*'], max_msgs: 1, discard: DiscardPolicy.New })
  await addStream({ name: 'SMALL', subjects: ['small.*'], max_msg_size: 100 })
  await say('full.a', { id: '1', waitMs })
  expect(await say('full.a', { id: '2', waitMs })).toEqual({
    refused: 'maximum messages exceeded',
    passing: true,
  })
  expect(await say('small.a', { body: 'x'.repeat(200), waitMs })).toEqual({
    refused: 'message size exceeds maximum allowed',
    passing: false,
  })
})

test('a service may refuse, and may answer whatever it likes', async () => {
  const hearing = bus.subscribe('service.*', (message) => {
    if (message.subject.endsWith('null')) message.respond('null')
    else message.respond('{"error":"no"}')
  })
  expect(await say('service.null')).toBe('heard')
  expect(await say('service.error')).toBe('heard')
  hearing.stop()
})

test('nobody is not believed at once: listeners may be on their way back', async () => {
  const late = setTimeout(() => bus.subscribe('late.a', () => {}), 300)
  expect(await say('late.a', { patienceMs: 5_000 })).toBe('heard')
  clearTimeout(late)
})

test('what a stream refused while this process stood still is heard all the same', async () => {
  await addStream({ name: 'STILL', subjects: ['still.*'], max_msg_size: 100 })
  const said = say('still.a', { body: 'x'.repeat(200) })
  // It is written, and then nothing is done for longer than an answer is waited for.
  await new Promise((resolve) => setImmediate(resolve))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
  expect(await said).toEqual({ refused: 'message size exceeds maximum allowed', passing: false })
})

test('silence on a link that broke is no sign of having been heard', async () => {
  const proxy = await cutProxy(server.port)
  const cut = await openBus({ servers: proxy.url, role: 'test', id: 'cut' })
  const heard: string[] = []
  const hearing = bus.subscribe('broken.a', (message) => heard.push(message.string()))
  await bus.nats.flush()

  proxy.pause()
  const said = say('broken.a', { on: cut })
  await wait(400)
  expect(heard).toEqual([])
  await cutOff(proxy, cut)
  proxy.resume()
  expect(await said).toBe('heard')
  await until(() => heard.length > 0)

  hearing.stop()
  await cut.close()
  await proxy.close()
})

// NATS docs, "Authorization": what is denied is said to the connection, not to who asked.
test('a subject that we may not speak on is no subject that heard', async () => {
  const guarded = await startNatsServer({
    conf: `authorization { users: [
      { user: some, password: pass, permissions { publish { allow: ["may.*", "_INBOX.>"] }, subscribe: ">" } }
      { user: all, password: pass }
    ] }`,
  })
  const all = await openBus({
    servers: guarded.url,
    role: 't',
    id: '1',
    user: 'all',
    password: 'pass',
  })
  const some = await openBus({
    servers: guarded.url,
    role: 't',
    id: '2',
    user: 'some',
    password: 'pass',
  })
  all.subscribe('>', () => {})
  await all.nats.flush()
  const denied = { refused: 'NATS denies us not.a', passing: false }
  expect(await say('not.a', { on: some })).toEqual(denied)
  expect(await Promise.all([say('not.a', { on: some }), say('may.a', { on: some })])).toEqual([
    denied,
    'heard',
  ])
  await all.close()
  await some.close()
  await guarded.stop()
})

test('a closed bus says nothing', async () => {
  const own = await openBus({ servers: server.url, role: 'test', id: 'closed' })
  await own.close()
  await expect(say('x.y', { on: own })).rejects.toMatchObject({ code: 'BUS_CLOSED' })
})
