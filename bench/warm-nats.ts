/** What does a warm invocation over NATS cost one client? */

import { startBarePath } from './floor/bare-path.ts'
import { door, raw } from './floor/subjects.ts'
import { natsClient } from './harness/clients.ts'
import { invokeSubject, startLambus } from './harness/lambus.ts'
import { inTurns, medianMs, warmUp } from './harness/load.ts'
import type { Question } from './harness/question.ts'

const rounds = 15
const roundMs = 700
const warmUpMs = 2_000

export const warmNats: Question = {
  name: 'warm-nats',
  asks: 'Warm invoke over NATS, one client: p50 of a round',
  async run({ ours }) {
    await using path = await startBarePath(1, { inBatch: true })
    await using floor = await natsClient({ url: path.natsUrl })
    await using lambus = ours ? await startLambus() : undefined
    await lambus?.deploy('echo')
    await using client = lambus && (await natsClient(lambus.nats))

    const invokes = [floor.to(raw), floor.to(door)]
    if (client) invokes.push(client.to(invokeSubject('echo')))
    await warmUp(invokes, 1, warmUpMs)
    const [rawMs = [], bareMs = [], oursMs] = await inTurns(
      rounds,
      invokes.map((invoke) => () => medianMs(invoke, roundMs)),
    )
    return {
      rows: [
        {
          what: 'warm invoke over NATS',
          unit: 'ms',
          floor: { what: 'bare path', figures: bareMs },
          ours: oursMs,
          reach: { at: 'most', limit: 1.7, of: 'times the floor' },
        },
        {
          what: 'the same beside raw NATS',
          unit: 'ms',
          floor: { what: 'raw NATS request-reply', figures: rawMs },
          ours: oursMs,
        },
      ],
      tables: [],
      notes: [`${rounds} rounds of ${roundMs} ms each, after ${warmUpMs} ms of warm-up.`],
    }
  },
}
