/**
 * The record stream of a Kinesis stream: one JetStream stream, with a subject for each open shard.
 *
 * Taking a shard's subject away closes it: whoever publishes there is told that nobody listens, and what is in it can still be
 * read. One update takes the parents' subjects away and puts the children's there, so at no time can a record be stored in
 * both, or in neither. Two things can still store behind the close (both measured on nats-server 2.15.1, and tried in
 * test/bus/record-stream.test.ts):
 *
 * - What a writer had sent before may be in the server's queue when the update is answered. So before it is asked how far
 *   the stream is, a message that cannot be stored is sent after it, through the same queue.
 * - Of records that are written together, only the subject of the last one is looked at when they are stored. So the update
 *   forbids that too, for some milliseconds; the server then forgets batches that were begun. Their writers are told 10174
 *   or 10176, nothing is stored, and they may write again.
 *
 * JetStream knows no "only if it is still as I saw it" for updates, and a leader that was replaced may wake up in the middle
 * of one. So the configuration says what it is for, in its metadata: the incarnation; the step, which grows with every set
 * of shards that the stream ever has; and the epoch of the leader that wrote it. Every attempt reads it anew before it writes,
 * and writes nothing over a later step, over what a later leader wrote, or when it does not lead any more; and nothing when
 * more than a quarter of a second has passed since it began to read. To do harm, a late write would have to come after the
 * step that follows it, and between two steps of a stream, or its end and its next beginning, there is half a second at
 * least (LAMBUS_STREAM_SETTLE_MS). What is left is a request that the network holds back for so long.
 * A leader that died in the middle left either the old configuration or the new one: the next asks for the same, and finds it
 * done or does it.
 * Source: reference nats.md §3 (one stream for each Kinesis stream); NATS ADR-33 (metadata).
 */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream'
import { errors, headers, nanos } from 'nats'
import type { Bus, Msg } from './bus.ts'
import { BusError } from './bus-error.ts'
import { insist, isUnanswered } from './insist.ts'
import { recordStream, shard, updateOfStream } from './subjects.ts'

export type RecordStream = {
  /** Of the Kinesis stream. */
  name: string
  incarnation: string
  /** Indexes of the shards that take records. */
  open: readonly number[]
  retentionHours: number
  step: number
}

export type Leading = {
  epoch: number
  /** Looked at before each write. */
  isLeading: () => boolean
}

/** `stale`: somebody else leads now, or has led since. Nothing was changed. */
export type Reached = { lastSequence: number } | 'stale'

const HOUR_MS = 3_600_000
/** A consumer for each shard, reader and mapping. nats-server 2.15 takes 1000 unless it is told otherwise (nats.md §0.11). */
const MOST_CONSUMERS = 100_000
const ANSWER_TIMEOUT_MS = 2_000
/** What was read longer ago is read again before anything is written. Less than between two steps. */
const FRESH_MS = 250

/**
 * Makes the record stream, or changes it, so that it is as `wanted`; `lastSequence` is how far it was when it had become so:
 * nothing of a shard that was closed is behind it. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE.
 */
export const reachRecordStream = (
  bus: Bus,
  wanted: RecordStream,
  leading: Leading,
): Promise<Reached> =>
  insist(bus, `records of ${wanted.name}`, async () => {
    const manager = await bus.jetstreamManager()
    const seen = await look(manager, wanted.name)
    const { found } = seen
    if (found !== undefined && isAhead(found, wanted, leading)) return 'stale'
    const isOther = found !== undefined && incarnationOf(found) !== wanted.incarnation
    if (isOther || found === undefined || !isAs(found, wanted)) {
      if (!mayWrite(seen, leading)) return 'stale'
      // What a deleted stream of that name has left.
      if (isOther) await drop(manager, wanted.name)
      if (isOther || found === undefined) await create(manager, wanted, leading)
      else await change(bus, found, wanted, leading, !closes(found, wanted))
    }
    await passFence(bus, wanted)
    const reached = await look(manager, wanted.name)
    if (reached.found === undefined) throw new errors.TimeoutError()
    if (reached.found.config.allow_atomic !== true) {
      if (isAhead(reached.found, wanted, leading) || !mayWrite(reached, leading)) return 'stale'
      await change(bus, reached.found, wanted, leading, true)
    }
    return { lastSequence: reached.found.state.last_seq }
  })

/** Removes the record stream with all that is in it, unless it is that of a stream made later. Throws as above. */
export const removeRecordStream = (
  bus: Bus,
  { name, incarnation }: Pick<RecordStream, 'name' | 'incarnation'>,
  leading: Leading,
): Promise<'removed' | 'stale'> =>
  insist(bus, `records of ${name}`, async () => {
    const manager = await bus.jetstreamManager()
    const seen = await look(manager, name)
    if (seen.found === undefined || incarnationOf(seen.found) !== incarnation) return 'removed'
    if (epochOf(seen.found) > leading.epoch || !mayWrite(seen, leading)) return 'stale'
    await drop(manager, name)
    return 'removed'
  })

/** Of the last record that was stored in any shard, also if it has expired; 0: none was. Throws as above. */
export const lastSequenceOf = (bus: Bus, name: string): Promise<number> =>
  insist(bus, `records of ${name}`, async () => {
    const { found } = await look(await bus.jetstreamManager(), name)
    return found?.state.last_seq ?? 0
  })

