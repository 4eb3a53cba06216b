/**
 * The suites of test/bus once more, on the official NATS image: what our binary promises, the image has to promise too.
 *
 * Every suite of that folder belongs here but those about finding and running a binary.
 */
import { readdirSync } from 'node:fs'
import { NatsContainer } from '@testcontainers/nats'
import { connect } from 'nats'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { checkServer } from '../../bus/server.ts'
import { startServersBy } from '../nats-server.ts'
import { findEngine } from './engine.ts'
import { startInContainer } from './nats-container.ts'

const engine = await findEngine(inject('natsServer').version)

if ('absent' in engine) {
  console.error(`not run: the bus suites on the NATS image: ${engine.absent}`)
  test.skip(`the bus suites on the NATS image (${engine.absent})`, () => {})
} else {
  startServersBy(startInContainer(engine.image))
  const folder = new URL('../bus/', import.meta.url)
  const suites = readdirSync(folder).filter((name) => /^(?!server).*\.test\.ts$/.test(name))
  for (const suite of suites) {
    describe(`${suite} on ${engine.image}`, async () => {
      await import(new URL(suite, folder).href)
    })
  }

  test('the image as testcontainers starts it, with JetStream, is what lambus needs once messages may be large', async () => {
    const container = await new NatsContainer(engine.image)
      .withCopyContentToContainer([{ target: '/large.conf', content: 'max_payload: 8MB\n' }])
      .withArg('config', '/large.conf')
      .withJetStream()
      .start()
    onTestFinished(async () => void (await container.stop()))
    const nats = await connect({ ...container.getConnectionOptions(), reconnect: false })
    onTestFinished(() => nats.close())
    await checkServer(nats)
    expect(nats.info?.max_payload).toBe(8 * 1024 * 1024)
  })
}
