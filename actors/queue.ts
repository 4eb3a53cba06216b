/**
 * The queues, while this state manager leads: looks at what waits in the lanes, gives functions queues of their own and takes
 * them back, and knows how long events wait.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { Directory, DirectoryCopy } from '../bus/directory.ts'
import { type Waiting, waitingEvents } from '../bus/event-stream.ts'
import {
  anyOverflow,
  anyPollerReport,
  backlog,
  queues as queuesSubject,
  tokens,
} from '../bus/subjects.ts'
import type { FunctionRecord } from '../machines/function.ts'
import { type QueueRecord, queueMachine } from '../machines/queue.ts'
import { type Host, host } from './actor.ts'
import { ownQueueOf } from './event.ts'
import { openLeaderQuestions } from './leader-questions.ts'
import type { PollerReport } from './poller-report.ts'
import { sharedQueue } from './queue-choice.ts'

export type Queues = {
  host: Host<typeof queueMachine>
  join(): Promise<void>
  lead(epoch: number): Promise<void>
  serve(): void
  follow(): void
  pollerGone(pollerId: string): void
  stop(): void
}

export type QueuesBinding = {
  bus: Bus
  clock: Clock
  log: Log
  queues: Directory<QueueRecord>
  functions: { get(name: string): FunctionRecord | undefined }
  sharedQueues: number
  lanes: number
  splitAt: number
  mergeAfterMs: number
  reconcileMs: number
  /** How often it looks. */
  lookEveryMs: number
}

/** A reserved concurrency from which on a function is no small one. Precedent: AWS's default for a batch of pollers is 5. */
const ASKS_FROM_CONCURRENCY = 50
/** Longer than a watch is behind, and than a front end needs to store what it has accepted. */
const SETTLE_MS = 10_000
/** Reports older than this are of nobody. */
const REPORT_KEPT_MS = 5_000

/** What `lambus.queues` answers with. Ages and waits in milliseconds. */
export type QueueOverview = {
  queue: string
  kind: QueueRecord['kind']
  functionName?: string
  state: string
  lanes: { lane: number; poller?: string; state: string }[]
  functions: {
    functionName: string
    backlog: number
    inFlight: number
    oldestMs: number
    firstAttemptP50Ms: number | undefined
    firstAttemptP99Ms: number | undefined
  }[]
}

