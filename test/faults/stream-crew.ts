/**
 * A crew that reads streams: what a test puts into one, which shards there are, who reads them, and how far.
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
import { readEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import type { Checkpoint } from '../../bus/checkpoints.ts'
import { checkpointsBucket, kvEntry, kvStream, leasesBucket } from '../../bus/subjects.ts'
import { type Crew, type CrewRole, startCrew } from './crew.ts'

export const streamStaff = {
  'control-plane': 1,
  placement: 1,
  'state-manager': 1,
  'worker-manager': 1,
  worker: 1,
  leasing: 1,
  'stream-tracker': 1,
  'front-end': 1,
  poller: 2,
} as const satisfies Partial<Record<CrewRole, number>>

/** Short waits, so that a retry is a matter of moments. */
const environment = {
  LAMBUS_RECORD_BACK_OFF_MS: '50',
  LAMBUS_RECORD_LONGEST_BACK_OFF_MS: '400',
  LAMBUS_STREAM_SETTLE_MS: '100',
  LAMBUS_LOG_LEVEL: 'warn',
}

type MappingSettings = Omit<
  CreateEventSourceMappingCommandInput,
  'FunctionName' | 'EventSourceArn' | 'StartingPosition'
>

export type StreamCrew = Crew & {
  kinesis(): KinesisClient
  createStream(name: string, shards: number): Promise<void>
  shards(name: string): Promise<Shard[]>
  /** From the oldest record on; resolves with the UUID when it is enabled. */
  map(functionName: string, stream: string, settings?: MappingSettings): Promise<string>
  /** Puts them, in one request if it goes well; one that did not is put again until it did. */
  put(stream: string, records: readonly PutRecord[]): Promise<void>
  createQueue(name: string): Promise<void>
  /** Bodies of messages that come within some time. */
  receive(queue: string, forMs: number): Promise<string[]>
  checkpoints(uuid: string): Promise<Map<string, Checkpoint>>
  /** By shard: the poller that has its lease. */
  leases(uuid: string): Promise<Map<string, string>>
}

export type PutRecord = { key: string; text: string }

export async function startStreamCrew(
  counts: Partial<Record<CrewRole, number>> = {},
  more: Record<string, string> = {},
): Promise<StreamCrew> {
  const crew = await startCrew({ ...streamStaff, ...counts }, { ...environment, ...more })
  const { bus } = crew
  const access = () => ({
    endpoint: crew.endpoint(),
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  })
  const kept = new Map<string, KinesisClient>()
  const kinesis = (): KinesisClient => {
    const endpoint = crew.endpoint()
    const client =
      kept.get(endpoint) ??
      new KinesisClient({
        ...access(),
        requestHandler: new NodeHttp2Handler({ requestTimeout: 4_000, sessionTimeout: 4_000 }),
      })
    kept.set(endpoint, client)
    return client
  }
  const sqs = () => new SQSClient(access())
  const arn = (service: string, name: string) => `arn:aws:${service}:us-east-1:000000000000:${name}`

  return {
    ...crew,
    kinesis,
    async createStream(name, shards) {
      await kinesis().send(new CreateStreamCommand({ StreamName: name, ShardCount: shards }))
      await active(kinesis, name)
    },
    async shards(name) {
      const { Shards = [] } = await kinesis().send(new ListShardsCommand({ StreamName: name }))
      return Shards
    },
    async map(functionName, stream, settings = {}) {
      const { UUID } = await crew.lambda().send(
        new CreateEventSourceMappingCommand({
          FunctionName: functionName,
          EventSourceArn: arn('kinesis', `stream/${stream}`),
          StartingPosition: 'TRIM_HORIZON',
          ...settings,
        }),
      )
      await until(async () => {
        const state = await crew.lambda().send(new GetEventSourceMappingCommand({ UUID }))
        return state.State === 'Enabled'
      })
      return UUID as string
    },
    async put(stream, records) {
      let left = records
      while (left.length > 0) {
        const Records = left.map(({ key, text }) => ({
          PartitionKey: key,
          Data: Buffer.from(text),
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
      await sqs().send(new CreateQueueCommand({ QueueName }))
    },
    async receive(queue, forMs) {
      const client = sqs()
      const bodies: string[] = []
      const untilMs = performance.now() + forMs
      while (performance.now() < untilMs) {
        const left = untilMs - performance.now()
        const { Messages = [] } = await client.send(
          new ReceiveMessageCommand({
            QueueUrl: `${crew.endpoint()}/000000000000/${queue}`,
            WaitTimeSeconds: Math.max(0, Math.min(20, Math.floor(left / 1_000))),
            MaxNumberOfMessages: 10,
            VisibilityTimeout: 600,
          }),
        )
        bodies.push(...Messages.map(({ Body = '' }) => Body))
      }
      return bodies
    },
    checkpoints: (uuid) => entriesOf<Checkpoint>(bus, checkpointsBucket, `${uuid}.*`),
    async leases(uuid) {
      const found = await entriesOf<{ value: string }>(bus, leasesBucket, `shard.${uuid}.*`)
      return new Map([...found].map(([key, { value }]) => [key.slice('shard.'.length), value]))
    },
    async stop() {
      for (const client of kept.values()) client.destroy()
      await crew.stop()
    },
  }
}

export const active = (kinesis: () => KinesisClient, name: string): Promise<void> =>
  until(async () => {
    const told = await kinesis().send(new DescribeStreamSummaryCommand({ StreamName: name }))
    return told.StreamDescriptionSummary?.StreamStatus === 'ACTIVE'
  })

/** Asked until it is true; what it throws counts as not yet. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  { forMs = 30_000, everyMs = 50 }: { forMs?: number; everyMs?: number } = {},
): Promise<void> {
  const beganMs = performance.now()
  for (;;) {
    try {
      if (await condition()) return
    } catch (error) {
      if (performance.now() - beganMs > forMs) throw error
    }
    if (performance.now() - beganMs > forMs) throw new Error(`not so in ${forMs} ms: ${condition}`)
    await wait(everyMs)
  }
}

async function entriesOf<T>(bus: Bus, bucket: string, filter: string): Promise<Map<string, T>> {
  const manager = await bus.jetstreamManager()
  const { state } = await manager.streams.info(kvStream(bucket), {
    subjects_filter: kvEntry(bucket, filter),
  })
  const keys = Object.keys(state.subjects ?? {}).map((subject) =>
    subject.slice(kvEntry(bucket, '').length),
  )
  const found = new Map<string, T>()
  for (const key of keys) {
    const entry = await readEntry(bus, bucket, key)
    if (entry !== undefined && !entry.removed) {
      found.set(key, JSON.parse(Buffer.from(entry.value).toString()) as T)
    }
  }
  return found
}
