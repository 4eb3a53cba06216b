/**
 * A nats-server as bare as it comes, for floors: loopback, a free port, no JetStream, no accounts. The binary is the one
 * that lambus finds.
 */
import { spawn } from 'node:child_process'
import { findNatsServer } from '../../bus/server-binary.ts'
import { endProcess } from '../harness/processes.ts'

export type BareServer = AsyncDisposable & { url: string; pid: number }

export async function startBareServer(): Promise<BareServer> {
  const { path } = await findNatsServer({ environment: process.env })
  const child = spawn(path, ['--addr', '127.0.0.1', '--port', '-1'], {
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
