/**
 * An asynchronous invocation is tried again, or is not: lambda-semantics.md §4.3, §3.3.
 *
 * AWS waits one minute and two; here they are seconds, by LAMBUS_FIRST_RETRY_MS and LAMBUS_SECOND_RETRY_MS.
 */
import { setTimeout as wait } from 'node:timers/promises'
import {
  DeleteFunctionCommand,
  InvokeCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionUpdatedV2,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Gate, makeGate } from '../system/gate.ts'
import {
  type Asynchronous,
  firstRetryMs,
  functionArn,
  type Run,
  secondRetryMs,
  startAsynchronous,
} from './asynchronous.ts'

let it: Asynchronous
beforeAll(async () => {
  it = await startAsynchronous()
})
afterAll(() => it?.stop())

const waitsOf = (runs: Run[]) => runs.slice(1).map(({ atMs }, n) => atMs - (runs[n]?.atMs ?? 0))
const invokeNow = (FunctionName: string) =>
  it.system.lambda.send(new InvokeCommand({ FunctionName, Payload: '{}' }))
/** A function whose ends go to queues of its own. */
async function deployTold(name: string, config = {}, more = {}): Promise<void> {
  const [onSuccess, onFailure] = [
    await it.makeQueue(`${name}-ok`),
    await it.makeQueue(`${name}-bad`),
  ]
  await it.deploy(name, more)
  await it.configure(name, { onSuccess, onFailure, ...config })
}
/** Long enough for one attempt more. */
const oneMore = () => wait(Math.max(firstRetryMs, secondRetryMs) + 1_000)

