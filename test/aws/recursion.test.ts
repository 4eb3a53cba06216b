/** A chain of invocations that comes back to the same function: lambda-semantics.md §4.6. */
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { headers } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openFunctions } from '../../bus/functions.ts'
import * as lineage from '../../edges/aws/lineage.ts'
import type { FunctionRecord } from '../../machines/function.ts'
import { deploy, type System, startSystem } from '../system/system.ts'

let system: System
let bus: Bus
beforeAll(async () => {
  system = await startSystem()
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
})
afterAll(async () => {
  await bus?.close()
  await system?.stop()
})

const sentence =
  "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services resources and stopped your function's invocation."

const echoesTrace = 'export const handler = () => process.env._X_AMZN_TRACE_ID'
/** The header of a chain in which the function was invoked so often. */
const invokedBefore = (name: string, times: number): string => {
  let traceId = 'Root=1-6aba3a9c-0ad723aa6f28be0c1799046b;Parent=4bc416e7d2fef21a;Sampled=0'
  const arn = `arn:aws:lambda:us-east-1:000000000000:function:${name}`
  for (let time = 0; time < times; time++) traceId = lineage.next(traceId, arn)
  return traceId
}

/** Invokes over NATS in a chain; tells the answer, or the refusal's code and body. */
async function invoke(name: string, traceId?: string): Promise<string> {
  const made = headers()
  if (traceId !== undefined) made.set('X-Amzn-Trace-Id', traceId)
  const outcome = await bus.request(`lambus.invoke.${name}`, '{}', {
    headers: made,
    timeoutMs: 15_000,
  })
  if (typeof outcome === 'string') throw new Error(outcome)
  const refused = outcome.headers?.get('Nats-Service-Error-Code')
  return refused ? `${refused} ${outcome.string()}` : outcome.json<string>()
}

// §4.6, stackd's recursion_execution: 16 executions, then none. The SDK passes the header on by itself: AWS Lambda Developer
// Guide, "Supported AWS services and SDKs".
test('a function that invokes itself with an SDK runs 16 times', async () => {
  await deploy(
    system.lambda,
    'itself',
    `import { createRequire } from 'node:module'
     export const handler = async (event) => {
       const { LambdaClient, InvokeCommand } = createRequire(event.sdk)('@aws-sdk/client-lambda')
       const lambda = new LambdaClient({ endpoint: event.endpoint, region: 'us-east-1', maxAttempts: 1,
         credentials: { accessKeyId: 'test', secretAccessKey: 'test' } })
       const own = { depth: event.depth, traceId: process.env._X_AMZN_TRACE_ID }
       try {
         const Payload = JSON.stringify({ ...event, depth: event.depth + 1 })
         const answer = await lambda.send(new InvokeCommand({ FunctionName: 'itself', Payload }))
         return [own, ...JSON.parse(Buffer.from(answer.Payload).toString())]
       } catch (error) {
         return [own, { name: error.name, type: error.Type, message: error.message, status: error.$metadata?.httpStatusCode }]
       }
     }`,
    { Timeout: 60, MemorySize: 128 },
  )
  const event = { depth: 1, endpoint: system.http, sdk: import.meta.url }
  const { Payload } = await system.lambda.send(
    new InvokeCommand({ FunctionName: 'itself', Payload: JSON.stringify(event) }),
  )
  const told = JSON.parse(Buffer.from(Payload ?? []).toString())
  expect(told.at(-1)).toEqual({
    name: 'RecursiveInvocationException',
    type: 'User',
    message: sentence,
    status: 400,
  })
  const runs: { depth: number; traceId: string }[] = told.slice(0, -1)
  expect(runs.map(({ depth }) => depth)).toEqual(Array.from({ length: 16 }, (_, n) => n + 1))
  // Recorded: "Lineage=1:b695919f:0", then "2:b695919f:1" … "16:b695919f:15"; Root and Parent as they were.
  const [first = ''] = runs.map(({ traceId }) => traceId)
  runs.forEach(({ traceId }, n) => {
    expect(traceId).toBe(first.replace(/=1:(\w+):0$/, `=${n + 1}:$1:${n}`))
  })
}, 60_000)

test('the 17th invocation in a chain is refused over NATS too, one of another function is not', async () => {
  await deploy(system.lambda, 'looped', echoesTrace)
  expect(await invoke('looped', invokedBefore('looped', 15))).toMatch(/;Lineage=16:\w{8}:15$/)
  expect(await invoke('looped', invokedBefore('looped', 16))).toBe(
    `400 ${JSON.stringify({ Type: 'User', Message: sentence })}`,
  )
  expect(await invoke('looped', invokedBefore('itself', 16))).toMatch(/;Lineage=17:\w{8}:15$/)
})

// So that chains over NATS count from their beginning.
test('an invocation over NATS that came without the header gets one', async () => {
  await deploy(system.lambda, 'traced', echoesTrace)
  expect(await invoke('traced')).toMatch(
    /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=1:[0-9a-f]{8}:0$/,
  )
})

// §1.3: a dry run does not execute the function
test('a dry run is no invocation, and is not refused', async () => {
  await deploy(system.lambda, 'dry', echoesTrace)
  const made = headers()
  made.set('X-Amz-Invocation-Type', 'DryRun')
  made.set('X-Amzn-Trace-Id', invokedBefore('dry', 16))
  const answer = await bus.request('lambus.invoke.dry', '{}', { headers: made, timeoutMs: 15_000 })
  if (typeof answer === 'string') throw new Error(answer)
  expect(answer.headers?.get('Nats-Service-Error-Code')).toBeFalsy()
})

// §4.6, stackd's recursion_execution: "Allow" goes on, and goes on counting ("18:b695919f:17")
test('a function that may go round is not refused', async () => {
  await deploy(system.lambda, 'allowed', echoesTrace)
  const functions = await openFunctions<FunctionRecord>(bus)
  const held = await functions.read('allowed')
  if (held === undefined) throw new Error('no record')
  const { value } = held
  await functions.put({ ...value, step: value.step + 1, recursiveLoop: 'Allow' })
  await expect
    .poll(() => invoke('allowed', invokedBefore('allowed', 17)))
    .toMatch(/;Lineage=18:\w{8}:17$/)
})
