/**
 * Starts the roles it is told to, in the order in which they need each other, and ends them in the reverse order.
 *
 * `up` is the whole system on one machine: this process, the embedded NATS, and worker processes. `start` is some roles
 * in a process of their own. Both make the same `Process` and hand it to the same roles.
 */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { hostChildren } from './actors/child.ts'
import { openIntake } from './actors/intake.ts'
import { embedNatsServer } from './actors/nats-server.ts'
import { serveStatus } from './actors/status.ts'
import type { Bus, Log } from './bus/bus.ts'
import { openBus } from './bus/connection.ts'
import { openPresence, type Presence } from './bus/presence.ts'
import { checkServer } from './bus/server.ts'
import { findNatsServer } from './bus/server-binary.ts'
import type { Config } from './config.ts'
import { systemClock } from './edges/clock.ts'
import { openLog } from './edges/log.ts'
import { schedule } from './edges/scheduling.ts'
import { spawnWorker } from './edges/worker-process.ts'
import type { Process, Role } from './roles/role.ts'

/**
 * In the order of starting: whoever is counted on comes before those who count on it. A process loads what it is told to run,
 * and no more: a worker needs none of what a door is made of.
 */
const starters = {
  'control-plane': async () => (await import('./roles/control-plane.ts')).startControlPlane,
  placement: async () => (await import('./roles/placement.ts')).startPlacement,
  'worker-manager': async () => (await import('./roles/worker-manager.ts')).startWorkerManager,
  worker: async () => (await import('./roles/worker.ts')).startWorker,
  'state-manager': async () => (await import('./roles/state-manager.ts')).startStateManager,
  'stream-tracker': async () => (await import('./roles/stream-tracker.ts')).startStreamTracker,
  leasing: async () => (await import('./roles/leasing.ts')).startLeasing,
  'front-end': async () => (await import('./roles/front-end.ts')).startFrontEnd,
  poller: async () => (await import('./roles/poller.ts')).startPoller,
  inspector: async () => (await import('./roles/inspector.ts')).startInspector,
} satisfies Record<string, () => Promise<(process: Process) => Promise<Role>>>
export type RoleName = keyof typeof starters
export const roles = Object.keys(starters) as readonly RoleName[]

export type Running = {
  addresses: { http?: string; inspector?: string; nats: string }
  /** Drains and ends everything. */
  stop(): Promise<void>
  /** Resolves with the exit code once it has ended, of its own or because it was stopped. */
  ended: Promise<number>
}

export type OnProgress = (what: string, doneBytes?: number, totalBytes?: number) => void

/** The whole system on this machine. Without `nats` it starts a nats-server of its own in the data directory. */
export async function up(
  config: Config,
  { nats, onProgress = () => {} }: { nats?: string; onProgress?: OnProgress },
): Promise<Running> {
  const log = openLog({ level: config.logLevel, base: { role: 'up' } })
  schedule(config.schedulingPolicy, log)
  const clock = systemClock
  const children = hostChildren({ clock, log })
  const embedded = nats === undefined ? await embed(config, children, log, onProgress) : undefined
  const address = nats ?? embedded?.address ?? ''
  const undo: (() => Promise<unknown>)[] = []
  if (embedded !== undefined) undo.push(() => embedded.server.stop())
  try {
    const names = roles.filter((name) => name !== 'worker')
    const running = await startRoles(names, config, { address, log })
    undo.push(running.close)
    const workers = await Promise.all(
      Array.from({ length: config.workers }, (_, index) =>
        children.start(`worker-${index + 1}`, () => spawnWorker({ address, config, log })),
      ),
    )
    await running.sees('worker', config.workers)
    await running.ready()
    // Without its workers it would take work and never do it.
    const lost = [...workers.map(({ over }) => over), ...(embedded ? [embedded.server.over] : [])]
    const end = async () => {
      await running.drain()
      await Promise.all(workers.map((worker) => worker.stop()))
      await running.close()
      await embedded?.server.stop()
    }
    return ending(end, { ...running.addresses, nats: address }, Promise.race(lost))
  } catch (error) {
    for (const take of undo.reverse()) await take()
    throw error
  }
}

/** Some roles in a process of their own, on the NATS server of that address. */
export async function start(
  names: RoleName[],
  config: Config,
  { nats }: { nats: string },
): Promise<Running> {
  const log = openLog({ level: config.logLevel, base: { role: names.join(',') } })
  schedule(config.schedulingPolicy, log)
  const running = await startRoles(names, config, { address: nats, log })
  await running.ready()
  const end = async () => {
    await running.drain()
    await running.close()
  }
  return ending(end, { ...running.addresses, nats })
}

