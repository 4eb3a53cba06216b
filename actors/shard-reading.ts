/**
 * One shard that is read here for one mapping: its two sources, what of it is in hand, and its checkpoint.
 *
 * It brings records to the lanes and knows how far they have come; what is done with them is the business of their machines
 * (`shard-reader.ts`).
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { takeOverCheckpoint } from '../bus/checkpoint-writer.ts'
import type { Checkpoint, LaneProgress } from '../bus/checkpoints.ts'
import type { ShardAddress, StoredRecord } from '../bus/shard-record.ts'
import { lastSequenceOfShard, openShardSource } from '../bus/shard-source.ts'
import type { ShardWork } from '../machines/mapping.ts'
import { fnv1a, openShardLanes, type ShardLanes } from './shard-lanes.ts'

export type ShardReading = {
  readonly work: ShardWork
  readonly lanes: ShardLanes
  /** What the reader before left in a lane. */
  readonly left: readonly LaneProgress[]
  /** In the record stream, behind what has come in. */
  readonly pending: number
  /** Everything that is stored has come in, as far as anybody can know. */
  readonly isCaughtUp: boolean
  /** Where it stood when it was taken over, as far as it has come, where it will have caught up. */
  readonly progress: { from: number; at: number; to: number | undefined }
  /** Opens the sources. */
  read(): Promise<void>
  /** Nothing more comes in. */
  pause(): void
  /** There is more room, and more is done. */
  advanced(): void
  /** What the next reader should know has changed. */
  remember(): void
  /** The shard is closed: nothing more will be stored in it. */
  closed(): void
  /** Everything that ever was in it has come in and left. */
  readonly isThrough: boolean
  /** Stores that it is through. */
  end(): Promise<'stored' | 'fenced'>
  close(): Promise<void>
}

export type ReadingBinding = {
  bus: Bus
  clock: Clock
  log: Log
  key: string
  epoch: number
  work: ShardWork
  lanes: number
  /** Records of a batch, as of now. */
  batchSize: () => number
  passes: (record: StoredRecord) => boolean
  /** What a lane's machine would leave to the next reader. */
  leftIn(lane: number): Omit<LaneProgress, 'done'>
  /** Records have come into a lane. Told once a turn. */
  arrived(lane: number): void
  /** Some have come in, whatever became of them. Told once a turn, after that. */
  cameIn(): void
  /** Nothing is to be expected, or no longer what was. */
  settled(): void
  lost(): void
}

/** One is tried, the next is ready, and two are on their way while that goes on. */
const BATCHES_READY = 4
/** For tiny batches: a record that is there when it is wanted saves a round trip. */
const LEAST_READY = 16
const REOPEN_MS = 200
/** From so many records on, somebody may want to see how far it is. */
const LONG_READ = 1_000
/** How far back a checkpoint may be while nothing but records that are passed over come in. */
const PASSED_OVER_MS = 1_000

