/**
 * The records of a shard that are in a poller's hands, by lane: what may come in, what a batch is made of, and how far each
 * lane has come.
 *
 *     main ──────────────────────▶ lanes that keep up
 *     behind ────▶ lanes that had no room once, until they are where main is
 *
 * A lane that fails holds its records, and has room for no more some day. Main then goes on for the others; what it passed over
 * is read once more, by `behind`, when that lane has room again. So one lane's trouble is its own, and what is in memory
 * stays small however much waits.
 */
import type { StoredRecord } from '../bus/shard-record.ts'

export type LanesInput = {
  /** How far each lane has come: its records up to that sequence are done with. The number of lanes is its length. */
  done: readonly number[]
  /** Where main begins. */
  after: number
  /** A record that others have done with, in lanes that were cut differently. */
  isDone(record: StoredRecord): boolean
  /** What is not to be invoked for is done with when its turn comes. */
  passes(record: StoredRecord): boolean
  /** Records that are to be kept ready for each lane. */
  wanted(): number
}

/** Of one reading; `cursor`: the sequence that it has come to. */
type Reading = { cursor: number }

type Lane = {
  records: StoredRecord[]
  /** Where they begin: a batch is taken off the front without moving the rest. */
  head: number
  bytes: number
  /** Everything of it before this sequence is here, or done with. */
  next: number
  isBehind: boolean
  /** Had no room at `next`. */
  isStalled: boolean
}

export type ShardLanes = {
  readonly lanes: number
  laneOf(record: StoredRecord): number
  readonly main: Reading & {
    /** The lane that has got it, if any. */
    take(record: StoredRecord): number | undefined
    room(): number
  }
  readonly behind: Reading & {
    take(record: StoredRecord): number | undefined
    room(): number
    /** Where it should begin, or begin anew; undefined: nobody needs it, or it goes on as it is. */
    begin(): number | undefined
    /** Every lane is where main is. */
    readonly isOver: boolean
  }
  /** Records that wait, or are being tried. */
  size(lane: number): number
  at(lane: number, index: number): StoredRecord | undefined
  /** It holds as much as it may. */
  isFull(lane: number): boolean
  /** Records of a lane up to a sequence are all here, or done with. */
  covers(lane: number, to: number): boolean
  drop(lane: number, to: number): void
  /** Records up to there are done with. */
  done(lane: number): number
  readonly bytes: number
}

/** So many that are done with may still be in memory. */
const FEW = 32
/** Of a lane, whatever the batch size: a batch is 6 MB at most, and the next one should be there. */
const MOST_BYTES = 8_388_608

