/**
 * A storm over asynchronous events: every role in processes of its own, two of those that matter, a handler that fails by
 * chance, and a kill -9 of somebody at random again and again, nats-server among them.
 *
 * What is counted in the end: of each event that was accepted, the records of its end. The test and the campaign
 * (`npm run campaign -- events`) run the same.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { PutFunctionEventInvokeConfigCommand } from '@aws-sdk/client-lambda'
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs'
import { headers } from 'nats'
import {
  anyEnd,
  anyPacket,
  anyRetry,
  anySqsQueue,
  eventStream,
  sqsStream,
} from '../../bus/subjects.ts'
import { type Crew, type CrewRole, startCrew } from './crew.ts'

const staff = {
  'control-plane': 1,
  placement: 1,
  'worker-manager': 2,
  worker: 2,
  'state-manager': 2,
  leasing: 2,
  'front-end': 2,
  poller: 2,
} as const
export type StormRole = keyof typeof staff

/** Whom it may hit: all but the two that no event needs, which are there once. */
export const everyVictim = [
  'poller',
  'front-end',
  'worker',
  'worker-manager',
  'leasing',
  'state-manager',
  'nats-server',
] as const

export type Storm = Crew & {
  /** Queues for the two ends of a function. */
  tell(functionName: string, ok: string, bad: string): Promise<void>
  /** What became of an event: accepted, or nobody knows. */
  send(functionName: string, payload: object): Promise<boolean>
  /** Records in a queue. */
  records(queue: string): Promise<EndRecord[]>
  /** Packets and schedules that there are. */
  unfinished(): Promise<number>
}

export type EndRecord = {
  requestContext: { requestId: string; condition: string; approximateInvokeCount: number }
  requestPayload: { n: number }
  timestamp: string
}

/** Short waits, so that a retry is a matter of seconds. */
const environment = {
  LAMBUS_FIRST_RETRY_MS: '1000',
  LAMBUS_SECOND_RETRY_MS: '2000',
  LAMBUS_EVENT_BACK_OFF_MS: '300',
  LAMBUS_LOG_LEVEL: 'warn',
}

export async function startStorm(counts: Partial<Record<StormRole, number>> = {}): Promise<Storm> {
  const crew = await startCrew({ ...staff, ...counts } as Record<CrewRole, number>, environment)
  const { bus } = crew
  const lambda = crew.lambda
  const sqs = () =>
    new SQSClient({
      endpoint: crew.endpoint(),
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    })
  const event = headers()
  event.set('X-Amz-Invocation-Type', 'Event')

  return {
    ...crew,
    async tell(functionName, ok, bad) {
      const arn = (queue: string) => `arn:aws:sqs:us-east-1:000000000000:${queue}`
      for (const QueueName of [ok, bad]) await sqs().send(new CreateQueueCommand({ QueueName }))
      await lambda().send(
        new PutFunctionEventInvokeConfigCommand({
          FunctionName: functionName,
          DestinationConfig: {
            OnSuccess: { Destination: arn(ok) },
            OnFailure: { Destination: arn(bad) },
          },
        }),
      )
    },
    async send(functionName, payload) {
      const outcome = await bus.request(`lambus.invoke.${functionName}`, JSON.stringify(payload), {
        headers: event,
        timeoutMs: 15_000,
      })
      return typeof outcome !== 'string' && !outcome.headers?.get('Nats-Service-Error')
    },
    async records(queue) {
      const { streams } = await bus.jetstreamManager()
      const filter = anySqsQueue.replace('*', queue)
      const found: EndRecord[] = []
      // A work queue has no second consumer: what is in it is read one by one.
      for (let seq = 1; ; ) {
        const message = await streams.getMessage(sqsStream, { seq, next_by_subj: filter } as never)
        if (message === null) return found
        found.push(recordIn(message.string()))
        seq = message.seq + 1
      }
    },
    async unfinished() {
      const { streams } = await bus.jetstreamManager()
      const { state } = await streams.info(eventStream, { subjects_filter: 'lambus.*.>' })
      const isWork = (subject: string) =>
        [anyPacket, anyEnd, anyRetry].some((filter) => subject.startsWith(filter.slice(0, -1)))
      return Object.entries(state.subjects ?? {})
        .filter(([subject]) => isWork(subject))
        .reduce((sum, [, count]) => sum + count, 0)
    },
  }
}

