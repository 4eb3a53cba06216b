/**
 * Bad input against a system of its own, for as long as you wish, over HTTP and over NATS: prints what was answered wrong,
 * what was logged as an error, and how memory went.
 *
 *     npm run campaign -- bad-input [--seed N] [--minutes M]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CreateStreamCommand, KinesisClient, waitUntilStreamExists } from '@aws-sdk/client-kinesis'
import { openBus } from '../bus/connection.ts'
import {
  chanceOf,
  errorsIn,
  playHttp,
  playNats,
  playStreams,
  shapeOf,
  statusOf,
  targetsOf,
} from '../test/system/bad-input.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string' }, minutes: { type: 'string', default: '1' } },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
const untilMs = performance.now() + Number(values.minutes) * 60_000
const reportEvery = 5_000

const dataDir = mkdtempSync(join(tmpdir(), 'lambus-campaign-'))
const launcher = fileURLToPath(new URL('../bin/lambus.js', import.meta.url))
const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']
const up = spawn(process.execPath, [launcher, 'up', ...ports, '--data-dir', dataDir], {
  stdio: ['ignore', 'pipe', 'pipe'],
})
let log = ''
up.stderr.on('data', (bytes) => {
  log += bytes
})
const ended = once(up, 'close')
await once(createInterface(up.stdout), 'line')
const { http, nats, user, password } = JSON.parse(
  readFileSync(join(dataDir, 'connection.json'), 'utf8'),
)
const bus = await openBus({
  servers: nats.replace('://', `://${user}:${password}@`),
  role: 'client',
  id: 'campaign',
})
/** By its own door, with the credentials that `lambus up` takes. */
async function makeStream(StreamName: string): Promise<void> {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const client = new KinesisClient({ endpoint: http, region: 'us-east-1', credentials })
  await client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }))
  const patience = { client, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 }
  await waitUntilStreamExists(patience, { StreamName })
  client.destroy()
}
const say = (text: string) => process.stdout.write(`${text}\n`)

say(`seed ${seed}`)
const chance = chanceOf(seed)
const port = Number(new URL(http).port)
const before = await statusOf(bus)
const targets = targetsOf(before, 'nobody')
// The mapping is nobody's: what is bad of one that is there is in the test.
const streams = { stream: 'there', functionName: 'nobody', mapping: 'nobody' }
await makeStream(streams.stream)
const plays = [
  () => playHttp(port, chance),
  () => playStreams(port, chance, streams),
  () => playNats(bus, targets, chance),
]
let complaints = 0
for (let sent = 0; performance.now() < untilMs && up.exitCode === null; sent++) {
  const complaint = await plays[chance(plays.length)]?.()
  if (complaint !== undefined) {
    complaints++
    say(`#${sent} ${complaint}`)
  }
  if (sent % reportEvery === reportEvery - 1) {
    const rss = (await statusOf(bus)).map(({ rssBytes }) => Math.round(rssBytes / 1_048_576))
    say(`${sent + 1} sent, ${complaints} answered wrong, RSS ${rss.join(' + ')} MB`)
  }
}
const shapes = [before, await statusOf(bus)].map((statuses) => JSON.stringify(shapeOf(statuses)))
if (shapes[0] !== shapes[1]) say(`before ${shapes[0]}\nafter  ${shapes[1]}`)
const errors = errorsIn(log)
for (const line of errors.slice(0, 20)) say(line)
await bus.close()
up.kill('SIGTERM')
const [code] = await ended
rmSync(dataDir, { recursive: true, force: true })
say(`${complaints} answered wrong, ${errors.length} errors logged, ended with ${code}`)
process.exitCode = complaints + errors.length + Number(code) > 0 || shapes[0] !== shapes[1] ? 1 : 0
