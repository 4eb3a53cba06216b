/**
 * The shards that are read for mappings, while this stream tracker leads: keeps the directory of them, finds out which have
 * come to their end, and lets their children begin.
 *
 * Whatever is decided here follows from the mappings, the streams and the checkpoints, so a leader that dies leaves nothing
 * that the next one has to know. What of the directory is not as it should be is put right when this looks.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { Checkpoints } from '../bus/checkpoints.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import { writerOf } from '../bus/directory-writer.ts'
import type { MappingRecord, ShardWork } from '../machines/mapping.ts'
import { parentsOf, shardsOf, workOf } from '../machines/mapping-shards.ts'
import { shardMachine } from '../machines/shard.ts'
import type { Shard, StreamRecord } from '../machines/stream.ts'
import { type Host, host } from './actor.ts'

export type TrackedShards = {
  host: Host<typeof shardMachine>
  /** How often an entry of the directory was not as it should be. */
  readonly counts: { readonly repaired: number }
  lead(epoch: number): Promise<void>
  follow(): void
  /** From now on, until it is left, the mapping's shards are tracked; again whenever it or its stream has changed. */
  read(mapping: MappingRecord, stream: StreamRecord): void
  leave(mapping: string): void
  /** A reader says that it has come to the end of one. Throws BusError BUS_STORE_UNAVAILABLE. */
  ended(mapping: string, shard: number): Promise<void>
  /** Looks for what has been missed. Throws BusError BUS_STORE_UNAVAILABLE. */
  look(): Promise<void>
  isTracked(key: string): boolean
  /** All that are tracked. */
  tracked(): IterableIterator<TrackedShard>
}

export type TrackedShard = { key: string; shard: Shard; work: ShardWork }

export type TrackedShardsBinding = {
  clock: Clock
  log: Log
  works: Directory<ShardWork>
  checkpoints: Pick<Checkpoints, 'read'>
  reconcileMs: number
}

/** `<mapping>.<shard>`: how a shard of a mapping is named in every directory about it. */
export const shardKey = (mapping: string, shard: number): string => `${mapping}.${shard}`

export function partsOfShard(key: string): { mapping: string; shard: number } {
  const dot = key.lastIndexOf('.')
  return { mapping: key.slice(0, dot), shard: Number(key.slice(dot + 1)) }
}

type Reading = { mapping: MappingRecord; stream: StreamRecord; shards: Map<number, Shard> }

