/** A nats-server as bare as it comes, for floors: loopback, a free port, no JetStream, no accounts. */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { endProcess } from '../harness/processes.ts'

export type BareServer = AsyncDisposable & { url: string; pid: number }

/** `LAMBUS_NATS_SERVER`, else `nats-server` on PATH: the first two ways of lambus itself. */
export function natsServerPath(): string {
  const named = process.env['LAMBUS_NATS_SERVER']
  const places = (process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, 'nats-server'))
  const found = [...(named ? [named] : []), ...places].find(isExecutable)
  if (found !== undefined) return found
  throw new Error('The floor needs a nats-server: on PATH, or named by LAMBUS_NATS_SERVER.')
}

export async function startBareServer(): Promise<BareServer> {
  const child = spawn(natsServerPath(), ['--addr', '127.0.0.1', '--port', '-1'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    let log = ''
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk
      const port = /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(log)?.[1]
      if (port !== undefined && log.includes('Server is ready')) {
        resolve(`nats://127.0.0.1:${port}`)
      }
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`nats-server did not start: ${log}`)))
  })
  return {
    url,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: () => endProcess(child),
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