export async function openShardReading(binding: ReadingBinding): Promise<ShardReading | 'fenced'> {
  const { bus, clock, log, key, work } = binding
  const address: ShardAddress = work
  const startAfter = 'after' in work.start ? work.start.after : 0
  const first = { done: startAfter, lanes: [] }
  const writer = await takeOverCheckpoint(bus, clock, key, binding.epoch, first, {
    state: () => state(),
    lost: binding.lost,
  })
  if (writer === 'fenced') return 'fenced'
  const begunAt = writer.begunAt ?? { epoch: 0, ...first }
  const { left, former } = cutInto(binding.lanes, begunAt)
  const lanes = openShardLanes({
    done: left.map(({ done }) => done),
    after: begunAt.done,
    isDone: (record) =>
      former.some((vector) => record.sequence <= (vector[laneIn(record, vector)] ?? 0)),
    passes: binding.passes,
    wanted: () => Math.max(LEAST_READY, BATCHES_READY * binding.batchSize()),
  })
  let main: Source | undefined
  let behind: Source | undefined
  let beginnings = 0
  let isOpen = true
  let isPaused = false
  let hasEnded = begunAt.hasEnded === true
  let isEndStored = hasEnded
  let pending = 0
  let goal: number | undefined
  /** The last sequence that it will ever have; known when it is closed. */
  let end: number | undefined
  /** A source that was opened after that had nothing more to bring. */
  let isExhausted = false
  const fresh = new Set<number>()
  let isTelling = false
  let passingOver: unknown

  const state = (): Omit<Checkpoint, 'epoch'> => stateOf(lanes, binding.leftIn, former, hasEnded)

  const tell = (): void => {
    isTelling = false
    if (!isOpen) return
    const some = [...fresh]
    fresh.clear()
    for (const lane of some) binding.arrived(lane)
    binding.cameIn()
    if (behind !== undefined && lanes.behind.isOver) {
      behind.stop()
      behind = undefined
      // Nobody may be left whose end would ask for more.
      main?.more()
    }
    if (pending === 0) binding.settled()
  }
  /** Once for all that comes in together. */
  const tellSoon = (): void => {
    if (isTelling) return
    isTelling = true
    queueMicrotask(tell)
  }
  const took = (lane: number | undefined): void => {
    if (lane !== undefined) fresh.add(lane)
    else {
      passingOver ??= clock.setTimer(() => {
        passingOver = undefined
        if (isOpen) writer.changed()
      }, PASSED_OVER_MS)
    }
    tellSoon()
  }

  const openMain = async (): Promise<Source | undefined> => {
    const isAtTime = 'atMs' in work.start && lanes.main.cursor === 0
    const from = isAtTime ? work.start : { after: lanes.main.cursor }
    const isLast = end !== undefined
    const source = await open(from, lanes.main, (left) => {
      pending = left
    })
    if (isLast && source?.pending === 0) isExhausted = true
    return source
  }
  const open = async (
    from: { after: number } | { atMs: number },
    side: { take(record: StoredRecord): number | undefined; room(): number },
    note: (pending: number) => void,
    isWanted: () => boolean = () => isOpen,
  ): Promise<Source | undefined> => {
    const again = () => (side === lanes.main ? reopenMain() : reopenBehind())
    try {
      const source = await openShardSource(bus, clock, address, from, {
        record: (record, left) => {
          if (!isWanted()) return
          note(left)
          took(side.take(record))
        },
        room: () => (isPaused || !isWanted() ? 0 : side.room()),
        broken: (why) => {
          log.debug({ key, why }, 'a shard is read anew')
          if (isWanted()) again()
        },
      })
      note(source.pending)
      return source
    } catch (error) {
      if (!isOpen) return undefined
      log.warn({ code: 'SHARD_NOT_READ', key, err: error }, 'a shard cannot be read; again soon')
      again()
      return undefined
    }
  }

  const later = (work: () => void): void => {
    clock.setTimer(() => {
      if (isOpen && !isPaused) work()
    }, REOPEN_MS)
  }
  const settle = (source: Source | undefined, keep: (source: Source) => void): void => {
    if (source === undefined) return
    if (!isOpen) {
      source.stop()
      return
    }
    keep(source)
    source.more()
    if (pending === 0) binding.settled()
  }
  const reopenMain = (): void => {
    main = undefined
    later(() => void openMain().then((source) => settle(source, (it) => (main = it))))
  }
  const reopenBehind = (): void => {
    behind = undefined
    later(() => openBehind(lanes.behind.cursor))
  }
  const openBehind = (after: number): void => {
    behind?.stop()
    behind = undefined
    // Begun anew meanwhile, from elsewhere: what this one brings is not what is missing.
    const mine = ++beginnings
    const isWanted = () => isOpen && mine === beginnings
    void open({ after }, lanes.behind, () => {}, isWanted).then((source) => {
      if (isWanted()) settle(source, (it) => (behind = it))
      else source?.stop()
    })
  }

  const reading: ShardReading = {
    work,
    lanes,
    left,
    get pending() {
      return pending
    },
    get isCaughtUp() {
      return bus.up && main !== undefined && pending === 0 && lanes.behind.isOver
    },
    get progress() {
      return { from: begunAt.done, at: lanes.main.cursor, to: goal }
    },
    async read() {
      main = await openMain()
      const isLong = pending >= LONG_READ
      if (main !== undefined) settle(main, () => {})
      if (isLong) goal = await lastSequenceOfShard(bus, address).catch(() => undefined)
    },
    pause() {
      isPaused = true
    },
    advanced() {
      writer.changed()
      if (isPaused) return
      main?.more()
      if (lanes.behind.isOver) {
        behind?.stop()
        behind = undefined
        return
      }
      const after = lanes.behind.begin()
      if (after !== undefined) openBehind(after)
      else behind?.more()
    },
    remember: () => writer.changed(),
    closed() {
      if (end !== undefined) return
      void lastSequenceOfShard(bus, address)
        .then((last) => {
          end = last
          // What "from a time on" skipped is not waited for.
          if (isOpen && lanes.main.cursor < last && main !== undefined) {
            main.stop()
            reopenMain()
          }
          if (isOpen) binding.settled()
        })
        .catch(() => later(reading.closed))
    },
    get isThrough() {
      if (hasEnded) return true
      const isAllIn = end !== undefined && (isExhausted || lanes.main.cursor >= end)
      return isAllIn && lanes.behind.isOver && fresh.size === 0 && isEmpty(lanes)
    },
    async end() {
      if (!isEndStored) {
        hasEnded = true
        writer.changed()
      }
      const outcome = await writer.stored()
      isEndStored ||= outcome === 'stored'
      return outcome
    },
    async close() {
      isOpen = false
      main?.stop()
      behind?.stop()
      clock.clearTimer(passingOver)
      await writer.stored()
    },
  }
  return reading
}

type Source = Awaited<ReturnType<typeof openShardSource>>

const laneIn = ({ partitionKey }: StoredRecord, { length }: readonly number[]): number =>
  length === 1 ? 0 : fnv1a(partitionKey) % length

const isEmpty = (lanes: ShardLanes): boolean => {
  for (let lane = 0; lane < lanes.lanes; lane++) if (lanes.size(lane) > 0) return false
  return true
}

/**
 * Each lane goes on where it was. Where there were another number of lanes, all begin at the checkpoint, and what some of those
 * had done beyond it is not done again.
 */
function cutInto(
  count: number,
  { done, lanes, former = [] }: Checkpoint,
): { left: LaneProgress[]; former: number[][] } {
  if (lanes.length === count) return { left: lanes, former }
  const beyond = lanes.map((lane) => lane.done)
  return {
    left: Array.from({ length: count }, () => ({ done })),
    former: beyond.some((each) => each > done) ? [...former, beyond] : former,
  }
}

function stateOf(
  lanes: ShardLanes,
  leftIn: (lane: number) => Omit<LaneProgress, 'done'>,
  former: readonly number[][],
  hasEnded: boolean,
): Omit<Checkpoint, 'epoch'> {
  const progress = Array.from({ length: lanes.lanes }, (_, lane) => ({
    done: lanes.done(lane),
    ...leftIn(lane),
  }))
  const done = Math.min(...progress.map((lane) => lane.done))
  const ahead = former.filter((vector) => vector.some((each) => each > done))
  return {
    done,
    lanes: progress,
    ...(ahead.length === 0 ? {} : { former: [...ahead] }),
    ...(hasEnded ? { hasEnded } : {}),
  }
}
