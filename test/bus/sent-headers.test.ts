import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { sentHeaders } from '../../bus/sent-headers.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: 'headers' })
})
afterAll(async () => {
  await bus?.close()
  await server?.stop()
})

test('arrive as they were given, with the payload', async () => {
  const echo = bus.subscribe('echo', (message) => {
    const { headers, data } = message
    bus.publish(message.reply ?? '', data, {
      headers: sentHeaders(['Again', headers?.get('Name') ?? ''], ['Second', 'two']),
    })
  })
  const answer = await bus.request('echo', '{"n":1}', {
    headers: sentHeaders(['Name', '{"ü":"€ 😀"}']),
    timeoutMs: 5_000,
  })
  echo.stop()
  if (typeof answer === 'string') throw new Error(answer)
  expect(answer.string()).toBe('{"n":1}')
  expect(answer.headers?.get('Again')).toBe('{"ü":"€ 😀"}')
  expect(answer.headers?.get('Second')).toBe('two')
})

test('go without a payload, too, and are not taken for "no responders"', async () => {
  const silent = bus.subscribe('silent', (message) => {
    bus.publish(message.reply ?? '', undefined, { headers: sentHeaders(['Only', 'this']) })
  })
  const answer = await bus.request('silent', '', { timeoutMs: 5_000 })
  silent.stop()
  expect(typeof answer === 'string' ? answer : answer.headers?.get('Only')).toBe('this')
})

test('refuse a line break, which would begin a header of its own', () => {
  expect(() => sentHeaders(['A', 'x\r\nB: y'])).toThrow(RangeError)
})
