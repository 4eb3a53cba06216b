/** Roles in processes of their own that all end at once, as a supervisor ends them: in no order. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { expect, onTestFinished, test } from 'vitest'
import { startNatsServer } from '../nats-server.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from '../system/system.ts'

test('all roles end with 0 and soon, also when worker managers end before the sandboxes that they keep', async () => {
  const nats = await startNatsServer()
  const dataDir = mkdtempSync(join(tmpdir(), 'lambus-end-'))
  const running: LambusProcess[] = []
  onTestFinished(async () => {
    await Promise.all(running.map((process) => process.kill()))
    await nats.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const start = async (role: string) => {
    const ports = ['--http-port', '0', '--inspector-port', '0']
    const args = ['start', role, '--nats', nats.url, '--data-dir', dataDir, ...ports]
    const process = await startLambus(args)
    running.push(process)
    return process
  }
  const managers = await start('worker-manager')
  const others = await Promise.all(
    ['control-plane', 'placement', 'worker', 'front-end'].map((role) => start(role)),
  )
  const lambda = lambdaClient(others.at(-1)?.http ?? '')
  await deploy(
    lambda,
    'slow',
    'export const handler = ({ ms = 0 }) => new Promise((done) => setTimeout(done, ms, "done"))',
  )
  const invoke = (ms: number) =>
    lambda.send(new InvokeCommand({ FunctionName: 'slow', Payload: JSON.stringify({ ms }) }))
  await invoke(0)
  const inHand = invoke(1_000)
  await wait(200)
  const beganMs = performance.now()
  expect(await managers.end()).toBe(0)
  expect(await Promise.all(others.map((process) => process.end()))).toEqual([0, 0, 0, 0])
  expect(performance.now() - beganMs).toBeLessThan(5_000)
  expect(Buffer.from((await inHand).Payload ?? []).toString()).toBe('"done"')
}, 30_000)

test('a role whose NATS has gone before it ends all the same', async () => {
  const nats = await startNatsServer()
  const dataDir = mkdtempSync(join(tmpdir(), 'lambus-end-'))
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }))
  const running = await Promise.all(
    ['control-plane', 'placement', 'worker-manager', 'worker', 'front-end'].map((role) =>
      startLambus([
        ...['start', role, '--nats', nats.url, '--data-dir', join(dataDir, role)],
        ...['--http-port', '0', '--inspector-port', '0'],
      ]),
    ),
  )
  await nats.stop()
  expect(await Promise.all(running.map((process) => process.end()))).toEqual([0, 0, 0, 0, 0])
}, 30_000)
