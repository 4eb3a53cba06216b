/**
 * Reserved concurrency in the whole system. What it is stands in the function's record, and is written there here as a
 * control plane would.
 * Source: AWS Lambda Developer Guide, "Configuring reserved concurrency for a function"; lambda-semantics.md §3.3.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openFunctions } from '../../bus/functions.ts'
import type { FunctionRecord } from '../../machines/function.ts'
import { deploy, lambdaClient, type System, startLambus, startSystem } from './system.ts'

let system: System
let second: Awaited<ReturnType<typeof startLambus>>
let bus: Bus
beforeAll(async () => {
  system = await startSystem()
  second = await startLambus([
    ...['start', 'front-end', '--http-port', '0'],
    ...['--nats', system.natsUrl, '--data-dir', system.dataDir],
  ])
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
})
afterAll(async () => {
  await bus?.close()
  await second?.end()
  await system?.stop()
})

/** Everybody has heard of a record some milliseconds after it is stored. */
const HEARD_MS = 300

async function reserve(
  name: string,
  reservedConcurrency: number | undefined,
  link = bus,
): Promise<void> {
  const functions = await openFunctions<FunctionRecord>(link)
  const found = await functions.read(name)
  if (found === undefined) throw new Error(`no function ${name}`)
  const { reservedConcurrency: _, ...record } = found.value
  const next = { ...record, step: record.step + 1 }
  await functions.put(reservedConcurrency === undefined ? next : { ...next, reservedConcurrency })
  await wait(HEARD_MS)
}

const source = `export const handler = async ({ sleepMs = 0 }) => {
  const from = Date.now()
  await new Promise((resolve) => setTimeout(resolve, sleepMs))
  return [from, Date.now()]
}`

type Outcome = { span?: [number, number]; refusal?: Record<string, unknown>; tookMs: number }

async function invoke(name: string, sleepMs = 0, client = system.lambda): Promise<Outcome> {
  const sinceMs = performance.now()
  const Payload = JSON.stringify({ sleepMs })
  try {
    const answer = await client.send(new InvokeCommand({ FunctionName: name, Payload }))
    const span = JSON.parse(Buffer.from(answer.Payload ?? []).toString())
    return { span, tookMs: performance.now() - sinceMs }
  } catch (error) {
    return { refusal: error as Record<string, unknown>, tookMs: performance.now() - sinceMs }
  }
}

const together = (spans: [number, number][]): number =>
  Math.max(0, ...spans.map(([from]) => spans.filter(([a, b]) => a <= from && from < b).length))
const spansOf = (outcomes: Outcome[]) => outcomes.flatMap(({ span }) => (span ? [span] : []))
const refusalsOf = (outcomes: Outcome[]) =>
  outcomes.flatMap(({ refusal }) => (refusal ? [refusal] : []))

// LocalStack's recordings of AWS: test_lambda_concurrency_block, test_reserved_concurrency_async_queue.
const beyondReserved = {
  name: 'TooManyRequestsException',
  message: 'Rate Exceeded.',
  Reason: 'ReservedFunctionConcurrentInvocationLimitExceeded',
  Type: 'User',
  $metadata: expect.objectContaining({ httpStatusCode: 429 }),
}
const secondClient = () => lambdaClient(second.http ?? '')

test('reserved 1 and one running: the next is throttled within milliseconds, and then it runs again', async () => {
  await deploy(system.lambda, 'one', source)
  await invoke('one')
  await reserve('one', 1)
  const running = invoke('one', 1_500)
  await wait(200)
  for (let each = 0; each < 3; each += 1) {
    const next = await invoke('one')
    expect(next.refusal).toMatchObject(beyondReserved)
    expect(next.tookMs).toBeLessThan(100)
  }
  expect((await running).span).toBeDefined()
  for (let each = 0; each < 20; each += 1) expect((await invoke('one')).span).toBeDefined()
})

test('a quick function gets no more than is reserved either: nobody stands in line behind the others', async () => {
  await deploy(system.lambda, 'quick', source)
  await reserve('quick', 2)
  const outcomes: Outcome[] = []
  for (let round = 0; round < 20; round += 1) {
    const some = await Promise.all(Array.from({ length: 5 }, () => invoke('quick', 10)))
    expect(spansOf(some).length).toBe(2)
    outcomes.push(...some)
  }
  expect(together(spansOf(outcomes))).toBe(2)
  for (const refusal of refusalsOf(outcomes)) expect(refusal).toMatchObject(beyondReserved)
})

