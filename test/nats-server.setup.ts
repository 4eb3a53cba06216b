/** Finds a nats-server once for the whole run, as `lambus up` does, and hands it to the tests: `inject('natsServer')`. */
import type { TestProject } from 'vitest/node'
import { findNatsServer, type NatsBinary } from '../bus/server-binary.ts'

declare module 'vitest' {
  interface ProvidedContext {
    natsServer: NatsBinary
  }
}

export default async function setup(project: TestProject): Promise<void> {
  let last = ''
  const binary = await findNatsServer({
    environment: process.env,
    onProgress(what) {
      if (what !== last) console.error(what)
      last = what
    },
  })
  console.error(`nats-server ${binary.version}: ${binary.path}`)
  project.provide('natsServer', binary)
}
