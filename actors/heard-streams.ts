/**
 * The streams that a tracker has heard of, and the directory of them to ask when hearing is not enough.
 */
import type { Directory } from '../bus/directory.ts'
import { encodeToken } from '../bus/encoded-token.ts'
import type { StreamRecord } from '../machines/stream.ts'

export type HeardStreams = {
  get(name: string): StreamRecord | undefined
  /** It was made, has changed, or is gone. */
  changed(name: string, record: StreamRecord | undefined): void
  /** As the bucket's leader has it. Throws BusError BUS_STORE_UNAVAILABLE. */
  lookUp(name: string): Promise<StreamRecord | undefined>
  /** As it was heard of, or as the bucket's leader has it. Throws BusError BUS_STORE_UNAVAILABLE. */
  find(name: string): Promise<StreamRecord | undefined>
}

export function heardStreams(directory: Pick<Directory<StreamRecord>, 'read'>): HeardStreams {
  const streams = new Map<string, StreamRecord>()

  const changed = (name: string, record: StreamRecord | undefined): void => {
    if (record === undefined) streams.delete(name)
    else streams.set(name, record)
  }

  const lookUp = async (name: string): Promise<StreamRecord | undefined> => {
    const before = streams.get(name)
    const found = await directory.read(encodeToken(name))
    // What was heard meanwhile is newer.
    if (streams.get(name) === before) changed(name, found)
    return streams.get(name)
  }

  return {
    get: (name) => streams.get(name),
    changed,
    lookUp,
    find: async (name) => streams.get(name) ?? (await lookUp(name)),
  }
}
