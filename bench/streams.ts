/** What does a record of a stream cost, from being put to being done with? */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  CreateStreamCommand,
  KinesisClient,
  PutRecordsCommand,
  waitUntilStreamExists,
} from '@aws-sdk/client-kinesis'
import {
  CreateEventSourceMappingCommand,
  DeleteEventSourceMappingCommand,
  LambdaClient,
} from '@aws-sdk/client-lambda'
import { connect, headers } from 'nats'
import { checkpointsBucket, kvEntry } from '../bus/subjects.ts'
import { startOrdered } from './floor/ordered.ts'
import { type Lambus, startLambus } from './harness/lambus.ts'
import { inTurns } from './harness/load.ts'
import type { Question } from './harness/question.ts'

const rounds = 7
const records = 60_000
const slowRecords = 2_000
const recordBytes = 256
const oneByOne = 150
const pauseMs = 10

const noop = 'export const handler = async () => null\n'
const slow = 'export const handler = () => new Promise((resolve) => setTimeout(resolve, 50))\n'
const stamp = (file: string) => `import { appendFileSync } from 'node:fs'
const { timeOrigin } = performance
export const handler = async ({ Records }) => {
  const now = timeOrigin + performance.now()
  for (const _ of Records) appendFileSync(${JSON.stringify(file)}, now + '\\n')
}
`

export const streams: Question = {
  name: 'streams',
  asks: 'Records of a stream, one shard: from being put to being done with, each on disk before it is answered',
  async run({ ours }) {
    const body = Buffer.alloc(recordBytes, 'x')
    await using floor = await startOrdered(records, body)
    await using lambus = ours ? await startLambus() : undefined
    const client = lambus && (await openClient(lambus, body))
    // Whatever compiles, compiles now.
    await floor.consumeRate()
    await client?.rate('fast', 'noop', { BatchSize: 100 }, records)
    await client?.startedMs(oneByOne)

    const [delivery = [], consumed = [], started = [], read = [], one = [], ten = []] =
      await inTurns(rounds, [
        () => floor.deliveryMs(oneByOne, pauseMs),
        () => floor.consumeRate(),
        async () => (await client?.startedMs(oneByOne)) ?? Number.NaN,
        async () => (await client?.rate('fast', 'noop', { BatchSize: 100 }, records)) ?? Number.NaN,
        async () =>
          (await client?.rate('slow', 'slow', { BatchSize: 10 }, slowRecords)) ?? Number.NaN,
        async () =>
          (await client?.rate(
            'slow',
            'slow',
            { BatchSize: 10, ParallelizationFactor: 10 },
            slowRecords,
          )) ?? Number.NaN,
      ])
    await client?.close()
    const figures = <T>(of: T) => (ours ? of : undefined)
    return {
      rows: [
        {
          what: 'put → handler started, one at a time, median',
          unit: 'ms',
          floor: { what: 'published → delivered to an ordered consumer', figures: delivery },
          ours: figures(started),
          reach: { at: 'most', limit: 3, of: 'times the floor' },
        },
        {
          what: 'read in batches of 100 by a handler that does nothing',
          unit: 'records/s',
          floor: { what: 'read by an ordered consumer', figures: consumed },
          ours: figures(read),
          reach: { at: 'least', limit: 0.25, of: 'times the floor' },
        },
        {
          what: 'ten lanes, a handler of 50 ms, batches of 10',
          unit: 'records/s',
          floor: { what: 'one lane', figures: one },
          ours: figures(ten),
          reach: { at: 'least', limit: 8, of: 'times the floor' },
        },
      ],
      tables: [],
      notes: [
        `${rounds} rounds of ${records.toLocaleString('en-US')} records of ${recordBytes} bytes that waited, of ${slowRecords.toLocaleString('en-US')} for the slow handler, and of ${oneByOne} one at a time. A rate is that of the checkpoint: from its first move to its last.`,
      ],
    }
  },
}

type MappingOptions = { BatchSize: number; ParallelizationFactor?: number }

