/** How long does an invocation take that finds no sandbox? */
import { setTimeout as pause } from 'node:timers/promises'
import { spawnBareNodeMs } from './floor/spawn.ts'
import { type NatsClient, natsClient } from './harness/clients.ts'
import { invokeSubject, type Lambus, ownSource, startLambus } from './harness/lambus.ts'
import { inTurns, medianMs } from './harness/load.ts'
import type { Figures, Question, Row } from './harness/question.ts'

const rounds = 20
const pauseMs = 300

export const coldStart: Question = {
  name: 'cold-start',
  asks: 'Cold start: request to answer where the function has no sandbox, over NATS',
  async run({ ours }) {
    await using lambus = ours ? await startLambus() : undefined
    await using client = lambus && (await natsClient(lambus.nats))
    if (lambus) await deployAll(lambus)
    const contenders = [() => quietly(spawnBareNodeMs)]
    if (lambus && client) {
      contenders.push(eachOnce(lambus, client, 'fresh'), eachOnce(lambus, client, 'again'))
    }
    const [floor = [], fresh, again] = await inTurns(rounds, contenders)
    return {
      rows: [
        row('code that no worker has seen', floor, fresh),
        row('code already on the worker', floor, again),
      ],
      tables: [],
      notes: [
        `${rounds} rounds. A cold start is forced by a function that never ran, a new one each time. Its code is its own, so that its first fetch is included ("no worker has seen"); then a second function with the same code is invoked for the first time ("already on the worker").`,
        `The function is deleted after its one invocation, and ${pauseMs} ms pass before the next measurement, the floor's too.`,
      ],
    }
  },
}

const functionName = (kind: 'fresh' | 'again', index: number) => `${kind}-${index}`

async function deployAll(lambus: Lambus): Promise<void> {
  await Promise.all(
    Array.from({ length: rounds }, async (_, index) => {
      const source = ownSource(`code ${index}`)
      await lambus.deploy(functionName('fresh', index), source)
      await lambus.deploy(functionName('again', index), source)
    }),
  )
}

/** Each call invokes the next function of its kind, once, and deletes it. */
function eachOnce(lambus: Lambus, client: NatsClient, kind: 'fresh' | 'again') {
  let index = 0
  return async () => {
    const name = functionName(kind, index)
    index += 1
    const elapsedMs = await quietly(() => medianMs(client.to(invokeSubject(name)), 0))
    await lambus.remove(name)
    return elapsedMs
  }
}

async function quietly(measure: () => Promise<number>): Promise<number> {
  await pause(pauseMs)
  return measure()
}

function row(what: string, floor: Figures, ours: Figures | undefined): Row {
  return {
    what,
    unit: 'ms',
    floor: { what: 'spawn of a bare Node', figures: floor },
    ours,
    reach: { at: 'most', limit: 25, of: 'more than the floor' },
  }
}
