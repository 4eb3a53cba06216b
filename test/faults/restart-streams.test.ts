/**
 * Everything dies, nats-server too, and is started again: a shard goes on where it was, with the attempts that were spent, and
 * a split that was under way is brought to its end.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { SplitShardCommand } from '@aws-sdk/client-kinesis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { chanceFrom } from '../seed.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from '../system/system.ts'
import { orderHandler, orderOf } from './stream-storm.ts'
import { streamUser, until } from './stream-user.ts'

const seed = Number(process.env['SEED'] || Math.floor(Math.random() * 2 ** 32))
const chance = chanceFrom(seed)
let dir: string
let up: LambusProcess | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lambus-restart-'))
})
afterEach(async () => {
  await up?.end()
  rmSync(dir, { recursive: true, force: true })
})

async function start(): Promise<void> {
  const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']
  up = await startLambus(['up', ...ports, '--data-dir', join(dir, 'data')], {
    LAMBUS_RECORD_BACK_OFF_MS: '300',
    LAMBUS_STREAM_SETTLE_MS: '300',
  })
}
const user = streamUser(() => up?.http ?? '')

const linesOf = (name: string) => readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean)
async function make(name: string, code: string): Promise<void> {
  writeFileSync(join(dir, name), '')
  await deploy(lambdaClient(up?.http ?? ''), name, code, {
    Environment: { Variables: { LOG: join(dir, name) } },
  })
  await user.createStream(name, 1)
}

/** Writes what each attempt was made with, and fails if the bad one is among it. */
const failing = `
import { appendFileSync } from 'node:fs'
export const handler = async ({ Records }) => {
  const texts = Records.map(({ kinesis }) => String(Buffer.from(kinesis.data, 'base64')).trim())
  appendFileSync(process.env.LOG, Date.now() + ' ' + texts.join() + '\\n')
  if (texts.includes('bad')) throw new Error('it is bad')
}`

const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
const put = async (from: number, to: number) => {
  for (let number = from; number < to; number++) {
    await user.put(
      'ordered',
      keys.map((key) => ({ key, text: String(number) })),
    )
  }
}

test(`a shard goes on where it was, with retries and a split under way (SEED=${seed})`, async () => {
  await start()
  await make('ordered', orderHandler(0, 0))
  await make('failing', failing)
  await user.createQueue('failures')
  await user.map('ordered', 'ordered', { BatchSize: 10, ParallelizationFactor: 5 })
  await user.map('failing', 'failing', {
    BatchSize: 60,
    MaximumBatchingWindowInSeconds: 1,
    MaximumRetryAttempts: 4,
    DestinationConfig: {
      OnFailure: { Destination: 'arn:aws:sqs:us-east-1:000000000000:failures' },
    },
  })
  // Larger than what a socket gives at once.
  const texts = Array.from({ length: 60 }, (_, n) => (n === 30 ? 'bad' : `${n}`).padEnd(4_000))
  await user.put(
    'failing',
    texts.map((text) => ({ key: 'k', text })),
  )
  await put(0, 20)
  await until(() => linesOf('failing').length >= 3, { everyMs: 10 })
  const shard = (await user.shards('ordered'))[0]
  await user.kinesis().send(
    new SplitShardCommand({
      StreamName: 'ordered',
      ShardToSplit: shard?.ShardId,
      NewStartingHashKey: String(2n ** 127n),
    }),
  )
  const killAfterMs = chance(400)
  await wait(killAfterMs)
  await up?.kill()
  const attemptsBefore = linesOf('failing').length

  const startedMs = performance.now()
  await start()
  const upMs = performance.now() - startedMs
  await user.settled('ordered')
  await put(20, 40)
  await until(() => orderOf(linesOf('ordered'), keys, 40).missing.length === 0).catch(() => {})
  const order = orderOf(linesOf('ordered'), keys, 40)
  await until(() => linesOf('failing').length >= 5)
  await user.put('failing', [{ key: 'k', text: 'good' }])
  await until(() => linesOf('failing').some((line) => line.endsWith(' good')))
  const told = (await user.receive('failures')).map((body) => JSON.parse(body))
  const attempts = linesOf('failing').filter((line) => line.includes('bad'))
  const shards = await user.shards('ordered')
  console.log(
    `SEED=${seed}: killed ${killAfterMs} ms into a split and after ${attemptsBefore} attempts, up again in ${upMs.toFixed(0)} ms; ${attempts.length} attempts in all, ${told.length} records of failure; ${order.repeats} repeats, ${order.inversions.length} inversions, ${order.missing.length} missing; ${shards.length} shards`,
  )
  expect(order).toMatchObject({ inversions: [], missing: [] })
  expect(shards).toHaveLength(3)
  expect(told).toMatchObject([
    {
      requestContext: { condition: 'RetryAttemptsExhausted', approximateInvokeCount: 5 },
      KinesisBatchInfo: { batchSize: 60 },
    },
  ])
  expect(attempts.filter((line) => line.split(',').length !== 60)).toEqual([])
  // The attempt that ran when everything was killed may have ended without anybody storing it.
  expect([5, 6]).toContain(attempts.length)
}, 90_000)