test('reserved 0: nothing runs, also where sandboxes are warm and seats are held; then it does again', async () => {
  await deploy(system.lambda, 'none', source)
  await Promise.all([1, 2, 3].map(() => invoke('none', 100)))
  await reserve('none', 0)
  for (let each = 0; each < 5; each += 1) {
    const { refusal, tookMs } = await invoke('none')
    expect(refusal).toMatchObject(beyondReserved)
    expect(tookMs).toBeLessThan(100)
  }
  // lambda-semantics.md §1.3: a dry run is not throttled.
  const dry = new InvokeCommand({ FunctionName: 'none', InvocationType: 'DryRun' })
  expect((await system.lambda.send(dry)).StatusCode).toBe(204)
  await reserve('none', undefined)
  expect((await invoke('none')).span).toBeDefined()
})

test('two front ends share what is reserved: idle seats of one serve the other, and together there are no more', async () => {
  await deploy(system.lambda, 'shared', source)
  await reserve('shared', 2)
  const there = secondClient()
  onTestFinished(() => there.destroy())
  for (let round = 0; round < 5; round += 1) {
    // Each finds both seats at the other.
    const here = await Promise.all([1, 2].map(() => invoke('shared', 50)))
    const away = await Promise.all([1, 2].map(() => invoke('shared', 50, there)))
    expect(refusalsOf([...here, ...away])).toEqual([])
  }
  const clients = [system.lambda, there]
  const many = await Promise.all(
    Array.from({ length: 12 }, (_, n) => invoke('shared', 400, clients[n % 2])),
  )
  expect(together(spansOf(many))).toBe(2)
  for (const refusal of refusalsOf(many)) expect(refusal).toMatchObject(beyondReserved)
  const running = [invoke('shared', 1_000), invoke('shared', 1_000)]
  await wait(200)
  const { refusal, tookMs } = await invoke('shared', 0, there)
  expect(refusal).toMatchObject(beyondReserved)
  expect(tookMs).toBeLessThan(300)
  await Promise.all(running)
})

test('a cap that is lowered counts at once, and so does one that is raised', async () => {
  await deploy(system.lambda, 'changes', source)
  const six = () => Promise.all(Array.from({ length: 6 }, () => invoke('changes', 300)))
  await reserve('changes', 5)
  expect(together(spansOf(await six()))).toBe(5)
  await reserve('changes', 2)
  const lowered = await six()
  expect(spansOf(lowered).length).toBe(2)
  expect(together(spansOf(lowered))).toBe(2)
  await reserve('changes', 6)
  expect(spansOf(await six()).length).toBe(6)
  await reserve('changes', undefined)
})

test('what is reserved is the function’s own, and the others share the rest of the account', async () => {
  const small = await startSystem([], { LAMBUS_ACCOUNT_CONCURRENCY: '4' })
  onTestFinished(small.stop)
  const link = await openBus({ servers: small.natsUrl, role: 'client', id: 'test' })
  onTestFinished(() => link.close())
  await deploy(small.lambda, 'reserves', source)
  await deploy(small.lambda, 'rests', source)
  const six = (name: string) =>
    Promise.all(Array.from({ length: 6 }, () => invoke(name, 400, small.lambda)))
  await reserve('reserves', 3, link)
  const [own, rest] = await Promise.all([six('reserves'), six('rests')])
  expect([together(spansOf(own)), spansOf(own).length]).toEqual([3, 3])
  expect(together(spansOf(rest))).toBe(1)
  for (const refusal of refusalsOf(own)) expect(refusal).toMatchObject(beyondReserved)
  for (const refusal of refusalsOf(rest)) {
    expect(refusal).toMatchObject({ Reason: 'ConcurrentInvocationLimitExceeded' })
  }
  await reserve('reserves', 1, link)
  expect(together(spansOf(await six('rests')))).toBe(3)
  await reserve('reserves', 4, link)
  const none = await six('rests')
  expect(spansOf(none)).toEqual([])
})
