/**
 * The CLI as people run it: a process with arguments, two streams and an exit code.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const bin = join(import.meta.dirname, '../../bin/lambus.js')

export type Ran = { code: number; stdout: string; stderr: string }

export type Run = {
  cwd?: string
  env?: Record<string, string | undefined>
  stdin?: string
}

/** Without what the environment of the tests says of another system, and of npm. */
export const cleanEnvironment = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:LAMBUS|NATS|AWS|npm)_/i.test(name)),
  )

export function runLambus(args: string[], { cwd, env = {}, stdin }: Run = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [bin, ...args],
      { ...(cwd === undefined ? {} : { cwd }), env: { ...cleanEnvironment(), ...env } },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr })
      },
    )
    child.stdin?.end(stdin)
  })
}

export type Ready = { http: string; inspector: string; nats: string; pid: number }

export type Server = {
  ready: Ready
  /** Lines on stdout, the ready line included. */
  stdout: string[]
  stderr(): string
  /** Resolves with its exit code, or with the signal that it died of. */
  end(signal?: NodeJS.Signals): Promise<number | string | null>
}

const running = new Set<ChildProcess>()
/** For `afterAll`: what a failed test left behind. */
export async function endLeftovers(): Promise<void> {
  for (const child of running) child.kill('SIGTERM')
  await Promise.all([...running].map((child) => once(child, 'exit')))
}

/** `lambus up` or `lambus start`. Resolves at its ready line; rejects with what it wrote when it ends before that. */
export async function startLambus(
  command: readonly string[],
  args: readonly string[],
  run: Run = {},
): Promise<Server> {
  const [file = '', ...before] = command
  const child = spawn(file, [...before, ...args], {
    ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
    env: { ...cleanEnvironment(), ...run.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const exited = once(child, 'exit').finally(() => running.delete(child))
  const stdout: string[] = []
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const lines = createInterface(child.stdout)
  lines.on('line', (line) => stdout.push(line))
  const [line] = await Promise.race([
    once(lines, 'line'),
    exited.then(([code, signal]) => {
      throw new Error(`it ended with ${code ?? signal} before it was ready:\n${stderr}`)
    }),
  ])
  return {
    ready: readReadyLine(line),
    stdout,
    stderr: () => stderr,
    end: (signal = 'SIGTERM') => end(child, exited, signal),
  }
}

export const lambusCommand = [process.execPath, bin]

async function end(child: ChildProcess, exited: Promise<unknown[]>, signal: NodeJS.Signals) {
  child.kill(signal)
  const [code, died] = (await exited) as [number | null, string | null]
  return code ?? died
}

export function readReadyLine(line: string): Ready {
  const [, http = '', inspector = '', nats = '', pid = ''] =
    /^lambus ready http=(\S+) inspector=(\S+) nats=(\S+) pid=(\d+)$/.exec(line) ?? []
  if (pid === '') throw new Error(`not a ready line: ${line}`)
  return { http, inspector, nats, pid: Number(pid) }
}
