/**
 * Who reads shards for mappings, or is told to: by the leases that there are, and by what the leasing service has planned. A
 * poller that is told to read a shard may have its lease a moment later, so a mapping without a single lease may still be one
 * that is read.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import type { Leases, LeaseWatch } from '../bus/leases.ts'
import { shardLeases } from './holding.ts'
import { partsOfShard } from './shard.ts'

export type MappingReaders = {
  join(): Promise<void>
  isRead(mapping: string): boolean
  /** The poller that has a shard's lease. */
  readerOf(key: string): string | undefined
  stop(): void
}

export type MappingReadersBinding = {
  clock: Clock
  log: Log
  leases: Leases<string>
  assignments: Directory<{ poller: string }>
  reconcileMs: number
  changed(mapping: string, isRead: boolean): void
}

export function openMappingReaders(binding: MappingReadersBinding): MappingReaders {
  const { clock, log, reconcileMs } = binding
  const readers = new Map<string, string>()
  /** By mapping: its shards that have a lease, and those that are assigned. */
  const leased = new Map<string, Set<number>>()
  const assigned = new Map<string, Set<number>>()
  let watch: LeaseWatch<string> | undefined
  let copy: DirectoryCopy<{ poller: string }> | undefined

  const isRead = (mapping: string): boolean => leased.has(mapping) || assigned.has(mapping)

  const note = (of: Map<string, Set<number>>, key: string, isThere: boolean): void => {
    const { mapping, shard } = partsOfShard(key)
    const before = isRead(mapping)
    const shards = of.get(mapping) ?? new Set()
    if (isThere) shards.add(shard)
    else shards.delete(shard)
    if (shards.size > 0) of.set(mapping, shards)
    else of.delete(mapping)
    if (isRead(mapping) !== before) binding.changed(mapping, !before)
  }

  return {
    isRead,
    readerOf: (key) => readers.get(key),
    async join() {
      watch = await binding.leases.watch((leaseKey, holding) => {
        if (!leaseKey.startsWith(shardLeases)) return
        const key = leaseKey.slice(shardLeases.length)
        if (holding === undefined) readers.delete(key)
        else readers.set(key, holding.value)
        note(leased, key, holding !== undefined)
      })
      copy = await binding.assignments.watch({
        reconcileEveryMs: reconcileMs,
        clock,
        log,
        onChange: (key, assignment) => note(assigned, key, assignment !== undefined),
      })
    },
    stop() {
      watch?.stop()
      copy?.stop()
    },
  }
}
