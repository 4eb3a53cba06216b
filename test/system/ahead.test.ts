/** More invocations than sandboxes: the next one waits in a busy sandbox for the one before it (docs/decisions/0013). */
import { headers } from 'nats'
import { expect, test } from 'vitest'
import { openBus } from '../../bus/connection.ts'
import { makeGate } from './gate.ts'
import { deploy, startSystem } from './system.ts'

const source = `import { existsSync } from 'node:fs'
let running = 0
export const handler = async ({ n, sleepMs = 0, gate, die }) => {
  running += 1
  if (running > 1) return 'two at a time'
  if (die) process.exit(7)
  if (sleepMs > 0) await new Promise((resolve) => setTimeout(resolve, sleepMs))
  while (gate && !existsSync(gate + '/open')) await new Promise((resolve) => setTimeout(resolve, 5))
  running -= 1
  return { n }
}`

type Event = { n: number; sleepMs?: number; gate?: string; die?: boolean }

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
  const warm = async () => {
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(Array.from({ length: sandboxes }, (_, n) => invoke({ n })))
    }
  }
  await warm()
  const sentAhead = () => system.log().split('"event":"sentAhead"').length - 1
  return {
    invoke,
    sentAhead,
    /** Repeats it until so many were sent ahead: that is for a sandbox which was quick, and a busy machine may not be. */
    async untilSentAhead(count: number, scenario: () => Promise<void>) {
      for (;;) {
        await scenario()
        if (sentAhead() >= count) return
        await warm()
      }
    },
    async [Symbol.asyncDispose]() {
      await bus.close()
      await system.stop()
    },
  }
}

test('many invocations on two sandboxes are all answered, and never two at a time in one', async () => {
  await using small = await startSmall(2)
  await small.untilSentAhead(11, async () => {
    const lanes = Array.from({ length: 24 }, async (_, lane) => {
      for (let each = 0; each < 20; each += 1) {
        const n = lane * 100 + each
        expect(await small.invoke({ n })).toBe(JSON.stringify({ n }))
      }
    })
    await Promise.all(lanes)
  })
}, 60_000)

test('who waits behind one that takes long is taken back when another sandbox is free', async () => {
  await using small = await startSmall(2, { Timeout: 60 })
  await small.untilSentAhead(2, async () => {
    const gate = makeGate()
    const slow = small.invoke({ n: 1, gate: gate.path })
    const short = small.invoke({ n: 2, sleepMs: 200 })
    await Promise.all([3, 4].map((n) => small.invoke({ n })))
    // Only now may the slow one end.
    gate.open()
    await Promise.all([slow, short])
  })
}, 60_000)

test('who waits behind one whose process dies is run afterwards, once', async () => {
  await using small = await startSmall(1)
  await small.untilSentAhead(1, async () => {
    const [dies, behind] = await Promise.all([
      small.invoke({ n: 1, die: true }),
      small.invoke({ n: 2 }),
    ])
    expect(dies).toContain('Runtime.ExitError')
    expect(behind).toBe('{"n":2}')
  })
}, 60_000)

test('who waits behind one that is timed out is run afterwards, with its own time', async () => {
  await using small = await startSmall(1, { Timeout: 1 })
  const [late, behind] = await Promise.all([
    small.invoke({ n: 1, sleepMs: 5_000 }),
    small.invoke({ n: 2, sleepMs: 100 }),
  ])
  expect(late).toContain('Sandbox.Timedout')
  expect(behind).toBe('{"n":2}')
})
