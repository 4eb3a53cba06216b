/**
 * The sources of the shards that are read here: opened where their readers are, and opened anew when they break. When, their
 * machines decide; what they bring goes to whoever added them.
 */
import type { SnapshotFrom } from 'xstate'
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { ShardAddress, StoredRecord } from '../bus/shard-record.ts'
import { openShardSource, type ShardSource } from '../bus/shard-source.ts'
import { type ShardSourceEvent, shardSourceMachine } from '../machines/shard-source.ts'
import { type Host, host } from './actor.ts'

export type SourceReader = {
  address: ShardAddress
  /** Where its reader is now. */
  from(): { after: number } | { atMs: number }
  /** `waiting`: how many follow it in the stream at this moment. */
  record(record: StoredRecord, waiting: number): void
  /** How many records may still come, beside those that have. */
  room(): number
  /** It is about to bring the first of those that wait. */
  opened(waiting: number, opening: number): void
  /** Is told after each time that records were asked for. */
  asked(): void
}

/** One that was added. */
export type Source = {
  /** Counted from 1; 0 before the first. */
  readonly opening: number
  readonly isIdle: boolean
  readonly isFlowing: boolean
  /** Records are to come from where its reader is now. */
  want(): void
  /** Nobody waits for what it would bring. */
  sate(): void
  /** There is more room than when it was asked for last. */
  more(): void
  /** Nothing comes in any more. */
  stop(): void
}

export type ShardSources = {
  host: Host<typeof shardSourceMachine>
  add(instance: string, reader: SourceReader): Source
}

type Added = { reader: SourceReader; open: ShardSource | undefined }

export function openShardSources(binding: { bus: Bus; clock: Clock; log: Log }): ShardSources {
  const { bus, clock, log } = binding
  const added = new Map<string, Added>()
  const at = (instance: string): Added => {
    const it = added.get(instance)
    if (it === undefined) throw new Error(`${instance} is not read here`)
    return it
  }

  const sources = host(shardSourceMachine, {
    clock,
    log,
    duties: {
      open: ({ opening }, instance) => open(instance, at(instance), opening),
      ask: (_, instance) => {
        const { open, reader } = at(instance)
        open?.more()
        reader.asked()
      },
      drop: (_, instance) => {
        const it = at(instance)
        it.open?.stop()
        it.open = undefined
      },
    },
    ended: (instance) => added.delete(instance),
  })
  const stateOf = (
    instance: string,
    it: Added,
  ): SnapshotFrom<typeof shardSourceMachine> | undefined =>
    added.get(instance) === it ? sources.snapshot(instance) : undefined

  const open = async (instance: string, it: Added, opening: number): Promise<void> => {
    const { reader } = it
    const isWanted = () => {
      const snapshot = stateOf(instance, it)
      return snapshot?.matches('opening') === true && snapshot.context.opening === opening
    }
    const broken = () => {
      if (added.get(instance) === it) sources.send(instance, { type: 'broken', opening })
    }
    try {
      const source = await openShardSource(bus, clock, reader.address, reader.from(), {
        record: reader.record,
        room: reader.room,
        broken(why) {
          log.debug({ source: instance, why }, 'a shard is read anew')
          broken()
        },
      })
      if (!isWanted()) {
        source.stop()
        return
      }
      it.open = source
      reader.opened(source.pending, opening)
      sources.send(instance, { type: 'opened', opening })
    } catch (error) {
      if (!isWanted()) return
      log.warn(
        { code: 'SHARD_NOT_READ', source: instance, err: error },
        'a shard cannot be read; again soon',
      )
      broken()
    }
  }

  return {
    host: sources,
    add(instance, reader) {
      const it: Added = { reader, open: undefined }
      added.set(instance, it)
      sources.start(instance, undefined)
      const tell = (event: ShardSourceEvent) => {
        if (added.get(instance) === it) sources.send(instance, event)
      }
      return {
        get opening() {
          return stateOf(instance, it)?.context.opening ?? 0
        },
        get isIdle() {
          return stateOf(instance, it)?.matches('idle') === true
        },
        get isFlowing() {
          return stateOf(instance, it)?.matches('flowing') === true
        },
        want: () => tell({ type: 'wanted' }),
        sate: () => tell({ type: 'sated' }),
        more: () => it.open?.more(),
        stop: () => tell({ type: 'pause' }),
      }
    },
  }
}