describe('an event whose function fails', { timeout: 30_000 }, () => {
  // §4.3, DOC:invocation-async: "two more times, with a one-minute wait … and two minutes between"; test_retries: count 3;
  // test_request_id_async_invoke_with_retry: the id stays
  test('is tried twice more, after the waits, under the same request id', async () => {
    await deployTold('fails')
    const id = await it.send('fails', { failures: 9 })
    const [record] = await it.records('fails-bad', 1)
    const runs = it.runs('fails')
    expect(runs.map((run) => run.id)).toEqual([id, id, id])
    const [first = 0, second = 0] = waitsOf(runs)
    expect(first).toBeGreaterThanOrEqual(firstRetryMs)
    expect(second).toBeGreaterThanOrEqual(secondRetryMs)
    expect(record?.requestContext).toEqual({
      requestId: id,
      functionArn: `${functionArn('fails')}:$LATEST`,
      condition: 'RetriesExhausted',
      approximateInvokeCount: 3,
    })
  })

  // §4.4, test_retries and stackd's recordings: one trace for all attempts
  test('keeps its trace', async () => {
    await deployTold('traces', { MaximumRetryAttempts: 1 })
    await it.send('traces', { failures: 9 })
    const [first, second] = await it.ran('traces', 2)
    expect(second?.traceId).toBe(first?.traceId)
  })

  // §4.2, §4.4: test_assess_lambda_destination_invocation[payload1]
  test.concurrent.each([0, 1])(
    'is tried %i times more when that is its MaximumRetryAttempts',
    async (most) => {
      await deployTold(`fails-${most}`, { MaximumRetryAttempts: most })
      await it.send(`fails-${most}`, { failures: 9 })
      const [record] = await it.records(`fails-${most}-bad`, 1)
      expect(record?.requestContext).toMatchObject({
        condition: 'RetriesExhausted',
        approximateInvokeCount: most + 1,
      })
      await oneMore()
      expect(it.runs(`fails-${most}`).length).toBe(most + 1)
    },
  )

  // §4.4: "stays 1 even after failed attempts", stackd
  test('and then does not has succeeded, with an invoke count of 1', async () => {
    await deployTold('recovers')
    await it.send('recovers', { failures: 2, answer: 'at last' })
    const [record] = await it.records('recovers-ok', 1)
    expect(record).toMatchObject({
      requestContext: { condition: 'Success', approximateInvokeCount: 1 },
      responseContext: { statusCode: 200, executedVersion: '$LATEST' },
      responsePayload: 'at last',
    })
    expect(it.runs('recovers').length).toBe(3)
    expect(await it.look('recovers-bad')).toEqual([])
  })

  // §4.3: "function errors (incl. timeouts, runtime exit)"; §1.5 for the payloads
  test('has failed when it times out, and when its process ends', async () => {
    await deployTold('hangs', { MaximumRetryAttempts: 1 }, { Timeout: 3 })
    const hung = await it.send('hangs', { sleepMs: 30_000 })
    const ended = await it.send('hangs', { exits: 9 })
    const records = await it.records('hangs-bad', 2)
    const of = (id: string) => records.find(({ requestContext }) => requestContext.requestId === id)
    const last = { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' }
    const exhausted = { condition: 'RetriesExhausted', approximateInvokeCount: 2 }
    expect(of(hung)).toMatchObject({
      requestContext: exhausted,
      responseContext: last,
      responsePayload: {
        errorType: 'Sandbox.Timedout',
        errorMessage: `RequestId: ${hung} Error: Task timed out after 3.00 seconds`,
      },
    })
    expect(of(ended)).toMatchObject({
      requestContext: exhausted,
      responseContext: last,
      responsePayload: {
        errorType: 'Runtime.ExitError',
        errorMessage: `RequestId: ${ended} Error: Runtime exited with error: exit status 1`,
      },
    })
  })
})

describe('an event whose function cannot run', () => {
  // §4.3, §1.5: an init that fails is the function's own error
  test('has failed when its code cannot be loaded', async () => {
    await deployTold('unloadable', { MaximumRetryAttempts: 0 }, { Handler: 'nope.handler' })
    const id = await it.send('unloadable')
    const [record] = await it.records('unloadable-bad', 1)
    expect(record).toMatchObject({
      requestContext: { requestId: id, condition: 'RetriesExhausted', approximateInvokeCount: 1 },
      responseContext: { statusCode: 200, functionError: 'Unhandled' },
      responsePayload: { errorType: 'Runtime.ImportModuleError' },
    })
  })

  // §4.1: "no check that the function can run"
  test('yet, because it is being made, is accepted and runs', async () => {
    const made = it.deploy('early')
    const accepted = () => it.send('early', { n: 1 }).catch(() => undefined)
    await expect.poll(accepted, { interval: 1 }).toBeDefined()
    const [run] = await it.ran('early', 1)
    expect(run?.event).toEqual({ n: 1 })
    await made
  })
})

describe('an event whose function is throttled', () => {
  // §3.3, test_reserved_concurrency_async_queue: a synchronous one is refused, both events run later
  test('waits and runs, and has spent no attempt', async () => {
    await deployTold('capped', { MaximumRetryAttempts: 0 })
    await it.reserve('capped', 1)
    const before = await it.count('throttled')
    const gate = makeGate()
    const first = await it.send('capped', { gate: gate.path })
    await it.ran('capped', 1)
    const second = await it.send('capped')
    const third = await it.send('capped', { failures: 9 })
    await expect(invokeNow('capped')).rejects.toMatchObject({
      name: 'TooManyRequestsException',
      Reason: 'ReservedFunctionConcurrentInvocationLimitExceeded',
    })
    await expect.poll(() => it.count('throttled')).toBeGreaterThan(before)
    gate.open()
    const succeeded = await it.records('capped-ok', 2)
    const went = succeeded.map(({ requestContext }) => requestContext.requestId)
    expect(went.toSorted()).toEqual([first, second].toSorted())
    const [failed] = await it.records('capped-bad', 1)
    expect(failed?.requestContext).toMatchObject({
      requestId: third,
      condition: 'RetriesExhausted',
      approximateInvokeCount: 1,
    })
    const ids = it.runs('capped').map(({ id }) => id)
    expect(ids.toSorted()).toEqual([first, second, third].toSorted())
  })

  // §3.3, §4.4, test_reserved_concurrency: 202, at once, count 0, neither responseContext nor responsePayload
  test('for good, with a reserved concurrency of 0, has ended at once', async () => {
    await deployTold('off')
    await it.reserve('off', 0)
    const id = await it.send('off', { n: 1 })
    const [record] = await it.records('off-bad', 1)
    expect(record).toEqual({
      version: '1.0',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      requestContext: {
        requestId: id,
        functionArn: `${functionArn('off')}:$LATEST`,
        condition: 'ZeroReservedConcurrency',
        approximateInvokeCount: 0,
      },
      requestPayload: { n: 1 },
    })
    expect(it.runs('off')).toEqual([])
  })
})

// AWS takes no MaximumEventAgeInSeconds below 60, so here the waits are longer than that.
describe('an event that would be too old for the next attempt', () => {
  let slow: Asynchronous
  beforeAll(async () => {
    slow = await startAsynchronous({
      LAMBUS_FIRST_RETRY_MS: '70000',
      LAMBUS_EVENT_BACK_OFF_MS: '70000',
      LAMBUS_EVENT_LONGEST_BACK_OFF_MS: '70000',
    })
    await slow.deploy('ages')
    const onFailure = await slow.makeQueue('ages-bad')
    await slow.configure('ages', { onFailure, MaximumEventAgeInSeconds: 60 })
  })
  afterAll(() => slow?.stop())

  // §4.3, §4.4, test_maxeventage: no_retry_failure_message
  test('is given up at once, with its last error', async () => {
    const id = await slow.send('ages', { failures: 9 })
    const [record] = await slow.records('ages-bad', 1)
    expect(record).toMatchObject({
      requestContext: { requestId: id, condition: 'EventAgeExceeded', approximateInvokeCount: 1 },
      responseContext: {
        statusCode: 200,
        executedVersion: '$LATEST',
        functionError: 'Unhandled',
      },
      responsePayload: { errorType: 'TypeError', errorMessage: 'no luck' },
    })
  })

  // §4.3, §4.4, stackd's outcomes_expiry: count 0, responseContext.statusCode 429, no responsePayload
  test('because it is throttled was invoked 0 times', async () => {
    await slow.reserve('ages', 1)
    await slow.send('ages', { sleepMs: 5_000 })
    await slow.ran('ages', 2)
    const id = await slow.send('ages')
    const [record] = await slow.records('ages-bad', 1)
    expect(record).toEqual({
      version: '1.0',
      timestamp: expect.any(String),
      requestContext: {
        requestId: id,
        functionArn: `${functionArn('ages')}:$LATEST`,
        condition: 'EventAgeExceeded',
        approximateInvokeCount: 0,
      },
      requestPayload: {},
      responseContext: { statusCode: 429 },
    })
  })
})

describe('what is changed while an event waits', { timeout: 30_000 }, () => {
  // §4.3, stackd's event_config_timing, paired: two attempts of an event whose retries were set to 0 after the first
  test('MaximumRetryAttempts counts from the next attempt on', async () => {
    await deployTold('lowered')
    // The second attempt does not end before everybody has heard of it.
    const gate = makeGate()
    await it.send('lowered', { failures: 9, gate: gate.path, gateFrom: 2 })
    await it.ran('lowered', 1)
    const onFailure = await it.makeQueue('lowered-bad')
    await it.configure('lowered', { onFailure, MaximumRetryAttempts: 0 })
    gate.open()
    const [record] = await it.records('lowered-bad', 1)
    expect(record?.requestContext).toMatchObject({
      condition: 'RetriesExhausted',
      approximateInvokeCount: 2,
    })
    await oneMore()
    expect(it.runs('lowered').length).toBe(2)
  })

  // test_async_invoke_queue_upon_function_update
  test('its function runs it as it is then', async () => {
    await it.deploy('updated', { Environment: { Variables: { VARIANT: 'one' } } })
    await it.reserve('updated', 1)
    const gate = makeGate()
    await it.send('updated', { gate: gate.path })
    await it.ran('updated', 1)
    const before = await Promise.all([1, 2, 3, 4].map((n) => it.send('updated', { n })))
    const { lambda } = it.system
    const Variables = { RUNS: `${it.system.dataDir}/updated.runs`, VARIANT: 'two' }
    await lambda.send(
      new UpdateFunctionConfigurationCommand({
        FunctionName: 'updated',
        Environment: { Variables },
      }),
    )
    await waitUntilFunctionUpdatedV2(
      { client: lambda, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 },
      { FunctionName: 'updated' },
    )
    const after = await Promise.all([5, 6].map((n) => it.send('updated', { n })))
    gate.open()
    const [first, ...others] = await it.ran('updated', 7)
    expect(first?.variant).toBe('one')
    expect(others.map(({ variant }) => variant)).toEqual(Array(6).fill('two'))
    expect(others.map(({ id }) => id).toSorted()).toEqual([...before, ...after].toSorted())
  })

  /** A function that runs one event at a time and is busy until the gate is opened; resolves with the id of one that waits. */
  async function waitingFor(
    { path: gate }: Gate,
    name: string,
    config = {},
    more = {},
  ): Promise<string> {
    await deployTold(name, config, more)
    await it.reserve(name, 1)
    await it.send(name, { gate })
    await it.ran(name, 1)
    return it.send(name, { n: 1 })
  }
  const remove = (FunctionName: string) =>
    it.system.lambda.send(new DeleteFunctionCommand({ FunctionName }))

  // §4.3, stackd's async_deleted_targets: RetriesExhausted, 404, neither executedVersion nor responsePayload; OnFailure and
  // the dead-letter queue are told although the function is gone
  test('its function is deleted: it has ended with 404, and those are told who would have been', async () => {
    const TargetArn = await it.makeQueue('deleted-dead')
    const letters = { DeadLetterConfig: { TargetArn } }
    const gate = makeGate()
    const id = await waitingFor(gate, 'deleted', { MaximumRetryAttempts: 0 }, letters)
    await remove('deleted')
    gate.open()
    const [record] = await it.records('deleted-bad', 1)
    expect(record).toEqual({
      version: '1.0',
      timestamp: expect.any(String),
      requestContext: {
        requestId: id,
        functionArn: `${functionArn('deleted')}:$LATEST`,
        condition: 'RetriesExhausted',
        approximateInvokeCount: 1,
      },
      requestPayload: { n: 1 },
      responseContext: { statusCode: 404 },
    })
    const [letter] = await it.messages('deleted-dead', 1)
    expect(letter?.Body).toBe('{"n":1}')
    expect(letter?.MessageAttributes).toMatchObject({
      ErrorCode: { StringValue: '404' },
      ErrorMessage: { StringValue: `Function not found: ${functionArn('deleted')}:$LATEST` },
      RequestID: { StringValue: id },
    })
  })

  // §4.3, stackd's async_deleted_targets, "function-retry1": no run, count 2, after the wait of a failure
  test('its function is deleted: not to find it spends attempts', async () => {
    const gate = makeGate()
    const id = await waitingFor(gate, 'missed', { MaximumRetryAttempts: 1 })
    const sinceMs = Date.now()
    await remove('missed')
    gate.open()
    const [record] = await it.records('missed-bad', 1)
    expect(Date.now() - sinceMs).toBeGreaterThanOrEqual(firstRetryMs)
    expect(record).toMatchObject({
      requestContext: { requestId: id, condition: 'RetriesExhausted', approximateInvokeCount: 2 },
      responseContext: { statusCode: 404 },
    })
    expect(it.runs('missed').length).toBe(1)
  })

  // §4.4, stackd's async_deleted_targets, "version-failed": one run, count 2
  test('its function is deleted after it failed: that attempt counts', async () => {
    await deployTold('forsaken', { MaximumRetryAttempts: 1 })
    const id = await it.send('forsaken', { failures: 9 })
    await it.ran('forsaken', 1)
    await wait(300)
    await remove('forsaken')
    const [record] = await it.records('forsaken-bad', 1)
    expect(record).toMatchObject({
      requestContext: { requestId: id, condition: 'RetriesExhausted', approximateInvokeCount: 2 },
      responseContext: { statusCode: 404 },
    })
    expect(it.runs('forsaken').length).toBe(1)
  })

  // Stackd's async_deletion, "function-recreate": the new function ran it, under its request id
  test('its function is deleted and made again: the new one runs it', async () => {
    const gate = makeGate()
    const id = await waitingFor(gate, 'replaced')
    await remove('replaced')
    await it.deploy('replaced', { Environment: { Variables: { VARIANT: 'new' } } })
    gate.open()
    const [run] = await it.ran('replaced', 1)
    expect(run).toMatchObject({ id, variant: 'new', event: { n: 1 } })
  })
})
