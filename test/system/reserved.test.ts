/**
 * Reserved concurrency in the whole system. What it is stands in the function's record, and is written there here as a
 * control plane would.
 * Source: AWS Lambda Developer Guide, "Configuring reserved concurrency for a function"; lambda-semantics.md §3.3.
 */
import { setTimeout as wait } from 'node:timers/promises'
import {
  GetFunctionConcurrencyCommand,
  InvokeCommand,
  type LambdaClient,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openFunctions } from '../../bus/functions.ts'
import type { FunctionRecord } from '../../machines/function.ts'
import { until } from '../bus/waiting.ts'
import { atOnce, type GatedEvent, gated, makeGate } from './gate.ts'
import { deploy, lambdaClient, type System, startLambus, startSystem } from './system.ts'

let system: System
let second: Awaited<ReturnType<typeof startLambus>>
let bus: Bus
/** Of the second front end. */
let there: LambdaClient
beforeAll(async () => {
  system = await startSystem()
  second = await startLambus([
    ...['start', 'front-end', '--http-port', '0'],
    ...['--nats', system.natsUrl, '--data-dir', system.dataDir],
  ])
  there = lambdaClient(second.http ?? '')
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
})
afterAll(async () => {
  there?.destroy()
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
  frontEnds = [system.lambda, there],
): Promise<void> {
  const functions = await openFunctions<FunctionRecord>(link)
  const found = await functions.read(name)
  if (found === undefined) throw new Error(`no function ${name}`)
  const { reservedConcurrency: _, ...record } = found.value
  const next = { ...record, step: record.step + 1 }
  await functions.put(reservedConcurrency === undefined ? next : { ...next, reservedConcurrency })
  // A front end answers when its own copy is as new as what it was told.
  for (const frontEnd of frontEnds) {
    await frontEnd.send(new GetFunctionConcurrencyCommand({ FunctionName: name }))
  }
  await wait(HEARD_MS)
}

/** Makes the function; it may wait at a gate for longer than these tests take. */
const make = (name: string, lambda = system.lambda) => deploy(lambda, name, gated, { Timeout: 60 })

type Outcome = { span?: [number, number]; refusal?: Record<string, unknown>; tookMs: number }

async function invoke(
  name: string,
  event: GatedEvent = {},
  client = system.lambda,
): Promise<Outcome> {
  const sinceMs = performance.now()
  const Payload = JSON.stringify(event)
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
/** Long for an answer, and far less than what somebody would wait for who stands in line. */
const AT_ONCE_MS = 2_000

/** Invokes again while seats that lie idle elsewhere are on their way here. */
async function invokeUntilServed(
  name: string,
  event: GatedEvent = {},
  client = system.lambda,
): Promise<[number, number]> {
  for (;;) {
    const { span, refusal } = await invoke(name, event, client)
    if (span !== undefined) return span
    expect(refusal).toMatchObject(beyondReserved)
  }
}

/** Invokes so many at once, until `most` of them have run together; there must never be more. */
async function reach(
  most: number,
  invokeAll: () => Promise<Outcome[]>,
  refused: object = beyondReserved,
): Promise<void> {
  for (;;) {
    const outcomes = await invokeAll()
    const reached = together(spansOf(outcomes))
    expect(reached).toBeLessThanOrEqual(most)
    for (const refusal of refusalsOf(outcomes)) expect(refusal).toMatchObject(refused)
    if (reached === most) return
  }
}

test('reserved 1 and one running: the next is throttled within milliseconds, and then it runs again', async () => {
  await make('one')
  await invoke('one')
  await reserve('one', 1)
  const gate = makeGate()
  const running = invoke('one', { gate: gate.path })
  await until(() => gate.begun() === 1)
  for (let each = 0; each < 3; each += 1) {
    const next = await invoke('one')
    expect(next.refusal).toMatchObject(beyondReserved)
    expect(next.tookMs).toBeLessThan(AT_ONCE_MS)
  }
  gate.open()
  expect((await running).span).toBeDefined()
  for (let each = 0; each < 20; each += 1) expect((await invoke('one')).span).toBeDefined()
})

test('a quick function gets no more than is reserved either: nobody stands in line behind the others', async () => {
  await make('quick')
  await reserve('quick', 2)
  const outcomes: Outcome[] = []
  for (let round = 0; round < 20; round += 1) {
    // Somebody might be sent ahead to a seat whose last invocation was quick.
    await Promise.all([1, 2].map(() => invoke('quick')))
    const some = await atOnce(5, (event) => invoke('quick', event))
    expect(spansOf(some).length).toBe(2)
    outcomes.push(...some)
  }
  expect(together(spansOf(outcomes))).toBe(2)
  for (const refusal of refusalsOf(outcomes)) expect(refusal).toMatchObject(beyondReserved)
})

test('reserved 0: nothing runs, also where sandboxes are warm and seats are held; then it does again', async () => {
  await make('none')
  await atOnce(3, (event) => invoke('none', event))
  await reserve('none', 0)
  for (let each = 0; each < 5; each += 1) {
    const { refusal, tookMs } = await invoke('none')
    expect(refusal).toMatchObject(beyondReserved)
    expect(tookMs).toBeLessThan(AT_ONCE_MS)
  }
  // lambda-semantics.md §1.3: a dry run is not throttled.
  const dry = new InvokeCommand({ FunctionName: 'none', InvocationType: 'DryRun' })
  expect((await system.lambda.send(dry)).StatusCode).toBe(204)
  await reserve('none', undefined)
  await invokeUntilServed('none')
})

test('two front ends share what is reserved: idle seats of one serve the other, and together there are no more', {
  timeout: 60_000,
}, async () => {
  await make('shared')
  await reserve('shared', 2)
  const pair = (client: LambdaClient) =>
    Promise.all([1, 2].map(() => invokeUntilServed('shared', { sleepMs: 50 }, client)))
  for (let round = 0; round < 5; round += 1) {
    // Each finds both seats at the other.
    await pair(system.lambda)
    await pair(there)
  }
  const clients = [system.lambda, there]
  await reach(2, () => atOnce(12, (event, n) => invoke('shared', event, clients[n % 2])))
  await pair(system.lambda)
  const gate = makeGate()
  const running = [1, 2].map(() => invokeUntilServed('shared', { gate: gate.path }))
  await until(() => gate.begun() === 2)
  const { refusal, tookMs } = await invoke('shared', {}, there)
  expect(refusal).toMatchObject(beyondReserved)
  expect(tookMs).toBeLessThan(AT_ONCE_MS)
  gate.open()
  await Promise.all(running)
})

test('a cap that is lowered counts at once, and so does one that is raised', {
  timeout: 60_000,
}, async () => {
  await make('changes')
  const six = () => atOnce(6, (event) => invoke('changes', event))
  await reserve('changes', 5)
  await reach(5, six)
  await reserve('changes', 2)
  const lowered = await six()
  expect(spansOf(lowered).length).toBe(2)
  expect(together(spansOf(lowered))).toBe(2)
  await reserve('changes', 6)
  await reach(6, six)
  await reserve('changes', undefined)
})

test('what is reserved is the function’s own, and the others share the rest of the account', {
  timeout: 60_000,
}, async () => {
  const small = await startSystem([], { LAMBUS_ACCOUNT_CONCURRENCY: '4' })
  onTestFinished(small.stop)
  const link = await openBus({ servers: small.natsUrl, role: 'client', id: 'test' })
  onTestFinished(() => link.close())
  await make('reserves', small.lambda)
  await make('rests', small.lambda)
  const reserveThere = (executions: number) => reserve('reserves', executions, link, [small.lambda])
  const six = (name: string) => atOnce(6, (event) => invoke(name, event, small.lambda))
  const beyondAccount = { Reason: 'ConcurrentInvocationLimitExceeded' }
  await reserveThere(3)
  // The worker manager has heard of it.
  await until(async () => together(spansOf(await six('rests'))) === 1)
  const both = await atOnce(12, (event, n) =>
    invoke(n % 2 === 0 ? 'reserves' : 'rests', event, small.lambda),
  )
  const own = both.filter((_, n) => n % 2 === 0)
  const rest = both.filter((_, n) => n % 2 === 1)
  expect([together(spansOf(own)), spansOf(own).length]).toEqual([3, 3])
  expect(together(spansOf(rest))).toBe(1)
  for (const refusal of refusalsOf(own)) expect(refusal).toMatchObject(beyondReserved)
  for (const refusal of refusalsOf(rest)) expect(refusal).toMatchObject(beyondAccount)
  await reserveThere(1)
  await reach(3, () => six('rests'), beyondAccount)
  await reserveThere(4)
  await until(async () => (await invoke('rests', {}, small.lambda)).refusal !== undefined)
  const none = await six('rests')
  expect(spansOf(none)).toEqual([])
})
