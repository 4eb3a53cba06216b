/**
 * What a client does with streams, by AWS's SDK: makes them, puts into them, maps them to functions, and asks again where
 * somebody has died over it.
 */
import { setTimeout as wait } from 'node:timers/promises'
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  KinesisClient,
  ListShardsCommand,
  PutRecordsCommand,
  type Shard,
} from '@aws-sdk/client-kinesis'
import {
  CreateEventSourceMappingCommand,
  type CreateEventSourceMappingCommandInput,
  GetEventSourceMappingCommand,
} from '@aws-sdk/client-lambda'
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { NodeHttp2Handler } from '@smithy/node-http-handler'
import { lambdaClient } from '../system/system.ts'

type MappingSettings = Omit<
  CreateEventSourceMappingCommandInput,
  'FunctionName' | 'EventSourceArn' | 'StartingPosition'
>
/** `hash`: instead of that of its key. */
export type PutRecord = { key: string; text: string; hash?: string }

export type StreamUser = {
  kinesis(): KinesisClient
  createStream(name: string, shards: number): Promise<void>
  /** Resolves when no change of it is on its way. */
  settled(name: string): Promise<void>
  shards(name: string): Promise<Shard[]>
  /** From the oldest record on; resolves with the UUID when it is enabled. */
  map(functionName: string, stream: string, settings?: MappingSettings): Promise<string>
  /** Puts them, in one request if it goes well; what was not stored is put again until it is. */
  put(stream: string, records: readonly PutRecord[]): Promise<void>
  createQueue(name: string): Promise<void>
  /** Bodies of messages: of what comes first, however late on a slow machine, and of what comes within a second after it. */
  receive(queue: string): Promise<string[]>
  close(): void
}

const RECEIVED_WITHIN_MS = 15_000

/** `endpoint`: of somebody who lives, as of now. What is not answered in time is asked again: a record may be put twice. */
export function streamUser(
  endpoint: () => string,
  { answerWithinMs = 4_000 }: { answerWithinMs?: number } = {},
): StreamUser {
  const access = () => ({
    endpoint: endpoint(),
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  })
  const kept = new Map<string, KinesisClient>()
  const kinesis = (): KinesisClient => {
    const requestHandler = new NodeHttp2Handler({
      requestTimeout: answerWithinMs,
      sessionTimeout: answerWithinMs,
    })
    const client = kept.get(endpoint()) ?? new KinesisClient({ ...access(), requestHandler })
    kept.set(endpoint(), client)
    return client
  }
  const lambda = () => lambdaClient(endpoint())
  const settled = (name: string): Promise<void> =>
    until(async () => {
      const told = await kinesis().send(new DescribeStreamSummaryCommand({ StreamName: name }))
      return told.StreamDescriptionSummary?.StreamStatus === 'ACTIVE'
    })

  return {
    kinesis,
    settled,
    async createStream(name, shards) {
      await kinesis().send(new CreateStreamCommand({ StreamName: name, ShardCount: shards }))
      await settled(name)
    },
    async shards(name) {
      const { Shards = [] } = await kinesis().send(new ListShardsCommand({ StreamName: name }))
      return Shards
    },
    async map(functionName, stream, settings = {}) {
      const { UUID } = await lambda().send(
        new CreateEventSourceMappingCommand({
          FunctionName: functionName,
          EventSourceArn: `arn:aws:kinesis:us-east-1:000000000000:stream/${stream}`,
          StartingPosition: 'TRIM_HORIZON',
          ...settings,
        }),
      )
      await until(async () => {
        const state = await lambda().send(new GetEventSourceMappingCommand({ UUID }))
        return state.State === 'Enabled'
      })
      return UUID as string
    },
    async put(stream, records) {
      let left = records
      while (left.length > 0) {
        const Records = left.map(({ key, text, hash }) => ({
          PartitionKey: key,
          Data: Buffer.from(text),
          ...(hash === undefined ? {} : { ExplicitHashKey: hash }),
        }))
        try {
          const told = await kinesis().send(new PutRecordsCommand({ StreamName: stream, Records }))
          left = left.filter((_, index) => told.Records?.[index]?.ErrorCode !== undefined)
        } catch {
          // Nobody knows: they are put again, and may be there twice.
        }
        if (left.length > 0) await wait(50)
      }
    },
    async createQueue(QueueName) {
      await new SQSClient(access()).send(new CreateQueueCommand({ QueueName }))
    },
    async receive(queue) {
      const client = new SQSClient(access())
      const poll = async () => {
        const { Messages = [] } = await client.send(
          new ReceiveMessageCommand({
            QueueUrl: `${endpoint()}/000000000000/${queue}`,
            WaitTimeSeconds: 1,
            MaxNumberOfMessages: 10,
            VisibilityTimeout: 600,
          }),
        )
        return Messages.map(({ Body = '' }) => Body)
      }
      const bodies: string[] = []
      const untilMs = performance.now() + RECEIVED_WITHIN_MS
      while (bodies.length === 0 && performance.now() < untilMs) bodies.push(...(await poll()))
      return [...bodies, ...(await poll())]
    },
    close() {
      for (const client of kept.values()) client.destroy()
    },
  }
}

/** Asked until it is true; what it throws counts as not yet. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  { forMs = 30_000, everyMs = 50 }: { forMs?: number; everyMs?: number } = {},
): Promise<void> {
  const beganMs = performance.now()
  for (;;) {
    const isLate = performance.now() - beganMs > forMs
    try {
      if (await condition()) return
    } catch (error) {
      if (isLate) throw error
    }
    if (isLate) throw new Error(`not so after ${forMs} ms: ${condition}`)
    await wait(everyMs)
  }
}
