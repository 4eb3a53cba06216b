/**
 * Everything dies and is started again: a retry comes at its time, not before, and not twice.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openBus } from '../../bus/connection.ts'
import { countsOf } from '../../bus/event-stream.ts'
import { anyRetry } from '../../bus/subjects.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from '../system/system.ts'

const retryAfterMs = 5_000
let dir: string
let log: string
let up: LambusProcess | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lambus-restart-'))
  log = join(dir, 'attempts')
  writeFileSync(log, '')
})
afterEach(async () => {
  await up?.end()
  rmSync(dir, { recursive: true, force: true })
})

async function start(): Promise<LambusProcess> {
  const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']
  up = await startLambus(['up', ...ports, '--data-dir', join(dir, 'data')], {
    LAMBUS_FIRST_RETRY_MS: String(retryAfterMs),
  })
  return up
}

const attempts = () => readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number)
const until = async (condition: () => boolean | Promise<boolean>) => {
  while (!(await condition())) await wait(20)
}

async function retryIsStored({ nats }: LambusProcess): Promise<void> {
  const { user, password } = JSON.parse(readFileSync(join(dir, 'data/connection.json'), 'utf8'))
  const servers = nats.replace('://', `://${user}:${password}@`)
  const bus = await openBus({ servers, role: 'client', id: 'restart' })
  await until(async () => (await countsOf(bus, anyRetry)).length === 1)
  await bus.close()
}

/** One event whose first attempt fails; resolves when that has happened and is stored. */
async function sendOneThatFails(): Promise<void> {
  const started = await start()
  const lambda = lambdaClient(started.http ?? '')
  await deploy(
    lambda,
    'fails-once',
    `import { appendFileSync, readFileSync } from 'node:fs'
     export const handler = () => {
       const earlier = readFileSync(process.env.LOG, 'utf8').length
       appendFileSync(process.env.LOG, Date.now() + '\\n')
       if (earlier === 0) throw new Error('the first time')
     }`,
    { Environment: { Variables: { LOG: log } } },
  )
  const invoke = new InvokeCommand({ FunctionName: 'fails-once', InvocationType: 'Event' })
  expect((await lambda.send(invoke)).StatusCode).toBe(202)
  await until(() => attempts().length === 1)
  await retryIsStored(started)
}

test('a retry that is due after the restart comes at its time, once', async () => {
  await sendOneThatFails()
  await up?.kill()
  await start()
  await until(() => attempts().length > 1)
  const [first = 0, second = 0] = attempts()
  console.log(
    `the retry came ${second - first} ms after the first attempt, ${retryAfterMs} are due`,
  )
  expect(second - first).toBeGreaterThanOrEqual(retryAfterMs)
  // Not before its time is the promise. How soon after it is a matter of the machine, which starts a whole system.
  expect(second - first).toBeLessThan(retryAfterMs + 15_000)
  await wait(3_000)
  expect(attempts().length).toBe(2)
}, 60_000)

test('a retry that was due while everything was down comes at once, once', async () => {
  await sendOneThatFails()
  await up?.kill()
  await wait(retryAfterMs)
  const upAgainMs = Date.now()
  await start()
  await until(() => attempts().length > 1)
  console.log(`the retry came ${(attempts()[1] ?? 0) - upAgainMs} ms after the start was begun`)
  await wait(3_000)
  expect(attempts().length).toBe(2)
}, 60_000)
