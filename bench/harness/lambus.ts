/**
 * lambus as a black box: `lambus up` as anyone starts it, the AWS SDK to deploy, NATS and HTTP to invoke. Nothing here
 * knows more than its manual says; only the command lines in /proc tell which process is which.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  LambdaClient,
  waitUntilFunctionActiveV2,
} from '@aws-sdk/client-lambda'
import { strToU8, zipSync } from 'fflate'
import type { NatsServer } from './clients.ts'
import { endProcess, type Process, type Roles, tree } from './processes.ts'

export type Lambus = AsyncDisposable & {
  pid: number
  nats: NatsServer
  httpUrl: string
  /** Creates a function and waits until it is Active. `source` is its `index.mjs`; default: an echo. */
  deploy(functionName: string, source?: string): Promise<void>
  remove(functionName: string): Promise<void>
  /** Its processes by role. */
  processes(): Roles
}

export const invokeSubject = (functionName: string) => `lambus.invoke.${functionName}`

export const echoSource = 'export const handler = async (event) => event\n'

/** MemorySize of every function here: AWS's default, and the least there is. */
export const functionMemoryMb = 128

const readyWithinMs = 30_000
const command = fileURLToPath(new URL('../../bin/lambus.js', import.meta.url))

/** `environment`: knobs of config.ts that the question needs; everything else has its default. */
export async function startLambus(environment: Record<string, string> = {}): Promise<Lambus> {
  await using stack = new AsyncDisposableStack()
  const dataDir = mkdtempSync(join(tmpdir(), 'lambus-bench-'))
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }))
  const logFile = join(dataDir, 'lambus.log')
  const log = openSync(logFile, 'w')
  const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']
  const child = spawn(process.execPath, [command, 'up', ...ports, '--data-dir', dataDir], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', log],
  })
  closeSync(log)
  stack.defer(() => endProcess(child))
  await ready(child, logFile)
  const connection = JSON.parse(readFileSync(join(dataDir, 'connection.json'), 'utf8'))
  const lambda = new LambdaClient({
    endpoint: connection.http,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  })
  stack.defer(() => lambda.destroy())
  const started = stack.move()
  const root = child.pid ?? 0

  return {
    pid: root,
    nats: { url: connection.nats, user: connection.user, password: connection.password },
    httpUrl: connection.http,
    async deploy(functionName, source = echoSource) {
      await lambda.send(
        new CreateFunctionCommand({
          FunctionName: functionName,
          Runtime: 'nodejs24.x' as 'nodejs22.x',
          Handler: 'index.handler',
          Role: 'arn:aws:iam::000000000000:role/bench',
          MemorySize: functionMemoryMb,
          Timeout: 30,
          Code: { ZipFile: zipSync({ 'index.mjs': strToU8(source) }) },
        }),
      )
      await waitUntilFunctionActiveV2(
        { client: lambda, minDelay: 1, maxDelay: 1, maxWaitTime: 20 },
        { FunctionName: functionName },
      )
    },
    async remove(functionName) {
      await lambda.send(new DeleteFunctionCommand({ FunctionName: functionName }))
    },
    processes: () => Map.groupBy(tree(root), (process) => roleOf(process, root)),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

/** The same on every machine and in every run, and different for each name: code of its own for a function. */
export function ownSource(name: string): string {
  return `// ${createHash('sha256').update(name).digest('hex')}\n${echoSource}`
}

function roleOf({ pid, command }: Process, root: number): string {
  if (pid === root) return 'main'
  if (/nats-server/.test(command)) return 'nats-server'
  if (/\/runtimes\//.test(command)) return 'sandboxes'
  const role = /\bstart ([a-z-]+)/.exec(command)?.[1]
  return role ?? 'other'
}

async function ready(child: ChildProcess, logFile: string): Promise<void> {
  let out = ''
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string) =>
      reject(new Error(`lambus up ${why}\n${out}${tail(readFileSync(logFile, 'utf8'))}`))
    const deadline = setTimeout(() => fail('was not ready in time'), readyWithinMs)
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk
      if (!/^lambus ready /m.test(out)) return
      clearTimeout(deadline)
      resolve()
    })
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(deadline)
      fail(`ended with code ${code}`)
    })
  })
}

const tail = (log: string) => log.split('\n').slice(-20).join('\n')