/** The record in a stored SQS message: its body. */
const recordIn = (text: string): EndRecord => JSON.parse(text.slice(text.indexOf('{"version"')))

/** A handler that writes down each of its attempts and fails by chance. */
export const failingHandler = (share: number): string => `
import { appendFileSync } from 'node:fs'
export const handler = async ({ n }) => {
  const fails = Math.random() < ${share}
  appendFileSync(process.env.LOG, (fails ? 'failed ' : 'ok ') + n + '\\n')
  if (fails) throw new Error('by chance')
  return n
}`

export type Tally = {
  accepted: number
  unknown: number
  /** Of those accepted. */
  lost: number[]
  doubled: number[]
  succeeded: number
  failed: number
  attempts: number
  /** Attempts that succeeded and were made again, because whoever made them died before it was stored. */
  doubledSuccesses: number
}

export async function tallyOf(
  storm: Storm,
  functionName: string,
  { accepted, unknown }: { accepted: ReadonlySet<number>; unknown: number },
): Promise<Tally> {
  const ok = await storm.records('ok')
  const bad = await storm.records('bad')
  const ends = new Map<number, number>()
  for (const { requestPayload } of [...ok, ...bad]) {
    ends.set(requestPayload.n, (ends.get(requestPayload.n) ?? 0) + 1)
  }
  for (const { requestPayload, requestContext, timestamp } of [...ok, ...bad]) {
    if ((ends.get(requestPayload.n) ?? 0) > 1) {
      console.log(`two ends: ${requestPayload.n}`, requestContext, timestamp)
    }
  }
  const lines = storm.written(functionName)
  const attempts = lines.length
  const good = lines.filter((line) => line.startsWith('ok ')).length
  return {
    accepted: accepted.size,
    unknown,
    lost: [...accepted].filter((n) => !ends.has(n)),
    doubled: [...ends].filter(([, count]) => count > 1).map(([n]) => n),
    succeeded: ok.length,
    failed: bad.length,
    attempts,
    doubledSuccesses: good - ok.length,
  }
}

/** Keeps sending for `seconds`, kills somebody every `killEveryMs`, then waits until everything has ended. */
export async function rage(
  storm: Storm,
  options: {
    functionName: string
    events: number
    seconds: number
    killEveryMs: number
    chance: (below: number) => number
    victims: readonly (StormRole | 'nats-server')[]
    say: (text: string) => void
  },
): Promise<Tally> {
  const { functionName, events, seconds, killEveryMs, chance, victims, say } = options
  const accepted = new Set<number>()
  let unknown = 0
  let next = 0
  const beganMs = performance.now()
  const untilMs = beganMs + seconds * 1000
  const lane = async () => {
    while (next < events) {
      const n = next++
      // Spread over the whole storm.
      const dueMs = beganMs + (n / events) * seconds * 1000
      const early = dueMs - performance.now()
      if (early > 0) await wait(early)
      if (await storm.send(functionName, { n })) accepted.add(n)
      else {
        unknown++
        // Whoever is late would use up all events while nobody takes any.
        await wait(100)
      }
    }
  }
  const sending = Promise.all(Array.from({ length: 16 }, lane))
  const replacing: Promise<void>[] = []
  while (performance.now() < untilMs) {
    await wait(killEveryMs)
    const victim = victims[chance(victims.length)] as StormRole | 'nats-server'
    if (victim === 'nats-server') {
      await storm.nats.kill()
      await wait(200)
      await storm.nats.restart()
    } else replacing.push(storm.replace(victim))
  }
  await sending
  await Promise.all(replacing)
  const calmMs = performance.now()
  while (performance.now() - calmMs < 90_000) {
    if ((await storm.unfinished().catch(() => 1)) === 0) break
    await wait(250)
  }
  say(
    `calm after ${((performance.now() - calmMs) / 1000).toFixed(1)} s, ${await storm.unfinished()} unfinished`,
  )
  return tallyOf(storm, functionName, { accepted, unknown })
}
