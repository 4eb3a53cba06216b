/**
 * A worker as a child process of `lambus up`: the same as `lambus start worker`, told where NATS is by its environment,
 * because arguments can be read by everyone on the machine.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Log } from '../bus/bus.ts'
import { tethered } from '../bus/server-child.ts'
import { type Config, environmentOf } from '../config.ts'

const launcher = fileURLToPath(
  import.meta.resolve(import.meta.url.endsWith('.ts') ? '../bin/lambus.js' : '../../bin/lambus.js'),
)

export type WorkerProcess = {
  pid: number
  /** Resolves when it serves. */
  ready: Promise<void>
  exited: Promise<string>
  /** SIGTERM: it finishes what runs. */
  end(): void
  kill(): void
}

export function spawnWorker({
  address,
  config,
  log,
}: {
  /** With credentials. */
  address: string
  config: Config
  log: Log
}): WorkerProcess {
  const [command, args] = tethered(process.execPath, [launcher, 'start', 'worker'])
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environmentOf(config), LAMBUS_NATS: address },
    // In a process group of its own: Ctrl-C in a terminal is for us, and we tell it when.
    detached: true,
  })
  const ready = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line.startsWith('lambus ready')) resolve()
    })
  })
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  log.debug({ workerPid: child.pid }, 'worker process started')
  return {
    pid: child.pid ?? 0,
    ready,
    exited,
    end: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
  }
}
