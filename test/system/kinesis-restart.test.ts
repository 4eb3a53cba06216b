/**
 * Streams and mappings in a system that is ended, and one that is killed, and started again: records, iterators and checkpoints
 * are where they were.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateStreamCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  PutRecordCommand,
  SplitShardCommand,
  waitUntilStreamExists,
} from '@aws-sdk/client-kinesis'
import { CreateEventSourceMappingCommand } from '@aws-sdk/client-lambda'
import { expect, onTestFinished, test } from 'vitest'
import { streamArn, until } from './kinesis-system.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from './system.ts'

const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']
const StreamName = 'kept'

function kinesisOf({ http = '' }: LambusProcess): KinesisClient {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const client = new KinesisClient({ endpoint: http, region: 'us-east-1', credentials })
  onTestFinished(() => client.destroy())
  return client
}

test('what was put is read on after the end of everything, and after its death', {
  timeout: 90_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-kinesis-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const log = join(dir, 'log')
  const seen = () =>
    existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number) : []
  const up = async () => {
    const started = await startLambus(['up', ...ports, '--data-dir', join(dir, 'data')])
    onTestFinished(() => started.kill())
    return started
  }
  let next = 0
  const numbers: string[] = []
  const put = async (client: KinesisClient, count: number) => {
    for (const until = next + count; next < until; next++) {
      const { SequenceNumber = '' } = await client.send(
        new PutRecordCommand({ StreamName, PartitionKey: 'k', Data: Buffer.from(String(next)) }),
      )
      numbers.push(SequenceNumber)
    }
  }
  const all = () => Array.from({ length: next }, (_, n) => n)

  const first = await up()
  const before = kinesisOf(first)
  await before.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }))
  const patience = { maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 }
  await waitUntilStreamExists({ client: before, ...patience }, { StreamName })
  const lambda = lambdaClient(first.http ?? '')
  const code = `import { appendFileSync } from 'node:fs'
    export const handler = async ({ Records }) => {
      for (const { kinesis } of Records) {
        appendFileSync(process.env.LOG, Buffer.from(kinesis.data, 'base64') + '\\n')
      }
    }`
  await deploy(lambda, 'f', code, { Environment: { Variables: { LOG: log } } })
  await put(before, 20)
  await lambda.send(
    new CreateEventSourceMappingCommand({
      FunctionName: 'f',
      EventSourceArn: streamArn(StreamName),
      StartingPosition: 'TRIM_HORIZON',
      BatchSize: 3,
    }),
  )
  await until(() => seen().length >= 20)
  const where = { StreamName, ShardId: 'shardId-000000000000' }
  const { ShardIterator } = await before.send(
    new GetShardIteratorCommand({ ...where, ShardIteratorType: 'LATEST' }),
  )
  // One that runs in the middle of its work is let finish it, and its records do not come again.
  await put(before, 10)
  expect(await first.end()).toBe(0)

  const second = await up()
  const between = kinesisOf(second)
  await put(between, 20)
  await until(() => seen().length >= next)
  expect(seen()).toEqual(all())
  const read = await between.send(new GetRecordsCommand({ ShardIterator }))
  expect(read.Records?.map(({ Data = [] }) => Number(Buffer.from(Data).toString()))).toEqual(
    all().slice(20),
  )

  // Killed with records on their way and a shard about to be split.
  await put(between, 30)
  await between.send(
    new SplitShardCommand({
      StreamName,
      ShardToSplit: 'shardId-000000000000',
      NewStartingHashKey: '1000',
    }),
  )
  await second.kill()
  const third = await up()
  const after = kinesisOf(third)
  await waitUntilStreamExists({ client: after, ...patience }, { StreamName })
  await put(after, 20)
  await until(
    () => new Set(seen()).size >= next,
    30_000,
    () => `${seen()}`,
  )
  // Some may have come twice; none was left out, and none came before one that was put earlier.
  expect(seen().filter((n, index) => seen().indexOf(n) === index)).toEqual(all())
  expect(numbers.toSorted((one, other) => (BigInt(one) < BigInt(other) ? -1 : 1))).toEqual(numbers)
  expect(await third.end()).toBe(0)
})
