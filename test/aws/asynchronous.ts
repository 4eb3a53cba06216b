/**
 * The whole system for tests of asynchronous invocation: short waits, functions that do what their event says and write
 * down each of their runs, and queues.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  type CreateFunctionCommandInput,
  InvokeCommand,
  PutFunctionConcurrencyCommand,
  PutFunctionEventInvokeConfigCommand,
  type PutFunctionEventInvokeConfigCommandInput,
} from '@aws-sdk/client-lambda'
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueUrlCommand,
  type Message,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { expect } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { status } from '../../bus/subjects.ts'
import { deploy, type System, startSystem } from '../system/system.ts'

/** One run of a function. */
export type Run = {
  id: string
  /** The how-many-th with this request id. */
  attempt: number
  atMs: number
  arn: string
  event: unknown
  traceId: string
  clientContext?: unknown
  variant?: string
}

/** What a function does with an event that says so. */
export type Wish = {
  /** In how many of its first attempts it throws. */
  failures?: number
  /** In how many of its first attempts it ends its process. */
  exits?: number
  /** The same by SIGKILL. */
  kills?: number
  sleepMs?: number
  /** A directory: it goes on when a test has opened that gate; from which attempt on. */
  gate?: string
  gateFrom?: number
  answer?: unknown
  [more: string]: unknown
}

/** The second line is that of a throw: as little of it as possible should change. */
export const obeys = `import { appendFileSync, existsSync, readFileSync } from 'node:fs'
const fail = () => { throw new TypeError('no luck') }
export const handler = async (event, context) => {
  const { failures = 0, exits = 0, kills = 0, sleepMs = 0, gate, gateFrom = 1, answer = null } = event ?? {}
  const id = context.awsRequestId
  const attempt = readFileSync(process.env.RUNS, 'utf8').split(id).length
  appendFileSync(process.env.RUNS, JSON.stringify({ id, attempt, atMs: Date.now(),
    arn: context.invokedFunctionArn, event: JSON.stringify(event).length > 1000 ? 'long' : event,
    traceId: process.env._X_AMZN_TRACE_ID, clientContext: context.clientContext, variant: process.env.VARIANT }) + '\\n')
  await new Promise((resolve) => setTimeout(resolve, sleepMs))
  while (gate && attempt >= gateFrom && !existsSync(gate + '/open')) await new Promise((resolve) => setTimeout(resolve, 5))
  if (attempt <= kills) process.kill(process.pid, 'SIGKILL')
  if (attempt <= exits) process.exit(1)
  if (attempt <= failures) fail()
  return answer
}`

export type EndRecord = {
  version: string
  timestamp: string
  requestContext: {
    requestId: string
    functionArn: string
    condition: string
    approximateInvokeCount: number
  }
  requestPayload: unknown
  responseContext?: { statusCode: number; executedVersion?: string; functionError?: string }
  responsePayload?: unknown
}

export type Asynchronous = {
  system: System
  bus: Bus
  sqs: SQSClient
  /** Makes a function that obeys, and tells its runs so far. */
  deploy(name: string, more?: Partial<CreateFunctionCommandInput>): Promise<void>
  runs(name: string): Run[]
  /** Waits until it has run so often. */
  ran(name: string, times: number): Promise<Run[]>
  /** Resolves with the request id. */
  send(name: string, wish?: Wish, more?: object): Promise<string>
  configure(name: string, config: Config): Promise<void>
  reserve(name: string, executions: number): Promise<void>
  /** Makes a queue; resolves with its ARN. */
  makeQueue(name: string): Promise<string>
  deleteQueue(name: string): Promise<void>
  /** Waits for so many messages, and takes them out. */
  messages(queue: string, count: number): Promise<Message[]>
  /** The records that they are. */
  records(queue: string, count: number): Promise<EndRecord[]>
  /** What is in the queue at this moment. */
  look(queue: string): Promise<Message[]>
  /** A count of the poller's. */
  count(name: string): Promise<number>
  stop(): Promise<void>
}

type Config = Omit<PutFunctionEventInvokeConfigCommandInput, 'FunctionName'> & {
  onSuccess?: string
  onFailure?: string
}

export const functionArn = (name: string) =>
  `arn:aws:lambda:us-east-1:000000000000:function:${name}`
export const queueArn = (name: string) => `arn:aws:sqs:us-east-1:000000000000:${name}`

