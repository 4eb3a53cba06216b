import { JetStreamApiError } from '@nats-io/jetstream'
import { errors } from 'nats'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { askOnce, insist } from '../../bus/insist.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { cutOff } from './waiting.ts'

let server: TestServer
let bus: Bus

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

async function fragile() {
  const proxy = await cutProxy(server.port)
  const other = await openBus({ servers: proxy.url, role: 'test', id: 'fragile' })
  onTestFinished(async () => {
    await other.close()
    await proxy.close()
  })
  return { proxy, other }
}

test('what was not answered is asked again, and each attempt knows how many went before it', async () => {
  const attempts: number[] = []
  const answer = await insist(bus, 'a question', async (unanswered) => {
    attempts.push(unanswered)
    if (unanswered < 2) throw new errors.TimeoutError()
    return 'answer'
  })
  expect(answer).toBe('answer')
  expect(attempts).toEqual([0, 1, 2])
})

test('a refusal is an answer', async () => {
  let attempts = 0
  const refusal = new JetStreamApiError({ code: 400, err_code: 10071, description: 'no' })
  await expect(
    insist(bus, 'a question', async () => {
      attempts += 1
      throw refusal
    }),
  ).rejects.toBe(refusal)
  expect(attempts).toBe(1)
})

test('no answer for as long as one has patience is an error with a code', async () => {
  const never = async () => await bus.jetstream.publish('nobody.stores.this', '')
  await expect(insist(bus, 'a question', never, 200)).rejects.toMatchObject({
    code: 'BUS_STORE_UNAVAILABLE',
  })
  await expect(insist(bus, 'a question', () => new Promise(() => {}), 50)).rejects.toMatchObject({
    code: 'BUS_STORE_UNAVAILABLE',
  })
  await expect(askOnce(bus, 'a question', never)).rejects.toMatchObject({
    code: 'BUS_STORE_UNAVAILABLE',
  })
})

test('a link that does not come back within the patience is an error with the same code', async () => {
  const { other, proxy } = await fragile()
  await cutOff(proxy, other)
  const attempt = () => expect.unreachable()
  await expect(insist(other, 'a question', attempt, 50)).rejects.toMatchObject({
    code: 'BUS_STORE_UNAVAILABLE',
  })
  await expect(askOnce(other, 'a question', attempt, 50)).rejects.toMatchObject({
    code: 'BUS_STORE_UNAVAILABLE',
  })
})

test('a question whose link broke is asked again as soon as there is a new one', async () => {
  const { other, proxy } = await fragile()
  const asked = performance.now()
  const answer = await insist(other, 'a question', async (unanswered) => {
    if (unanswered > 0) return 'answer'
    proxy.cut()
    return await new Promise<string>(() => {})
  })
  expect(answer).toBe('answer')
  // The client itself would wait for 5 s.
  expect(performance.now() - asked).toBeLessThan(3_000)
})

test('a closed bus is said to be closed, at once', async () => {
  const { other } = await fragile()
  await other.close()
  for (const ask of [insist, askOnce]) {
    await expect(ask(other, 'a question', () => expect.unreachable())).rejects.toMatchObject({
      code: 'BUS_CLOSED',
    })
  }
})
