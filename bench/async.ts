/** What does an asynchronous event cost, from its acceptance to its end? */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from 'nats'
import { anyEnd, anyPacket, anyRetry, eventStream } from '../bus/subjects.ts'
import { startBareJetStream } from './floor/jetstream.ts'
import { event } from './harness/clients.ts'
import { invokeSubject, type Lambus, startLambus } from './harness/lambus.ts'
import { inTurns } from './harness/load.ts'
import { memoryByRole } from './harness/processes.ts'
import type { Question, Table } from './harness/question.ts'

const rounds = 11
const warmUps = 5
const inFlight = 16
const events = 4_000
const oneByOne = 150
const pauseMs = 10
const queued = 100_000

const noop = 'export const handler = async () => null\n'
const stamp = `import { appendFileSync } from 'node:fs'
const { timeOrigin } = performance
export const handler = async ({ file }) =>
  void appendFileSync(file, timeOrigin + performance.now() + '\\n')
`

export const asynchronous: Question = {
  name: 'async',
  asks: `Asynchronous events over NATS, each on disk before it is accepted: ${inFlight} in flight, the client on the same machine`,
  async run({ ours }) {
    await using floor = await startBareJetStream()
    await using lambus = ours ? await startLambus() : undefined
    const client = lambus && (await openClient(lambus))
    await lambus?.deploy('noop', noop)
    await lambus?.deploy('stamp', stamp)
    // Whatever compiles, compiles now.
    for (let round = 0; round < warmUps; round++) {
      await floor.endRate(events, inFlight)
      await client?.load('noop', events)
    }
    await client?.startedMs('stamp', oneByOne)

    const ourRates: { accepted: number; ended: number }[] = []
    const [delivery = [], published = [], ended = [], started = []] = await inTurns(rounds, [
      () => floor.deliveryMs(oneByOne, pauseMs),
      () => floor.publishRate(events, inFlight),
      () => floor.endRate(events, inFlight),
      async () => client?.startedMs('stamp', oneByOne) ?? Number.NaN,
      async () => {
        if (client !== undefined) ourRates.push(await client.load('noop', events))
        return 0
      },
    ])
    const tables = client && lambus ? [await queueMany(lambus, client)] : []
    await client?.close()
    const figures = <T>(of: T) => (ours ? of : undefined)
    return {
      rows: [
        {
          what: 'sent → handler started, one at a time, median',
          unit: 'ms',
          floor: { what: 'published → delivered', figures: delivery },
          ours: figures(started),
          reach: { at: 'most', limit: 3, of: 'times the floor' },
        },
        {
          what: 'accepted, while they are worked on',
          unit: 'events/s',
          floor: { what: 'published one by one', figures: published },
          ours: figures(ourRates.map(({ accepted }) => accepted)),
          reach: { at: 'least', limit: 2, of: 'times the floor' },
        },
        {
          what: 'ended, from the first sent to the last acknowledged',
          unit: 'events/s',
          floor: { what: 'published, consumed, acknowledged', figures: ended },
          ours: figures(ourRates.map(({ ended: rate }) => rate)),
          reach: { at: 'least', limit: 1, of: 'times the floor' },
        },
      ],
      tables,
      notes: [
        `${rounds} rounds of ${events} events, and of ${oneByOne} one at a time. The floor is a nats-server with \`sync_interval: always\`, like ours.`,
      ],
    }
  },
}

type Client = {
  /** Sends so many and waits until all have ended. */
  load(functionName: string, count: number): Promise<{ accepted: number; ended: number }>
  /** From sending to the handler's first line, one event at a time: median. */
  startedMs(functionName: string, count: number): Promise<number>
  send(functionName: string, count: number, payload: Buffer): Promise<void>
  /** Packets and schedules that there are. */
  left(): Promise<number>
  close(): Promise<void>
}

async function openClient({ nats }: Lambus): Promise<Client> {
  const connection: NatsConnection = await connect({
    servers: nats.url,
    noAsyncTraces: true,
    ...(nats.user === undefined ? {} : { user: nats.user }),
    ...(nats.password === undefined ? {} : { pass: nats.password }),
  })
  const manager = await jetstreamManager(connection)
  const asEvent = headers()
  asEvent.set('X-Amz-Invocation-Type', 'Event')
  const options = { headers: asEvent, timeout: 30_000 }
  const prefixes = [anyPacket, anyEnd, anyRetry].map((filter) => filter.slice(0, -1))

  const left = async () => {
    const { state } = await manager.streams.info(eventStream, { subjects_filter: 'lambus.>' })
    return Object.entries(state.subjects ?? {})
      .filter(([subject]) => prefixes.some((prefix) => subject.startsWith(prefix)))
      .reduce((sum, [, count]) => sum + count, 0)
  }
  const sendOne = async (functionName: string, payload: Buffer): Promise<void> => {
    const answer = await connection.request(invokeSubject(functionName), payload, options)
    const refused = answer.headers?.get('Nats-Service-Error')
    if (refused) throw new Error(`an event was refused: ${refused}`)
  }
  const send = async (functionName: string, count: number, payload: Buffer): Promise<void> => {
    let todo = count
    const lane = async () => {
      while (todo-- > 0) await sendOne(functionName, payload)
    }
    await Promise.all(Array.from({ length: inFlight }, lane))
  }
  return {
    left,
    send,
    async load(functionName, count) {
      const startedMs = performance.now()
      await send(functionName, count, event)
      const acceptedMs = performance.now() - startedMs
      while ((await left()) > 0) await wait(5)
      const endedMs = performance.now() - startedMs
      return { accepted: (count * 1000) / acceptedMs, ended: (count * 1000) / endedMs }
    },
    async startedMs(functionName, count) {
      const dir = mkdtempSync(join(tmpdir(), 'lambus-stamps-'))
      const file = join(dir, 'stamps')
      writeFileSync(file, '')
      const payload = Buffer.from(JSON.stringify({ file }))
      const sentMs: number[] = []
      for (let sent = 0; sent < count; sent++) {
        sentMs.push(performance.timeOrigin + performance.now())
        await sendOne(functionName, payload)
        await wait(pauseMs)
      }
      while ((await left()) > 0) await wait(5)
      const stamps = readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number)
      rmSync(dir, { recursive: true, force: true })
      const took = stamps.map((atMs, index) => atMs - (sentMs[index] ?? Number.NaN))
      return took.sort((a, b) => a - b)[Math.floor(took.length / 2)] ?? Number.NaN
    },
    close: () => connection.close(),
  }
}

/** Many events for a function that takes its time: what they cost in memory while they wait. */
async function queueMany(lambus: Lambus, client: Client): Promise<Table> {
  await lambus.deploy(
    'slow',
    'export const handler = () => new Promise((resolve) => setTimeout(resolve, 20_000))\n',
  )
  const look = () => memoryByRole(lambus.processes())
  const lines: (string | number)[][] = []
  const note = async (what: string) => {
    await wait(3_000)
    const roles = look()
    const rss = (role: string) => Math.round(roles.get(role)?.rssMb ?? 0)
    lines.push([what, rss('main'), rss('nats-server'), rss('worker'), await client.left()])
  }
  await note('before')
  for (let quarter = 1; quarter <= 4; quarter++) {
    await client.send('slow', queued / 4, event)
    await note(`${((queued / 4) * quarter).toLocaleString('en-US')} sent`)
  }
  return {
    title: `Memory with ${queued.toLocaleString('en-US')} events of a slow function waiting, MB RSS`,
    head: ['', 'main', 'nats-server', 'worker', 'packets and schedules'],
    lines,
  }
}