export function openQueues(binding: QueuesBinding): Queues {
  const { bus, clock, log } = binding
  const reports = new Map<string, { report: PollerReport; heardMs: number }>()
  let copy: DirectoryCopy<QueueRecord> | undefined
  let epoch: number | undefined
  let waiting: Waiting[] = []
  let looking: unknown
  let isLooking = false

  const queues = host(queueMachine, {
    clock,
    log,
    duties: {
      publish: async ({ record }, queue) => {
        if (epoch !== undefined) await binding.queues.put(queue, record, epoch)
      },
      withdraw: async (_, queue) => {
        if (epoch !== undefined) await binding.queues.remove(queue, epoch)
      },
    },
  })

  /** As many as are wanted, and those that a setting of before has left something in. */
  const lanesOf = (queue: string): number => {
    const left = waiting.filter((one) => one.queue === queue).map(({ lane }) => lane + 1)
    return Math.max(binding.lanes, copy?.get(queue)?.lanes ?? 0, ...left)
  }

  const start = (queue: string, functionName: string | undefined): void => {
    if (queues.snapshot(queue) !== undefined) return
    queues.start(queue, {
      functionName,
      isShown: copy?.get(queue) !== undefined,
      lanes: lanesOf(queue),
      splitAt: binding.splitAt,
      mergeAfterMs: binding.mergeAfterMs,
      settleMs: SETTLE_MS,
    })
  }

  const asks = (functionName: string): boolean =>
    (binding.functions.get(functionName)?.reservedConcurrency ?? 0) >= ASKS_FROM_CONCURRENCY

  const see = (): void => {
    const own = new Map<string, number>()
    const elsewhere = new Map<string, number>()
    for (const { queue, functionName, events } of waiting) {
      const isOwn = queue === ownQueueOf(functionName)
      // Of a time when more queues were shared.
      if (!isOwn && queues.snapshot(queue) === undefined) start(queue, undefined)
      const map = isOwn ? own : elsewhere
      map.set(functionName, (map.get(functionName) ?? 0) + events)
    }
    const seen = new Set([...own.keys(), ...elsewhere.keys()])
    for (const queue of queues.instances()) {
      const functionName = queues.snapshot(queue)?.context.functionName
      if (functionName !== undefined) seen.add(functionName)
    }
    for (const functionName of seen) {
      const queue = ownQueueOf(functionName)
      start(queue, functionName)
      queues.send(queue, {
        type: 'seen',
        elsewhere: elsewhere.get(functionName) ?? 0,
        own: own.get(functionName) ?? 0,
        asks: asks(functionName),
      })
      // Nothing of it anywhere and no queue of its own: it need not be watched.
      const isQuiet = !own.has(functionName) && !elsewhere.has(functionName)
      if (isQuiet && queues.snapshot(queue)?.value === 'shared') queues.forget(queue)
    }
  }

  const look = async (): Promise<void> => {
    if (isLooking || epoch === undefined || !bus.up) return
    isLooking = true
    try {
      waiting = await waitingEvents(bus)
      const byLane: Record<string, number> = {}
      for (const { queue, lane, events } of waiting) {
        const key = `${queue}.${lane}`
        byLane[key] = (byLane[key] ?? 0) + events
      }
      if (epoch === undefined) return
      bus.publish(backlog, JSON.stringify(byLane))
      see()
    } catch (error) {
      log.warn({ code: 'QUEUES_NOT_SEEN', err: error }, 'what waits could not be looked at')
    } finally {
      isLooking = false
    }
  }

  const lookAgain = (at: number): void => {
    if (epoch !== at) return
    looking = clock.setTimer(() => {
      void look().finally(() => lookAgain(at))
    }, binding.lookEveryMs)
  }

  const subscriptions = [
    bus.subscribe(anyPollerReport, (message) => {
      const [, , pollerId = ''] = tokens(message.subject)
      const report = message.json<PollerReport>()
      reports.set(pollerId, { report, heardMs: clock.monotonicMs() })
    }),
    bus.subscribe(anyOverflow, () => void look()),
  ]
  const questions = openLeaderQuestions({
    bus,
    clock,
    subject: queuesSubject,
    answer: (question) => question.respond(JSON.stringify({ queues: overview() })),
  })

  const overview = (): QueueOverview[] => {
    const nowMs = clock.monotonicMs()
    const alive = [...reports].filter(([, { heardMs }]) => nowMs - heardMs < REPORT_KEPT_MS)
    return [...(copy?.entries() ?? [])].map(([queue, record]) =>
      overviewOf(
        queue,
        record,
        waiting,
        alive.map(([poller, { report }]) => ({ poller, report })),
      ),
    )
  }

  return {
    host: queues,
    async join() {
      copy = await binding.queues.watch({ reconcileEveryMs: binding.reconcileMs, clock, log })
    },
    async lead(newEpoch) {
      epoch = newEpoch
      waiting = await waitingEvents(bus).catch(() => [])
      for (let index = 0; index < binding.sharedQueues; index++) {
        start(sharedQueue(index), undefined)
      }
      // Those that a leader before gave a queue of their own: by what waits it is seen how they stand.
      for (const [queue, { functionName }] of copy?.entries() ?? []) start(queue, functionName)
      await look()
    },
    serve() {
      if (epoch !== undefined) lookAgain(epoch)
      questions.leads()
    },
    follow() {
      epoch = undefined
      questions.follows()
      clock.clearTimer(looking)
      for (const queue of [...queues.instances()]) queues.forget(queue)
    },
    pollerGone: (pollerId) => void reports.delete(pollerId),
    stop() {
      clock.clearTimer(looking)
      for (const subscription of subscriptions) subscription.stop()
      questions.stop()
      copy?.stop()
    },
  }
}

function overviewOf(
  queue: string,
  { kind, functionName, state, lanes }: QueueRecord,
  waiting: readonly Waiting[],
  pollers: readonly { poller: string; report: PollerReport }[],
): QueueOverview {
  const laneKey = (lane: number) => `${queue}.${lane}`
  const readerOf = (lane: number) =>
    pollers.find(({ report }) => report.lanes.includes(laneKey(lane)))?.poller
  const names = new Set(waiting.filter((one) => one.queue === queue).map((one) => one.functionName))
  const inHand = pollers.flatMap(({ report }) => report.inHand)
  const ofQueue = (one: { lane: string }) => one.lane.startsWith(`${queue}.`)
  for (const one of inHand) if (ofQueue(one)) names.add(one.functionName)
  return {
    queue,
    kind,
    ...(functionName === undefined ? {} : { functionName }),
    state,
    lanes: Array.from({ length: lanes }, (_, lane) => {
      const poller = readerOf(lane)
      return {
        lane,
        ...(poller === undefined ? {} : { poller }),
        state: poller === undefined ? 'unread' : 'read',
      }
    }),
    functions: [...names].map((name) => {
      const here = inHand.filter((one) => ofQueue(one) && one.functionName === name)
      const waits = pollers
        .map(({ report }) => report.firstAttempts[name])
        .filter((one) => one !== undefined)
      return {
        functionName: name,
        backlog: sum(
          waiting
            .filter((one) => one.queue === queue && one.functionName === name)
            .map(({ events }) => events),
        ),
        inFlight: sum(here.map(({ running }) => running)),
        oldestMs: Math.max(0, ...here.map(({ oldestMs }) => oldestMs)),
        firstAttemptP50Ms: longest(waits.map(({ p50Ms }) => p50Ms)),
        firstAttemptP99Ms: longest(waits.map(({ p99Ms }) => p99Ms)),
      }
    }),
  }
}

/** Of several pollers, the one where they waited longest; undefined: nobody has begun any. */
const longest = (waits: readonly number[]): number | undefined =>
  waits.length === 0 ? undefined : Math.max(...waits)
const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)
