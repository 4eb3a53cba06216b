/**
 * The shards that are read here for a mapping: what of each is in hand, and its checkpoint.
 *
 *     two sources (shard-source) ──records──▶ lanes (shard-lanes) ──▶ their machines (shard-reader)
 *                                                └─ how far ─▶ checkpoint, and its end (shard-end)
 *
 * A reading brings records to the lanes and knows how far they have come; what is done with them is the business of others.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { takeOverCheckpoint } from '../bus/checkpoint-writer.ts'
import type { Checkpoint, LaneProgress } from '../bus/checkpoints.ts'
import type { ShardAddress, StoredRecord } from '../bus/shard-record.ts'
import { lastSequenceOfShard } from '../bus/shard-source.ts'
import type { ShardWork } from '../machines/mapping.ts'
import { type End, openShardEnds, type ShardEnds } from './shard-end.ts'
import { fnv1a, openShardLanes, type ShardLanes } from './shard-lanes.ts'
import { openShardSources, type ShardSources, type Source } from './shard-source.ts'

export type ShardReadings = {
  sources: ShardSources['host']
  ends: ShardEnds['host']
  /** Takes its checkpoint over. `fenced`: somebody with a later epoch has. Throws BusError BUS_STORE_UNAVAILABLE. */
  open(which: ReadingBinding): Promise<ShardReading | 'fenced'>
}

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
  read(): void
  /** Nothing more comes in. */
  pause(): void
  /** There is more room, and more is done. */
  advanced(): void
  /** What the next reader should know has changed. */
  remember(): void
  /** The shard is closed: nothing more will be stored in it. */
  closed(): void
  /** It is closed, everything that ever was in it has come in, and no lane holds any of it. */
  readonly isAllIn: boolean
  /** No lane works on any of it. It is stored that it is through, and then `ended` is told. */
  through(): void
  close(): Promise<void>
}

export type ReadingBinding = {
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
  /** It is through, and stored to be. */
  ended(): void
  lost(): void
}

/** One is tried, the next is ready, and two are on their way while that goes on. */
const BATCHES_READY = 4
/** For tiny batches: a record that is there when it is wanted saves a round trip. */
const LEAST_READY = 16
/** From so many records on, somebody may want to see how far it is. */
const LONG_READ = 1_000
/** How far back a checkpoint may be while nothing but records that are passed over come in. */
const PASSED_OVER_MS = 1_000

export function openShardReadings(binding: { bus: Bus; clock: Clock; log: Log }): ShardReadings {
  const sources = openShardSources(binding)
  const ends = openShardEnds(binding)
  return {
    sources: sources.host,
    ends: ends.host,
    open: (which) => openShardReading({ ...binding, ...which, sources, ends }),
  }
}

async function openShardReading(
  binding: ReadingBinding & { bus: Bus; clock: Clock; sources: ShardSources; ends: ShardEnds },
): Promise<ShardReading | 'fenced'> {
  const { bus, clock, key, work } = binding
  const address: ShardAddress = work
  const startAfter = 'after' in work.start ? work.start.after : 0
  const first = { done: startAfter, lanes: [] }
  const writer = await takeOverCheckpoint(bus, clock, key, binding.epoch, first, {
    state: () => stateOf(lanes, binding.leftIn, former, hasEnded || end?.isPast === true),
    lost: binding.lost,
  })
  if (writer === 'fenced') return 'fenced'
  const begunAt = writer.begunAt ?? { epoch: 0, ...first }
  const { hasEnded = false } = begunAt
  const { left, former } = cutInto(binding.lanes, begunAt)
  const lanes = openShardLanes({
    done: left.map(({ done }) => done),
    after: begunAt.done,
    isDone: (record) =>
      former.some((vector) => record.sequence <= (vector[laneIn(record, vector)] ?? 0)),
    passes: binding.passes,
    wanted: () => Math.max(LEAST_READY, BATCHES_READY * binding.batchSize()),
  })
  let sources: { main: Source; behind: Source } | undefined
  let end: End | undefined
  let pending = 0
  let goal: number | undefined
  const fresh = new Set<number>()
  let isTelling = false
  let passingOver: unknown

  const tell = (): void => {
    isTelling = false
    if (sources === undefined) return
    const some = [...fresh]
    fresh.clear()
    for (const lane of some) binding.arrived(lane)
    binding.cameIn()
    if (lanes.behind.isOver) level(sources)
    seeWhetherSettled()
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
        writer.changed()
      }, PASSED_OVER_MS)
    }
    tellSoon()
  }
  const level = ({ main, behind }: { main: Source; behind: Source }): void => {
    if (behind.isIdle) return
    behind.sate()
    // Nobody may be left whose end would ask for more.
    main.more()
  }
  const seeWhetherSettled = (): void => {
    if (pending === 0) binding.settled()
  }
  const lookAhead = async (): Promise<void> => {
    goal = await lastSequenceOfShard(bus, address).catch(() => undefined)
  }

  const openMain = (): Source =>
    binding.sources.add(`${key}.main`, {
      address,
      from: () =>
        'atMs' in work.start && lanes.main.cursor === 0 ? work.start : { after: lanes.main.cursor },
      record(record, waiting) {
        pending = waiting
        took(lanes.main.take(record))
      },
      room: lanes.main.room,
      opened(waiting, opening) {
        pending = waiting
        if (opening === 1 && waiting >= LONG_READ) void lookAhead()
        if (waiting === 0) end?.foundEmpty(opening)
      },
      asked: seeWhetherSettled,
    })
  const openBehind = (): Source =>
    binding.sources.add(`${key}.behind`, {
      address,
      from: () => ({ after: lanes.behind.cursor }),
      record: (record) => took(lanes.behind.take(record)),
      room: lanes.behind.room,
      opened: () => {},
      asked: seeWhetherSettled,
    })
  const openEnd = (main: Source): End =>
    binding.ends.add(key, {
      address,
      hasEnded,
      cursor: () => lanes.main.cursor,
      opening: () => main.opening,
      readAnew: main.want,
      look: binding.settled,
      async store() {
        writer.changed()
        return await writer.stored()
      },
      tell: binding.ended,
    })

  const pause = (): void => {
    sources?.main.stop()
    sources?.behind.stop()
    sources = undefined
  }
  return {
    work,
    lanes,
    left,
    get pending() {
      return pending
    },
    get isCaughtUp() {
      return bus.up && sources?.main.isFlowing === true && pending === 0 && lanes.behind.isOver
    },
    get progress() {
      return { from: begunAt.done, at: lanes.main.cursor, to: goal }
    },
    read() {
      sources = { main: openMain(), behind: openBehind() }
      end = openEnd(sources.main)
      sources.main.want()
    },
    pause,
    advanced() {
      writer.changed()
      if (sources === undefined) return
      const { main, behind } = sources
      main.more()
      if (lanes.behind.isOver) level(sources)
      else if (lanes.behind.begin() !== undefined) behind.want()
      else behind.more()
    },
    remember: () => writer.changed(),
    closed: () => end?.close(),
    get isAllIn() {
      return end?.isNear === true && lanes.behind.isOver && fresh.size === 0 && isEmpty(lanes)
    },
    through: () => end?.through(),
    async close() {
      pause()
      clock.clearTimer(passingOver)
      await writer.stored()
      end?.forget()
    },
  }
}

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
