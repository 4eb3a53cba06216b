/**
 * A storm over a stream: many keys over four shards, ten lanes each, a handler that fails by chance, a poller killed again
 * and again, at times somebody else, and the shards split and merged in the middle.
 *
 * What is asked in the end: has each key's records been seen in order, all of them, and did no checkpoint go back. The test
 * and the campaign (`npm run campaign -- streams`) run the same.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { MergeShardsCommand, type Shard, SplitShardCommand } from '@aws-sdk/client-kinesis'
import { UpdateEventSourceMappingCommand } from '@aws-sdk/client-lambda'
import type { Checkpoint } from '../../bus/checkpoints.ts'
import type { CrewRole } from './crew.ts'
import type { StreamCrew } from './stream-crew.ts'
import { until } from './stream-user.ts'

/** Who dies at times, beside pollers. */
export const streamVictims = ['stream-tracker', 'leasing', 'front-end', 'nats-server'] as const
type Victim = (typeof streamVictims)[number]

/**
 * Goes through its records one by one and fails at one by chance: those before it have been seen then, and come again unless
 * it `reports` where it failed. It writes what it has seen: key, number, request id, shard.
 */
export const orderHandler = (share: number, mostMs: number, reports = false): string => `
import { appendFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
export const handler = async ({ Records }, { awsRequestId }) => {
  await setTimeout(Math.random() * ${mostMs})
  const fails = Math.random() < ${share}
  const seen = fails ? Records.slice(0, Math.random() * Records.length) : Records
  const lines = seen.map(({ kinesis, eventID }) =>
    kinesis.partitionKey + ' ' + Buffer.from(kinesis.data, 'base64') + ' ' + awsRequestId + ' ' + eventID.split(':')[0].slice(-3))
  if (lines.length > 0) appendFileSync(process.env.LOG, lines.join('\\n') + '\\n')
  if (!fails) return
  if (!${reports} || Math.random() < 0.3) throw new Error('by chance')
  return { batchItemFailures: [{ itemIdentifier: Records[seen.length].kinesis.sequenceNumber }] }
}`

export type Order = {
  seen: number
  /** Seen again, which may be. */
  repeats: number
  /** First seen before one that is lower: what was seen, by key. */
  inversions: string[]
  missing: string[]
}

/** `lines`: as the handler wrote them. Each key has the numbers from 0 to `numbers` − 1. */
export function orderOf(lines: readonly string[], keys: readonly string[], numbers: number): Order {
  const next = new Map(keys.map((key) => [key, 0]))
  const jumped = new Map<string, Set<number>>()
  const inversions: string[] = []
  let repeats = 0
  for (const [at, line] of lines.entries()) {
    const [key = '', text] = line.split(' ')
    const number = Number(text)
    const due = next.get(key) ?? 0
    const early = jumped.get(key)
    if (number > due && early?.has(number) !== true) {
      inversions.push(`${line} on line ${at + 1}, where ${due} was due`)
      jumped.set(key, (early ?? new Set()).add(number))
    } else if (number === due) {
      let following = due + 1
      while (early?.has(following) === true) following++
      next.set(key, following)
    } else repeats++
  }
  const missing = keys.flatMap((key) =>
    Array.from({ length: numbers }, (_, number) => number)
      .filter((number) => number >= (next.get(key) ?? 0) && !jumped.get(key)?.has(number))
      .map((number) => `${key} ${number}`),
  )
  return { seen: lines.length, repeats, inversions, missing }
}

/** Looks at all checkpoints of a mapping again and again, and notes each that is behind what it was. */
export function watchCheckpoints(crew: StreamCrew, uuid: string) {
  const setbacks: string[] = []
  const last = new Map<string, Checkpoint>()
  let looks = 0
  let isOver = false
  const look = async (): Promise<void> => {
    for (const [key, now] of await crew.checkpoints(uuid)) {
      const before = last.get(key)
      if (before !== undefined) setbacks.push(...setbacksIn(key, before, now))
      last.set(key, now)
    }
    looks++
  }
  const watching = (async () => {
    while (!isOver) {
      // NATS may be down.
      await look().catch(() => {})
      await wait(50)
    }
  })()
  return {
    setbacks,
    get looks() {
      return looks
    },
    async stop() {
      isOver = true
      await watching
    },
  }
}

