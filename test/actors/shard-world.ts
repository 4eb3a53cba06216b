/**
 * A poller's shards on a real nats-server, with a handler in the place of a front end: the test says what there is to read,
 * as the stream tracker and the leasing service would.
 */
import { randomUUID } from 'node:crypto'
import type { AttemptOrder } from '../../actors/attempt-message.ts'
import type { Assignment } from '../../actors/holding.ts'
import type { Failure } from '../../actors/shard-failure.ts'
import { openShardReaders, type ShardReaders } from '../../actors/shard-reader.ts'
import { readEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import { type Checkpoint, openCheckpoints } from '../../bus/checkpoints.ts'
import { openDirectory } from '../../bus/directory.ts'
import { encodeToken } from '../../bus/encoded-token.ts'
import { openLeases } from '../../bus/leases.ts'
import { openShardWriter } from '../../bus/shard-write.ts'
import * as subjects from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import type { FunctionRecord } from '../../machines/function.ts'
import type { MappingRecord, MappingSettings, ShardWork } from '../../machines/mapping.ts'
import type { Shard, StreamRecord } from '../../machines/stream.ts'
import { makeRecordStream, openOnly } from '../bus/record-stream.ts'
import { keptLog } from '../kept-log.ts'

export type KinesisRecord = {
  kinesis: { partitionKey: string; sequenceNumber: string; data: string }
}
export type KinesisEvent = {
  Records: KinesisRecord[]
  window?: { start: string; end: string }
  state?: unknown
  isFinalInvokeForWindow?: boolean
  isWindowTerminatedEarly?: boolean
}

/** What a handler gets and gives; it throws for a function error. `refused`: the front end's status. */
export type Handler = (
  event: KinesisEvent,
  texts: string[],
  order: AttemptOrder,
) => unknown | Promise<unknown>
export class Refused extends Error {
  readonly status: number
  constructor(status: number) {
    super(`refused with ${status}`)
    this.status = status
  }
}

export const textsOf = ({ Records }: KinesisEvent): string[] =>
  Records.map(({ kinesis }) => Buffer.from(kinesis.data, 'base64').toString())

export const defaults: MappingSettings = {
  batchSize: 100,
  batchingWindowMs: 0,
  parallelizationFactor: 1,
  bisectsOnError: false,
  maximumRetryAttempts: -1,
  maximumRecordAgeMs: -1,
  tumblingWindowMs: 0,
  reportsItemFailures: false,
  filters: [],
}

/** Longer than any test: a lease ends when it is given back. */
const LEASE_TTL_MS = 30_000

const place = { region: 'us-east-1', account: '000000000000' }
const arn = (stream: string) => `arn:aws:kinesis:us-east-1:000000000000:stream/${stream}`

export type ShardWorld = Awaited<ReturnType<typeof shardWorld>>

export async function shardWorld(bus: Bus, handlers: { handle: Handler }) {
  const stream = `s-${randomUUID().slice(0, 8)}`
  const incarnation = randomUUID()
  const uuid = randomUUID()
  const key = `${uuid}.0`
  const clock = systemClock
  const log = keptLog()
  await makeRecordStream(bus, { stream, incarnation, open: [0] })
  await openCheckpoints(bus)
  const streams = await openDirectory<StreamRecord>(bus, subjects.streamsBucket)
  const mappings = await openDirectory<MappingRecord>(bus, subjects.mappingsBucket)
  const works = await openDirectory<ShardWork>(bus, subjects.shardsBucket)
  const assignments = await openDirectory<Assignment>(bus, subjects.shardAssignmentsBucket)
  const createdAtMs = clock.nowMs() - 3_000
  const shard: Shard = {
    index: 0,
    startHash: '0',
    endHash: String(2n ** 128n - 1n),
    createdAtMs,
    after: 0,
  }
  const record: StreamRecord = {
    name: stream,
    incarnation,
    status: 'ACTIVE',
    mode: 'PROVISIONED',
    createdAtMs,
    retentionHours: 24,
    maxRecordKib: 1024,
    shards: [shard],
    nextShard: 1,
    tags: {},
    consumers: [],
  }
  let mapping: MappingRecord = {
    uuid,
    functionName: 'f',
    functionArn: 'arn:aws:lambda:us-east-1:000000000000:function:f',
    sourceArn: arn(stream),
    stream,
    incarnation,
    startingPosition: 'TRIM_HORIZON',
    settings: defaults,
    state: 'Enabled',
    reason: 'User action',
    lastResult: 'No records processed',
    lastModifiedMs: 0,
    tags: {},
  }
  /** Worlds share a server, and no pollers. */
  const own = (poller: string) => `${poller}-${uuid}`
  const failures: Failure[] = []
  const calls: string[][] = []
  const results: string[] = []
  const ended: string[] = []
  const readers: ShardReaders[] = []
  const hearings = [
    bus.subscribe(subjects.trackerResult, (message) => {
      const said = message.json<{ mapping: string; result: string }>()
      if (said.mapping === uuid) results.push(said.result)
    }),
    bus.subscribe(subjects.trackerEnded, (message) => {
      const said = message.json<{ mapping: string; shard: number }>()
      if (said.mapping === uuid) ended.push(`${said.shard}`)
    }),
  ]
  const writer = openShardWriter(bus)

  const invoke = async (order: AttemptOrder, payload: Uint8Array) => {
    const event = JSON.parse(Buffer.from(payload).toString()) as KinesisEvent
    const texts = textsOf(event)
    calls.push(texts)
    return await handlers.handle(event, texts, order)
  }

  return {
    stream,
    key,
    uuid,
    failures,
    calls,
    results,
    ended,
    async put(...records: (string | [key: string, text: string])[]) {
      for (const each of records) {
        const [partitionKey, text] = typeof each === 'string' ? ['k', each] : each
        await writer.put(
          { stream, incarnation, shard: 0 },
          { partitionKey, arrivalMs: clock.nowMs(), data: Buffer.from(text) },
        )
      }
    },
    async putMany(records: [key: string, text: string][], arrivalMs = clock.nowMs()) {
      for (let at = 0; at < records.length; at += 500) {
        await writer.putMany(
          { stream, incarnation, shard: 0 },
          records
            .slice(at, at + 500)
            .map(([partitionKey, text]) => ({ partitionKey, arrivalMs, data: Buffer.from(text) })),
        )
      }
    },
    async close() {
      const until = await openOnly(bus, { stream, incarnation, open: [9] })
      const closed = { ...shard, until, closedAtMs: clock.nowMs() }
      await streams.put(encodeToken(stream), { ...record, shards: [closed] }, 1)
    },
    async set(settings: Partial<MappingSettings>) {
      mapping = { ...mapping, settings: { ...mapping.settings, ...settings } }
      await mappings.put(uuid, mapping, 1)
    },
    async assign(poller: string) {
      await assignments.put(key, { poller: own(poller) }, 1)
    },
    checkpoint: async (): Promise<Checkpoint | undefined> => {
      const entry = await readEntry(bus, subjects.checkpointsBucket, key)
      return entry === undefined ? undefined : JSON.parse(Buffer.from(entry.value).toString())
    },
    /** Begins with what there is; another poller of the same world may come later. */
    async begin(
      settings: Partial<MappingSettings> = {},
      {
        poller = 'p1',
        start = { after: 0 },
        on = bus,
      }: { poller?: string; start?: ShardWork['start']; on?: Bus } = {},
    ) {
      await this.set(settings)
      await streams.put(encodeToken(stream), record, 1)
      await works.put(
        key,
        { mapping: uuid, stream, incarnation, shard: 0, start, state: 'open' },
        1,
      )
      await assignments.put(key, { poller: own(poller) }, 1)
      return await this.poller(poller, on)
    },
    async poller(pollerId: string, on = bus) {
      const opened = openShardReaders({
        bus: on,
        clock,
        log,
        place,
        leases: await openLeases<string>(on, {
          bucket: subjects.leasesBucket,
          ttlMs: LEASE_TTL_MS,
          clock,
          log,
        }),
        assignments: await openDirectory<Assignment>(on, subjects.shardAssignmentsBucket),
        works: await openDirectory<ShardWork>(on, subjects.shardsBucket),
        mappings: await openDirectory<MappingRecord>(on, subjects.mappingsBucket),
        streams: await openDirectory<StreamRecord>(on, subjects.streamsBucket),
        functions: {
          get: () => ({ settings: { role: 'arn:aws:iam::000000000000:role/r' } }) as FunctionRecord,
        },
        attempts: {
          attempt(order, payload, _timeoutMs, tell) {
            const answer = (functionError?: string) => ({
              statusCode: 200,
              executedVersion: '$LATEST',
              ...(functionError === undefined ? {} : { functionError }),
            })
            invoke(order, payload).then(
              (result) =>
                tell({
                  answer: answer(),
                  payload: Buffer.from(result === undefined ? 'null' : JSON.stringify(result)),
                }),
              (error: unknown) =>
                tell(
                  error instanceof Refused
                    ? { answer: { statusCode: error.status }, payload: new Uint8Array() }
                    : { answer: answer('Unhandled'), payload: Buffer.from('{}') },
                ),
            )
          },
        },
        tell: async (failure) => {
          failures.push(failure)
        },
        pollerId: own(pollerId),
        leaseTtlMs: LEASE_TTL_MS,
        drainForMs: 5_000,
        reconcileMs: 500,
        // A busy machine is not one that has slept.
        silenceMs: 60_000,
        reservationTimeoutMs: 1_000,
        backOffMs: 10,
        longestBackOffMs: 200,
      })
      readers.push(opened)
      await opened.join()
      return opened
    },
    log,
    async stop() {
      for (const each of readers) await each.stop()
      for (const hearing of hearings) hearing.stop()
    },
  }
}