type Seen = { found: StreamInfo | undefined; askedAtMs: number }

async function look(manager: JetStreamManager, name: string): Promise<Seen> {
  const askedAtMs = performance.now()
  return { found: await find(manager, name), askedAtMs }
}

/** Throws what makes `insist` look again when too much time has passed. */
function mayWrite({ askedAtMs }: Seen, { isLeading }: Leading): boolean {
  if (!isLeading()) return false
  if (performance.now() - askedAtMs > FRESH_MS) throw new errors.TimeoutError()
  return true
}

// ── What it says of itself ─────────────────────────────────────────────────────────────────────────────────────────

const metadataOf = (
  { incarnation, step }: RecordStream,
  { epoch }: Leading,
): Record<string, string> => ({ incarnation, step: String(step), epoch: String(epoch) })

const incarnationOf = ({ config }: StreamInfo) => config.metadata?.['incarnation']
const numberOf = ({ config }: StreamInfo, name: string): number =>
  Number(config.metadata?.[name] ?? 0)
const epochOf = (info: StreamInfo): number => numberOf(info, 'epoch')

/** Whether it is further than we want to bring it: then it is somebody else's now. */
const isAhead = (info: StreamInfo, { incarnation, step }: RecordStream, { epoch }: Leading) =>
  epochOf(info) > epoch || (incarnationOf(info) === incarnation && numberOf(info, 'step') > step)

/** Whoever wrote it. */
function isAs({ config }: StreamInfo, wanted: RecordStream): boolean {
  const { subjects, max_age } = configOf(wanted)
  const there = new Set(config.subjects)
  return (
    config.max_age === max_age &&
    there.size === subjects.length &&
    subjects.every((subject) => there.has(subject))
  )
}

/** Whether there is a shard that would be closed. */
function closes({ config }: StreamInfo, wanted: RecordStream): boolean {
  const subjects = new Set(configOf(wanted).subjects)
  return config.subjects.some((subject) => !subjects.has(subject))
}

const configOf = ({ name, incarnation, open, retentionHours }: RecordStream) => ({
  subjects: open.map((index) => shard(name, incarnation, index)),
  max_age: nanos(retentionHours * HOUR_MS),
})

// ── One request each ───────────────────────────────────────────────────────────────────────────────────────────────

async function find(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(recordStream(name))
  } catch (error) {
    if (isNotThere(error)) return undefined
    throw error
  }
}

const create = (manager: JetStreamManager, wanted: RecordStream, leading: Leading) =>
  manager.streams
    .add({
      name: recordStream(wanted.name),
      ...configOf(wanted),
      metadata: metadataOf(wanted, leading),
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      allow_direct: true,
      allow_atomic: true,
      max_consumers: MOST_CONSUMERS,
    } as Partial<StreamConfig> & Pick<StreamConfig, 'name'>)
    .catch(refused(wanted.name))

/** One request, so that nothing comes between what was seen and what is written: the client's own would look once more. */
async function change(
  bus: Bus,
  { config }: StreamInfo,
  wanted: RecordStream,
  leading: Leading,
  mayWriteTogether: boolean,
): Promise<void> {
  const whole = {
    ...config,
    ...configOf(wanted),
    metadata: { ...config.metadata, ...metadataOf(wanted, leading) },
    allow_atomic: mayWriteTogether,
  }
  const subject = updateOfStream(recordStream(wanted.name))
  const options = { timeoutMs: ANSWER_TIMEOUT_MS }
  const answer = await bus.request(subject, JSON.stringify(whole), options)
  if (typeof answer === 'string') throw new errors.TimeoutError()
  const error = errorIn(answer)
  if (error === undefined) return
  // JetStream's own "not now".
  if (error.code === 503) throw new errors.TimeoutError()
  throw new BusError('BUS_STREAM_UNFIT', `records of ${wanted.name}: ${error.description}`)
}

const errorIn = (answer: Msg) =>
  answer.json<{ error?: { code: number; description: string } }>().error

async function drop(manager: JetStreamManager, name: string): Promise<void> {
  try {
    await manager.streams.delete(recordStream(name))
  } catch (error) {
    if (!isNotThere(error)) throw error
  }
}

/** Answered when all that was sent before the update has been stored or refused: it goes through the same queue. */
async function passFence(bus: Bus, { name, incarnation, open }: RecordStream): Promise<void> {
  const subject = shard(name, incarnation, open[0] ?? 0)
  const head = headers()
  // No stream is ever there, so it is never stored.
  head.set('Nats-Expected-Last-Sequence', String(Number.MAX_SAFE_INTEGER))
  const answer = await bus.request(subject, '', { headers: head, timeoutMs: ANSWER_TIMEOUT_MS })
  if (typeof answer === 'string') throw new errors.TimeoutError()
}

const refused = (name: string) => (error: unknown) =>
  Promise.reject(
    error instanceof JetStreamApiError && !isUnanswered(error)
      ? new BusError('BUS_STREAM_UNFIT', `records of ${name}: ${error.message}`, error)
      : error,
  )

const isNotThere = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound
