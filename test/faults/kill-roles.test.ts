/**
 * Every role in processes of its own, two of each; one of each is killed under load.
 *
 * Promises (DESIGN §6): at most once; an answer or an error in time; the work of the dead goes on elsewhere in < 2 s.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from '../system/system.ts'

const roles = ['control-plane', 'worker-manager', 'placement', 'worker', 'front-end'] as const
type RoleName = (typeof roles)[number]

let nats: TestServer
let bus: Bus
let lambda: LambdaClient
const running: { role: RoleName; process: LambusProcess }[] = []
const dataDir = mkdtempSync(join(tmpdir(), 'lambus-roles-'))

const startRole = async (role: RoleName) => {
  const ports = ['--http-port', '0', '--inspector-port', '0']
  const args = ['start', role, '--nats', nats.url, '--data-dir', dataDir, ...ports]
  const process = await startLambus(args)
  running.push({ role, process })
  return process
}
const of = (role: RoleName) =>
  running.filter((one) => one.role === role).map(({ process }) => process)

beforeAll(async () => {
  nats = await startNatsServer()
  bus = await openBus({ servers: nats.url, role: 'client', id: 'test' })
  for (const role of roles) await Promise.all([startRole(role), startRole(role)])
  // The second front end stays; the first one is killed.
  lambda = lambdaClient(of('front-end')[1]?.http ?? '')
  await deploy(
    lambda,
    'works',
    'export const handler = async ({ n, ms = 5 }) => { await new Promise((r) => setTimeout(r, ms)); return n }',
    { Timeout: 20 },
  )
}, 120_000)

afterAll(async () => {
  await bus?.close()
  await Promise.all(running.map(({ process }) => process.kill()))
  await nats?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

type Seen = { n: number; beganMs: number; tookMs: number; ok: boolean; error?: string }

/** Invokes over NATS, `lanes` at a time, until it is told to stop. */
function load(lanes: number, timeoutMs: number) {
  const seen: Seen[] = []
  let stopped = false
  let next = 0
  const lane = async () => {
    while (!stopped) {
      const n = next++
      const beganMs = performance.now()
      const outcome = await bus.request('lambus.invoke.works', JSON.stringify({ n }), {
        timeoutMs,
      })
      const tookMs = performance.now() - beganMs
      const error =
        typeof outcome === 'string' ? outcome : outcome.headers?.get('Nats-Service-Error')
      const ok = typeof outcome !== 'string' && outcome.string() === String(n)
      seen.push({ n, beganMs, tookMs, ok, ...(error ? { error } : {}) })
      if (!ok) await wait(20)
    }
  }
  const lanesDone = Promise.all(Array.from({ length: lanes }, lane))
  return {
    seen,
    async stop() {
      stopped = true
      await lanesDone
    },
  }
}

describe('with one of two killed under load', () => {
  test.each(['placement', 'control-plane', 'worker-manager', 'worker', 'front-end'] as const)(
    '%s: work goes on in less than 2 s, and nobody waits longer',
    async (role) => {
      // Nobody answers what a dead front end had in hand: its callers' own timeout does.
      const traffic = load(8, role === 'front-end' ? 1_000 : 10_000)
      await wait(1_500)
      const killedAtMs = performance.now()
      const [victim] = of(role)
      await victim?.kill()
      await wait(4_000)
      const lastFailure = () => traffic.seen.findLast(({ ok }) => !ok)?.beganMs ?? 0
      const deadlineMs = killedAtMs + 15_000
      while (performance.now() < Math.min(lastFailure() + 2_000, deadlineMs)) await wait(100)
      await traffic.stop()
      const after = traffic.seen.filter(({ beganMs, tookMs }) => beganMs + tookMs > killedAtMs)
      const failed = after.filter(({ ok }) => !ok)
      const lastFailureMs = Math.max(0, ...failed.map(({ beganMs }) => beganMs - killedAtMs))
      const slowestMs = Math.max(...after.map(({ tookMs }) => tookMs))
      console.log(
        `${role}: ${after.length} after the kill, ${failed.length} failed (${[...new Set(failed.map(({ error }) => error))].join('; ')}), last failure began at ${lastFailureMs.toFixed(0)} ms, slowest ${slowestMs.toFixed(0)} ms`,
      )
      expect(after.filter(({ ok }) => ok).length).toBeGreaterThan(100)
      expect(lastFailureMs).toBeLessThan(2_000)
      expect(slowestMs).toBeLessThan(2_000)
      await startRole(role)
    },
    60_000,
  )

  test('an invocation on a killed worker is an error in less than 2 s, and the next one works', async () => {
    const workers = of('worker').filter(({ child }) => child.exitCode === null)
    const inFlight = lambda.send(
      new InvokeCommand({ FunctionName: 'works', Payload: '{"n":1,"ms":10000}' }),
    )
    inFlight.catch(() => {})
    await wait(500)
    const killedAtMs = performance.now()
    for (const worker of workers) await worker.kill()
    await expect(inFlight).rejects.toMatchObject({ name: 'ServiceException' })
    const errorMs = performance.now() - killedAtMs
    console.log(`worker: its caller had an error after ${errorMs.toFixed(0)} ms`)
    expect(errorMs).toBeLessThan(2_000)
    await startRole('worker')
    const { Payload } = await lambda.send(
      new InvokeCommand({ FunctionName: 'works', Payload: '{"n":2}' }),
    )
    expect(Buffer.from(Payload ?? []).toString()).toBe('2')
  }, 60_000)

  test('a function can still be made', async () => {
    await deploy(lambda, 'later', 'export const handler = () => "made"')
    const { Payload } = await lambda.send(new InvokeCommand({ FunctionName: 'later' }))
    expect(Buffer.from(Payload ?? []).toString()).toBe('"made"')
  }, 30_000)
})
