/** Answers and links that break, on a real nats-server. */
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Answers, openAnswers } from '../../bus/answers.ts'
import type { Bus, Msg } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { systemClock } from '../../edges/clock.ts'
import { type CutProxy, cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { until } from './waiting.ts'

let server: TestServer
let proxy: CutProxy
/** Who asks, and who answers through a link that can be cut. */
let asker: Bus
let answerer: Bus
let answers: Answers
let asked: Msg[]
beforeEach(async () => {
  server = await startNatsServer()
  proxy = await cutProxy(server.port)
  asker = await openBus({ servers: server.url, role: 'front-end', id: 'f' })
  answerer = await openBus({ servers: proxy.url, role: 'worker', id: 'w' })
  answers = openAnswers(answerer, systemClock, { mostBytes: 1_000 })
  asked = []
  answerer.subscribe('question', (message) => {
    asked.push(message)
  })
  await answerer.nats.flush()
})
afterEach(async () => {
  answers.stop()
  await Promise.all([asker.close(), answerer.close()])
  await proxy.close()
  await server.stop()
})

const heard: string[] = []
/** Asks so many, and waits until they are there. */
async function ask(count: number): Promise<void> {
  heard.length = 0
  for (let index = 0; index < count; index++) {
    asker.ask('question', `${index}`, {}, (outcome) => {
      heard.push(typeof outcome === 'string' ? outcome : outcome.string())
    })
  }
  await until(() => asked.length === count)
}
const giveAll = () => {
  for (const { reply = '', data } of asked) answers.give(reply, `to ${Buffer.from(data)}`)
}

test('are given, and forgotten when the server has them', async () => {
  await ask(3)
  giveAll()
  expect(answers.size).toBe(3)
  await until(() => heard.length === 3 && answers.size === 0)
  expect(heard).toEqual(['to 0', 'to 1', 'to 2'])
})

test('that were given to a link that was dead already come when it is back', async () => {
  await ask(3)
  proxy.cut()
  expect(answerer.up).toBe(true)
  giveAll()
  await until(() => heard.length === 3)
  expect(heard).toEqual(['to 0', 'to 1', 'to 2'])
  await until(() => answers.size === 0)
})

test('that are given while the link is down wait for it', async () => {
  await ask(3)
  proxy.cut()
  await until(() => !answerer.up)
  giveAll()
  await until(() => heard.length === 3)
  expect(heard).toEqual(['to 0', 'to 1', 'to 2'])
})

test('that were given just before the server died come when it is back', async () => {
  await ask(3)
  giveAll()
  await server.kill()
  await server.restart()
  await until(() => heard.length === 3)
  expect(heard).toEqual(['to 0', 'to 1', 'to 2'])
  await until(() => answers.size === 0)
})

test('reach one who dials later than they are given', async () => {
  const far = await cutProxy(server.port)
  const late = await openBus({ servers: far.url, role: 'front-end', id: 'g' })
  let answer = ''
  late.ask('question', '', {}, (outcome) => {
    answer = typeof outcome === 'string' ? outcome : outcome.string()
  })
  await until(() => asked.length === 1)
  far.cut()
  proxy.cut()
  await until(() => !answerer.up)
  await answerer.ready()
  answers.give(asked[0]?.reply ?? '', 'here')
  await until(() => answer === 'here')
  await late.close()
  await far.close()
})

test('are kept only as far as there is room, the newest first', async () => {
  await ask(4)
  proxy.cut()
  for (const { reply = '' } of asked) answers.give(reply, Buffer.alloc(400))
  expect(answers.size).toBe(2)
  await until(() => heard.length === 2)
  asked = []
  // One that is larger than all of the room is kept, too.
  await ask(1)
  proxy.cut()
  answers.give(asked[0]?.reply ?? '', Buffer.alloc(2_000, 'x'))
  expect(answers.size).toBe(1)
  await until(() => heard.length === 1)
  expect(heard[0]).toHaveLength(2_000)
})

test('that were never sent are all kept, however large', async () => {
  await ask(4)
  proxy.cut()
  await until(() => !answerer.up)
  for (const { reply = '' } of asked) answers.give(reply, Buffer.alloc(400))
  expect(answers.size).toBe(4)
  await answerer.ready()
  // The link is back, and those before are still to be sent.
  answers.give('nobody', Buffer.alloc(400))
  await until(() => heard.length === 4)
})

test('are not given to anybody twice who asked once', async () => {
  await ask(1)
  giveAll()
  proxy.cut()
  await until(() => heard.length > 0)
  await until(() => answers.size === 0)
  await wait(100)
  expect(heard).toEqual(['to 0'])
})
