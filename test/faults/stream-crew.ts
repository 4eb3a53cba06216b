/**
 * A crew that reads streams: who reads what, and how far.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { createInbox } from 'nats'
import type { ProcessStatus } from '../../actors/status.ts'
import { readEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import type { Checkpoint } from '../../bus/checkpoints.ts'
import { inboxPrefix } from '../../bus/delivered.ts'
import { checkpointsBucket, kvEntry, kvStream, leasesBucket, status } from '../../bus/subjects.ts'
import type { LambusProcess } from '../system/system.ts'
import { type Crew, type CrewRole, startCrew } from './crew.ts'
import { type StreamUser, streamUser, until } from './stream-user.ts'

const staff = {
  'control-plane': 1,
  placement: 1,
  'state-manager': 1,
  'worker-manager': 1,
  worker: 1,
  leasing: 1,
  'stream-tracker': 1,
  'front-end': 1,
  poller: 2,
} as const satisfies Partial<Record<CrewRole, number>>

/** Short waits, so that a retry is a matter of moments. */
const environment = {
  LAMBUS_RECORD_BACK_OFF_MS: '50',
  LAMBUS_RECORD_LONGEST_BACK_OFF_MS: '400',
  LAMBUS_STREAM_SETTLE_MS: '100',
  LAMBUS_LOG_LEVEL: 'warn',
}

export type StreamCrew = Crew &
  StreamUser & {
    checkpoints(uuid: string): Promise<Map<string, Checkpoint>>
    /** By shard, `<uuid>.<index>`: the poller that has its lease; of all mappings with `*`. */
    leases(uuid: string): Promise<Map<string, string>>
    /** What each process says of itself that answers in time. */
    statuses(): Promise<ProcessStatus[]>
    /** The poller that has the lease of a shard; waits until there is one that says who it is. */
    readerOf(uuid: string, shard: number): Promise<LambusProcess>
  }

export async function startStreamCrew(
  counts: Partial<Record<CrewRole, number>> = {},
  more: Record<string, string> = {},
  patience: { answerWithinMs?: number } = {},
): Promise<StreamCrew> {
  const crew = await startCrew({ ...staff, ...counts }, { ...environment, ...more })
  const { bus } = crew
  const user = streamUser(crew.endpoint, patience)
  const leases = async (uuid: string): Promise<Map<string, string>> => {
    const found = await entriesOf<{ value: string }>(bus, leasesBucket, `shard.${uuid}.*`)
    return new Map([...found].map(([key, { value }]) => [key.slice('shard.'.length), value]))
  }
  const statuses = () => askAll<ProcessStatus>(bus, status)

  return {
    ...crew,
    ...user,
    checkpoints: (uuid) => entriesOf<Checkpoint>(bus, checkpointsBucket, `${uuid}.*`),
    leases,
    statuses,
    async readerOf(uuid, shard) {
      let found: LambusProcess | undefined
      await until(async () => {
        const id = (await leases(uuid)).get(`${uuid}.${shard}`)
        const pid = (await statuses()).find((one) => one.id === id)?.pid
        found = crew.living('poller').find((process) => process.pid === pid)
        if (found === undefined) {
          throw new Error(`shard ${shard} of ${uuid} is read by ${id}, ${pid}`)
        }
        return true
      })
      return found as LambusProcess
    },
    async stop() {
      user.close()
      await crew.stop()
    },
  }
}

const ANSWERS_WITHIN_MS = 250

async function askAll<T>(bus: Bus, subject: string): Promise<T[]> {
  const inbox = createInbox(inboxPrefix(bus.nats))
  const answers: T[] = []
  const hearing = bus.subscribe(inbox, (message) => {
    answers.push(message.json<T>())
  })
  bus.publish(subject, '', { reply: inbox })
  await wait(ANSWERS_WITHIN_MS)
  hearing.stop()
  return answers
}

async function entriesOf<T>(bus: Bus, bucket: string, filter: string): Promise<Map<string, T>> {
  const manager = await bus.jetstreamManager()
  const { state } = await manager.streams.info(kvStream(bucket), {
    subjects_filter: kvEntry(bucket, filter),
  })
  const keys = Object.keys(state.subjects ?? {}).map((subject) =>
    subject.slice(kvEntry(bucket, '').length),
  )
  const found = new Map<string, T>()
  for (const key of keys) {
    const entry = await readEntry(bus, bucket, key)
    if (entry !== undefined && !entry.removed) {
      found.set(key, JSON.parse(Buffer.from(entry.value).toString()) as T)
    }
  }
  return found
}