async function openClient({ httpUrl, nats, deploy }: Lambus, body: Buffer) {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-stamps-'))
  const file = join(dir, 'stamps')
  const options = {
    endpoint: httpUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  }
  const kinesis = new KinesisClient(options)
  const lambda = new LambdaClient(options)
  const connection = await connect({
    servers: nats.url,
    noAsyncTraces: true,
    ...(nats.user === undefined ? {} : { user: nats.user }),
    ...(nats.password === undefined ? {} : { pass: nats.password }),
  })
  await deploy('noop', noop)
  await deploy('slow', slow)
  await deploy('stamp', stamp(file))

  const make = async (stream: string, count: number): Promise<void> => {
    await kinesis.send(new CreateStreamCommand({ StreamName: stream, ShardCount: 1 }))
    await waitUntilStreamExists(
      { client: kinesis, minDelay: 1, maxDelay: 1, maxWaitTime: 20 },
      { StreamName: stream },
    )
    for (let sent = 0; sent < count; sent += 500) {
      await kinesis.send(
        new PutRecordsCommand({
          StreamName: stream,
          Records: Array.from({ length: Math.min(500, count - sent) }, (_, index) => ({
            PartitionKey: `key-${(sent + index) % 1_000}`,
            Data: body,
          })),
        }),
      )
    }
  }
  const map = async (stream: string, functionName: string, mapping: MappingOptions) => {
    const { UUID = '' } = await lambda.send(
      new CreateEventSourceMappingCommand({
        FunctionName: functionName,
        EventSourceArn: `arn:aws:kinesis:us-east-1:000000000000:stream/${stream}`,
        StartingPosition: 'TRIM_HORIZON',
        ...mapping,
      }),
    )
    return UUID
  }

  await make('fast', records)
  await make('slow', slowRecords)
  await make('idle', 0)
  const idle = await map('idle', 'stamp', { BatchSize: 100 })
  const putOne = async (): Promise<void> => {
    const head = headers()
    head.set('Partition-Key', 'a')
    const answer = await connection.request('lambus.kinesis.idle', body, {
      headers: head,
      timeout: 10_000,
    })
    const refused = answer.headers?.get('Nats-Service-Error')
    if (refused) throw new Error(`a record was refused: ${refused}`)
  }
  const stamps = () => readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number)

  return {
    /** From putting to the handler's first line: median. */
    async startedMs(count: number): Promise<number> {
      writeFileSync(file, '')
      const sentMs: number[] = []
      for (let sent = 0; sent < count; sent++) {
        sentMs.push(performance.timeOrigin + performance.now())
        await putOne()
        await wait(pauseMs)
      }
      while (stamps().length < count) await wait(5)
      const took = stamps().map((atMs, index) => atMs - (sentMs[index] ?? Number.NaN))
      return took.sort((a, b) => a - b)[Math.floor(took.length / 2)] ?? Number.NaN
    },
    /** Maps the stream anew, and watches the checkpoint until it is at the end. */
    async rate(
      stream: string,
      functionName: string,
      mapping: MappingOptions,
      count: number,
    ): Promise<number> {
      const seen: { atMs: number; done: number }[] = []
      let all = () => {}
      const done = new Promise<void>((resolve) => {
        all = resolve
      })
      const watching = connection.subscribe(kvEntry(checkpointsBucket, '>'), {
        callback: (_, message) => {
          if (message.data.length === 0 || message.subject.includes(idle)) return
          const checkpoint = message.json<{ done: number }>()
          seen.push({ atMs: performance.now(), done: checkpoint.done })
          if (checkpoint.done >= count) all()
        },
      })
      const uuid = await map(stream, functionName, mapping)
      await done
      watching.unsubscribe()
      await lambda.send(new DeleteEventSourceMappingCommand({ UUID: uuid }))
      const first = seen.find((one) => one.done > 0)
      const last = seen.at(-1)
      if (first === undefined || last === undefined) return Number.NaN
      await wait(2_000)
      return ((last.done - first.done) * 1000) / (last.atMs - first.atMs)
    },
    async close() {
      await connection.close()
      kinesis.destroy()
      lambda.destroy()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
