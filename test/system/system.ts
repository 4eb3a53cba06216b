/**
 * The whole system as its users start it: real processes, free ports, a data directory of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  CreateFunctionCommand,
  type CreateFunctionCommandInput,
  LambdaClient,
  waitUntilFunctionActiveV2,
} from '@aws-sdk/client-lambda'
import { zipSync } from 'fflate'
import { inject } from 'vitest'

export const launcher = fileURLToPath(new URL('../../bin/lambus.js', import.meta.url))

export type LambusProcess = {
  child: ChildProcess
  pid: number
  http: string | undefined
  inspector: string | undefined
  nats: string
  /** What it wrote on stderr so far. */
  log(): string
  /** SIGTERM; resolves with the exit code. */
  end(): Promise<number | null>
  kill(signal?: NodeJS.Signals): Promise<void>
}

/** Starts `lambus <args>` and resolves with what its ready line says. */
export async function startLambus(
  args: string[],
  environment: Record<string, string> = {},
): Promise<LambusProcess> {
  const child = spawn(process.execPath, [launcher, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LAMBUS_NATS_SERVER: inject('natsServer').path, ...environment },
  })
  let log = ''
  child.stderr.on('data', (bytes) => {
    log += bytes
  })
  const ended = once(child, 'close')
  const line = await Promise.race([
    once(createInterface(child.stdout), 'line').then(([text]) => String(text)),
    ended.then(([code]) => {
      throw new Error(`lambus ${args.join(' ')} ended with ${code}:\n${log}`)
    }),
  ])
  const said = (name: string) => new RegExp(`${name}=(\\S+)`).exec(line)?.[1] ?? ''
  const address = (name: string) => (said(name) === '-' ? undefined : said(name))
  return {
    child,
    pid: child.pid ?? 0,
    http: address('http'),
    inspector: address('inspector'),
    nats: said('nats'),
    log: () => log,
    async end() {
      child.kill('SIGTERM')
      const [code] = await ended
      return code as number | null
    },
    async kill(signal = 'SIGKILL') {
      child.kill(signal)
      await ended
    },
  }
}

export type System = LambusProcess & {
  dataDir: string
  lambda: LambdaClient
  /** With credentials. */
  natsUrl: string
  stop(): Promise<void>
}

export function lambdaClient(endpoint: string, more: object = {}): LambdaClient {
  return new LambdaClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
    ...more,
  })
}

/** `lambus up` on free ports. */
export async function startSystem(
  args: string[] = [],
  environment: Record<string, string> = {},
): Promise<System> {
  const dataDir = mkdtempSync(join(tmpdir(), 'lambus-system-'))
  const ports = ['--http-port', '0', '--inspector-port', '0']
  if (!args.includes('--nats')) ports.push('--nats-port', '0')
  const up = await startLambus(['up', ...ports, '--data-dir', dataDir, ...args], environment)
  const { user, password } = JSON.parse(readFileSync(join(dataDir, 'connection.json'), 'utf8'))
  return {
    ...up,
    dataDir,
    lambda: lambdaClient(up.http ?? ''),
    natsUrl: user === undefined ? up.nats : up.nats.replace('://', `://${user}:${password}@`),
    async stop() {
      await up.end()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

export const zipOf = (files: Record<string, string>): Uint8Array =>
  zipSync(
    Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])),
  )

/** Makes a function of one file and waits until it is active. */
export async function deploy(
  lambda: LambdaClient,
  name: string,
  code: string,
  more: Partial<CreateFunctionCommandInput> = {},
): Promise<void> {
  await lambda.send(
    new CreateFunctionCommand({
      FunctionName: name,
      Runtime: 'nodejs24.x',
      Handler: 'index.handler',
      Role: 'arn:aws:iam::000000000000:role/r',
      Code: { ZipFile: zipOf({ 'index.mjs': code }) },
      ...more,
    }),
  )
  await waitUntilFunctionActiveV2(
    { client: lambda, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.5 },
    { FunctionName: name },
  )
}

/** The nats-server that a lambus has started, or is about to start again. Source: proc(5), "/proc/pid/task/tid/children". */
export async function natsServerPid(lambusPid: number): Promise<number> {
  for (;;) {
    const found = childrenOf(lambusPid).find((pid) => commandOf(pid) === 'nats-server')
    if (found !== undefined) return found
    await wait(20)
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}
