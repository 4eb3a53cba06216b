/** Kinesis's operations on a real nats-server: what a front end has of them, and a tracker that only does as it is told. */
import { randomUUID } from 'node:crypto'
import { type Kinesis, openKinesis } from '../../actors/kinesis.ts'
import { type KnownStreams, openKnownStreams } from '../../actors/known-streams.ts'
import { noLimits, type ShardLimits } from '../../actors/shard-limits.ts'
import type { Bus, Clock } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Directory, openDirectory } from '../../bus/directory.ts'
import { encodeToken } from '../../bus/encoded-token.ts'
import { streamsBucket } from '../../bus/subjects.ts'
import type { KinesisRefusal } from '../../edges/aws/kinesis-errors.ts'
import type { KinesisOperation } from '../../edges/aws/kinesis-operations.ts'
import { systemClock } from '../../edges/clock.ts'
import type { KinesisEvents } from '../../edges/http-kinesis.ts'
import type { Shard, StreamRecord } from '../../machines/stream.ts'
import { makeRecordStream, openOnly } from '../bus/record-stream.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

export const place = { region: 'us-east-1', account: '000000000000' }
export const arnOf = (name: string) => `arn:aws:kinesis:us-east-1:000000000000:stream/${name}`
export const largestHash = 2n ** 128n - 1n

/** The real clock, which a test may put forward. Its timers go by real time. */
export const shiftedClock = () => {
  let shiftMs = 0
  const clock: Clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + shiftMs,
    monotonicMs: () => systemClock.monotonicMs() + shiftMs,
  }
  const forward = (ms: number) => {
    shiftMs += ms
  }
  return { clock, forward }
}

export type KinesisFrontEnd = {
  bus: Bus
  kinesis: Kinesis
  streams: KnownStreams
  /** What an operation gives; a refusal is thrown as `Code: message`. */
  call<Answer = Record<string, unknown>>(
    operation: KinesisOperation,
    input: object,
  ): Promise<Answer>
  /** `Code: message` of a refusal. */
  refusal(operation: KinesisOperation, input: object): Promise<string>
  subscribe(input: object): Promise<KinesisEvents>
  stop(): Promise<void>
}

export async function startKinesisFrontEnd(
  servers: string,
  options: { id?: string; clock?: Clock; limits?: ShardLimits; shardLimit?: number } = {},
): Promise<KinesisFrontEnd> {
  const { id = 'f1', clock = systemClock, limits = noLimits, shardLimit = 50 } = options
  const bus = await openBus({ servers, role: 'front-end', id })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const streams = await openKnownStreams(bus, { reconcileEveryMs: 60_000, clock, log })
  const more = { frontEndId: id, clock, newId: randomUUID, log, limits, shardLimit }
  const kinesis = openKinesis({ bus, streams, place, ...more })
  // Others may speak to it now.
  await bus.nats.flush()
  const caller = { requestId: 'r', signal: new AbortController().signal }
  const call = async (operation: KinesisOperation, input: object) => {
    const told = await kinesis.call(operation, input as Record<string, unknown>, caller)
    if (!('refused' in told)) return told
    const { refused, message } = told as KinesisRefusal
    throw new Error(`${refused}: ${message}`)
  }
  return {
    bus,
    kinesis,
    streams,
    call: async <Answer>(operation: KinesisOperation, input: object) =>
      (await call(operation, input)) as Answer,
    refusal: (operation, input) =>
      call(operation, input).then(
        (answer) => JSON.stringify(answer),
        (error: Error) => error.message,
      ),
    subscribe: async (input) => (await call('SubscribeToShard', input)) as KinesisEvents,
    async stop() {
      await kinesis.stop()
      streams.stop()
      await bus.close()
    },
  }
}

/** Writes the directory as the leading tracker does. */
export async function openStreamsOf({ bus, streams }: KinesisFrontEnd) {
  const directory: Directory<StreamRecord> = await openDirectory(bus, streamsBucket)
  const put = async (record: StreamRecord): Promise<StreamRecord> => {
    await directory.put(encodeToken(record.name), record, 1)
    while (JSON.stringify(streams.get(record.name)) !== JSON.stringify(record)) {
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    return record
  }
  return {
    put,
    async remove(name: string) {
      await directory.remove(encodeToken(name), 1)
      while (streams.get(name) !== undefined) await new Promise((resolve) => setTimeout(resolve, 1))
    },
    /** One that is ACTIVE, with its record stream. */
    async make(name: string, shardCount = 1, more: Partial<StreamRecord> = {}) {
      const record = streamRecord(name, shardCount, more)
      const { incarnation, shards } = record
      const open = shards.map(({ index }) => index)
      await makeRecordStream(bus, { stream: name, incarnation, open })
      return await put(record)
    },
    /** Splits a shard in the middle. `tell` false: the record stream is changed, the directory not yet. */
    async split(stream: StreamRecord, index: number, tell = true): Promise<StreamRecord> {
      const parent = stream.shards.find((shard) => shard.index === index) as Shard
      const middle = (BigInt(parent.startHash) + BigInt(parent.endHash)) / 2n
      const others = stream.shards.filter((shard) => shard !== parent)
      const children = [stream.nextShard, stream.nextShard + 1]
      const open = others.filter(({ closedAtMs }) => closedAtMs === undefined)
      const until = await openOnly(bus, {
        stream: stream.name,
        incarnation: stream.incarnation,
        open: [...open.map((shard) => shard.index), ...children],
      })
      const nowMs = Date.now()
      const child = (at: number, startHash: string, endHash: string): Shard => ({
        index: at,
        startHash,
        endHash,
        parent: index,
        createdAtMs: nowMs,
        after: until,
      })
      const after = {
        ...stream,
        nextShard: stream.nextShard + 2,
        shards: [
          ...others,
          { ...parent, closedAtMs: nowMs, until },
          child(children[0] as number, parent.startHash, String(middle)),
          child(children[1] as number, String(middle + 1n), parent.endHash),
        ].sort((one, other) => one.index - other.index),
      }
      return tell ? await put(after) : after
    },
  }
}

export function streamRecord(
  name: string,
  shardCount: number,
  more: Partial<StreamRecord> = {},
): StreamRecord {
  const nowMs = Date.now()
  const size = 2n ** 128n / BigInt(shardCount)
  const shards = Array.from({ length: shardCount }, (_, index) => ({
    index,
    startHash: String(size * BigInt(index)),
    endHash: String(index === shardCount - 1 ? largestHash : size * BigInt(index + 1) - 1n),
    createdAtMs: nowMs - 3_000,
    after: 0,
  }))
  return {
    name,
    incarnation: randomUUID().slice(0, 8),
    status: 'ACTIVE',
    mode: 'PROVISIONED',
    createdAtMs: nowMs,
    retentionHours: 24,
    maxRecordKib: 1_024,
    shards,
    nextShard: shardCount,
    tags: {},
    consumers: [],
    ...more,
  }
}

export async function startKinesis(options: Parameters<typeof startKinesisFrontEnd>[1] = {}) {
  const server: TestServer = await startNatsServer()
  const frontEnd = await startKinesisFrontEnd(server.url, options)
  const directory = await openStreamsOf(frontEnd)
  return {
    ...frontEnd,
    directory,
    server,
    async stop() {
      await frontEnd.stop()
      await server.stop()
    },
  }
}
