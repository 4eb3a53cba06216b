/** Limits and ends of a whole system that need one of its own. */
import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { expect, onTestFinished, test } from 'vitest'
import { tree } from '../../bench/harness/processes.ts'
import { openBus } from '../../bus/connection.ts'
import { deploy, type System, startLambus, startSystem } from './system.ts'

async function started(args: string[] = [], environment: Record<string, string> = {}) {
  const system = await startSystem(args, environment)
  onTestFinished(system.stop)
  return system
}

/** Workers of the system, by what is running. */
const workersOf = ({ pid }: System): number[] =>
  tree(pid)
    .filter(({ command }) => / start worker$/.test(command))
    .map((process) => process.pid)

/** Invokes so many at once: how many ran together at most, as the handlers saw it, and the errors of the others. */
async function together(system: System, count: number) {
  const outcomes = await Promise.allSettled(
    Array.from({ length: count }, async () => {
      const { Payload } = await system.lambda.send(
        new InvokeCommand({ FunctionName: 'takes-time' }),
      )
      return JSON.parse(Buffer.from(Payload ?? []).toString()) as [number, number]
    }),
  )
  const spans = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const at = spans.map(([from]) => spans.filter(([a, b]) => a <= from && from < b).length)
  return {
    most: Math.max(...at),
    ran: spans.length,
    refusals: outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : [])),
  }
}

const takesTime = `export const handler = async () => {
  const from = Date.now()
  await new Promise((resolve) => setTimeout(resolve, 300))
  return [from, Date.now()]
}`

// AWS Lambda Developer Guide, "Understanding function scaling"; lambda-semantics.md §3.
test('as many invocations run together as the account has concurrency; the others are throttled', async () => {
  const system = await started([], { LAMBUS_ACCOUNT_CONCURRENCY: '4' })
  await deploy(system.lambda, 'takes-time', takesTime)
  const { most, ran, refusals } = await together(system, 10)
  expect(most).toBe(4)
  expect(ran + refusals.length).toBe(10)
  expect(refusals.length).toBeGreaterThan(0)
  for (const refusal of refusals) {
    expect(refusal).toMatchObject({
      name: 'TooManyRequestsException',
      Reason: 'ConcurrentInvocationLimitExceeded',
    })
  }
})

test('worker managers share the concurrency of the account equally', async () => {
  const account = { LAMBUS_ACCOUNT_CONCURRENCY: '4' }
  const system = await started([], account)
  await deploy(system.lambda, 'takes-time', takesTime)
  const second = await startLambus(
    ['start', 'worker-manager', '--nats', system.natsUrl, '--data-dir', system.dataDir],
    account,
  )
  onTestFinished(() => second.kill())
  // Both have to have heard of each other: a beat is 300 ms.
  await wait(1_000)
  expect((await together(system, 10)).most).toBe(2)
})

test('what a killed invocation had in memory is reported', async () => {
  const system = await started()
  await deploy(
    system.lambda,
    'holds',
    'export const handler = () => { globalThis.held = Buffer.alloc(60_000_000, 1); for (;;); }',
    { Timeout: 1 },
  )
  const { LogResult } = await system.lambda.send(
    new InvokeCommand({ FunctionName: 'holds', LogType: 'Tail' }),
  )
  const log = Buffer.from(LogResult ?? '', 'base64').toString()
  expect(log).toMatch(/Status: timeout/)
  expect(Number(/Max Memory Used: (\d+) MB/.exec(log)?.[1])).toBeGreaterThan(90)
})

test('up ends with exit code 1 when its worker dies again and again', async () => {
  const system = await started()
  let deaths = 0
  const killing = (async () => {
    while (system.child.exitCode === null) {
      for (const pid of workersOf(system)) {
        try {
          process.kill(pid, 'SIGKILL')
          deaths++
        } catch {
          // Gone already.
        }
      }
      await wait(20)
    }
  })()
  await killing
  expect(system.child.exitCode).toBe(1)
  expect(deaths).toBeGreaterThanOrEqual(6)
  expect(system.log()).toContain('CHILD_FAILED')
  expect(() => readFileSync(`${system.dataDir}/connection.json`)).toThrow()
}, 60_000)

test('an answer waits for a link to NATS that is down', async () => {
  const system = await started()
  await deploy(
    system.lambda,
    'sleeps',
    'export const handler = async () => { await new Promise((r) => setTimeout(r, 700)); return "kept" }',
  )
  const bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
  onTestFinished(() => bus.close())
  await bus.request('lambus.invoke.sleeps', '{}', { timeoutMs: 10_000 })
  const answer = bus.request('lambus.invoke.sleeps', '{}', { timeoutMs: 10_000 })
  // Whenever the server comes back it is killed again, until the handler is done: its answer finds no link.
  const until = performance.now() + 1_000
  await wait(200)
  while (performance.now() < until) {
    const server = tree(system.pid).find(({ command }) => /nats-server -c/.test(command))
    if (server !== undefined) process.kill(server.pid, 'SIGKILL')
    await wait(20)
  }
  const outcome = await answer
  expect(typeof outcome === 'string' ? outcome : outcome.string()).toBe('"kept"')
})
