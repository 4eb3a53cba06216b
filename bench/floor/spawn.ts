/** The floor of a cold start: a Node process with nothing to load, from its spawn to its first message on an inherited socket. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'

export async function spawnBareNodeMs(): Promise<number> {
  const started = performance.now()
  const child = spawn(process.execPath, ['--eval', "require('node:fs').writeSync(3, 'ready')"], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  })
  const gone = once(child, 'exit')
  await once(child.stdio[3] as Socket, 'data')
  const elapsedMs = performance.now() - started
  await gone
  return elapsedMs
}
