/**
 * Tasks that move messages out of a dead-letter queue: bucket `lambus_sqs_moves`, by the queue that they empty.
 *
 * A task is worked on by one process, its runner, which says in the record how far it is, and by that, that it is there.
 * Who finds a task whose runner has been silent takes it over by writing itself into the record. Two may work on one for a
 * moment; each message is moved once all the same, because it is stored under the task and its sequence.
 */
import type { Bus, Clock, Log } from './bus.ts'
import { changeEntry } from './change-entry.ts'
import { ensureBucket } from './streams.ts'
import { sqsMovesBucket } from './subjects.ts'
import { openWatched } from './watched.ts'

/** AWS's words. */
export type MoveStatus = 'RUNNING' | 'COMPLETED' | 'CANCELLING' | 'CANCELLED' | 'FAILED'

export type MoveTask = {
  taskId: string
  /** Names of queues; without a destination each message goes to where it failed. */
  source: string
  destination?: string
  maxPerSecond?: number
  startedAtMs: number
  status: MoveStatus
  toMove: number
  moved: number
  failure?: string
  runner: string
  beatAtMs: number
}

export type SqsMoves = {
  /** The newest first. */
  list(source: string): Promise<MoveTask[]>
  /** Adds a task and gives it back, or the one that is active. */
  start(task: MoveTask): Promise<{ task: MoveTask; isNew: boolean }>
  /** Changes one task, unless `change` gives nothing; gives what it is then, or nothing when it is not there. */
  change(
    task: Pick<MoveTask, 'source' | 'taskId'>,
    change: (task: MoveTask) => MoveTask | undefined,
  ): Promise<MoveTask | undefined>
  /** Active tasks, as far as this process knows. */
  active(): MoveTask[]
  stop(): void
}

export const isActive = ({ status }: MoveTask): boolean =>
  status === 'RUNNING' || status === 'CANCELLING'

// AWS lists ten of a queue at most.
const REMEMBERED_TASKS = 10

/** Makes sure of the bucket. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE; so do all of the above. */
export async function openSqsMoves(
  bus: Bus,
  options: { clock: Clock; reconcileEveryMs: number; newId: () => string; log?: Log },
): Promise<SqsMoves> {
  const { newId, clock, reconcileEveryMs, log } = options
  await ensureBucket(bus, sqsMovesBucket)
  const watched = await openWatched<MoveTask[]>(bus, {
    bucket: sqsMovesBucket,
    clock,
    reconcileEveryMs,
    ...(log === undefined ? {} : { log }),
  })

  const settle = async (
    source: string,
    change: (tasks: MoveTask[]) => MoveTask[] | undefined,
  ): Promise<MoveTask[]> => {
    const where = { bucket: sqsMovesBucket, key: source }
    const how = { parse, newId }
    const { after } = await changeEntry<MoveTask[]>(bus, where, how, (tasks) => change(tasks ?? []))
    return after ?? []
  }

  return {
    async list(source) {
      return (await watched.read(source))?.value ?? []
    },
    async start(task) {
      const tasks = await settle(task.source, (before) =>
        before.some(isActive) ? undefined : [task, ...before].slice(0, REMEMBERED_TASKS),
      )
      const active = tasks.find(isActive) ?? task
      return { task: active, isNew: active.taskId === task.taskId }
    },
    async change({ source, taskId }, change) {
      const tasks = await settle(source, (before) => {
        const found = before.find((each) => each.taskId === taskId)
        const changed = found && change(found)
        return changed && before.map((each) => (each === found ? changed : each))
      })
      return tasks.find((each) => each.taskId === taskId)
    },
    active: () => [...watched.entries()].flatMap(([, { value }]) => value.filter(isActive)),
    stop: () => watched.stop(),
  }
}

const decoder = new TextDecoder()
const parse = (bytes: Uint8Array): MoveTask[] => JSON.parse(decoder.decode(bytes))
