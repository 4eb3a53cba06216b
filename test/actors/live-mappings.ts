/**
 * The mappings of a stream tracker on a real nats-server, with what stands beside them in its role: directories, leases, and
 * streams that a test writes by hand. A leader may be told to die at one of its writes, and another takes over.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { type Mappings, openMappings } from '../../actors/mapping.ts'
import type { MappingAnswer } from '../../actors/mapping-command.ts'
import type { Bus } from '../../bus/bus.ts'
import { type Checkpoint, openCheckpoints } from '../../bus/checkpoints.ts'
import { openBus } from '../../bus/connection.ts'
import { type Directory, openDirectory } from '../../bus/directory.ts'
import { encodeToken } from '../../bus/encoded-token.ts'
import { openLeases } from '../../bus/leases.ts'
import {
  checkpointsBucket,
  kvEntry,
  leasesBucket,
  mappingsBucket,
  recordStream,
  shardAssignmentsBucket,
  shard as shardSubject,
  shardsBucket,
  streamsBucket,
  trackerEnded,
  trackerMapping,
} from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import type { MappingCommand, MappingRecord, ShardWork } from '../../machines/mapping.ts'
import type { Shard, StreamRecord } from '../../machines/stream.ts'
import { until } from '../bus/waiting.ts'
import { type KeptLog, keptLog } from '../kept-log.ts'

/** `at`: which of its writes is its last, from 1; and whether it still carries that one out. */
export type Death = { at: number; isCarriedOut: boolean }

export type Leader = { mappings: Mappings; log: KeptLog; readonly isDead: boolean }

export type LiveMappings = Awaited<ReturnType<typeof liveMappings>>

/** Longer than any test: a lease ends when a test says so. */
const LEASE_TTL_MS = 60_000

export async function liveMappings(url: string, { settleMs = 20, lookEveryMs = 60_000 } = {}) {
  const bus = await openBus({ servers: url, role: 'stream-tracker', id: 'mappings' })
  const streams = await openDirectory<StreamRecord>(bus, streamsBucket)
  const records = await openDirectory<MappingRecord>(bus, mappingsBucket)
  const works = await openDirectory<ShardWork>(bus, shardsBucket)
  const assignments = await openDirectory<{ poller: string }>(bus, shardAssignmentsBucket)
  const checkpoints = await openCheckpoints(bus)
  const leases = await openLeases<string>(bus, {
    bucket: leasesBucket,
    ttlMs: LEASE_TTL_MS,
    clock: systemClock,
  })
  const watching = { reconcileEveryMs: 60_000, clock: systemClock, log: keptLog() }
  /** All that was ever written of shards, as text: `open u.0`. */
  const history: string[] = []
  const copies = {
    records: await records.watch(watching),
    works: await works.watch({
      ...watching,
      onChange: (key, work) => history.push(`${work?.state ?? 'gone'} ${key}`),
    }),
  }
  const leaders: Leader[] = []
  let epoch = 0

  /** Hands every write on, until the one that is the last. */
  const mortal = (death: Death | undefined) => {
    const life = { writes: 0, isDead: false }
    const write = async <R>(carryOut: () => Promise<R>): Promise<R> => {
      const never = () => new Promise<R>(() => {})
      if (life.isDead) return await never()
      life.writes += 1
      if (life.writes !== death?.at) return await carryOut()
      life.isDead = true
      if (death.isCarriedOut) await carryOut()
      return await never()
    }
    const directory = <T>(real: Directory<T>): Directory<T> => ({
      ...real,
      put: (...what) => write(() => real.put(...what)),
      remove: (...what) => write(() => real.remove(...what)),
    })
    return { life, write, directory }
  }

  const lead = async (death?: Death): Promise<Leader> => {
    const { life, write, directory } = mortal(death)
    const log = keptLog()
    const mappings = openMappings({
      bus,
      clock: systemClock,
      log,
      streams,
      mappings: directory(records),
      works: directory(works),
      assignments,
      checkpoints: { ...checkpoints, remove: (keys) => write(() => checkpoints.remove(keys)) },
      leases,
      lastSequence: async (stream) => {
        const manager = await bus.jetstreamManager()
        return (await manager.streams.info(recordStream(stream))).state.last_seq
      },
      streamSettleMs: settleMs,
      reconcileMs: 60_000,
      lookEveryMs,
    })
    const leader = {
      mappings,
      log,
      get isDead() {
        return life.isDead
      },
    }
    leaders.push(leader)
    await mappings.join()
    // One that dies while it begins has not begun.
    const begun = mappings.lead(++epoch)
    await Promise.race([begun, until(() => life.isDead)])
    mappings.serve()
    return leader
  }

  const tell = (name: string, record: StreamRecord | undefined): void => {
    for (const { mappings } of leaders) mappings.streamChanged(name, record)
  }

  return {
    bus,
    records,
    works,
    copies,
    history,
    leases,
    assignments,
    checkpoints,
    lead,
    /** The next leader; the one before stops without another write. */
    async follow(leader: Leader, death?: Death) {
      leader.mappings.stop()
      leaders.splice(leaders.indexOf(leader), 1)
      return await lead(death)
    },
    /** Asks once, as a control plane does. Undefined: nobody has answered in time. */
    async ask(command: MappingCommand, timeoutMs = 2_000): Promise<MappingAnswer | undefined> {
      const outcome = await bus.request(trackerMapping, JSON.stringify(command), { timeoutMs })
      return typeof outcome === 'string' ? undefined : outcome.json<MappingAnswer>()
    },
    /** What the stream tracker's other half does: stores it, and tells. */
    async putStream(record: StreamRecord, isTold = true) {
      await streams.put(encodeToken(record.name), record, 1)
      if (isTold) tell(record.name, record)
    },
    async removeStream(name: string, isTold = true) {
      await streams.remove(encodeToken(name), 1)
      if (isTold) tell(name, undefined)
    },
    /** A poller's reader is at the end of a shard, and may say so. */
    async end(mapping: string, shard: number, isTold = true) {
      await putCheckpoint(bus, `${mapping}.${shard}`, {
        epoch: 1,
        done: 9,
        lanes: [],
        hasEnded: true,
      })
      if (isTold) bus.publish(trackerEnded, JSON.stringify({ mapping, shard }))
    },
    putCheckpoint: (key: string, checkpoint: Checkpoint) => putCheckpoint(bus, key, checkpoint),
    /** `0 open, 1 blocked`: what others see of a mapping's shards. */
    shards: (uuid: string) =>
      [...copies.works.entries()]
        .filter(([key]) => key.startsWith(`${uuid}.`))
        .map(([, { shard, state }]) => `${shard} ${state}`)
        .sort()
        .join(', '),
    state: (uuid: string) => copies.records.get(uuid)?.state,
    async stop() {
      for (const { mappings } of leaders) mappings.stop()
      copies.records.stop()
      copies.works.stop()
      // What is on its way may still want it.
      await wait(5)
      await bus.close()
    },
  }
}

