/**
 * A function that takes its time must not take that of others: one that always takes a minute, and twenty that are quick, on
 * the same shared queues.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { headers } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { countsOf } from '../../bus/event-stream.ts'
import { anyPacketOf } from '../../bus/subjects.ts'
import { deploy, type System, startSystem } from '../system/system.ts'

let system: System
let bus: Bus
const dir = mkdtempSync(join(tmpdir(), 'lambus-slow-'))
const log = join(dir, 'done')
const quick = Array.from({ length: 20 }, (_, index) => `quick-${index}`)

beforeAll(async () => {
  writeFileSync(log, '')
  system = await startSystem([], { LAMBUS_SPLIT_AT: '50', LAMBUS_DRAIN_TIMEOUT_MS: '1000' })
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'slow' })
  const code = `import { appendFileSync } from 'node:fs'
    export const handler = async ({ sentMs, ms }) => {
      if (ms) await new Promise((resolve) => setTimeout(resolve, ms))
      else appendFileSync(process.env.LOG, Date.now() - sentMs + '\\n')
    }`
  const more = { Environment: { Variables: { LOG: log } }, Timeout: 90 }
  for (const name of [...quick, 'slow']) await deploy(system.lambda, name, code, more)
}, 120_000)
afterAll(async () => {
  await bus?.close()
  await system?.kill()
  await system?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const event = headers()
event.set('X-Amz-Invocation-Type', 'Event')

async function send(name: string, payload: object): Promise<void> {
  const options = { headers: event, timeoutMs: 5_000 }
  const answer = await bus.request(`lambus.invoke.${name}`, JSON.stringify(payload), options)
  if (typeof answer === 'string' || answer.headers?.get('Nats-Service-Error')) {
    throw new Error(`${name} was not accepted`)
  }
}

const done = () => readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number)

test('quick functions are done in less than 250 ms beside one that takes a minute', async () => {
  // Everybody has been here before.
  for (const name of quick) await send(name, { sentMs: Date.now() })
  while (done().length < quick.length) await wait(50)
  writeFileSync(log, '')

  await Promise.all(Array.from({ length: 300 }, () => send('slow', { ms: 60_000 })))
  const rounds = 40
  for (let round = 0; round < rounds; round++) {
    await Promise.all(quick.map((name) => send(name, { sentMs: Date.now() })))
    await wait(250)
  }
  while (done().length < rounds * quick.length) await wait(50)
  const took = done().sort((one, other) => one - other)
  const at = (share: number) => took[Math.floor(share * (took.length - 1))] as number
  const own = await countsOf(bus, anyPacketOf('fn-slow', 0))
  console.log(
    `${took.length} events of 20 quick functions beside 300 of a slow one: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, slowest ${at(1)} ms`,
  )
  expect(own.length).toBeGreaterThan(0)
  expect(at(0.99)).toBeLessThan(250)
}, 120_000)