export function openShardLanes(input: LanesInput): ShardLanes {
  const lanes: Lane[] = input.done.map((done) => ({
    records: [],
    head: 0,
    bytes: 0,
    next: done + 1,
    isBehind: false,
    isStalled: false,
  }))
  const main = { cursor: input.after }
  const behind = { cursor: input.after }
  /** Of what has come lately. */
  let averageBytes = 512

  const sizeOf = ({ records, head }: Lane): number => records.length - head
  const isFull = (lane: Lane): boolean =>
    sizeOf(lane) >= 2 * input.wanted() || lane.bytes >= MOST_BYTES
  const roomOf = (lane: Lane): number => {
    const records = input.wanted() - sizeOf(lane)
    const bytes = MOST_BYTES - lane.bytes
    return Math.max(0, Math.min(records, Math.ceil(bytes / averageBytes)))
  }
  const laneOf = ({ partitionKey }: StoredRecord): number =>
    lanes.length === 1 ? 0 : fnv1a(partitionKey) % lanes.length
  const readingOf = ({ isBehind }: Lane): Reading => (isBehind ? behind : main)
  /** The first sequence that it may still have to take. */
  const nextOf = (lane: Lane): number =>
    lane.isStalled ? lane.next : Math.max(lane.next, readingOf(lane).cursor + 1)

  const push = (lane: Lane, record: StoredRecord): void => {
    const bytes = record.data.length + record.partitionKey.length
    averageBytes = 0.9 * averageBytes + 0.1 * (bytes + 1)
    lane.records.push(record)
    lane.bytes += bytes
    lane.next = record.sequence + 1
  }

  const takes = (lane: Lane, record: StoredRecord): boolean =>
    record.sequence >= lane.next && !input.isDone(record) && input.passes(record)

  /** Who has room again is served anew from where it had none. */
  const withRoom = (): Lane[] =>
    lanes.filter((lane) => lane.isStalled && sizeOf(lane) <= input.wanted() / 2)

  const settleBehind = (): void => {
    if (behind.cursor < main.cursor) return
    for (const lane of lanes) {
      if (!lane.isBehind || lane.isStalled) continue
      lane.next = nextOf(lane)
      lane.isBehind = false
    }
  }

  const roomFor = (isBehind: boolean): number => {
    const served = lanes.filter((lane) => lane.isBehind === isBehind && !lane.isStalled)
    return served.reduce((room, lane) => room + roomOf(lane), 0)
  }

  return {
    lanes: lanes.length,
    laneOf,
    main: {
      get cursor() {
        return main.cursor
      },
      take(record) {
        const at = laneOf(record)
        const lane = lanes[at] as Lane
        // Before the cursor moves: what follows from it for lanes that keep up is true afterwards, too.
        const isFor = !lane.isBehind && takes(lane, record)
        const hasRoom = isFor && !isFull(lane)
        if (isFor && !hasRoom) {
          lane.next = record.sequence
          lane.isBehind = true
          lane.isStalled = true
        }
        main.cursor = Math.max(main.cursor, record.sequence)
        if (!hasRoom) return undefined
        push(lane, record)
        return at
      },
      room: () => roomFor(false),
    },
    behind: {
      get cursor() {
        return behind.cursor
      },
      get isOver() {
        return lanes.every(({ isBehind }) => !isBehind)
      },
      take(record) {
        const at = laneOf(record)
        const lane = lanes[at] as Lane
        const isFor = lane.isBehind && !lane.isStalled && takes(lane, record)
        const hasRoom = isFor && !isFull(lane)
        if (isFor && !hasRoom) {
          lane.next = record.sequence
          lane.isStalled = true
        }
        if (hasRoom) push(lane, record)
        behind.cursor = Math.max(behind.cursor, record.sequence)
        settleBehind()
        return hasRoom ? at : undefined
      },
      room: () => roomFor(true),
      begin() {
        const some = withRoom()
        if (some.length === 0) return undefined
        for (const lane of lanes) if (lane.isBehind) lane.next = nextOf(lane)
        for (const lane of some) lane.isStalled = false
        const served = lanes.filter((lane) => lane.isBehind && !lane.isStalled)
        behind.cursor = Math.min(...served.map(({ next }) => next)) - 1
        return behind.cursor
      },
    },
    size: (at) => sizeOf(lanes[at] as Lane),
    isFull: (at) => isFull(lanes[at] as Lane),
    at(at, index) {
      const { records, head } = lanes[at] as Lane
      return records[head + index]
    },
    covers: (at, to) => nextOf(lanes[at] as Lane) > to,
    drop(at, to) {
      const lane = lanes[at] as Lane
      for (
        let record = lane.records[lane.head];
        record !== undefined && record.sequence <= to;
        record = lane.records[lane.head]
      ) {
        lane.bytes -= record.data.length + record.partitionKey.length
        lane.head++
      }
      if (lane.head > FEW && lane.head > lane.records.length / 2) {
        lane.records = lane.records.slice(lane.head)
        lane.head = 0
      } else if (lane.head === lane.records.length) {
        lane.records = []
        lane.head = 0
      }
    },
    done(at) {
      const lane = lanes[at] as Lane
      const first = lane.records[lane.head]
      return (first?.sequence ?? nextOf(lane)) - 1
    },
    get bytes() {
      return lanes.reduce((sum, { bytes }) => sum + bytes, 0)
    },
  }
}

/** Source: G. Fowler, L. C. Noll, K.-P. Vo, FNV-1a, 32 bits. Which lane a key has is part of a checkpoint. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return hash >>> 0
}
