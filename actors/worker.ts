/**
 * A worker: hears what is asked of it and of its sandboxes, makes itself known, and goes home when it is told to.
 */
import { partitionOf } from '../bus/partitions.ts'
import * as subjects from '../bus/subjects.ts'
import type { Standing } from '../machines/pool-ledger.ts'
import type { Seat } from '../machines/reservations.ts'
import { workerMachine } from '../machines/worker.ts'
import { type Host, host } from './actor.ts'
import { errandOf } from './invocation-message.ts'
import {
  type FoundInPool,
  type ProvisionAnswer,
  partitionAsked,
  type RoomRequest,
  roomRequestOf,
  type SandboxAnswer,
  tellPool,
} from './pool-messages.ts'
import { openSandboxes, type Sandboxes, type SandboxesBinding } from './sandbox.ts'

export type Worker = {
  host: Host<typeof workerMachine>
  sandboxes: Sandboxes
  /** Makes it known to the others. */
  join(): void
  /** What others may know of its load. */
  load(): WorkerLoad
  /** Takes nothing new; resolves when nothing runs any more. */
  drain(): Promise<void>
  /** Stops hearing and kills what runs. */
  stop(): void
}

/** Short beside the second after which a sandbox counts as unused. */
const STOP_UNUSED_EVERY_MS = 100

/** What a worker says of itself with every heartbeat. `unusedMb`: part of `usedMb`. `ofFunction`: sandboxes by function. */
export type WorkerLoad = {
  memoryMb: number
  usedMb: number
  unusedMb: number
  sandboxes: number
  ofFunction: Record<string, number>
  isDraining: boolean
}

export type WorkerBinding = Omit<SandboxesBinding, 'queued' | 'turnPassed' | 'stopped'> & {
  memoryMb: number
  startsAtOnce: number
  /** Makes the worker known to placement; and that it is leaving. */
  register(): Promise<void>
  announceDraining(): void
}

/**
 * A sandbox whose pool has not heard of it, because messages were lost, is kept for nothing no longer than this. One
 * message for each pool that has unused sandboxes here.
 */
const SHOW_UNUSED_EVERY_MS = 5_000

