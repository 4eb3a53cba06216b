/**
 * Checkpoints that nobody will ask for again: of shards that their stream does not know any more, and of mappings that are no
 * more, which a reader has written when it was late.
 *
 * What is taken away is what the buckets themselves say is nobody's: a leader that does not know yet that another has taken
 * over may never have heard of a mapping that is being read.
 */
import type { Checkpoints } from '../bus/checkpoints.ts'
import type { Directory } from '../bus/directory.ts'
import { encodeToken } from '../bus/encoded-token.ts'
import type { MappingRecord } from '../machines/mapping.ts'
import type { StreamRecord } from '../machines/stream.ts'
import { partsOfShard } from './shard.ts'

export type OrphansBinding = {
  checkpoints: Pick<Checkpoints, 'keys' | 'read' | 'remove'>
  mappings: Pick<Directory<MappingRecord>, 'read'>
  streams: Pick<Directory<StreamRecord>, 'read'>
  /** It is tracked, or read by somebody: there is no need to ask. */
  isInUse(key: string): boolean
}

/** Throws BusError BUS_STORE_UNAVAILABLE. */
export async function removeOrphans(binding: OrphansBinding): Promise<void> {
  const { checkpoints, mappings, streams, isInUse } = binding
  for (const key of (await checkpoints.keys()).filter((one) => !isInUse(one))) {
    // Taken away already: what is there is the marker of it.
    if ((await checkpoints.read(key)) === undefined) continue
    const { mapping, shard } = partsOfShard(key)
    const record = await mappings.read(mapping)
    const stream = record && (await streams.read(encodeToken(record.stream)))
    if (record === undefined || isOutlived(shard, record, stream)) await checkpoints.remove([key])
  }
}

/** A stream that is gone says nothing: its mapping takes its checkpoints with it. */
const isOutlived = (index: number, record: MappingRecord, stream: StreamRecord | undefined) =>
  stream !== undefined &&
  stream.incarnation === record.incarnation &&
  !stream.shards.some((shard) => shard.index === index)
