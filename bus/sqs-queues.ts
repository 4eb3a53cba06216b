/**
 * The SQS queues there are: bucket `lambus_sqs`, one record per queue, and what JetStream holds of each.
 *
 *     record in the bucket ──names──▶ subject, schedules and consumer of one incarnation, all in stream LAMBUS_SQS
 *
 * A queue exists when its record does: making, changing and removing one is one write of that record, over exactly the
 * one that was read. Everything else carries the incarnation in its name, which is new each time a queue is made. So a
 * process that is late, with an old record in its hands, stores into a queue that nobody reads, and never touches that
 * of the same name that came after it.
 *
 * One stream for all, not one for each: permissions of NATS are by whole tokens, so whoever may create and delete streams
 * of any name may delete everybody's. What that costs is that all queues share one line to the disk (`sync_interval:
 * always`: some thousand messages a second).
 * Source: reference nats.md §0.8, §0.10, §2.10, §3 (layouts).
 */
import {
  AckPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream'
import { nanos } from 'nats'
import { readEntry, remove } from './bucket.ts'
import type { Bus, Clock, Log } from './bus.ts'
import { BusError } from './bus-error.ts'
import { changeEntry } from './change-entry.ts'
import { insist } from './insist.ts'
import { ensureBucket, ensureStream } from './streams.ts'
import {
  anySqsDelayed,
  anySqsQueue,
  sqsBucket,
  sqsConsumer,
  sqsDelayedOf,
  sqsQueue,
  sqsStream,
} from './subjects.ts'
import { openWatched, type Watched } from './watched.ts'

/** SQS's own units: seconds and bytes. */
export type QueueSettings = {
  delaySeconds: number
  maximumMessageBytes: number
  retentionSeconds: number
  receiveWaitSeconds: number
  visibilitySeconds: number
  /** After so many receives a message goes to that queue of ours. */
  redrive?: { deadLetterQueue: string; maxReceiveCount: number }
  /** Which queues may name this one as their dead-letter queue. Absent: any. */
  redriveAllow?:
    | { permission: 'allowAll' | 'denyAll' }
    | { permission: 'byQueue'; queues: string[] }
}

export type QueueRecord = {
  name: string
  /** New with each creation; one token of a subject. */
  incarnation: string
  settings: QueueSettings
  tags: Record<string, string>
  createdAtMs: number
  modifiedAtMs: number
}

/** All of these throw BusError BUS_STORE_UNAVAILABLE when JetStream does not answer; it may be done all the same. */
export type SqsQueues = {
  /** From the copy in memory, and by the word of the leader when it is not there. */
  find(name: string): Promise<QueueRecord | undefined>
  /** By the word of the leader. */
  read(name: string): Promise<QueueRecord | undefined>
  /** Makes it unless there is one; gives the one that is there then. */
  create(record: QueueRecord): Promise<{ record: QueueRecord; isNew: boolean }>
  /** Writes what `change` makes of the record, once more if somebody was faster. `undefined`: no such queue. */
  change(
    name: string,
    change: (record: QueueRecord) => QueueRecord,
  ): Promise<QueueRecord | undefined>
  /** Removes the queue and everything in it; `undefined`: no such queue. */
  remove(name: string): Promise<QueueRecord | undefined>
  /** Removes what it holds: messages that wait, that are in flight and that are delayed. */
  purge(record: QueueRecord): Promise<void>
  /** Those that this process knows of, by name. */
  all(): QueueRecord[]
  /** Makes sure of the consumer, as its record wants it, and gives its name. */
  consumer(record: QueueRecord): Promise<string>
  /** The next use of its consumer makes sure of it again. */
  forgetConsumer(record: QueueRecord): void
  counts(record: QueueRecord): Promise<QueueCounts>
  stop(): void
}

/** `inFlight` are all that were delivered and not deleted, also those whose time is over. */
export type QueueCounts = { waiting: number; inFlight: number; delayed: number }

// Long enough for whoever stores one message twice; deliver() promises it.
const REMEMBERED_MS = 600_000
// nats-server 2.15 stops at 1000 consumers per stream unless the stream says otherwise (reference nats.md §0.11).
const MOST_QUEUES = 100_000
// Each long poll waits in its consumer; the server's default is 512.
const MOST_WAITING = 10_000
// A visibility timeout of 0 is no time that a consumer can have; such a message is given back when it is delivered.
const LEAST_ACK_WAIT_MS = 30_000
const CAUGHT_UP_MS = 2_000
// nats-server, errors.json: consumer exists with other settings; no such consumer.
const CONSUMER_EXISTS = 10148
const NO_CONSUMER = 10014

/** Makes sure of bucket and stream. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE. */
export async function openSqsQueues(
  bus: Bus,
  options: {
    clock: Clock
    reconcileEveryMs: number
    newId: () => string
    log?: Log
    onChange?: (name: string, record: QueueRecord | undefined) => void
  },
): Promise<SqsQueues> {
  const { newId } = options
  await ensureSqsStream(bus)
  const watched = await openWatched<QueueRecord>(bus, {
    bucket: sqsBucket,
    clock: options.clock,
    reconcileEveryMs: options.reconcileEveryMs,
    parse: readRecord,
    ...(options.log === undefined ? {} : { log: options.log }),
    ...(options.onChange === undefined ? {} : { onChange: options.onChange }),
  })
  const consumers = openConsumers(bus)
  await sweep(bus, watched, options.log)

  /** Who reads what was just written must find it in the copy. */
  const settle = async (
    name: string,
    change: (record: QueueRecord | undefined) => QueueRecord | typeof remove | undefined,
  ) => {
    const how = { parse: readRecord, newId }
    const changed = await changeEntry(bus, { bucket: sqsBucket, key: name }, how, change)
    if (changed.revision !== undefined) await watched.reached(changed.revision, CAUGHT_UP_MS)
    return changed
  }

  // What is no name of a queue is no key either.
  const read = async (name: string) =>
    isQueueName(name) ? (await watched.read(name))?.value : undefined

  const empty = async ({ name, incarnation }: QueueRecord) => {
    const subjects = [sqsDelayedOf(name, incarnation), sqsQueue(name, incarnation)]
    for (const filter of subjects) await purgeSubject(bus, filter)
  }

  return {
    async find(name) {
      return watched.get(name)?.value ?? (await read(name))
    },
    read,
    async create(record) {
      const { before } = await settle(record.name, (there) =>
        there === undefined ? record : undefined,
      )
      return { record: before ?? record, isNew: before === undefined }
    },
    async change(name, change) {
      return (await settle(name, (there) => there && change(there))).after
    },
    async remove(name) {
      const { before } = await settle(name, (there) => there && remove)
      if (before === undefined) return undefined
      await consumers.remove(before)
      await empty(before)
      return before
    },
    purge: empty,
    all: () =>
      [...watched.entries()].map(([, held]) => held.value).sort((one, other) => byName(one, other)),
    consumer: consumers.ensure,
    forgetConsumer: consumers.forget,
    async counts(record) {
      const { name, incarnation } = record
      const consumer = await consumers.ensure(record)
      const manager = await bus.jetstreamManager()
      const [info, stream] = await insist(bus, sqsStream, () =>
        Promise.all([
          manager.consumers.info(sqsStream, consumer),
          manager.streams.info(sqsStream, { subjects_filter: sqsDelayedOf(name, incarnation) }),
        ]),
      )
      return {
        waiting: info.num_pending,
        inFlight: info.num_ack_pending,
        delayed: Object.keys(stream.state.subjects ?? {}).length,
      }
    },
    stop: () => watched.stop(),
  }
}

/** Makes sure of what is stored into and of the bucket that says where. Throws as `ensureStream` does. */
export async function ensureSqsStream(bus: Bus): Promise<void> {
  await ensureBucket(bus, sqsBucket)
  await ensureStream(bus, {
    name: sqsStream,
    subjects: [anySqsQueue, anySqsDelayed],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    allow_msg_schedules: true,
    allow_msg_ttl: true,
    duplicate_window: nanos(REMEMBERED_MS),
    max_consumers: MOST_QUEUES,
  })
}

/** Source: SQS API reference, CreateQueue: 1 to 80 of these characters. They are tokens of subjects and keys, too. */
export const isQueueName = (name: string): boolean => /^[\w-]{1,80}$/.test(name)

/** One queue's record by the word of the leader, for processes that keep no copy. */
export async function readQueue(
  bus: Bus,
  name: string,
  patienceMs?: number,
): Promise<QueueRecord | undefined> {
  if (!isQueueName(name)) return undefined
  try {
    const entry = await readEntry(bus, sqsBucket, name, patienceMs)
    return entry === undefined || entry.removed ? undefined : readRecord(entry.value)
  } catch (error) {
    // No front end has run here yet.
    if (isApiError(error, JetStreamApiCodes.StreamNotFound)) return undefined
    throw error
  }
}

function openConsumers(bus: Bus) {
  /** With the visibility timeout that each has. */
  const ensured = new Map<string, number>()
  const nameOf = ({ name, incarnation }: QueueRecord) => sqsConsumer(name, incarnation)

  const ensure = async (record: QueueRecord): Promise<string> => {
    const name = nameOf(record)
    const { visibilitySeconds } = record.settings
    if (ensured.get(name) === visibilitySeconds) return name
    const ack_wait = nanos(visibilitySeconds === 0 ? LEAST_ACK_WAIT_MS : visibilitySeconds * 1000)
    await insist(bus, name, async () => {
      const { consumers } = await bus.jetstreamManager()
      const settings = {
        durable_name: name,
        filter_subject: sqsQueue(record.name, record.incarnation),
        ack_policy: AckPolicy.Explicit,
        ack_wait,
        // Whoever is in flight must not keep others out.
        max_ack_pending: -1,
        max_deliver: -1,
        max_waiting: MOST_WAITING,
      }
      try {
        await consumers.add(sqsStream, settings)
      } catch (error) {
        if (!isApiError(error, CONSUMER_EXISTS)) throw error
        await consumers.update(sqsStream, name, { ack_wait })
      }
    })
    ensured.set(name, visibilitySeconds)
    return name
  }

  return {
    ensure,
    forget: (record: QueueRecord) => void ensured.delete(nameOf(record)),
    async remove(record: QueueRecord) {
      const name = nameOf(record)
      ensured.delete(name)
      await deleteConsumer(bus, name)
    },
  }
}

async function deleteConsumer(bus: Bus, name: string): Promise<void> {
  await insist(bus, name, async () => {
    const { consumers } = await bus.jetstreamManager()
    try {
      await consumers.delete(sqsStream, name)
    } catch (error) {
      if (!isApiError(error, NO_CONSUMER)) throw error
    }
  })
}

const purgeSubject = (bus: Bus, filter: string) =>
  insist(bus, filter, async () => {
    const { streams } = await bus.jetstreamManager()
    await streams.purge(sqsStream, { filter })
  })

/**
 * Takes away consumers and messages of queues whose removal was cut off. A consumer is made when its record is there, so
 * one without a record was left behind.
 */
async function sweep(bus: Bus, watched: Watched<QueueRecord>, log: Log | undefined): Promise<void> {
  const manager = await bus.jetstreamManager()
  const found = await insist(bus, sqsStream, async () => {
    const consumers = []
    for await (const info of manager.consumers.list(sqsStream)) consumers.push(info)
    return consumers
  })
  for (const { name, config } of found) {
    const [, , , queue = '', incarnation = ''] = (config.filter_subject ?? '').split('.')
    if (!isQueueName(queue)) continue
    const record = watched.get(queue)?.value ?? (await watched.read(queue))?.value
    if (record?.incarnation === incarnation) continue
    log?.info({ queue, incarnation }, 'what was left of a deleted queue is removed')
    await deleteConsumer(bus, name)
    await purgeSubject(bus, sqsDelayedOf(queue, incarnation))
    await purgeSubject(bus, sqsQueue(queue, incarnation))
  }
}

const decoder = new TextDecoder()

function readRecord(bytes: Uint8Array): QueueRecord {
  try {
    const record = JSON.parse(decoder.decode(bytes)) as QueueRecord | null
    if (record && typeof record.name === 'string' && typeof record.incarnation === 'string') {
      return record
    }
  } catch {}
  throw new BusError('BUS_DOCUMENT_UNREADABLE', 'the record of a queue cannot be read')
}

const byName = (one: QueueRecord, other: QueueRecord): number => (one.name < other.name ? -1 : 1)

const isApiError = (error: unknown, code: number): boolean =>
  error instanceof JetStreamApiError && error.code === code
