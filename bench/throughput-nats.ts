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
    await using batch = await startBarePath(sandboxes, { inBatch: true })
    await using batchFloor = await natsClient({ url: batch.natsUrl })
    await using lambus = ours ? await startLambus(sixteenSandboxes) : undefined
    await lambus?.deploy('echo')
    await using client = lambus && (await natsClient(lambus.nats))

    const invokes = [floor.to(raw), floor.to(door), batchFloor.to(door)]
    if (client) invokes.push(client.to(invokeSubject('echo')))
    await warmUp(invokes, inFlight, warmUpMs)
    const [rawPerSecond = [], barePerSecond = [], batchPerSecond = [], oursPerSecond] =
      await inTurns(
        rounds,
        invokes.map(
          (invoke) => async () => (await throughput(invoke, inFlight, roundMs)).perSecond,
        ),
      )
    const seen = lambus?.processes().get('sandboxes')?.length
    return {
      rows: [
        {
          what: 'warm invokes a second over NATS',
          unit: 'invokes/s',
          floor: { what: 'bare path', figures: barePerSecond },
          ours: oursPerSecond,
          reach: { at: 'least', limit: 0.55, of: 'times the floor' },
        },
        {
          what: 'the same beside one that is scheduled alike',
          unit: 'invokes/s',
          floor: { what: 'bare path under the batch policy', figures: batchPerSecond },
          ours: oursPerSecond,
        },
        {
          what: 'the same beside raw NATS',
          unit: 'invokes/s',
          floor: { what: 'raw NATS request-reply', figures: rawPerSecond },
          ours: oursPerSecond,
        },
      ],
      tables: [],
      notes: [
        `${rounds} rounds of ${roundMs} ms each, after ${warmUpMs} ms of warm-up.`,
        'lambus puts its processes under Linux’s batch policy (edges/scheduling.ts); the bare path runs as any process does, and a second one of it under that policy, too.',
        ...(seen === undefined ? [] : [`Runtime processes of lambus at the end: ${seen}.`]),
      ],
    }
  },
}
