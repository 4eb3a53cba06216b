/** Issues 2 and 4, "Bad input gets": over HTTP and over NATS; nothing is stored, nothing crashes. */
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  ListStreamsCommand,
  ListTagsForStreamCommand,
  PutRecordCommand,
  waitUntilStreamExists,
} from '@aws-sdk/client-kinesis'
import {
  CreateEventSourceMappingCommand,
  GetEventSourceMappingCommand,
  InvokeCommand,
  ListEventSourceMappingsCommand,
  ListFunctionsCommand,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import {
  chanceOf,
  errorsIn,
  playHttp,
  playNats,
  playStreams,
  shapeOf,
  statusOf,
  targetsOf,
} from './bad-input.ts'
import { until } from './kinesis-system.ts'
import { deploy, type System, startSystem } from './system.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))

let system: System
let bus: Bus
let kinesis: KinesisClient
let mapping: string
beforeAll(async () => {
  system = await startSystem()
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
  await deploy(system.lambda, 'echo', 'export const handler = (event) => event')
  await works()
  const more = { credentials: { accessKeyId: 'test', secretAccessKey: 'test' }, maxAttempts: 1 }
  kinesis = new KinesisClient({ endpoint: system.http ?? '', region: 'us-east-1', ...more })
  const StreamName = 'there'
  await kinesis.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }))
  await waitUntilStreamExists(
    { client: kinesis, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 },
    { StreamName },
  )
  await kinesis.send(
    new PutRecordCommand({ StreamName, PartitionKey: 'a', Data: Buffer.from('a') }),
  )
  const { UUID = '' } = await system.lambda.send(
    new CreateEventSourceMappingCommand({
      FunctionName: 'echo',
      EventSourceArn: 'arn:aws:kinesis:us-east-1:000000000000:stream/there',
      StartingPosition: 'TRIM_HORIZON',
    }),
  )
  mapping = UUID
  const look = new GetEventSourceMappingCommand({ UUID })
  await until(async () => {
    const { State, LastProcessingResult } = await system.lambda.send(look)
    return State === 'Enabled' && LastProcessingResult === 'OK'
  })
})
afterAll(async () => {
  await bus?.close()
  kinesis?.destroy()
  await system?.stop()
})

const works = async () => {
  const { Payload } = await system.lambda.send(
    new InvokeCommand({ FunctionName: 'echo', Payload: '{"n":1}' }),
  )
  expect(Buffer.from(Payload ?? []).toString()).toBe('{"n":1}')
}
const stored = async () => ({
  functions: (await system.lambda.send(new ListFunctionsCommand({}))).Functions?.map(
    ({ FunctionName, RevisionId }) => [FunctionName, RevisionId],
  ),
  mappings: (await system.lambda.send(new ListEventSourceMappingsCommand({}))).EventSourceMappings,
  streams: await streamsStored(),
})

/** All streams, with their shards and what is in them. */
async function streamsStored() {
  const { StreamNames = [] } = await kinesis.send(new ListStreamsCommand({}))
  return await Promise.all(
    StreamNames.map(async (StreamName) => {
      const { Shards = [] } = await kinesis.send(new ListShardsCommand({ StreamName }))
      const { StreamDescriptionSummary } = await kinesis.send(
        new DescribeStreamSummaryCommand({ StreamName }),
      )
      const tags = await kinesis.send(new ListTagsForStreamCommand({ StreamName }))
      const records = await Promise.all(
        Shards.map(async ({ ShardId }) => {
          const { ShardIterator } = await kinesis.send(
            new GetShardIteratorCommand({
              StreamName,
              ShardId,
              ShardIteratorType: 'TRIM_HORIZON',
            }),
          )
          return (await kinesis.send(new GetRecordsCommand({ ShardIterator }))).Records
        }),
      )
      return { StreamDescriptionSummary, Shards, tags: tags.Tags, records }
    }),
  )
}

/** Plays, and compares what there is with what there was. */
async function harmless(play: () => Promise<void>) {
  const before = { stored: await stored(), shape: shapeOf(await statusOf(bus)) }
  await play()
  await works()
  // A placement that was asked for gives up after its patience; all else is over at once.
  await expect
    .poll(async () => shapeOf(await statusOf(bus)), { timeout: 5_000, interval: 200 })
    .toEqual(before.shape)
  expect(await stored()).toEqual(before.stored)
  expect(errorsIn(system.log())).toEqual([])
}

test(`a thousand bad requests are refused as AWS refuses them, and change nothing (SEED=${seed})`, async () => {
  await harmless(async () => {
    const chance = chanceOf(seed)
    const port = Number(new URL(system.http ?? '').port)
    for (let sent = 0; sent < 1_000; sent++) expect(await playHttp(port, chance)).toBeUndefined()
  })
}, 30_000)

test(`five hundred bad requests about streams and mappings are, too (SEED=${seed})`, async () => {
  await harmless(async () => {
    const chance = chanceOf(seed)
    const port = Number(new URL(system.http ?? '').port)
    const targets = { stream: 'there', functionName: 'echo', mapping }
    for (let sent = 0; sent < 500; sent++) {
      expect(await playStreams(port, chance, targets)).toBeUndefined()
    }
  })
}, 60_000)

test(`a thousand bad messages are refused or dropped, logged once, and change nothing (SEED=${seed})`, async () => {
  await harmless(async () => {
    const chance = chanceOf(seed)
    const targets = targetsOf(await statusOf(bus), 'echo')
    for (let sent = 0; sent < 1_000; sent++) {
      expect(await playNats(bus, targets, chance)).toBeUndefined()
    }
  })
  const warnings = system
    .log()
    .split('\n')
    .flatMap((line) => /"code":"(\w+)".*?"machine":"(\w+)"|"code":"(\w+)"/.exec(line)?.[0] ?? [])
    // Says that this machine stood still, whatever came in.
    .filter((warning) => !warning.includes('POLLER_OVERSLEPT'))
  // Once for each process and machine, however many there were.
  for (const warning of new Set(warnings)) {
    expect(warnings.filter((other) => other === warning).length, warning).toBeLessThanOrEqual(2)
  }
}, 30_000)
