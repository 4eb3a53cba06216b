/**
 * Placement: hears requests for room, keeps a view of the workers from their heartbeats, and asks the best of them.
 */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import { type Candidate, placementMachine } from '../machines/placement.ts'
import { type Host, host } from './actor.ts'
import {
  type ProvisionAnswer,
  type RoomAnswer,
  type RoomRequest,
  roomRequestOf,
} from './pool-messages.ts'

export type Placement = {
  host: Host<typeof placementMachine>
  /** A worker said how it is. */
  workerBeat(workerId: string, load: Record<string, unknown>): void
  workerGone(workerId: string): void
  stop(): void
}

/** A worker that has room answers in a millisecond; one that does not answer at all is perhaps gone. */
const PATIENCE_MS = 500

type View = {
  memoryMb: number
  usedMb: number
  unusedMb: number
  sandboxes: number
  ofFunction: Map<string, number>
}

export function openPlacement({
  bus,
  clock,
  log,
}: {
  bus: Bus
  clock: Clock
  log: Log
}): Placement {
  const workers = new Map<string, View>()
  const requests = new Map<string, { request: RoomRequest; answer: (given: RoomAnswer) => void }>()

  const placements = host(placementMachine, {
    clock,
    log,
    duties: {
      provision: async ({ workerId }, sandboxId) => {
        const { request } = requestOf(sandboxId)
        const outcome = await bus.request(subjects.provision(workerId), JSON.stringify(request), {
          timeoutMs: PATIENCE_MS,
        })
        if (typeof outcome === 'string') {
          placements.send(sandboxId, { type: 'unreachable', workerId })
          return
        }
        const isAccepted = 'accepted' in outcome.json<ProvisionAnswer>()
        if (isAccepted) count(workerId, request)
        placements.send(sandboxId, { type: isAccepted ? 'accepted' : 'refused', workerId })
      },
      reportPlaced: ({ workerId }, sandboxId) => requestOf(sandboxId).answer({ placed: workerId }),
      reportNoRoom: (_, sandboxId) => requestOf(sandboxId).answer({ noRoom: true }),
    },
    ended: (sandboxId) => requests.delete(sandboxId),
  })

  const requestOf = (sandboxId: string) => {
    const found = requests.get(sandboxId)
    if (found === undefined) throw new Error(`no request for ${sandboxId}`)
    return found
  }

  /** Until its next heartbeat says so itself. */
  const count = (workerId: string, { functionName, generation }: RoomRequest): void => {
    const view = workers.get(workerId)
    if (view === undefined) return
    view.usedMb += generation.settings.memoryMb
    view.sandboxes += 1
    view.ofFunction.set(functionName, (view.ofFunction.get(functionName) ?? 0) + 1)
  }

  const candidatesFor = ({ functionName }: RoomRequest): Candidate[] =>
    [...workers].map(([workerId, { memoryMb, usedMb, unusedMb, sandboxes, ofFunction }]) => ({
      workerId,
      freeMb: memoryMb - usedMb,
      unusedMb,
      sandboxes,
      ofSameFunction: ofFunction.get(functionName) ?? 0,
    }))

  const hearing = bus.subscribe(
    subjects.place,
    (message) => {
      const request = roomRequestOf(message)
      if (request === undefined) {
        placements.hear('', undefined)
        return
      }
      const { sandboxId } = request
      if (placements.snapshot(sandboxId) !== undefined) return
      requests.set(sandboxId, {
        request,
        answer: (given) => message.respond(JSON.stringify(given)),
      })
      placements.start(sandboxId, {
        candidates: candidatesFor(request),
        memoryMb: request.generation.settings.memoryMb,
        patienceMs: PATIENCE_MS,
      })
    },
    { queue: 'placement' },
  )

  return {
    host: placements,
    workerBeat(workerId, load) {
      if (load['isDraining'] === true) {
        workers.delete(workerId)
        return
      }
      workers.set(workerId, {
        memoryMb: Number(load['memoryMb']),
        usedMb: Number(load['usedMb']),
        unusedMb: Number(load['unusedMb'] ?? 0),
        sandboxes: Number(load['sandboxes']),
        ofFunction: new Map(
          Object.entries((load['ofFunction'] as Record<string, number> | undefined) ?? {}),
        ),
      })
    },
    workerGone: (workerId) => void workers.delete(workerId),
    stop: () => hearing.stop(),
  }
}