function setbacksIn(key: string, before: Checkpoint, now: Checkpoint): string[] {
  const found: string[] = []
  if (now.done < before.done) found.push(`${key}: ${before.done}, then ${now.done}`)
  if (now.epoch < before.epoch) found.push(`${key}: epoch ${before.epoch}, then ${now.epoch}`)
  if (before.hasEnded === true && now.hasEnded !== true) found.push(`${key} had ended`)
  if (now.lanes.length !== before.lanes.length) return found
  for (const [lane, { done }] of now.lanes.entries()) {
    const former = before.lanes[lane]?.done ?? 0
    if (done < former) found.push(`${key}, lane ${lane}: ${former}, then ${done}`)
  }
  return found
}

export type StreamTally = Order & {
  setbacks: string[]
  kills: Record<string, number>
  puttingMs: number
  calmMs: number
}

export async function rageOverStream(
  crew: StreamCrew,
  options: {
    stream: string
    functionName: string
    keys: number
    numbers: number
    /** Over which the records are spread. */
    seconds: number
    killEveryMs: number
    /** Each so many kills somebody else dies, too. */
    otherEvery: number
    chance: (below: number) => number
    say: (text: string) => void
  },
): Promise<StreamTally> {
  const { stream, functionName, keys: count, numbers, seconds, chance, say } = options
  const keys = Array.from({ length: count }, (_, index) => `k${index}`)
  await crew.createStream(stream, 4)
  const bisects = chance(2) === 0
  const reports = chance(2) === 0
  await crew.deploy(functionName, orderHandler(0.1, 20, reports))
  const uuid = await crew.map(functionName, stream, {
    BatchSize: 10 + chance(40),
    ParallelizationFactor: 10,
    BisectBatchOnFunctionError: bisects,
    FunctionResponseTypes: reports ? ['ReportBatchItemFailures'] : [],
  })
  say(`${bisects ? 'bisected' : 'whole'} batches, ${reports ? 'items' : 'batches'} that fail`)
  const checkpoints = watchCheckpoints(crew, uuid)
  const beganMs = performance.now()
  const kills: Record<string, number> = {}
  let isPut = false

  const putAll = async () => {
    for (let number = 0; number < numbers; number++) {
      const dueMs = beganMs + (number / numbers) * seconds * 1_000
      const early = dueMs - performance.now()
      if (early > 0) await wait(early)
      await crew.put(
        stream,
        keys.map((key) => ({ key, text: String(number) })),
      )
      const change = changes.get(number)
      if (change !== undefined) changing = changing.then(change)
    }
    isPut = true
  }
  /** In the middle, after so many numbers. */
  const changes = new Map([
    [Math.floor(numbers / 4), () => split(crew, stream, chance, say)],
    [Math.floor(numbers / 2), () => reconfigure(crew, uuid, chance, say)],
    [Math.floor((3 * numbers) / 4), () => merge(crew, stream, chance, say)],
  ])
  let changing = Promise.resolve()
  const replacing: Promise<void>[] = []
  const hit = async (victim: Victim | 'poller') => {
    kills[victim] = (kills[victim] ?? 0) + 1
    if (victim !== 'nats-server') {
      // One that is told to end leaves its shards as they should be left.
      const isEnded = victim === 'poller' && chance(4) === 0
      replacing.push(crew.replace(victim satisfies CrewRole, isEnded ? 'SIGTERM' : 'SIGKILL'))
      return
    }
    await crew.nats.kill()
    await wait(200)
    await crew.nats.restart()
  }
  const rage = async () => {
    for (let kill = 1; !isPut; kill++) {
      await wait(options.killEveryMs)
      await hit('poller')
      if (kill % options.otherEvery === 0) {
        await hit(streamVictims[chance(streamVictims.length)] as Victim)
      }
    }
  }
  await Promise.all([putAll(), rage()])
  const puttingMs = performance.now() - beganMs
  await Promise.all([...replacing, changing])
  const calmFromMs = performance.now()
  const isThrough = () => orderOf(crew.written(functionName), keys, numbers).missing.length === 0
  await until(isThrough, { forMs: 90_000, everyMs: 500 }).catch(() => {})
  const calmMs = performance.now() - calmFromMs
  await checkpoints.stop()
  say(`${checkpoints.looks} looks at the checkpoints, ${(await crew.shards(stream)).length} shards`)
  const { setbacks } = checkpoints
  return {
    ...orderOf(crew.written(functionName), keys, numbers),
    setbacks,
    kills,
    puttingMs,
    calmMs,
  }
}

