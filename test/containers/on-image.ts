/**
 * Runs suites that are written against `startNatsServer()` once more, on the official NATS image: what our binary
 * promises, the image has to promise too.
 *
 * A suite is a test file of another folder; it is not changed for this. To add one, add a file of three lines here:
 *
 *     import { onImage } from './on-image.ts'
 *     await onImage('the … suite', [new URL('../folder/name.test.ts', import.meta.url)])
 */
import { describe, inject, test } from 'vitest'
import { startServersBy } from '../nats-server.ts'
import { findEngine } from './engine.ts'
import { startInContainer } from './nats-container.ts'

/**
 * Registers the suites' tests. Resolves with the image's name; with undefined where there is none, which one printed
 * line says and why.
 */
export async function onImage(what: string, suites: URL[]): Promise<string | undefined> {
  const engine = await findEngine(inject('natsServer').version)
  if ('absent' in engine) {
    console.error(`not run: ${what} on the NATS image: ${engine.absent}`)
    test.skip(`${what} on the NATS image: ${engine.absent}`, () => {})
    return undefined
  }
  startServersBy(startInContainer(engine.image))
  for (const suite of suites) {
    describe(`${suite.pathname.split('/').at(-1)} on ${engine.image}`, async () => {
      await import(suite.href)
    })
  }
  return engine.image
}
