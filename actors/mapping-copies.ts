/**
 * What a control plane knows of event source mappings and streams: copies in memory of two directories that the leading stream
 * tracker writes. What a copy does not have is looked up, so that nothing that was just made is said not to be there.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { openDirectory } from '../bus/directory.ts'
import { encodeToken } from '../bus/encoded-token.ts'
import { mappingsBucket, streamsBucket } from '../bus/subjects.ts'
import type { MappingRecord } from '../machines/mapping.ts'
import type { StreamRecord } from '../machines/stream.ts'

export type MappingCopies = {
  mappings: {
    /** As the copy has it. */
    get(uuid: string): MappingRecord | undefined
    find(uuid: string): Promise<MappingRecord | undefined>
    entries(): IterableIterator<[uuid: string, record: MappingRecord]>
  }
  streams: { find(name: string): Promise<StreamRecord | undefined> }
  stop(): void
}

export async function openMappingCopies(
  bus: Bus,
  options: { reconcileEveryMs: number; clock: Clock; log: Log },
): Promise<MappingCopies> {
  const mappings = await openDirectory<MappingRecord>(bus, mappingsBucket)
  const streams = await openDirectory<StreamRecord>(bus, streamsBucket)
  const mappingCopy = await mappings.watch(options)
  const streamCopy = await streams.watch(options)
  return {
    mappings: {
      get: mappingCopy.get,
      entries: mappingCopy.entries,
      find: async (uuid) => mappingCopy.get(uuid) ?? (await mappings.read(uuid)),
    },
    streams: {
      async find(name) {
        const key = encodeToken(name)
        return streamCopy.get(key) ?? (await streams.read(key))
      },
    },
    stop() {
      mappingCopy.stop()
      streamCopy.stop()
    },
  }
}
