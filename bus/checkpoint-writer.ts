/**
 * How a reader keeps the checkpoint of its shard: takes it over, and stores what has been done since.
 *
 * Every write names the revision that it replaces, and the first one, under the reader's own epoch, is made before anything is
 * read. So one who was here before, and believes that he still is, can store nothing any more; and one who comes with an
 * older epoch is refused.
 *
 *     changed ──▶ being stored ──changed meanwhile──▶ stored once more
 *
 * One write is on its way at a time, and what changes meanwhile is in the next one, 20 ms later: no batch waits for it, and a
 * shard that is read fast does not keep the disk busy.
 */
import { nuid } from 'nats'
import { writeEntry } from './bucket.ts'
import type { Bus, Clock } from './bus.ts'
import { type Checkpoint, readCheckpoint } from './checkpoints.ts'
import { checkpointsBucket } from './subjects.ts'

export type CheckpointWriter = {
  /** As it was taken over. */
  readonly begunAt: Checkpoint | undefined
  /** Something has changed. */
  changed(): void
  /** Resolves when everything that had changed by now is stored; `fenced` when it never will be. */
  stored(): Promise<'stored' | 'fenced'>
}

/** Ten batches of a quick function: what is tried once more after a crash. */
const PACE_MS = 20
/** Each round somebody else was faster: the reader before, for as long as it has not noticed. */
const ROUNDS = 20

/**
 * Takes over. `state` gives what is to be stored, each time it is; `lost` is told once when somebody else has taken over.
 * `fenced` when that is so already. Throws BusError BUS_STORE_UNAVAILABLE.
 */
export async function takeOverCheckpoint(
  bus: Bus,
  clock: Clock,
  key: string,
  epoch: number,
  first: Omit<Checkpoint, 'epoch'>,
  { state, lost }: { state: () => Omit<Checkpoint, 'epoch'>; lost: () => void },
): Promise<CheckpointWriter | 'fenced'> {
  const taken = await claim(bus, key, epoch, first)
  if (taken === 'fenced') return 'fenced'
  let { revision } = taken
  let isDirty = false
  let isFenced = false
  let writing: Promise<void> | undefined

  let writtenAtMs = Number.NEGATIVE_INFINITY
  let waiting: { timer: unknown; go: () => void } | undefined

  /** The first change is stored at once; who waits for it is not kept waiting. */
  const pause = (): Promise<void> | undefined => {
    const leftMs = writtenAtMs + PACE_MS - clock.monotonicMs()
    if (leftMs <= 0) return undefined
    return new Promise((resolve) => {
      const go = () => {
        waiting = undefined
        resolve()
      }
      waiting = { timer: clock.setTimer(go, leftMs), go }
    })
  }
  const hurry = (): void => {
    if (waiting === undefined) return
    clock.clearTimer(waiting.timer)
    waiting.go()
  }

  const write = async (): Promise<void> => {
    while (isDirty && !isFenced) {
      await pause()
      isDirty = false
      const document: Checkpoint = { epoch, ...state() }
      const written = await put(bus, key, document, revision)
      writtenAtMs = clock.monotonicMs()
      if (written === 'conflict') {
        isFenced = true
        lost()
      } else revision = written.revision
    }
  }

  const start = (): void => {
    writing ??= write().then(
      () => {
        writing = undefined
        // What changed after the last look, and before this, found it still writing.
        if (isDirty && !isFenced) start()
      },
      () => {
        writing = undefined
        // Not stored, or nobody knows: whoever reads next may begin a little earlier. With the lease it ends anyway.
        isDirty = true
      },
    )
  }

  return {
    begunAt: taken.checkpoint,
    changed() {
      isDirty = true
      start()
    },
    async stored() {
      hurry()
      while (writing !== undefined) await writing
      return isFenced || isDirty ? 'fenced' : 'stored'
    },
  }
}

async function claim(
  bus: Bus,
  key: string,
  epoch: number,
  first: Omit<Checkpoint, 'epoch'>,
): Promise<{ checkpoint: Checkpoint | undefined; revision: number } | 'fenced'> {
  for (let round = 0; round < ROUNDS; round++) {
    const { checkpoint, revision } = await readCheckpoint(bus, key)
    if (checkpoint !== undefined && checkpoint.epoch > epoch) return 'fenced'
    const document = { ...(checkpoint ?? first), epoch }
    const written = await put(bus, key, document, revision)
    if (written !== 'conflict') return { checkpoint, revision: written.revision }
  }
  return 'fenced'
}

const put = (bus: Bus, key: string, document: Checkpoint, expectedRevision: number) =>
  writeEntry(bus, checkpointsBucket, key, {
    value: JSON.stringify(document),
    expectedRevision,
    write: nuid.next(),
  })
