/**
 * The Kinesis-style streams, while this stream tracker leads: hears what is asked of them, keeps the directory and the record
 * streams as their machines want them, and answers.
 *
 * Whatever a machine asks for is done in the order in which it was asked for, stream by stream; so a change is in the
 * directory before anything is done to the record stream, and who asked is answered after it is. What is done is done under
 * the epoch of the lease: a new leader takes every entry of the directory over before it decides anything, and from then on
 * the one before it stores nothing more. Who asked it is not answered then, and asks again.
 */
import type { Bus, Clock, Log, Msg, Subscription } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import { decodeToken, encodeToken } from '../bus/encoded-token.ts'
import { openReading } from '../bus/message-fields.ts'
import { type Leading, reachRecordStream, removeRecordStream } from '../bus/record-stream.ts'
import { trackerStream } from '../bus/subjects.ts'
import type { Place } from '../edges/aws/names.ts'
import { streamRefusal } from '../edges/aws/stream-refusals.ts'
import { shardsWanted } from '../machines/shard-map.ts'
import { type StreamCommand, type StreamRecord, streamMachine } from '../machines/stream.ts'
import { type Host, host } from './actor.ts'

export type Streams = {
  host: Host<typeof streamMachine>
  /** Begins to watch the directory. */
  join(): Promise<void>
  lead(epoch: number): Promise<void>
  follow(): void
  /** As the directory has it. */
  get(name: string): StreamRecord | undefined
  all(): StreamRecord[]
  stop(): void
}

export type StreamsBinding = {
  bus: Bus
  clock: Clock
  log: Log
  newId: () => string
  streams: Directory<StreamRecord>
  place: Place
  shardLimit: number
  settleMs: number
  reconcileMs: number
  /** How often it looks for shards whose records have all expired. */
  lookEveryMs: number
  /** Told of what the directory says, when it says something new; and, by a new leader, of all that it says. */
  changed(name: string, record: StreamRecord | undefined): void
}

/** Between attempts at what JetStream refused. */
const AGAIN_MS = 1_000
const NOT_STORED_MS = 200

const commands: ReadonlySet<string> = new Set<StreamCommand['type']>([
  'create',
  'delete',
  'split',
  'merge',
  'updateShardCount',
  'retain',
  'setMaxRecord',
  'setMode',
  'tag',
  'untag',
  'registerConsumer',
  'deregisterConsumer',
])

