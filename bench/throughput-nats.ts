/** How many warm invocations a second go through over NATS? */
import { startBarePath } from './floor/bare-path.ts'
import { door, raw } from './floor/subjects.ts'
import { natsClient } from './harness/clients.ts'
import { invokeSubject, startLambus } from './harness/lambus.ts'
import { inTurns, throughput, warmUp } from './harness/load.ts'
import type { Question } from './harness/question.ts'
import { inFlight, sandboxes, sixteenSandboxes } from './harness/sixteen.ts'

// Rounds of one second lie far apart on a machine that is shared: many, and their median.
const rounds = 21
const roundMs = 1_000
const warmUpMs = 10_000

export const throughputNats: Question = {
  name: 'throughput-nats',
  asks: `Warm invokes a second over NATS: ${inFlight} in flight, ${sandboxes} sandboxes, the client on the same machine`,
  async run({ ours }) {
    await using path = await startBarePath(sandboxes)
    await using floor = await natsClient({ url: path.natsUrl })
    await using batchPath = await startBarePath(sandboxes, { inBatch: true })
    await using batchFloor = await natsClient({ url: batchPath.natsUrl })
    // Like is compared with like: a policy of scheduling is worth as much to the floor as to us, or more.
    const unscheduled = { ...sixteenSandboxes, LAMBUS_SCHEDULING_POLICY: 'default' }
    await using lambus = ours ? await startLambus(unscheduled) : undefined
    await lambus?.deploy('echo')
    await using client = lambus && (await natsClient(lambus.nats))
    await using batchLambus = ours ? await startLambus(sixteenSandboxes) : undefined
    await batchLambus?.deploy('echo')
    await using batchClient = batchLambus && (await natsClient(batchLambus.nats))

    const invokes = [floor.to(raw), floor.to(door), batchFloor.to(door)]
    for (const each of [client, batchClient]) if (each) invokes.push(each.to(invokeSubject('echo')))
    await warmUp(invokes, inFlight, warmUpMs)
    const [rawRates = [], bareRates = [], bareBatchRates = [], rates, batchRates] = await inTurns(
      rounds,
      invokes.map((invoke) => async () => (await throughput(invoke, inFlight, roundMs)).perSecond),
    )
    const seen = lambus?.processes().get('sandboxes')?.length
    return {
      rows: [
        {
          what: 'both as the machine runs any process',
          unit: 'invokes/s',
          floor: { what: 'bare path', figures: bareRates },
          ours: rates,
          reach: { at: 'least', limit: 0.55, of: 'times the floor' },
        },
        {
          what: 'both under the batch policy, as lambus is started',
          unit: 'invokes/s',
          floor: { what: 'bare path under it', figures: bareBatchRates },
          ours: batchRates,
        },
        {
          what: 'lambus as it is started, beside a path as the machine runs any process',
          unit: 'invokes/s',
          floor: { what: 'bare path', figures: bareRates },
          ours: batchRates,
        },
        {
          what: 'lambus as it is started, beside raw NATS',
          unit: 'invokes/s',
          floor: { what: 'raw NATS request-reply', figures: rawRates },
          ours: batchRates,
        },
      ],
      tables: [],
      notes: [
        `${rounds} rounds of ${roundMs} ms each, after ${warmUpMs} ms of warm-up.`,
        'lambus chooses Linux’s batch policy for its processes (edges/scheduling.ts), and LAMBUS_SCHEDULING_POLICY=default leaves them alone; the bare path is measured both ways, too.',
        ...(seen === undefined ? [] : [`Runtime processes of lambus at the end: ${seen}.`]),
      ],
    }
  },
}
