/**
 * A function gets a queue of its own when its backlog asks for it, and shares again: no event is lost or run twice on the way.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { headers } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { QueueOverview } from '../../actors/queue.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { queues } from '../../bus/subjects.ts'
import { until } from '../bus/waiting.ts'
import { deploy, type System, startSystem } from './system.ts'

let system: System
let bus: Bus
const dir = mkdtempSync(join(tmpdir(), 'lambus-queues-'))
const log = join(dir, 'done')

beforeAll(async () => {
  writeFileSync(log, '')
  system = await startSystem([], { LAMBUS_SPLIT_AT: '100', LAMBUS_MERGE_AFTER_MS: '1000' })
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'queues' })
  const code = `import { appendFileSync } from 'node:fs'
    export const handler = async ({ n }) => {
      await new Promise((resolve) => setTimeout(resolve, 60))
      appendFileSync(process.env.LOG, n + '\\n')
    }`
  await deploy(system.lambda, 'busy', code, { Environment: { Variables: { LOG: log } } })
}, 60_000)
afterAll(async () => {
  await bus?.close()
  await system?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const event = headers()
event.set('X-Amz-Invocation-Type', 'Event')
const done = () => readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number)
const overview = async (): Promise<QueueOverview[]> => {
  const answer = await bus.request(queues, undefined, { timeoutMs: 20_000 })
  if (typeof answer === 'string') throw new Error(`${answer}; the system said:\n${system.log()}`)
  return answer.json<{ queues: QueueOverview[] }>().queues
}
const own = async () => (await overview()).find(({ queue }) => queue === 'fn-busy')

test('events go to its own queue and back, each is run once', async () => {
  await until(async () => (await overview()).length === 4)
  expect((await overview()).map(({ queue }) => queue).sort()).toEqual(
    Array.from({ length: 4 }, (_, index) => `shared-${index}`),
  )
  const states = new Set<string | undefined>()
  const seen = { backlog: 0, inFlight: 0, oldestMs: 0 }
  const hasSeenAll = () => states.has('dedicated') && Object.values(seen).every((most) => most > 0)
  let sent = 0
  const sending = async () => {
    // A machine that stores slowly does them as fast as they come: then more are sent.
    while (sent < 1_500 || !hasSeenAll()) {
      const n = sent++
      const options = { headers: event, timeoutMs: 20_000 }
      const answer = await bus.request('lambus.invoke.busy', JSON.stringify({ n }), options)
      if (typeof answer === 'string') throw new Error(answer)
    }
  }
  const look = async () => {
    const its = await own()
    states.add(its?.state)
    for (const name of ['backlog', 'inFlight', 'oldestMs'] as const) {
      seen[name] = Math.max(seen[name], ...(its?.functions ?? []).map((one) => one[name]))
    }
    await wait(100)
  }
  let isSent = false
  const looking = async () => {
    while (!isSent || done().length < sent) await look()
  }
  const sendAll = async () => {
    await Promise.all(Array.from({ length: 8 }, sending))
    isSent = true
  }
  await Promise.all([sendAll(), looking()])
  // And still some after it has gone back.
  for (let state = (await own())?.state; state !== undefined; state = (await own())?.state) {
    states.add(state)
    await wait(100)
  }
  expect(done().toSorted((one, other) => one - other)).toEqual(
    Array.from({ length: sent }, (_, n) => n),
  )
  console.log(`states seen: ${[...states].map(String).join(', ')}; most: ${JSON.stringify(seen)}`)
  expect([...states]).toEqual(expect.arrayContaining(['dedicated', 'merging']))
  expect(seen.backlog).toBeGreaterThan(0)
  expect(seen.inFlight).toBeGreaterThan(0)
  expect(seen.oldestMs).toBeGreaterThan(0)
}, 120_000)