/** To say goodbye takes some milliseconds; for ever, when NATS has gone before. */
const CLOSE_TIMEOUT_MS = 3_000

type Started = {
  addresses: { http?: string; inspector?: string }
  /** Resolves when that many processes of a role have been heard. */
  sees(role: string, count: number): Promise<void>
  ready(): Promise<void>
  drain(): Promise<void>
  close(): Promise<void>
}

async function startRoles(
  names: readonly RoleName[],
  config: Config,
  { address, log }: { address: string; log: Log },
): Promise<Started> {
  const clock = systemClock
  const id = `${hostname().replace(/[^A-Za-z0-9-]/g, '-')}-${randomUUID().slice(0, 8)}`
  const first = names.length === 1 ? (names[0] as string) : 'system'
  const bus = await openBus({ servers: address, role: first, id, log })
  await checkServer(bus.nats)
  const started: Role[] = []
  const presence = openPresence(bus, {
    roles: names,
    id,
    beatMs: config.beatMs,
    describe: () => Object.assign({}, ...started.map((role) => role.describe?.())),
    clock,
    log,
  })
  const process: Process = {
    id,
    bus,
    config,
    clock,
    log,
    presence,
    newId: randomUUID,
    attemptDoors: new Map(),
    intake: openIntake({ clock, log }),
  }
  const stopStatus = serveStatus(bus, {
    id,
    roles: names,
    host: hostname(),
    clock,
    hosts: () => started.flatMap(({ hosts }) => hosts),
    more: () => Object.assign({}, ...started.map((role) => role.status?.())),
  })
  const addresses: { http?: string; inspector?: string } = {}
  try {
    for (const name of roles.filter((role) => names.includes(role))) {
      const startRole = await starters[name]()
      const role = await startRole(process)
      started.push(role)
      if (role.address !== undefined) {
        addresses[name === 'inspector' ? 'inspector' : 'http'] = role.address
      }
    }
    presence.beatNow()
  } catch (error) {
    await closeAll(started, presence, bus)
    throw error
  }
  return {
    addresses,
    sees: (role, count) => seen(presence, role, count),
    ready: async () => void (await Promise.all(started.map((role) => role.ready?.()))),
    drain: () => within(config.drainTimeoutMs, drainAll(started), log),
    async close() {
      stopStatus()
      await within(CLOSE_TIMEOUT_MS, closeAll(started, presence, bus), log)
    },
  }
}

/** Doors first, then what they lead to. */
async function drainAll(started: Role[]): Promise<void> {
  for (const role of [...started].reverse()) await role.drain?.()
}

async function closeAll(started: Role[], presence: Presence, bus: Bus): Promise<void> {
  await presence.goodbye()
  for (const role of [...started].reverse()) await role.stop()
  await bus.close()
}

const seen = (presence: Presence, role: string, count: number): Promise<void> =>
  new Promise((resolve) => {
    const ids = new Set<string>()
    const forget = presence.onBeat(role, (id) => {
      ids.add(id)
      if (ids.size < count) return
      forget()
      resolve()
    })
  })

async function within(limitMs: number, work: Promise<void>, log: Log): Promise<void> {
  let deadline: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    deadline = setTimeout(() => {
      log.warn({ code: 'DRAIN_TIMEOUT', limitMs }, 'what still runs is abandoned')
      resolve()
    }, limitMs)
  })
  await Promise.race([work, late])
  clearTimeout(deadline)
}

async function embed(
  config: Config,
  children: ReturnType<typeof hostChildren>,
  log: Log,
  onProgress: OnProgress,
) {
  const { path, version } = await findNatsServer({ environment: process.env, onProgress })
  const server = await embedNatsServer({
    binary: path,
    version,
    dataDir: config.dataDir,
    port: config.natsPort,
    children,
    log,
  })
  const { user, password } = server
  return { server, address: server.url.replace('://', `://${user}:${password}@`) }
}

/** One end for everything: the first `stop`, or the death of what cannot be done without. */
function ending(
  end: () => Promise<void>,
  addresses: Running['addresses'],
  lost?: Promise<unknown>,
): Running {
  const ended = Promise.withResolvers<number>()
  let ends: Promise<void> | undefined
  const finish = (code: number) => {
    ends ??= end().then(
      () => ended.resolve(code),
      (error) => {
        process.stderr.write(`${(error as Error).stack ?? error}\n`)
        ended.resolve(1)
      },
    )
    return ends
  }
  void lost?.then(() => finish(1))
  return { addresses, stop: () => finish(0), ended: ended.promise }
}