export function openTrackedShards(binding: TrackedShardsBinding): TrackedShards {
  const { clock, log, checkpoints } = binding
  const writer = writerOf(binding.works)
  const readings = new Map<string, Reading>()
  const counts = { repaired: 0 }
  /** What a leader before has written and nobody has written over since. */
  let left = new Map<string, ShardWork>()
  let copy: DirectoryCopy<ShardWork> | undefined
  let epoch: number | undefined

  const put = async (key: string, work: ShardWork): Promise<void> => {
    left.delete(key)
    if (epoch !== undefined) await writer.put(key, work, epoch)
  }
  const remove = async (key: string): Promise<void> => {
    left.delete(key)
    if (epoch !== undefined) await writer.remove(key, epoch)
  }

  const machine = host(shardMachine, {
    clock,
    log,
    duties: {
      publish: ({ work }, key) => put(key, work),
      remove: (_, key) => remove(key),
      release: (_, key) => {
        const { mapping, shard } = partsOfShard(key)
        releaseChildren(mapping, shard)
      },
    },
  })

  const stateOf = (key: string): ShardWork['state'] | undefined => {
    const value = machine.snapshot(key)?.value
    return value === 'blocked' || value === 'open' || value === 'ended' ? value : undefined
  }

  const releaseChildren = (mapping: string, parent: number): void => {
    for (const { index, ...shard } of readings.get(mapping)?.shards.values() ?? []) {
      if (shard.parent !== parent && shard.adjacentParent !== parent) continue
      const key = shardKey(mapping, index)
      if (stateOf(key) === 'blocked') machine.send(key, { type: 'parentEnded', shard: parent })
    }
  }

  const begin = ({ mapping, stream }: Reading, shard: Shard): void => {
    const key = shardKey(mapping.uuid, shard.index)
    const there = left.get(key)
    machine.start(key, {
      work: workOf(mapping, shard),
      waitsFor: parentsOf(mapping, stream, shard).filter(
        (parent) => stateOf(shardKey(mapping.uuid, parent)) !== 'ended',
      ),
      // Of another stream of that name: nothing that it says holds.
      found: there?.incarnation === mapping.incarnation ? there.state : undefined,
    })
  }

  const withdraw = (mapping: string, shard: number): void => {
    const key = shardKey(mapping, shard)
    if (machine.snapshot(key) !== undefined) machine.send(key, { type: 'withdraw' })
  }

  /** Ends what its checkpoint says has ended. Nobody is believed who only says so. */
  const lookAt = async (key: string): Promise<void> => {
    const asked = epoch
    const checkpoint = await checkpoints.read(key)
    if (checkpoint?.hasEnded !== true || asked !== epoch) return
    if (stateOf(key) !== undefined && stateOf(key) !== 'ended') machine.send(key, { type: 'ended' })
  }

  const lookAtClosed = async ({ mapping, shards }: Reading): Promise<void> => {
    const keys = [...shards.values()]
      .filter(({ closedAtMs }) => closedAtMs !== undefined)
      .map(({ index }) => shardKey(mapping.uuid, index))
      .filter((key) => stateOf(key) === 'open')
    await Promise.all(keys.map(lookAt))
  }

  /** Entries that are not as they should be, of a leader before or because they could not be written. */
  const repair = (): void => {
    const again = (key: string, writing: Promise<void>) => {
      counts.repaired += 1
      writing.catch((error) => log.warn({ code: 'SHARD_NOT_WRITTEN', key, err: error }, 'again'))
    }
    for (const [key] of [...(copy?.entries() ?? [])]) {
      if (!writer.isBusy(key) && stateOf(key) === undefined) again(key, remove(key))
    }
    for (const { key, work } of tracked()) {
      const isRight = JSON.stringify(copy?.get(key)) === JSON.stringify(work)
      if (!writer.isBusy(key) && !isRight) again(key, put(key, work))
    }
  }

  function* tracked(): IterableIterator<TrackedShard> {
    for (const { mapping, shards } of readings.values()) {
      for (const shard of shards.values()) {
        const key = shardKey(mapping.uuid, shard.index)
        const state = stateOf(key)
        const work = machine.snapshot(key)?.context.work
        if (work !== undefined && state !== undefined)
          yield { key, shard, work: { ...work, state } }
      }
    }
  }

  return {
    host: machine,
    counts,
    async lead(newEpoch) {
      // Opened anew, so that everything is in it that a leader before has stored.
      copy?.stop()
      copy = await binding.works.watch({ reconcileEveryMs: binding.reconcileMs, clock, log })
      left = new Map(copy.entries())
      epoch = newEpoch
    },
    follow() {
      epoch = undefined
      copy?.stop()
      copy = undefined
      readings.clear()
      for (const key of [...machine.instances()]) machine.forget(key)
    },
    read(mapping, stream) {
      const before = readings.get(mapping.uuid)
      const shards = new Map(shardsOf(mapping, stream).map((shard) => [shard.index, shard]))
      const reading = { mapping, stream, shards }
      readings.set(mapping.uuid, reading)
      for (const shard of shards.values()) {
        if (machine.snapshot(shardKey(mapping.uuid, shard.index)) === undefined) {
          begin(reading, shard)
        }
      }
      for (const index of before?.shards.keys() ?? []) {
        if (shards.has(index)) continue
        withdraw(mapping.uuid, index)
        releaseChildren(mapping.uuid, index)
      }
      lookAtClosed(reading).catch((error) =>
        log.warn({ code: 'SHARDS_NOT_SEEN', err: error }, 'looked at again'),
      )
    },
    leave(mapping) {
      const shards = readings.get(mapping)?.shards
      readings.delete(mapping)
      for (const index of shards?.keys() ?? []) withdraw(mapping, index)
    },
    ended: (mapping, shard) => lookAt(shardKey(mapping, shard)),
    async look() {
      repair()
      await Promise.all([...readings.values()].map(lookAtClosed))
    },
    isTracked: (key) => stateOf(key) !== undefined,
    tracked,
  }
}
