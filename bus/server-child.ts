/**
 * A nats-server as a child process: spawned, watched until it is ready, ended.
 *
 * Whether it is started again is not decided here.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import type { Log } from './bus.ts'
import { type ServerConf, serverConf } from './server-conf.ts'

export class NatsPortTaken extends Error {
  override readonly name = 'NatsPortTaken'
  readonly code = 'NATS_PORT_TAKEN'
}

export type NatsChild = {
  pid: number
  /** Resolves when the server takes connections, with the port it listens on; rejects when it ends before that. */
  ready: Promise<{ port: number }>
  /** Resolves when it has ended, with how: `exit code 1`, `SIGKILL`, and the last errors it wrote. Never rejects. */
  exited: Promise<string>
  /** SIGTERM: the server stops taking work and closes its store. */
  end(): void
  kill(): void
}

/**
 * Go threads that run at the same time: half of the cores. The other half is for those who talk through the server; on
 * two cores it then has nobody to wake on the other one. How much that gains is not settled: see docs/decisions/0013.
 */
const processors = (): number => Math.max(1, Math.floor(availableParallelism() / 2))

export type SpawnNatsServer = {
  binary: string
  /** Holds the configuration and the ports file. One server at a time. */
  dir: string
  conf: Omit<ServerConf, 'portsDir'>
  log: Log
}

export function spawnNatsServer({ binary, dir, conf, log }: SpawnNatsServer): NatsChild {
  const portsDir = join(dir, 'nats-ports')
  const file = join(dir, 'nats-server.conf')
  rmSync(portsDir, { recursive: true, force: true })
  mkdirSync(portsDir, { recursive: true, mode: 0o700 })
  mkdirSync(conf.storeDir, { recursive: true, mode: 0o700 })
  // The mode counts only for a new file.
  rmSync(file, { force: true })
  writeFileSync(file, serverConf({ ...conf, portsDir }), { mode: 0o600 })

  const [command, args] = tethered(binary, ['-c', file])
  // In a process group of its own: Ctrl-C in a terminal is for us, and the server has to outlive the draining.
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { GOMAXPROCS: String(processors()), ...process.env },
  })
  const errors: string[] = []
  if (child.stderr !== null) {
    createInterface(child.stderr).on('line', (line) => {
      const { level, text } = readLine(line)
      if (level === 'error') errors.push(text)
      log[level]({ component: 'nats-server' }, text)
    })
  }

  let isGone = false
  const exited = new Promise<string>((resolve) => {
    const gone = (how: string) => {
      isGone = true
      resolve([how, ...errors.slice(-3)].join(': '))
    }
    child.once('error', (error) => gone(error.message))
    // 'close' and not 'exit': what it wrote last has been read by then.
    child.once('close', (code, signal) => gone(signal ?? `exit code ${code}`))
  })
  const ready = readPort(portsDir, () => isGone).then(async (port) => {
    if (port === undefined) throw new Error(`nats-server did not start: ${await exited}`)
    return { port }
  })
  // Whoever only looks at `exited` must not be hit by an unhandled rejection.
  ready.catch(() => {})
  return {
    pid: child.pid ?? 0,
    ready,
    exited,
    end: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
  }
}

/** nats-server writes `<program>_<pid>.ports` when it is ready for connections. */
async function readPort(portsDir: string, isGone: () => boolean): Promise<number | undefined> {
  while (!isGone()) {
    const [name] = readdirSync(portsDir)
    const text = name === undefined ? '' : readFileSync(join(portsDir, name), 'utf8')
    if (text.endsWith('}')) {
      const ports = JSON.parse(text) as { nats: string[] }
      return Number(new URL(ports.nats[0] ?? '').port)
    }
    await wait(10)
  }
  return undefined
}

type Level = 'debug' | 'warn' | 'error'
const levels: Record<string, Level> = { WRN: 'warn', ERR: 'error', FTL: 'error' }

/** `[pid] 2026/01/31 10:00:00.000000 [INF] text`; a complaint about the configuration has no such head. */
function readLine(line: string): { level: Level; text: string } {
  const [, mark = '', text = line] = /^\[\d+\] \S+ \S+ \[(\w{3})\] (.*)$/.exec(line) ?? []
  if (mark === '') return { level: 'error', text: line }
  return { level: levels[mark] ?? 'debug', text }
}

/**
 * A command whose process ends when ours does, however ours ends: Linux sends it a signal then. Without `setpriv`
 * (util-linux 2.33 or newer) it is the plain command, and the next start ends what was left behind.
 */
export function tethered(command: string, args: string[]): [string, string[]] {
  canTether ??= spawnSync('setpriv', ['--pdeathsig', 'TERM', '--', 'true']).status === 0
  if (!canTether) return [command, args]
  return ['setpriv', ['--pdeathsig', 'TERM', '--', command, ...args]]
}
let canTether: boolean | undefined

/** Throws `NatsPortTaken` when something listens on this port of 127.0.0.1 already. 0 is never taken. */
export async function refuseTakenPort(port: number): Promise<void> {
  const probe = createServer()
  probe.listen(port, '127.0.0.1')
  try {
    await once(probe, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new NatsPortTaken(
      `port ${port} on 127.0.0.1 is taken: end what listens there, or choose another port with --nats-port (0 picks a free one)`,
    )
  }
  probe.close()
  await once(probe, 'close')
}
