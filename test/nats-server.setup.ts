/** Finds a nats-server once for the whole run and hands its path to the tests: `inject('natsServer')`. */
import { execFileSync } from 'node:child_process'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    natsServer: string
  }
}

export default function setup(project: TestProject): void {
  const path = execFileSync('sh', ['-c', 'command -v nats-server'], { encoding: 'utf8' }).trim()
  project.provide('natsServer', path)
}