export function openWorker(binding: WorkerBinding): Worker {
  const { bus, workerId, partitions, clock, log } = binding
  const orders = new Map<string, RoomRequest>()
  let gone: () => void = () => {}
  const whenGone = new Promise<void>((resolve) => {
    gone = resolve
  })

  const answer = (reply: string, given: ProvisionAnswer) =>
    bus.publish(reply, JSON.stringify(given))

  const workers = host(workerMachine, {
    clock,
    log,
    duties: {
      register: async () => {
        await binding.register()
        workers.send(workerId, { type: 'registered' })
      },
      accept: ({ sandboxId, reply }) => {
        const order = orders.get(sandboxId)
        if (order === undefined) throw new Error(`accepted ${sandboxId} without an order`)
        sandboxes.start(order)
        answer(reply, { accepted: true })
      },
      refuse: ({ reply, why }) => answer(reply, { refused: why }),
      stopUnused: ({ sandboxId, memoryMb }) => {
        let comingMb = 0
        for (const unused of sandboxes.unused(orders.get(sandboxId)?.pool)) {
          if (comingMb >= memoryMb) break
          comingMb += unused.memoryMb
          sandboxes.host.send(unused.sandboxId, { type: 'stop' })
        }
      },
      giveTurn: ({ sandboxId }) => sandboxes.host.send(sandboxId, { type: 'turn' }),
      announceDraining: () => binding.announceDraining(),
      leave: () => gone(),
    },
  })

  const sandboxes = openSandboxes({
    ...binding,
    queued: (sandboxId) => workers.send(workerId, { type: 'startQueued', sandboxId }),
    turnPassed: (sandboxId) => workers.send(workerId, { type: 'turnPassed', sandboxId }),
    stopped: (sandboxId) => {
      orders.delete(sandboxId)
      workers.send(workerId, { type: 'sandboxStopped', sandboxId })
    },
  })

  const hearings = [
    bus.subscribe(subjects.provision(workerId), (message) => {
      const order = roomRequestOf(message)
      if (order === undefined || message.reply === undefined) {
        workers.hear(workerId, undefined)
        return
      }
      orders.set(order.sandboxId, order)
      const { memoryMb } = order.generation.settings
      const { sandboxId, pool } = order
      const { reply } = message
      const unusedMb = totalMb(sandboxes.unused(pool))
      workers.send(workerId, { type: 'provision', sandboxId, memoryMb, unusedMb, reply })
      // Refused, or one that runs here already.
      if (sandboxes.host.snapshot(sandboxId) === undefined) orders.delete(sandboxId)
    }),
    bus.subscribe(subjects.anySandbox(workerId), (message) => {
      const [, , , , sandboxId = '', event] = subjects.tokens(message.subject)
      if (event === 'takeBack') {
        const requestId = message.string()
        if (requestId === '') workers.hear(workerId, undefined)
        else sandboxes.takeBack(sandboxId, requestId)
        return
      }
      if (event !== 'invoke') {
        const isHere = sandboxes.host.snapshot(sandboxId) !== undefined
        message.respond(JSON.stringify({ isHere } satisfies SandboxAnswer))
        if (isHere) sandboxes.host.hear(sandboxId, { type: event })
        return
      }
      const errand = errandOf(message)
      if (errand === undefined) workers.hear(workerId, undefined)
      else sandboxes.invoke(sandboxId, errand, message)
    }),
    bus.subscribe(subjects.runningSandboxes, (message) => {
      const partition = partitionAsked(message)
      if (partition === undefined) {
        workers.hear(workerId, undefined)
        return
      }
      const found: FoundInPool[] = sandboxes
        .list()
        .filter(({ functionName }) => partitionOf(functionName, partitions) === partition)
        .map(({ sandboxId, pool, state }) => ({
          sandboxId,
          pool,
          workerId,
          standing: standingOf(state, clock.nowMs()),
        }))
      message.respond(JSON.stringify(found))
    }),
  ]

  /** Who nobody knows of is found so: pools stop what they have no use for. */
  const showUnused = () => {
    const unused = new Map<string, Seat[]>()
    for (const { sandboxId } of sandboxes.unused()) {
      const pool = orders.get(sandboxId)?.pool
      if (pool === undefined) continue
      unused.set(pool, [...(unused.get(pool) ?? []), { sandboxId, workerId }])
    }
    for (const [pool, seats] of unused) {
      tellPool(bus, partitions, pool, { type: 'freed', seats, atMs: clock.nowMs() })
    }
    showing = clock.setTimer(showUnused, SHOW_UNUSED_EVERY_MS)
  }
  let showing = clock.setTimer(showUnused, SHOW_UNUSED_EVERY_MS)

  /** Pools stop what is free on a worker that drains; this is for when there is no worker manager left to do it. */
  const stopUnused = (): void => {
    if (workers.snapshot(workerId) === undefined) return
    for (const { sandboxId } of sandboxes.unused()) {
      sandboxes.host.send(sandboxId, { type: 'stop' })
    }
    clock.setTimer(stopUnused, STOP_UNUSED_EVERY_MS)
  }

  return {
    host: workers,
    sandboxes,
    load() {
      const snapshot = workers.snapshot(workerId)
      const running = sandboxes.list()
      const ofFunction: Record<string, number> = {}
      for (const { functionName } of running) {
        ofFunction[functionName] = (ofFunction[functionName] ?? 0) + 1
      }
      return {
        memoryMb: binding.memoryMb,
        usedMb: snapshot?.context.usedMb ?? 0,
        unusedMb: totalMb(sandboxes.unused()),
        sandboxes: running.length,
        ofFunction,
        isDraining: snapshot === undefined || snapshot.value === 'draining',
      }
    },
    join: () =>
      workers.start(workerId, {
        memoryMb: binding.memoryMb,
        startsAtOnce: binding.startsAtOnce,
      }),
    drain() {
      if (workers.snapshot(workerId) === undefined) gone()
      else {
        workers.send(workerId, { type: 'drain' })
        stopUnused()
      }
      return whenGone
    },
    stop() {
      clock.clearTimer(showing)
      for (const hearing of hearings) hearing.stop()
      sandboxes.killAll()
    },
  }
}

const totalMb = (sandboxes: { memoryMb: number }[]): number =>
  sandboxes.reduce((sum, { memoryMb }) => sum + memoryMb, 0)

/** What a new owner of the pool should think of a sandbox that no front end holds. */
function standingOf(state: string, atMs: number): Standing {
  switch (state) {
    case 'queued':
    case 'provisioning':
    case 'initializing':
      return { is: 'placing' }
    case 'idle':
    case 'dormant':
      return { is: 'free', sinceMs: atMs }
    default:
      return { is: 'doubtful' }
  }
}
