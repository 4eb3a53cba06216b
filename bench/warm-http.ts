/** What does a warm invocation by the Invoke API cost one client, and how many a second go through? */
import { startBarePath } from './floor/bare-path.ts'
import { httpClient } from './harness/clients.ts'
import { startLambus } from './harness/lambus.ts'
import { inTurns, medianMs, throughput, warmUp } from './harness/load.ts'
import type { Question, Row } from './harness/question.ts'
import { inFlight, sandboxes, sixteenSandboxes } from './harness/sixteen.ts'

const rounds = 15
const latencyRoundMs = 700
const throughputRoundMs = 1_000
const warmUpMs = 10_000
const path = '/2015-03-31/functions/echo/invocations'

export const warmHttp: Question = {
  name: 'warm-http',
  asks: `Warm invoke over HTTP (Invoke API, keep-alive, SigV4): one client, and ${inFlight} in flight on ${sandboxes} sandboxes`,
  async run(options) {
    return {
      rows: [await latency(options), await perSecond(options)],
      tables: [],
      notes: [
        `${rounds} rounds of ${latencyRoundMs} ms (one client) and ${throughputRoundMs} ms (${inFlight} in flight), after ${warmUpMs} ms of warm-up.`,
        'The client signs once a second and uses the signature until it signs again; the server verifies every request. The bare path gets the same headers and does not look at them.',
      ],
    }
  },
}

async function latency({ ours }: { ours: boolean }): Promise<Row> {
  await using bare = await startBarePath(1, { inBatch: true })
  await using floor = await httpClient({ url: bare.httpUrl, path })
  await using lambus = ours ? await startLambus() : undefined
  await lambus?.deploy('echo')
  await using client = lambus && (await httpClient({ url: lambus.httpUrl, path }))

  const invokes = [floor, ...(client ? [client] : [])].map(({ invoke }) => invoke)
  await warmUp(invokes, 1, warmUpMs)
  const [floorMs = [], oursMs] = await inTurns(
    rounds,
    invokes.map((invoke) => () => medianMs(invoke, latencyRoundMs)),
  )
  return {
    what: 'warm invoke over HTTP, p50 of a round',
    unit: 'ms',
    floor: { what: 'bare path with an HTTP door', figures: floorMs },
    ours: oursMs,
    reach: { at: 'most', limit: 1.7, of: 'times the floor' },
  }
}

async function perSecond({ ours }: { ours: boolean }): Promise<Row> {
  await using bare = await startBarePath(sandboxes, { inBatch: true })
  await using floor = await httpClient({ url: bare.httpUrl, path })
  await using lambus = ours ? await startLambus(sixteenSandboxes) : undefined
  await lambus?.deploy('echo')
  await using client = lambus && (await httpClient({ url: lambus.httpUrl, path }))

  const invokes = [floor, ...(client ? [client] : [])].map(({ invoke }) => invoke)
  await warmUp(invokes, inFlight, warmUpMs)
  const [floorPerSecond = [], oursPerSecond] = await inTurns(
    rounds,
    invokes.map(
      (invoke) => async () => (await throughput(invoke, inFlight, throughputRoundMs)).perSecond,
    ),
  )
  return {
    what: 'warm invokes a second over HTTP',
    unit: 'invokes/s',
    floor: { what: 'bare path with an HTTP door', figures: floorPerSecond },
    ours: oursPerSecond,
    reach: { at: 'least', limit: 0.5, of: 'times the floor' },
  }
}
