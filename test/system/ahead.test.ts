/** More invocations than sandboxes: the next one waits in a busy sandbox for the one before it (docs/decisions/0013). */
import { headers } from 'nats'
import { expect, test } from 'vitest'
import { openBus } from '../../bus/connection.ts'
import { deploy, startSystem } from './system.ts'

const source = `let running = 0
export const handler = async ({ n, sleepMs = 0, die }) => {
  running += 1
  if (running > 1) return 'two at a time'
  if (die) process.exit(7)
  if (sleepMs > 0) await new Promise((resolve) => setTimeout(resolve, sleepMs))
  running -= 1
  return { n }
}`

type Event = { n: number; sleepMs?: number; die?: boolean }

/** A system with room for so many sandboxes, and the function above, which has been quick in each of them. */
async function startSmall(sandboxes: number, more: object = {}) {
  const system = await startSystem([], {
    LAMBUS_WORKER_MEMORY_MB: String(sandboxes * 128),
    LAMBUS_LOG_LEVEL: 'debug',
  })
  const bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
  await deploy(system.lambda, 'f', source, { MemorySize: 128, ...more })
  const invoke = async (event: Event): Promise<string> => {
    const options = { headers: headers(), timeoutMs: 20_000 }
    const outcome = await bus.request('lambus.invoke.f', JSON.stringify(event), options)
    return typeof outcome === 'string' ? outcome : outcome.string()
  }
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(Array.from({ length: sandboxes }, (_, n) => invoke({ n })))
  }
  const sentAhead = () => system.log().split('"event":"sentAhead"').length - 1
  return {
    invoke,
    sentAhead,
    async [Symbol.asyncDispose]() {
      await bus.close()
      await system.stop()
    },
  }
}

test('many invocations on two sandboxes are all answered, and never two at a time in one', async () => {
  await using small = await startSmall(2)
  const lanes = Array.from({ length: 24 }, async (_, lane) => {
    for (let each = 0; each < 20; each += 1) {
      const n = lane * 100 + each
      expect(await small.invoke({ n })).toBe(JSON.stringify({ n }))
    }
  })
  await Promise.all(lanes)
  expect(small.sentAhead()).toBeGreaterThan(10)
})

test('who waits behind one that takes long is taken back when another sandbox is free', async () => {
  await using small = await startSmall(2)
  const order: string[] = []
  const note = (what: string) => () => order.push(what)
  const slow = small.invoke({ n: 1, sleepMs: 1_500 }).then(note('slow'))
  const short = small.invoke({ n: 2, sleepMs: 200 }).then(note('short'))
  await Promise.all([3, 4].map((n) => small.invoke({ n }).then(note('behind'))))
  expect(order).not.toContain('slow')
  await Promise.all([slow, short])
  expect(small.sentAhead()).toBeGreaterThanOrEqual(2)
})

test('who waits behind one whose process dies is run afterwards, once', async () => {
  await using small = await startSmall(1)
  const [dies, behind] = await Promise.all([
    small.invoke({ n: 1, die: true }),
    small.invoke({ n: 2 }),
  ])
  expect(dies).toContain('Runtime.ExitError')
  expect(behind).toBe('{"n":2}')
  expect(small.sentAhead()).toBeGreaterThanOrEqual(1)
})

test('who waits behind one that is timed out is run afterwards, with its own time', async () => {
  await using small = await startSmall(1, { Timeout: 1 })
  const [late, behind] = await Promise.all([
    small.invoke({ n: 1, sleepMs: 5_000 }),
    small.invoke({ n: 2, sleepMs: 600 }),
  ])
  expect(late).toContain('Sandbox.Timedout')
  expect(behind).toBe('{"n":2}')
})
