/**
 * The ends of the shards that are read here: whether a shard is closed, what its last record is, and that it is through, which
 * is stored and told. What is to be done, their machines decide.
 */
import type { SnapshotFrom } from 'xstate'
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { ShardAddress } from '../bus/shard-record.ts'
import { lastSequenceOfShard } from '../bus/shard-source.ts'
import { type ShardEndEvent, shardEndMachine } from '../machines/shard-end.ts'
import { type Host, host } from './actor.ts'

export type EndReader = {
  address: ShardAddress
  hasEnded: boolean
  /** The sequence that it has come to. */
  cursor(): number
  /** Of its source, as it counts them. */
  opening(): number
  readAnew(): void
  /** The shard may be through. */
  look(): void
  store(): Promise<'stored' | 'fenced'>
  tell(): void
}

/** One that was added. */
export type End = {
  /** Nothing that comes in later is waited for. */
  readonly isNear: boolean
  /** It is through, and that is stored, or is being stored. */
  readonly isPast: boolean
  close(): void
  foundEmpty(opening: number): void
  /** Everything that ever was in it has come in and left. */
  through(): void
  forget(): void
}

export type ShardEnds = {
  host: Host<typeof shardEndMachine>
  add(key: string, reader: EndReader): End
}

export function openShardEnds(binding: { bus: Bus; clock: Clock; log: Log }): ShardEnds {
  const { bus, clock, log } = binding
  const added = new Map<string, EndReader>()
  const at = (key: string): EndReader => {
    const it = added.get(key)
    if (it === undefined) throw new Error(`${key} is not read here`)
    return it
  }

  const ends = host(shardEndMachine, {
    clock,
    log,
    duties: {
      findLast: async (_, key) => {
        const it = at(key)
        const last = await lastSequenceOfShard(bus, it.address).catch(() => undefined)
        const isHere = last !== undefined && it.cursor() >= last
        if (last === undefined) tell(key, it, { type: 'lastUnknown' })
        else tell(key, it, { type: 'lastFound', last, isHere, opening: it.opening() })
      },
      readAnew: (_, key) => at(key).readAnew(),
      look: (_, key) => at(key).look(),
      store: async (_, key) => {
        const it = at(key)
        const outcome = await it.store()
        tell(key, it, { type: outcome === 'stored' ? 'stored' : 'unstored' })
      },
      tell: (_, key) => at(key).tell(),
    },
  })
  /** Another reading of the shard may have begun meanwhile. */
  const tell = (key: string, it: EndReader, event: ShardEndEvent): void => {
    if (added.get(key) === it) ends.send(key, event)
  }

  return {
    host: ends,
    add(key, reader) {
      added.set(key, reader)
      ends.start(key, { hasEnded: reader.hasEnded })
      const snapshot = (): SnapshotFrom<typeof shardEndMachine> | undefined =>
        added.get(key) === reader ? ends.snapshot(key) : undefined
      return {
        get isNear() {
          const now = snapshot()
          if (now?.matches('exhausted')) return true
          return now?.matches('closing') === true && reader.cursor() >= now.context.last
        },
        get isPast() {
          const now = snapshot()
          return (['ending', 'endingLater', 'ended'] as const).some((state) => now?.matches(state))
        },
        close: () => tell(key, reader, { type: 'closed' }),
        foundEmpty: (opening) => tell(key, reader, { type: 'foundEmpty', opening }),
        through: () => tell(key, reader, { type: 'through' }),
        forget() {
          added.delete(key)
          ends.forget(key)
        },
      }
    },
  }
}