const putCheckpoint = (bus: Bus, key: string, checkpoint: Checkpoint) =>
  bus.jetstream.publish(kvEntry(checkpointsBucket, key), JSON.stringify(checkpoint))

/** A record stream, with as many records as are asked for. */
export async function makeRecords(bus: Bus, stream: string, count: number): Promise<void> {
  const { streams } = await bus.jetstreamManager()
  await streams.add({ name: recordStream(stream), subjects: [shardSubject(stream, 'i1', 0)] })
  await putRecords(bus, stream, count)
}

export async function putRecords(bus: Bus, stream: string, count: number): Promise<void> {
  for (let put = 0; put < count; put++) {
    await bus.jetstream.publish(shardSubject(stream, 'i1', 0), 'record')
  }
}

export const LAST_HASH = String(2n ** 128n - 1n)
const MIDDLE = String(2n ** 127n)
const BEFORE_MIDDLE = String(2n ** 127n - 1n)

export const wholeShard = (index: number, more: Partial<Shard> = {}): Shard => ({
  index,
  startHash: '0',
  endHash: LAST_HASH,
  createdAtMs: 1_000,
  after: 0,
  ...more,
})
/** 0 was split into 1 and 2 when 9 records were there. */
export const splitShards: Shard[] = [
  wholeShard(0, { closedAtMs: 50_000, until: 9 }),
  wholeShard(1, { parent: 0, after: 9, endHash: BEFORE_MIDDLE }),
  wholeShard(2, { parent: 0, after: 9, startHash: MIDDLE }),
]
/** Then 1 and 2 were merged into 3. */
export const mergedShards: Shard[] = [
  ...splitShards.map((shard) => ({
    ...shard,
    closedAtMs: 60_000,
    until: shard.index === 0 ? 9 : 12,
  })),
  wholeShard(3, { parent: 1, adjacentParent: 2, after: 12 }),
]

export const streamOf = (
  name: string,
  shards: Shard[] = [wholeShard(0)],
  more: Partial<StreamRecord> = {},
): StreamRecord => ({
  name,
  incarnation: 'i1',
  status: 'ACTIVE',
  mode: 'PROVISIONED',
  createdAtMs: 0,
  retentionHours: 24,
  maxRecordKib: 1_024,
  shards,
  nextShard: shards.length,
  tags: {},
  consumers: [],
  ...more,
})

export const arnOf = (stream: string) => `arn:aws:kinesis:us-east-1:000000000000:stream/${stream}`

export const createOf = (
  uuid: string,
  stream: string,
  more: Partial<Extract<MappingCommand, { type: 'create' }>['record']> = {},
  isEnabled = true,
): MappingCommand => ({
  type: 'create',
  uuid,
  nowMs: 1,
  isEnabled,
  record: {
    functionName: 'f',
    functionArn: 'arn:aws:lambda:us-east-1:000000000000:function:f',
    sourceArn: arnOf(stream),
    stream,
    startingPosition: 'TRIM_HORIZON',
    settings: {
      batchSize: 100,
      batchingWindowMs: 0,
      parallelizationFactor: 1,
      bisectsOnError: false,
      maximumRetryAttempts: -1,
      maximumRecordAgeMs: -1,
      tumblingWindowMs: 0,
      reportsItemFailures: false,
      filters: [],
    },
    tags: {},
    ...more,
  },
})

export const turn = (uuid: string, nowMs: number, isEnabled: boolean): MappingCommand => ({
  type: 'update',
  uuid,
  nowMs,
  settings: {},
  isEnabled,
})
export const deleteOf = (uuid: string, nowMs: number): MappingCommand => ({
  type: 'delete',
  uuid,
  nowMs,
})
