/**
 * Streams that are split, merged and scaled all the time, while the leading stream tracker is killed or hangs at random
 * moments and records are stored without a pause. Promise (DESIGN §6): what was acknowledged is where its readers find it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { headers } from 'nats'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openDirectory } from '../../bus/directory.ts'
import { openShardReader } from '../../bus/shard-read.ts'
import { kinesis, status, streamsBucket, trackerStream } from '../../bus/subjects.ts'
import { readSequenceNumber } from '../../edges/aws/sequence-number.ts'
import { systemClock as clock } from '../../edges/clock.ts'
import { openShards } from '../../machines/shard-map.ts'
import type { StreamCommand, StreamRecord } from '../../machines/stream.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { chanceFrom } from '../seed.ts'
import { type LambusProcess, startLambus } from '../system/system.ts'

const TRACKERS = 3
const STREAM = 'storm'
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)

const dataDir = mkdtempSync(join(tmpdir(), 'lambus-trackers-'))
let nats: TestServer
let bus: Bus
const running = new Set<LambusProcess>()

const start = async (role: string): Promise<LambusProcess> => {
  const ports = ['--http-port', '0', '--inspector-port', '0']
  const args = ['start', role, '--nats', nats.url, '--data-dir', dataDir, ...ports]
  const started = await startLambus(args, {
    LAMBUS_STREAM_SETTLE_MS: '50',
    LAMBUS_LOG_LEVEL: 'warn',
  })
  running.add(started)
  return started
}

beforeAll(async () => {
  nats = await startNatsServer()
  bus = await openBus({ servers: nats.url, role: 'client', id: 'storm' })
  await Promise.all([
    ...Array.from({ length: TRACKERS }, () => start('stream-tracker')),
    start('front-end'),
  ])
}, 60_000)
afterAll(async () => {
  await bus?.close()
  for (const { child } of running) child.kill('SIGCONT')
  await Promise.all([...running].map((process) => process.kill()))
  await nats?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

async function leader(): Promise<LambusProcess | undefined> {
  const answers = await bus.askAll(status, undefined, { waitMs: 200 })
  const leading = answers
    .map((answer) => answer.json<{ pid: number; leads?: boolean }>())
    .find(({ leads }) => leads === true)
  return [...running].find(({ pid }) => pid === leading?.pid)
}

/** Kills the leader and starts another tracker, or lets it hang until another one leads. */
async function hit(isKill: boolean): Promise<void> {
  const victim = await leader()
  if (victim === undefined) return
  if (isKill) {
    running.delete(victim)
    await victim.kill()
    await start('stream-tracker')
    return
  }
  victim.child.kill('SIGSTOP')
  await wait(2_500)
  victim.child.kill('SIGCONT')
}

const change = async (command: StreamCommand): Promise<string> => {
  const answer = await bus.request(trackerStream, JSON.stringify(command), { timeoutMs: 1_000 })
  if (typeof answer === 'string') return answer
  return answer.json<{ refused?: string }>().refused ?? 'accepted'
}

/** Puts one record after the other of a key, until told to stop. */
async function write(key: string, stored: Map<string, number>, isOver: () => boolean) {
  const head = headers()
  head.set('Partition-Key', key)
  let last = 0
  for (let n = 0; !isOver(); n++) {
    const text = `${key}.${n}`
    const options = { headers: head, timeoutMs: 10_000 }
    const answer = await bus.request(kinesis(STREAM), text, options)
    if (typeof answer === 'string' || answer.headers?.get('Nats-Service-Error') !== '') continue
    const { SequenceNumber } = answer.json<{ SequenceNumber: string }>()
    const sequence = Number(readSequenceNumber(SequenceNumber)?.counter)
    expect(sequence, text).toBeGreaterThan(last)
    last = sequence
    stored.set(text, sequence)
  }
}

test('no record is lost, and every change is finished', { timeout: 240_000 }, async () => {
  const chance = chanceFrom(seed)
  const directory = await openDirectory<StreamRecord>(bus, streamsBucket)
  const copy = await directory.watch({ reconcileEveryMs: 1_000, clock, log: keptLog() })
  onTestFinished(() => copy.stop())
  const record = () => copy.get(STREAM)
  const isActive = async (withinMs: number) => {
    const deadlineMs = Date.now() + withinMs
    while (record()?.status !== 'ACTIVE') {
      if (Date.now() > deadlineMs) throw new Error(`it stays ${record()?.status}; seed ${seed}`)
      await wait(20)
    }
  }
  const creation: StreamCommand = {
    type: 'create',
    name: STREAM,
    shardCount: 2,
    mode: 'PROVISIONED',
    maxRecordKib: 1024,
    tags: {},
  }
  while ((await change(creation)) !== 'accepted') await wait(100)
  await isActive(5_000)

  let isOver = false
  const stored = new Map<string, number>()
  const keys = Array.from({ length: 12 }, (_, index) => `key-${index}`)
  const writing = Promise.all(keys.map((key) => write(key, stored, () => isOver)))
  let changes = 0
  // On a slow machine a change takes longer: there are more rounds then.
  for (let round = 0; round < 8 || (changes <= 10 && round < 24); round++) {
    const hitting = wait(chance(1_500)).then(() => hit(chance(3) > 0))
    const untilMs = Date.now() + 4_000
    while (Date.now() < untilMs) {
      const outcome = await change({
        type: 'updateShardCount',
        name: STREAM,
        target: 1 + chance(6),
      })
      if (outcome === 'accepted') changes++
      await wait(50)
    }
    await hitting
  }
  await isActive(15_000)
  isOver = true
  await writing

  console.log(`SEED=${seed}: ${changes} changes were accepted, ${stored.size} records stored`)
  expect(changes).toBeGreaterThan(10)
  expect(stored.size).toBeGreaterThan(1_000)
  const last = record() as StreamRecord
  let next = 0n
  for (const { startHash, endHash } of openShards(last)) {
    expect(BigInt(startHash)).toBe(next)
    next = BigInt(endHash) + 1n
  }
  const reader = openShardReader(bus)
  onTestFinished(() => reader.stop())
  const found = new Map<string, number>()
  for (const { index, after, until = Number.MAX_SAFE_INTEGER } of last.shards) {
    const address = { stream: STREAM, incarnation: last.incarnation, shard: index }
    for (let from = after + 1; from <= until; ) {
      const page = await reader.read(address, { from, most: 1_000, mostBytes: 10_000_000 })
      const inside = page.records.filter(({ sequence }) => sequence <= until)
      for (const { data, sequence } of inside) found.set(Buffer.from(data).toString(), sequence)
      const end = page.records.at(-1)
      if (end === undefined) break
      from = end.sequence + 1
    }
  }
  const lost = [...stored].filter(([text, sequence]) => found.get(text) !== sequence)
  expect(lost, `seed ${seed}`).toEqual([])
})
