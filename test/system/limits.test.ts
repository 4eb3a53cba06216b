/** Limits and ends of a whole system that need one of its own. */
import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { expect, onTestFinished, test } from 'vitest'
import { tree } from '../../bench/harness/processes.ts'
import { until } from '../bus/waiting.ts'
import { atOnce, gated, makeGate } from './gate.ts'
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

/** Invokes ten at once: how many ran together at most, as the handlers saw it, and the errors of the others. */
async function together(system: System, invokeAll: typeof atOnce) {
  const refusals: unknown[] = []
  const spans: [number, number][] = []
  await invokeAll(10, async (event) => {
    const asked = new InvokeCommand({ FunctionName: 'waits', Payload: JSON.stringify(event) })
    await system.lambda.send(asked).then(
      ({ Payload }) => spans.push(JSON.parse(Buffer.from(Payload ?? []).toString())),
      (refusal) => refusals.push(refusal),
    )
  })
  const at = spans.map(([from]) => spans.filter(([a, b]) => a <= from && from < b).length)
  return { most: Math.max(0, ...at), ran: spans.length, refusals }
}

/** It may wait at a gate for longer than these tests take. */
const deployWaits = (system: System) => deploy(system.lambda, 'waits', gated, { Timeout: 60 })

// AWS Lambda Developer Guide, "Understanding function scaling"; lambda-semantics.md §3.
test('as many invocations run together as the account has concurrency; the others are throttled', async () => {
  const system = await started([], { LAMBUS_ACCOUNT_CONCURRENCY: '4' })
  await deployWaits(system)
  const { most, ran, refusals } = await together(system, atOnce)
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

test('worker managers share the concurrency of the account equally', {
  timeout: 40_000,
}, async () => {
  const account = { LAMBUS_ACCOUNT_CONCURRENCY: '4' }
  const system = await started([], account)
  await deployWaits(system)
  const second = await startLambus(
    ['start', 'worker-manager', '--nats', system.natsUrl, '--data-dir', system.dataDir],
    account,
  )
  onTestFinished(() => second.kill())
  // Both have to have heard of each other before anything runs: a beat is 300 ms.
  await wait(3_000)
  // Some wait here for those who run, so no gate; long enough for two that start one after the other.
  const forAWhile: typeof atOnce = (count, invoke) =>
    Promise.all(Array.from({ length: count }, (_, index) => invoke({ sleepMs: 1_500 }, index)))
  expect((await together(system, forAWhile)).most).toBe(2)
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

test('an answer waits for a link to NATS that is down', { timeout: 60_000 }, async () => {
  const system = await started()
  await deployWaits(system)
  // Over HTTP: whoever asks over NATS loses its own link too.
  const ask = async (event: object = {}) => {
    const asked = { FunctionName: 'waits', Payload: JSON.stringify(event) }
    const { Payload } = await system.lambda.send(new InvokeCommand(asked))
    return JSON.parse(Buffer.from(Payload ?? []).toString()) as [number, number]
  }
  await ask()
  const gate = makeGate()
  const answer = ask({ gate: gate.path })
  await until(() => gate.begun() === 1)
  // Whenever the server comes back it is killed again, until the handler is done: its answer finds no link.
  const killFor = async (ms: number) => {
    const end = performance.now() + ms
    while (performance.now() < end) {
      const server = tree(system.pid).find(({ command }) => /nats-server -c/.test(command))
      if (server !== undefined) process.kill(server.pid, 'SIGKILL')
      await wait(20)
    }
  }
  await killFor(500)
  gate.open()
  await killFor(500)
  expect(await answer).toEqual([expect.any(Number), expect.any(Number)])
})