export function openStreams(binding: StreamsBinding): Streams {
  const { bus, clock, log, streams: directory } = binding
  /** What this leader has stored, or found stored. */
  const stored = new Map<string, StreamRecord>()
  const asking = new Map<string, Msg>()
  const inLine = new Map<string, Promise<void>>()
  let copy: DirectoryCopy<StreamRecord> | undefined
  let leading: Leading | undefined
  let hearing: Subscription | undefined
  let looking: unknown

  /** After all that was asked for before of the same stream, and only while the same leader leads. */
  const inOrder = (name: string, work: (leading: Leading) => Promise<void>): void => {
    const under = leading
    if (under === undefined) return
    const before = inLine.get(name) ?? Promise.resolve()
    const done = before
      .then(() => (under.isLeading() ? work(under) : undefined))
      .catch((error) => {
        log.error({ code: 'STREAM_FAILED', stream: name, err: error }, 'a stream was left as it is')
      })
      .finally(() => {
        if (inLine.get(name) === done) inLine.delete(name)
      })
    inLine.set(name, done)
  }

  const show = (name: string, record: StreamRecord | undefined): void => {
    if (record === undefined) stored.delete(name)
    else stored.set(name, record)
    binding.changed(name, record)
  }

  /** Tries until it is stored. `stale`: another one leads. */
  const insistently = async <T>(
    name: string,
    under: Leading,
    attempt: () => Promise<T | 'stale'>,
  ): Promise<T | 'stale'> => {
    while (under.isLeading()) {
      try {
        return await attempt()
      } catch (error) {
        log.warn({ code: 'STREAM_NOT_STORED', stream: name, err: error }, 'tried again')
        await new Promise<void>((resolve) => void clock.setTimer(resolve, NOT_STORED_MS))
      }
    }
    return 'stale'
  }

  const answer = (asked: string, body: object): void => {
    asking.get(asked)?.respond(JSON.stringify(body))
    asking.delete(asked)
  }

  /** What changes nothing is not stored, so it is seen first whether another one has led since: it knows better. */
  const answerAsLeader = (name: string, asked: string, body: object): void =>
    inOrder(name, async (under) => {
      const epoch = await insistently(name, under, () => directory.epochOf(encodeToken(name)))
      if (epoch !== 'stale' && epoch <= under.epoch && under.isLeading()) answer(asked, body)
    })

  const shardsOf = (names: Iterable<string>): number => {
    let shards = 0
    for (const name of names) {
      const record = streams.snapshot(name)?.context.record
      if (record !== undefined) shards += shardsWanted(record)
    }
    return shards
  }

  const streams = host(streamMachine, {
    clock,
    log,
    duties: {
      store: ({ record, asked }, name) =>
        inOrder(name, async (under) => {
          const key = encodeToken(name)
          const put = () => directory.put(key, record, under.epoch)
          if ((await insistently(name, under, put)) === 'stale' || !under.isLeading()) return
          show(name, record)
          if (asked !== undefined) answer(asked, { record })
        }),
      agree: ({ record, asked }, name) => answerAsLeader(name, asked, { record }),
      refuse: ({ asked, refusal }, name) => {
        const { place, shardLimit } = binding
        const shards = shardsOf(streams.instances())
        const refused = streamRefusal(refusal, { stream: name, place, shards, shardLimit })
        answerAsLeader(name, asked, refused)
      },
      reach: ({ ask, wanted }, name) =>
        inOrder(name, async (under) => {
          try {
            const reached = await reachRecordStream(bus, wanted, under)
            if (reached === 'stale') return
            const { lastSequence } = reached
            streams.send(name, { type: 'reached', ask, lastSequence, nowMs: clock.nowMs() })
          } catch (error) {
            log.warn({ code: 'RECORD_STREAM_NOT_REACHED', stream: name, err: error }, 'tried again')
            streams.send(name, { type: 'failed', ask })
          }
        }),
      removeRecords: ({ ask, incarnation }, name) =>
        inOrder(name, async (under) => {
          try {
            const removed = await removeRecordStream(bus, { name, incarnation }, under)
            if (removed === 'removed') streams.send(name, { type: 'removed', ask })
          } catch (error) {
            log.warn({ code: 'RECORD_STREAM_NOT_REMOVED', stream: name, err: error }, 'tried again')
            streams.send(name, { type: 'failed', ask })
          }
        }),
      withdraw: (_, name) =>
        inOrder(name, async (under) => {
          const take = () => directory.remove(encodeToken(name), under.epoch)
          if ((await insistently(name, under, take)) === 'stale' || !under.isLeading()) return
          show(name, undefined)
        }),
    },
  })

  const start = (name: string, record: StreamRecord | undefined): void =>
    streams.start(name, {
      name,
      record,
      nowMs: clock.nowMs(),
      settleMs: binding.settleMs,
      againMs: AGAIN_MS,
    })

  /** Makes an entry this leader's, and goes on with it where it was left. */
  const adopt = async (key: string, under: Leading): Promise<void> => {
    const name = decodeToken(key)
    if (name === undefined || streams.snapshot(name) !== undefined) return
    const record = await insistently(name, under, () => directory.take(key, under.epoch))
    if (record === undefined || record === 'stale' || !under.isLeading()) return
    // Asked for meanwhile, when nobody knew of it: that is stored over it.
    if (streams.snapshot(name) !== undefined) return
    show(name, record)
    start(name, record)
  }

  const commandIn = openReading<StreamCommand>(
    log,
    'STREAM_MALFORMED',
    ({ type, name }) => typeof name === 'string' && commands.has(String(type)),
  )

  const hear = (message: Msg): void => {
    const command = commandIn(message)
    if (command === undefined) return
    const asked = binding.newId()
    asking.set(asked, message)
    const { name } = command
    if (streams.snapshot(name) === undefined) start(name, undefined)
    streams.send(name, {
      ...command,
      asked,
      nowMs: clock.nowMs(),
      incarnation: binding.newId(),
      room: binding.shardLimit - shardsOf(streams.instances()),
    })
  }

  const look = (): void => {
    for (const name of [...streams.instances()]) {
      streams.send(name, { type: 'looked', nowMs: clock.nowMs() })
    }
    looking = clock.setTimer(look, binding.lookEveryMs)
  }

  const follow = (): void => {
    leading = undefined
    hearing?.stop()
    hearing = undefined
    clock.clearTimer(looking)
    for (const name of [...streams.instances()]) streams.forget(name)
    asking.clear()
  }

  return {
    host: streams,
    follow,
    async join() {
      copy = await directory.watch({
        reconcileEveryMs: binding.reconcileMs,
        clock,
        log,
        onChange: (key, record, epoch) => {
          const name = decodeToken(key)
          if (name === undefined) return
          if (leading === undefined) binding.changed(name, record)
          // Stored late by the leader before, who may have answered for it.
          else if (record !== undefined && epoch < leading.epoch) {
            inOrder(name, (under) => adopt(key, under))
          }
        },
      })
    },
    async lead(epoch) {
      const under: Leading = { epoch, isLeading: () => leading === under }
      leading = under
      stored.clear()
      await Promise.all([...(copy?.entries() ?? [])].map(([key]) => adopt(key, under)))
      if (!under.isLeading()) return
      hearing = bus.subscribe(trackerStream, hear)
      look()
    },
    get: (name) => (leading === undefined ? copy?.get(encodeToken(name)) : stored.get(name)),
    all: () =>
      leading === undefined
        ? [...(copy?.entries() ?? [])].map(([, record]) => record)
        : [...stored.values()],
    stop() {
      follow()
      copy?.stop()
    },
  }
}
