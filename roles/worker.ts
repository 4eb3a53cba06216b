/**
 * The worker: runs sandboxes on this machine.
 */
import { availableParallelism, hostname, totalmem } from 'node:os'
import { join } from 'node:path'
import { openWorker } from '../actors/worker.ts'
import { openAnswers } from '../bus/answers.ts'
import { openCode } from '../bus/code.ts'
import { ensureLogs, openLogWriter } from '../bus/logs.ts'
import { DataDirTaken, lockDataDir } from '../bus/server-lock.ts'
import { registerWorker } from '../bus/workers.ts'
import { collectYoungFirst } from '../edges/heap.ts'
import { startMemoryWatch } from '../edges/memory-watch.ts'
import { findNode } from '../edges/node-binary.ts'
import { openPackageCache } from '../edges/package-cache.ts'
import { anyHost, type Process, type Role } from './role.ts'

/** What is left to the rest of the machine. */
const SHARE_OF_MEMORY = 0.9
const MEMORY_LOOK_MS = 100

export async function startWorker({
  id,
  bus,
  config,
  clock,
  log,
  presence,
  newId,
}: Process): Promise<Role> {
  collectYoungFirst()
  const node24 = findNode(24)
  if (node24 === undefined) {
    throw new Error(
      'runtime nodejs24.x needs Node 24: run lambus on Node 24, or install the npm package node@24',
    )
  }
  log.warn(
    { code: 'WORKER_PLAIN_PROCESS' },
    'sandboxes are plain processes of this user: they share /tmp and see the file system',
  )
  await ensureLogs(bus, { maxAgeMs: config.logMaxAgeMs, maxBytes: config.logMaxBytes })
  const logs = openLogWriter(bus, { flushEveryMs: config.logFlushMs, clock })
  const code = await openCode(bus)
  const place = takePlace(join(config.dataDir, 'packages'))
  const packages = openPackageCache(place.dir, code.get)
  const memory = startMemoryWatch(MEMORY_LOOK_MS)
  const memoryMb = config.workerMemoryMb || Math.floor((totalmem() / 1_048_576) * SHARE_OF_MEMORY)
  const startedAtMs = clock.nowMs()
  let registration: Awaited<ReturnType<typeof registerWorker>> | undefined
  const record = () => {
    const { usedMb, sandboxes, isDraining } = worker.load()
    return {
      id,
      host: hostname(),
      pid: process.pid,
      memoryMb,
      usedMb,
      sandboxes,
      runtimes: ['nodejs24.x'],
      labels: {},
      startedAtMs,
      draining: isDraining,
    }
  }
  const answers = openAnswers(bus, clock)
  const worker = openWorker({
    bus,
    answers,
    workerId: id,
    partitions: config.partitions,
    clock,
    log,
    logs,
    packages,
    memory,
    newId,
    region: config.region,
    nodes: { 'nodejs24.x': node24 },
    initTimeoutMs: config.initTimeoutMs,
    memoryMb,
    startsAtOnce: config.concurrentStarts || availableParallelism(),
    register: async () => {
      registration = await registerWorker(bus, record(), { ttlMs: config.leaseTtlMs, clock, log })
    },
    announceDraining: () => {
      presence.beatNow()
      void registration?.update(record())
    },
  })
  worker.join()
  return {
    hosts: [anyHost(worker.host), anyHost(worker.sandboxes.host)],
    describe: worker.load,
    status: () => ({
      sandboxes: worker.sandboxes.list().map(({ sandboxId, functionName, state, pid }) => ({
        id: sandboxId,
        function: functionName,
        version: '$LATEST',
        state,
        pid,
      })),
    }),
    drain: worker.drain,
    async stop() {
      worker.stop()
      answers.stop()
      memory.stop()
      await logs.close()
      await registration?.remove()
      place.release()
    },
  }
}

/** The first cache that no living worker has: what an earlier one unpacked there is used again, and never piles up. */
function takePlace(parent: string): { dir: string; release(): void } {
  for (let number = 1; ; number++) {
    const dir = join(parent, String(number))
    try {
      return { dir, release: lockDataDir(dir).release }
    } catch (error) {
      if (!(error instanceof DataDirTaken)) throw error
    }
  }
}
