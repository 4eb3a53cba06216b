import { afterAll, beforeAll, expect, test } from 'vitest'
import { openLeaderQuestions } from '../../actors/leader-questions.ts'
import type { Bus, Msg, Outcome } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { until } from '../bus/waiting.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let asker: Bus
const members: Bus[] = []
beforeAll(async () => {
  server = await startNatsServer()
  asker = await openBus({ servers: server.url, role: 'client', id: 'asker' })
})
afterAll(async () => {
  for (const bus of [asker, ...members]) await bus?.close()
  await server?.stop()
})

/** One that might lead; its clock is moved by hand. */
const member = async (name: string) => {
  const bus = await openBus({ servers: server.url, role: 'state-manager', id: name })
  members.push(bus)
  let nowMs = 0
  let heard = 0
  const clock = { monotonicMs: () => nowMs } as Parameters<typeof openLeaderQuestions>[0]['clock']
  const subscribe: Bus['subscribe'] = (subject, hear) =>
    bus.subscribe(subject, (message) => {
      hear(message)
      heard += 1
    })
  const answer = (question: Msg) => question.respond(`${name}: ${question.string()}`)
  const questions = openLeaderQuestions({ bus: { subscribe }, clock, subject: 'asked', answer })
  await bus.nats.flush()
  return {
    ...questions,
    heard: (count: number) => until(() => heard >= count),
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}
const ask = (text: string): Promise<Outcome> => asker.request('asked', text, { timeoutMs: 5_000 })
const textOf = (outcome: Outcome) => (typeof outcome === 'string' ? outcome : outcome.string())

test('what is asked while nobody leads is answered by whoever leads next, and what is too old is not', async () => {
  const one = await member('one')
  const other = await member('other')
  const old = asker.request('asked', 'old', { timeoutMs: 1_000 })
  await Promise.all([one.heard(1), other.heard(1)])
  for (const each of [one, other]) each.pass(10_001)
  const early = ask('early')
  await Promise.all([one.heard(2), other.heard(2)])
  one.leads()
  expect(textOf(await early)).toBe('one: early')
  expect(textOf(await ask('at once'))).toBe('one: at once')
  expect(textOf(await old)).toBe('timeout')

  one.follows()
  await other.heard(3)
  const between = ask('between')
  await Promise.all([one.heard(4), other.heard(4)])
  other.leads()
  expect(textOf(await between)).toBe('other: between')
  for (const each of [one, other]) each.stop()
})
