/**
 * nats-server is killed in the moment in which invocations end: their answers are given to links that are dying already, and
 * come when the links are back (bus/answers.ts).
 */
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { deploy, natsServerPid, type System, startSystem } from '../system/system.ts'

const NAP_MS = 400
/** Without an answer a caller is told so 1 s after this. */
const TIMEOUT_S = 30
const AT_ONCE = 8

let system: System
beforeAll(async () => {
  // A link between each sandbox and its caller.
  system = await startSystem(['--workers', '1'])
  const naps = `export const handler = ({ n }) => new Promise((wake) => setTimeout(wake, ${NAP_MS}, n))`
  await deploy(system.lambda, 'naps', naps, { Timeout: TIMEOUT_S })
}, 60_000)
afterAll(() => system?.stop())

const invoke = async (n: number) => {
  const Payload = JSON.stringify({ n })
  const answer = await system.lambda.send(new InvokeCommand({ FunctionName: 'naps', Payload }))
  return Number(Buffer.from(answer.Payload ?? []).toString())
}

test('each answer comes, and long before the function times out', async () => {
  const numbers = Array.from({ length: AT_ONCE }, (_, n) => n)
  await Promise.all(numbers.map(invoke))
  let slowestMs = 0
  // Six deaths in a row are the end of it all (machines/child.ts).
  for (let round = 0; round < 5; round++) {
    const server = await natsServerPid(system.pid)
    const beganMs = performance.now()
    const answers = Promise.all(numbers.map(invoke))
    // Some answers are on their way then, some are given to a link whose end has not been noticed, some find it down.
    await wait(NAP_MS - 2 + 4 * round)
    process.kill(server, 'SIGKILL')
    expect(await answers).toEqual(numbers)
    slowestMs = Math.max(slowestMs, performance.now() - beganMs)
    // A question that is asked of a dying link is lost, and not asked again: it may have been heard.
    while ((await natsServerPid(system.pid)) === server) await wait(50)
    await wait(1_000)
    await Promise.all(numbers.map(invoke))
  }
  console.log(`the slowest answer came after ${slowestMs.toFixed(0)} ms`)
  expect(slowestMs).toBeLessThan((TIMEOUT_S * 1_000) / 2)
}, 120_000)
