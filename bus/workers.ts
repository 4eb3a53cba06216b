/**
 * The workers there are: one entry each, which its worker renews and which goes away by itself when it does not.
 *
 * For looking at, and for placing sandboxes: an entry may outlive its worker by its TTL. Who needs to know sooner
 * listens to the beats.
 */
import { headers } from 'nats'
import type { Bus, Clock, Log } from './bus.ts'
import { insist } from './insist.ts'
import { ensureBucket } from './streams.ts'
import { kvEntry, token, workersBucket } from './subjects.ts'
import { openWatched, type Watched } from './watched.ts'

export type WorkerRecord = {
  id: string
  host: string
  pid: number
  /** What its sandboxes may hold together, as functions' MemorySize, and what they do. */
  memoryMb: number
  usedMb: number
  sandboxes: number
  runtimes: string[]
  labels: Record<string, string>
  startedAtMs: number
  /** It takes no new sandboxes. */
  draining: boolean
}

export type Registration = {
  /** Throws BusError BUS_STORE_UNAVAILABLE; the renewals go on trying. Of updates at the same time, the last one counts. */
  update(record: WorkerRecord): Promise<void>
  /** Takes the entry away at once. */
  remove(): Promise<void>
}

// Watches that were cut off for longer find out by comparing.
const MARKER_TTL_MS = 60_000
// nats-server refuses a shorter one (reference measurement: error 10165).
const SHORTEST_TTL_MS = 1_000

/**
 * Makes sure of the bucket and puts `record` there, for `ttlMs` (at least 1000) at a time; renews it at a third of that,
 * and at once when the link is back. Throws RangeError, BadSubjectToken for an id that is not one token, and BusError as
 * `ensureBucket` does.
 */
export async function registerWorker(
  bus: Bus,
  record: WorkerRecord,
  { ttlMs, clock, log }: { ttlMs: number; clock: Clock; log?: Log },
): Promise<Registration> {
  if (ttlMs < SHORTEST_TTL_MS)
    throw new RangeError(`a worker's TTL is at least 1000 ms, not ${ttlMs}`)
  const subject = kvEntry(workersBucket, token(record.id))
  let latest = record
  let isBehind = false
  let isRemoved = false
  let writing: Promise<void> | undefined
  let timer: unknown

  const put = () =>
    insist(
      bus,
      subject,
      () => bus.jetstream.publish(subject, JSON.stringify(latest), { ttl: `${ttlMs}ms` }),
      ttlMs,
    )

  const catchUp = async () => {
    while (isBehind && !isRemoved) {
      isBehind = false
      await put()
    }
  }

  const write = (): Promise<void> => {
    isBehind = true
    writing ??= catchUp().finally(() => {
      writing = undefined
    })
    // What changes after its last look, and before it is known to have ended, is not in it.
    return writing.then(() => (isBehind && !isRemoved ? write() : undefined))
  }

  const renew = () => {
    clock.clearTimer(timer)
    timer = clock.setTimer(renew, ttlMs / 3)
    write().catch((error) => {
      if (isRemoved) return
      if (bus.nats.isClosed()) clock.clearTimer(timer)
      log?.warn({ code: 'BUS_WORKER_NOT_RENEWED', id: record.id, err: error }, 'not renewed')
    })
  }

  await ensureBucket(bus, workersBucket, { markerTtlMs: MARKER_TTL_MS })
  await write()
  timer = clock.setTimer(renew, ttlMs / 3)
  const forget = bus.onReconnect(renew)

  return {
    update(changed) {
      latest = changed
      return write()
    },
    async remove() {
      if (isRemoved) return
      isRemoved = true
      clock.clearTimer(timer)
      forget()
      // An entry on its way would come back after its removal.
      await writing?.catch(() => {})
      await insist(bus, subject, () =>
        bus.jetstream.publish(subject, '', {
          headers: removal(),
          ttl: `${MARKER_TTL_MS}ms`,
        }),
      )
    },
  }
}

function removal() {
  const head = headers()
  head.set('KV-Operation', 'PURGE')
  head.set('Nats-Rollup', 'sub')
  return head
}

/**
 * All workers, kept up to date. `onChange` hears of each that appears, changes, or goes (undefined). Throws as
 * `openWatched` does.
 */
export const watchWorkers = (
  bus: Bus,
  onChange: (id: string, record: WorkerRecord | undefined) => void,
  options: { clock: Clock; reconcileEveryMs: number; log?: Log },
): Promise<Watched<WorkerRecord>> =>
  openWatched<WorkerRecord>(bus, {
    ...options,
    bucket: workersBucket,
    markerTtlMs: MARKER_TTL_MS,
    onChange,
  })