const bounds = ({ HashKeyRange }: Shard): [first: bigint, last: bigint] => [
  BigInt(HashKeyRange?.StartingHashKey ?? 0),
  BigInt(HashKeyRange?.EndingHashKey ?? 0),
]
const isOpen = ({ SequenceNumberRange }: Shard): boolean =>
  SequenceNumberRange?.EndingSequenceNumber === undefined

/** The open shards of a stream, in the order of their keys. */
const openShards = async (crew: StreamCrew, stream: string): Promise<Shard[]> =>
  (await crew.shards(stream))
    .filter(isOpen)
    .sort((one, other) => (bounds(one)[0] < bounds(other)[0] ? -1 : 1))

/** Other lanes and other batches, while records are in hand. */
async function reconfigure(
  crew: StreamCrew,
  uuid: string,
  chance: (below: number) => number,
  say: (text: string) => void,
): Promise<void> {
  const changes = { ParallelizationFactor: 1 + chance(9), BatchSize: 10 + chance(90) }
  await until(
    async () => {
      await crew.lambda().send(new UpdateEventSourceMappingCommand({ UUID: uuid, ...changes }))
      return true
    },
    { everyMs: 200 },
  )
  say(`${changes.ParallelizationFactor} lanes, batches of ${changes.BatchSize}`)
}

/** Asked until it is so: a front end or the tracker may die over it. */
async function reshard(
  crew: StreamCrew,
  stream: string,
  shards: number,
  ask: (open: Shard[]) => Promise<unknown>,
): Promise<void> {
  await until(
    async () => {
      const open = await openShards(crew, stream)
      if (open.length === shards) return true
      await ask(open)
      await crew.settled(stream)
      return false
    },
    { everyMs: 200, forMs: 60_000 },
  )
}

async function split(
  crew: StreamCrew,
  stream: string,
  chance: (below: number) => number,
  say: (text: string) => void,
): Promise<void> {
  const which = chance(4)
  await reshard(crew, stream, 5, async (open) => {
    const shard = open[which] as Shard
    const [first, last] = bounds(shard)
    const middle = String((first + last) / 2n)
    await crew.kinesis().send(
      new SplitShardCommand({
        StreamName: stream,
        ShardToSplit: shard.ShardId,
        NewStartingHashKey: middle,
      }),
    )
  })
  say(`shard ${which} is split`)
}

async function merge(
  crew: StreamCrew,
  stream: string,
  chance: (below: number) => number,
  say: (text: string) => void,
): Promise<void> {
  const which = chance(4)
  await reshard(crew, stream, 4, async (open) => {
    await crew.kinesis().send(
      new MergeShardsCommand({
        StreamName: stream,
        ShardToMerge: open[which]?.ShardId,
        AdjacentShardToMerge: open[which + 1]?.ShardId,
      }),
    )
  })
  say(`shards ${which} and ${which + 1} are merged`)
}
