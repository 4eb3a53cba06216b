/**
 * Where durable actors are kept: one KV entry per actor, with its state, what it owes the world and how far it has read
 * its inbox. One write, so that they cannot disagree.
 *
 * The revision decides who may write: of two processes that both believe to host an actor, the one whose view is old
 * conflicts and has to load again. Reads go to the stream's leader, because a replica may be behind, and an actor
 * rebuilt from an old state would conflict for ever.
 *
 * A write whose acknowledgement was lost may have been carried out. The document carries an id of its write, so that
 * reading it back tells. The one case that this cannot tell apart: our write was carried out and somebody else has
 * already overwritten it. Then it is a conflict, which is true as well: whoever overwrote it had loaded it, and with it
 * the effects that it owed.
 *
 * An actor that is removed leaves nothing, not even a marker, so an event that comes late finds nobody.
 */
import { JetStreamApiCodes, JetStreamApiError, type StoredMsg } from '@nats-io/jetstream'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'
import { decodeToken, encodeToken } from './encoded-token.ts'
import { insist } from './insist.ts'
import { ensureBucket } from './streams.ts'
import { actorsBucket, kvEntry, kvStream, tokens } from './subjects.ts'

/** A durable actor at rest. The store looks at `write` alone. */
export type StoredActor = {
  machineVersion?: string
  value: unknown
  context: unknown
  status: string
  /** How many events it has taken. */
  step: number
  /** Sequences of the newest messages of its inbox that it has handled, in the order in which it did. */
  handled: number[]
  /** Effects that are stored and may not have been performed. */
  owed: unknown[]
  /** Different for every write. */
  write: string
}

export type ActorStore = {
  /** The actor as last saved by anybody, or undefined. */
  load(
    machine: string,
    instance: string,
  ): Promise<{ document: StoredActor; revision: number } | undefined>
  /**
   * Saves over exactly `expectedRevision` (0: there must be none) and returns the new revision; `conflict` when somebody
   * else was there first. Throws BusError BUS_STORE_UNAVAILABLE (it may be saved all the same) and BUS_PAYLOAD_TOO_LARGE.
   */
  save(
    machine: string,
    instance: string,
    document: StoredActor,
    expectedRevision: number,
  ): Promise<number | 'conflict'>
  /** Removes exactly `expectedRevision`; false when that is not what is there. */
  remove(machine: string, instance: string, expectedRevision: number): Promise<boolean>
  /** The instances of a machine that are there now, in no particular order. */
  list(machine: string): AsyncIterable<string>
}

// nats-server, errors.json: what MSG.DELETE answers for a sequence that is not in the stream (any more).
const SEQUENCE_NOT_FOUND = [10037, 10043, 10057]

/** Makes sure of the bucket. Throws as `ensureBucket` does. */
export async function openActorStore(bus: Bus): Promise<ActorStore> {
  await ensureBucket(bus, actorsBucket)
  const stream = kvStream(actorsBucket)
  const address = (machine: string, instance: string) =>
    kvEntry(actorsBucket, `${encodeToken(machine)}.${encodeToken(instance)}`)

  const newest = async (subject: string): Promise<StoredMsg | undefined> => {
    const manager = await bus.jetstreamManager()
    // Not the direct API: any replica may answer that one.
    return (await manager.streams.getMessage(stream, { last_by_subj: subject })) ?? undefined
  }

  return {
    async load(machine, instance) {
      const subject = address(machine, instance)
      const found = await insist(bus, subject, () => newest(subject))
      return found && { document: read(found), revision: found.seq }
    },

    async save(machine, instance, document, expectedRevision) {
      const subject = address(machine, instance)
      const bytes = JSON.stringify(document)
      return await insist(bus, subject, async (unanswered) => {
        try {
          const expect = { lastSubjectSequence: expectedRevision }
          return (await bus.jetstream.publish(subject, bytes, { expect })).seq
        } catch (error) {
          if (!isConflict(error)) throw error
          if (unanswered === 0) return 'conflict'
          const there = await newest(subject)
          return there && writeOf(there) === document.write ? there.seq : 'conflict'
        }
      })
    },

    async remove(machine, instance, expectedRevision) {
      const subject = address(machine, instance)
      return await insist(bus, subject, async (unanswered) => {
        const there = await newest(subject)
        if (there === undefined) return unanswered > 0
        if (there.seq !== expectedRevision) return false
        // A bucket keeps one message per key, so deleting this sequence is a compare-and-delete: an overwritten one is gone.
        const manager = await bus.jetstreamManager()
        try {
          return await manager.streams.deleteMessage(stream, expectedRevision, false)
        } catch (error) {
          if (isApiError(error, SEQUENCE_NOT_FOUND)) return false
          throw error
        }
      })
    },

    async *list(machine) {
      const filter = `${address(machine, '').slice(0, -1)}*`
      const info = await insist(bus, filter, async () => {
        const manager = await bus.jetstreamManager()
        return await manager.streams.info(stream, { subjects_filter: filter })
      })
      for (const subject of Object.keys(info.state.subjects ?? {})) {
        const instance = decodeToken(tokens(subject).at(-1) ?? '')
        if (instance !== undefined) yield instance
      }
    },
  }
}

function read(message: StoredMsg): StoredActor {
  try {
    const document = message.json<StoredActor>()
    if (typeof document.write === 'string') return document
  } catch {}
  throw new BusError('BUS_DOCUMENT_UNREADABLE', `${message.subject} does not hold an actor`)
}

function writeOf(message: StoredMsg): string | undefined {
  try {
    return read(message).write
  } catch {
    return undefined
  }
}

const isApiError = (error: unknown, codes: number[]): boolean =>
  error instanceof JetStreamApiError && codes.includes(error.code)

const isConflict = (error: unknown): boolean =>
  isApiError(error, [
    JetStreamApiCodes.StreamWrongLastSequence,
    // The same while another write is in flight, without saying which.
    JetStreamApiCodes.StreamWrongLastSequenceUnknown,
  ])