/** Milliseconds of environment variables that these tests know. */
export const firstRetryMs = 2_000
export const secondRetryMs = 3_000
/** Everybody has heard of a record some milliseconds after it is stored. */
const HEARD_MS = 300
const PATIENCE_MS = 30_000

export async function startAsynchronous(
  environment: Record<string, string> = {},
): Promise<Asynchronous> {
  const system = await startSystem([], {
    LAMBUS_FIRST_RETRY_MS: String(firstRetryMs),
    LAMBUS_SECOND_RETRY_MS: String(secondRetryMs),
    LAMBUS_EVENT_BACK_OFF_MS: '200',
    LAMBUS_EVENT_LONGEST_BACK_OFF_MS: '1000',
    LAMBUS_LOG_LEVEL: 'error',
    ...environment,
  })
  const bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
  const sqs = new SQSClient({
    endpoint: system.http ?? '',
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  })
  const runsFile = (name: string) => join(system.dataDir, `${name}.runs`)
  const urlOf = async (QueueName: string) =>
    (await sqs.send(new GetQueueUrlCommand({ QueueName }))).QueueUrl
  const runs = (name: string): Run[] =>
    readFileSync(runsFile(name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Run)

  const receive = async (queue: string, waitSeconds: number): Promise<Message[]> => {
    const asked = new ReceiveMessageCommand({
      QueueUrl: await urlOf(queue),
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: waitSeconds === 0 ? 0 : 60,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    })
    return (await sqs.send(asked)).Messages ?? []
  }

  const messages = async (queue: string, count: number): Promise<Message[]> => {
    const got: Message[] = []
    const until = Date.now() + PATIENCE_MS
    while (got.length < count) {
      if (Date.now() > until) throw new Error(`${got.length} of ${count} messages in ${queue}`)
      for (const message of await receive(queue, 1)) {
        got.push(message)
        const { ReceiptHandle } = message
        await sqs.send(new DeleteMessageCommand({ QueueUrl: await urlOf(queue), ReceiptHandle }))
      }
    }
    return got
  }

  return {
    system,
    bus,
    sqs,
    async deploy(name, more = {}) {
      writeFileSync(runsFile(name), '')
      await deploy(system.lambda, name, obeys, {
        Timeout: 20,
        ...more,
        Environment: { Variables: { RUNS: runsFile(name), ...more.Environment?.Variables } },
      })
    },
    runs,
    async ran(name, times) {
      await expect
        .poll(() => runs(name).length, { timeout: PATIENCE_MS, interval: 50 })
        .toBeGreaterThanOrEqual(times)
      return runs(name)
    },
    async send(name, wish = {}, more = {}) {
      const asked = new InvokeCommand({
        FunctionName: name,
        InvocationType: 'Event',
        Payload: JSON.stringify(wish),
        ...more,
      })
      return (await system.lambda.send(asked)).$metadata.requestId ?? ''
    },
    async configure(name, { onSuccess, onFailure, ...config }) {
      const destinations = {
        ...(onSuccess === undefined ? {} : { OnSuccess: { Destination: onSuccess } }),
        ...(onFailure === undefined ? {} : { OnFailure: { Destination: onFailure } }),
      }
      const put = { FunctionName: name, DestinationConfig: destinations, ...config }
      await system.lambda.send(new PutFunctionEventInvokeConfigCommand(put))
      await wait(HEARD_MS)
    },
    async reserve(name, executions) {
      const put = { FunctionName: name, ReservedConcurrentExecutions: executions }
      await system.lambda.send(new PutFunctionConcurrencyCommand(put))
      await wait(HEARD_MS)
    },
    async makeQueue(name) {
      await sqs.send(new CreateQueueCommand({ QueueName: name }))
      return queueArn(name)
    },
    async deleteQueue(name) {
      await sqs.send(new DeleteQueueCommand({ QueueUrl: await urlOf(name) }))
      await wait(HEARD_MS)
    },
    messages,
    records: async (queue, count) =>
      (await messages(queue, count)).map(({ Body }) => JSON.parse(Body ?? '') as EndRecord),
    look: (queue) => receive(queue, 0),
    async count(name) {
      const answers = await bus.askAll(status, undefined, { waitMs: 500 })
      const told = answers.map((answer) => answer.json<{ events?: Record<string, number> }>())
      return told.reduce((sum, { events }) => sum + (events?.[name] ?? 0), 0)
    },
    async stop() {
      sqs.destroy()
      await bus.close()
      await system.stop()
    },
  }
}
