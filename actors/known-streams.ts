/** The Kinesis streams that this process knows of: its copy of bucket `lambus_streams`, and waiting for what it will show. */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { openDirectory } from '../bus/directory.ts'
import { encodeToken } from '../bus/encoded-token.ts'
import { streamsBucket } from '../bus/subjects.ts'
import type { StreamRecord } from '../machines/stream.ts'

export type KnownStreams = {
  get(name: string): StreamRecord | undefined
  /** By name. */
  all(): StreamRecord[]
  /** Calls back with each change of a stream; the function returned ends that. */
  onChange(name: string, hear: (record: StreamRecord | undefined) => void): () => void
  /** True as soon as its record is not this one any more, false after that time. */
  changed(name: string, from: StreamRecord | undefined, timeoutMs: number): Promise<boolean>
  /** Remembers what is shown from now on. */
  follow(name: string): Followed
  stop(): void
}

export type Followed = {
  /** Waits until that record has been shown, or for that time. Null: none at all. */
  shown(record: StreamRecord | null, timeoutMs: number): Promise<void>
  stop(): void
}

/** Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE. */
export async function openKnownStreams(
  bus: Bus,
  options: { reconcileEveryMs: number; clock: Clock; log: Log },
): Promise<KnownStreams> {
  const { clock } = options
  /** By key. */
  const listeners = new Map<string, Set<(record: StreamRecord | undefined) => void>>()
  const directory = await openDirectory<StreamRecord>(bus, streamsBucket)
  const copy = await directory.watch({
    ...options,
    onChange(key, record) {
      for (const hear of [...(listeners.get(key) ?? [])]) hear(record)
    },
  })

  const get = (name: string) => copy.get(encodeToken(name))

  const onChange: KnownStreams['onChange'] = (name, hear) => {
    const key = encodeToken(name)
    const heard = listeners.get(key) ?? new Set()
    listeners.set(key, heard)
    heard.add(hear)
    return () => {
      heard.delete(hear)
      if (heard.size === 0 && listeners.get(key) === heard) listeners.delete(key)
    }
  }

  const until = (name: string, isSo: () => boolean, timeoutMs: number): Promise<boolean> =>
    new Promise((resolve) => {
      if (isSo()) return resolve(true)
      const end = (so: boolean) => {
        clock.clearTimer(timer)
        forget()
        resolve(so)
      }
      const forget = onChange(name, () => {
        if (isSo()) end(true)
      })
      const timer = clock.setTimer(() => end(false), timeoutMs)
    })

  return {
    get,
    all: () =>
      [...copy.entries()]
        .map(([, record]) => record)
        .sort((one, other) => (one.name < other.name ? -1 : 1)),
    onChange,
    changed: (name, from, timeoutMs) => until(name, () => get(name) !== from, timeoutMs),
    follow(name) {
      const shown = new Set([textOf(get(name))])
      const forget = onChange(name, (record) => shown.add(textOf(record)))
      return {
        async shown(record, timeoutMs) {
          await until(name, () => shown.has(textOf(record ?? undefined)), timeoutMs)
        },
        stop: forget,
      }
    },
    stop: copy.stop,
  }
}

const textOf = (record: StreamRecord | undefined): string => JSON.stringify(record ?? null)
