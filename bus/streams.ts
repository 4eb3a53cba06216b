/**
 * Streams and buckets as we want them to be.
 *
 * Every process makes sure of the streams it needs when it starts, so many do it at once, and one may meet a stream that
 * an older version made. A stream is therefore created or brought into line, and what counts is the configuration that
 * the server *echoes*: servers before 2.11 take settings like `allow_msg_ttl` in silence and ignore them.
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
import { nanos } from 'nats'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'
import { insist, isUnanswered } from './insist.ts'
import { anyKvEntry, kvStream } from './subjects.ts'

export type StreamSettings = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects'>

// nats-server, errors.json: the name is in use with another configuration, which means that somebody was faster.
const NAME_IN_USE = 10058

/**
 * Makes sure that a stream exists with these settings; what is not mentioned is left as it is. Safe for any number of
 * processes at once. Throws BusError BUS_STREAM_UNFIT when the server does not honour a setting, or the stream exists and
 * the setting cannot be changed any more; BUS_STORE_UNAVAILABLE when JetStream does not answer.
 */
export const ensureStream = (bus: Bus, settings: StreamSettings): Promise<StreamInfo> =>
  insist(bus, `stream ${settings.name}`, async () => {
    const manager = await bus.jetstreamManager()
    const found = (await find(manager, settings.name)) ?? (await create(manager, settings))
    const info =
      differences(settings, found.config).length === 0
        ? found
        : await manager.streams.update(settings.name, settings).catch(refused(settings.name))
    const ignored = differences(settings, info.config)
    if (ignored.length > 0) {
      throw new BusError(
        'BUS_STREAM_UNFIT',
        `stream ${settings.name}: the server does not honour ${ignored.join(', ')}; nats-server 2.12 or newer does`,
      )
    }
    return info
  })

/**
 * Makes sure of a KV bucket that keeps one value per key. `markerTtlMs` (at least 1000) lets single keys expire, and says
 * for how long the marker of an expired one is kept. `replicas` absent: as many as it has, or one. Throws as `ensureStream` does.
 *
 * `Kvm.create()` would leave an existing bucket as it is and not look at what the server made of a new one.
 */
export const ensureBucket = (
  bus: Bus,
  bucket: string,
  { markerTtlMs, replicas }: { markerTtlMs?: number; replicas?: number } = {},
): Promise<StreamInfo> =>
  ensureStream(bus, {
    name: kvStream(bucket),
    subjects: [anyKvEntry(bucket)],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    // More than one would bring an older value back when the newest expires.
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    allow_direct: true,
    ...(replicas === undefined ? {} : { num_replicas: replicas }),
    ...(markerTtlMs === undefined
      ? {}
      : { allow_msg_ttl: true, subject_delete_marker_ttl: nanos(markerTtlMs) }),
  })

/** Throws what nats.js throws: for use inside `insist`. */
export const streamExists = async (bus: Bus, name: string): Promise<boolean> =>
  (await find(await bus.jetstreamManager(), name)) !== undefined

async function find(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name)
  } catch (error) {
    if (isApiError(error, JetStreamApiCodes.StreamNotFound)) return undefined
    throw error
  }
}

async function create(manager: JetStreamManager, settings: StreamSettings): Promise<StreamInfo> {
  try {
    return await manager.streams.add({ ...settings })
  } catch (error) {
    if (isApiError(error, NAME_IN_USE)) return await manager.streams.info(settings.name)
    throw refusal(settings.name, error)
  }
}

/** The settings that are not as wanted, as `name (is value)`. */
function differences(wanted: StreamSettings, actual: StreamConfig): string[] {
  const names = Object.keys(wanted) as (keyof StreamSettings)[]
  return names
    .filter((name) => JSON.stringify(wanted[name]) !== JSON.stringify(actual[name]))
    .map((name) => `${name} (is ${JSON.stringify(actual[name])})`)
}

const refused = (name: string) => (error: unknown) => Promise.reject(refusal(name, error))

const refusal = (name: string, error: unknown): unknown =>
  error instanceof JetStreamApiError && !isUnanswered(error)
    ? new BusError('BUS_STREAM_UNFIT', `stream ${name}: ${error.message}`, error)
    : error

const isApiError = (error: unknown, code: number): boolean =>
  error instanceof JetStreamApiError && error.code === code
