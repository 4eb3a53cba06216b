/**
 * Checkpoints: how far a shard is read for a mapping, in the bucket `lambus_checkpoints`, by `<mapping>.<shard>`.
 */
import { nuid } from 'nats'
import { readEntry, remove, writeEntry } from './bucket.ts'
import type { Bus } from './bus.ts'
import { insist } from './insist.ts'
import { ensureBucket } from './streams.ts'
import { checkpointsBucket, kvEntry, kvStream } from './subjects.ts'

/** What has been done with the records of one lane. Sequences are those of the record stream. */
export type LaneProgress = {
  /** Every record of the lane up to here is done with. */
  done: number
  /** Batches that were tried already, or cut off, in order; the first begins behind `done`. */
  batches?: { to: number; attempts: number }[]
  /** The tumbling window that is open, and what the function returned for it. */
  window?: { startMs: number; state: string }
}

export type Checkpoint = {
  /** Of the lease under which it was written. */
  epoch: number
  /** Every record up to here is done with, whatever its lane. */
  done: number
  /** By lane; a record's lane follows from its partition key and from how many there are. */
  lanes: LaneProgress[]
  /** How far lanes had come that were cut differently, until all are behind that. */
  former?: number[][]
  /** The shard is closed and everything in it is done with. */
  hasEnded?: boolean
}

/** All of these throw BusError BUS_STORE_UNAVAILABLE. */
export type Checkpoints = {
  /** By the word of the bucket's leader. */
  read(key: string): Promise<Checkpoint | undefined>
  /** The keys that there may be a checkpoint for: of one mapping, or of all. */
  keys(mapping?: string): Promise<string[]>
  /** Takes them away, whoever still writes to them. */
  remove(keys: readonly string[]): Promise<void>
}

// As of directories: a copy that is behind for less than this hears of a removal.
const MARKER_TTL_MS = 60_000
// Each round a reader was faster; one that is fenced is so once.
const ROUNDS = 20

/** Makes sure of the bucket. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE. */
export async function openCheckpoints(bus: Bus): Promise<Checkpoints> {
  await ensureBucket(bus, checkpointsBucket, { markerTtlMs: MARKER_TTL_MS })
  return {
    read: async (key) => (await readCheckpoint(bus, key)).checkpoint,
    keys: (mapping) => checkpointKeys(bus, mapping),
    async remove(keys) {
      for (const key of keys) await removeCheckpoint(bus, key)
    },
  }
}

/** With the revision to write over, by the word of the bucket's leader: 0 when nothing is there. */
export async function readCheckpoint(
  bus: Bus,
  key: string,
): Promise<{ checkpoint: Checkpoint | undefined; revision: number }> {
  const there = await readEntry(bus, checkpointsBucket, key)
  if (there === undefined) return { checkpoint: undefined, revision: 0 }
  const { removed, value, revision } = there
  return { checkpoint: removed ? undefined : checkpointOf(value), revision }
}

const decoder = new TextDecoder()
const checkpointOf = (bytes: Uint8Array): Checkpoint =>
  JSON.parse(decoder.decode(bytes)) as Checkpoint

async function checkpointKeys(bus: Bus, mapping = '*'): Promise<string[]> {
  const stream = kvStream(checkpointsBucket)
  const filter = kvEntry(checkpointsBucket, `${mapping}.*`)
  const { state } = await insist(bus, stream, async () => {
    const manager = await bus.jetstreamManager()
    return await manager.streams.info(stream, { subjects_filter: filter })
  })
  const prefix = kvEntry(checkpointsBucket, '')
  return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length))
}

async function removeCheckpoint(bus: Bus, key: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const there = await readEntry(bus, checkpointsBucket, key)
    if (there === undefined || there.removed) return
    const written = await writeEntry(bus, checkpointsBucket, key, {
      value: remove,
      expectedRevision: there.revision,
      write: nuid.next(),
      ttlMs: MARKER_TTL_MS,
    })
    if (written !== 'conflict') return
  }
}
