/**
 * A whole system with functions that note what they are invoked with, for what is read from streams: test/system/kinesis*.
 *
 * A function's behaviour is a line of JavaScript in a file, read at each invocation, so that a test may change it without an
 * update of the function.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  KinesisClient,
  PutRecordCommand,
} from '@aws-sdk/client-kinesis'
import {
  CreateEventSourceMappingCommand,
  type CreateEventSourceMappingCommandInput,
  type EventSourceMappingConfiguration,
  GetEventSourceMappingCommand,
} from '@aws-sdk/client-lambda'
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { deploy, type System, startSystem } from './system.ts'

/** The parts of AWS's event that tests look at; the whole is compared as text where its order counts. */
export type KinesisEvent = {
  Records: {
    kinesis: {
      partitionKey: string
      sequenceNumber: string
      data: string
      approximateArrivalTimestamp: number
    }
    eventID: string
    eventSourceARN: string
  }[]
  window?: { start: string; end: string }
  state?: Record<string, unknown>
  shardId?: string
  isFinalInvokeForWindow?: boolean
  isWindowTerminatedEarly?: boolean
}

export type Noted = { text: string; event: KinesisEvent; requestId: string; atMs: number }

const code = `import { appendFileSync, readFileSync } from 'node:fs'
  const AsyncFunction = (async () => {}).constructor
  export const handler = async (event, { awsRequestId }) => {
    const note = { text: JSON.stringify(event), requestId: awsRequestId, atMs: Date.now() }
    appendFileSync(process.env.LOG, JSON.stringify(note) + '\\n')
    const data = event.Records.map(({ kinesis }) => Buffer.from(kinesis.data, 'base64').toString())
    return await new AsyncFunction('event', 'data', readFileSync(process.env.BEHAVIOUR, 'utf8'))(event, data)
  }`

export const dataOf = ({ event }: Noted): string[] =>
  event.Records.map(({ kinesis }) => Buffer.from(kinesis.data, 'base64').toString())

export const streamArn = (stream: string) =>
  `arn:aws:kinesis:us-east-1:000000000000:stream/${stream}`
export const queueArn = (queue: string) => `arn:aws:sqs:us-east-1:000000000000:${queue}`
export const functionArn = (name: string) =>
  `arn:aws:lambda:us-east-1:000000000000:function:${name}`

export type Recorder = {
  name: string
  notes(): Noted[]
  /** The data of all records, batch by batch. */
  batches(): string[][]
  /** Resolves when the records so far satisfy; throws with what there is after `withinMs`. */
  until(
    isEnough: (batches: string[][], notes: Noted[]) => boolean,
    withinMs?: number,
  ): Promise<void>
  /** JavaScript of an async function's body with `event` and `data`. */
  behave(body: string): void
}

export type KinesisSystem = Awaited<ReturnType<typeof startKinesisSystem>>

/** Short waits: what is measured against AWS's own durations sets its own. */
const quick = {
  LAMBUS_STREAM_SETTLE_MS: '100',
  LAMBUS_RECORD_BACK_OFF_MS: '20',
  LAMBUS_RECORD_LONGEST_BACK_OFF_MS: '500',
}

export async function startKinesisSystem(environment: Record<string, string> = {}) {
  const system: System = await startSystem([], { ...quick, ...environment })
  const dir = mkdtempSync(join(tmpdir(), 'lambus-kinesis-'))
  const aws = {
    endpoint: system.http ?? '',
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  }
  const kinesis = new KinesisClient(aws)
  const sqs = new SQSClient(aws)
  const { lambda } = system

  const recorder = (name: string): Recorder => {
    const log = join(dir, name)
    const notes = () =>
      (existsSync(log) ? readFileSync(log, 'utf8') : '')
        .split('\n')
        // What follows the last end of a line is not written yet.
        .slice(0, -1)
        .map((line) => {
          const note = JSON.parse(line)
          return { ...note, event: JSON.parse(note.text) } as Noted
        })
    const batches = () => notes().map(dataOf)
    return {
      name,
      notes,
      batches,
      until: (isEnough, withinMs = 15_000) =>
        until(
          () => isEnough(batches(), notes()),
          withinMs,
          () => JSON.stringify(batches()),
        ),
      behave: (body) => writeFileSync(`${log}.behaviour`, body),
    }
  }

  return {
    system,
    kinesis,
    lambda,
    sqs,
    recorder,
    async stop() {
      kinesis.destroy()
      sqs.destroy()
      await system.stop()
      rmSync(dir, { recursive: true, force: true })
    },
    /** A function that notes what it is invoked with. */
    async record(name: string, body = ''): Promise<Recorder> {
      const its = recorder(name)
      its.behave(body)
      const Variables = { LOG: join(dir, name), BEHAVIOUR: join(dir, `${name}.behaviour`) }
      await deploy(lambda, name, code, { Environment: { Variables } })
      return its
    },
    async createStream(StreamName: string, ShardCount = 1): Promise<string> {
      await kinesis.send(new CreateStreamCommand({ StreamName, ShardCount }))
      await until(async () => (await statusOf(kinesis, StreamName)) === 'ACTIVE')
      return streamArn(StreamName)
    },
    active: (stream: string) => until(async () => (await statusOf(kinesis, stream)) === 'ACTIVE'),
    async put(StreamName: string, data: string, PartitionKey = 'key', more: object = {}) {
      const Data = Buffer.from(data)
      return await kinesis.send(new PutRecordCommand({ StreamName, PartitionKey, Data, ...more }))
    },
    /** A mapping that reads from the beginning unless it says otherwise; resolves when it is enabled. */
    async map(
      stream: string,
      FunctionName: string,
      more: Partial<CreateEventSourceMappingCommandInput> = {},
    ): Promise<string> {
      const { UUID = '' } = await lambda.send(
        new CreateEventSourceMappingCommand({
          EventSourceArn: streamArn(stream),
          FunctionName,
          StartingPosition: 'TRIM_HORIZON',
          ...more,
        }),
      )
      await stateIs(lambda, UUID, more.Enabled === false ? 'Disabled' : 'Enabled')
      return UUID
    },
    mapping: (UUID: string) => lambda.send(new GetEventSourceMappingCommand({ UUID })),
    stateIs: (uuid: string, state: string) => stateIs(lambda, uuid, state),
    async createQueue(QueueName: string): Promise<string> {
      const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName }))
      return QueueUrl
    },
    /** The body of the next message, which is deleted. */
    async receive(QueueUrl: string, WaitTimeSeconds = 10): Promise<string | undefined> {
      const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds }))
      const [message] = Messages ?? []
      if (message === undefined) return undefined
      const { ReceiptHandle } = message
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))
      return message.Body
    },
  }
}

const statusOf = async (kinesis: KinesisClient, StreamName: string): Promise<string | undefined> =>
  (await kinesis.send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary
    ?.StreamStatus

const stateIs = async (
  lambda: System['lambda'],
  UUID: string,
  state: string,
): Promise<EventSourceMappingConfiguration> => {
  let seen: EventSourceMappingConfiguration = {}
  const look = async () => {
    seen = await lambda.send(new GetEventSourceMappingCommand({ UUID }))
    return seen.State === state
  }
  await until(look, 15_000, () => JSON.stringify(seen))
  return seen
}

export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs = 15_000,
  found: () => string = () => '',
): Promise<void> {
  const from = performance.now()
  while (!(await holds())) {
    if (performance.now() - from > withinMs) throw new Error(`not after ${withinMs} ms: ${found()}`)
    await wait(20)
  }
}
