/** Every suite of test/bus on the official NATS image, but those about finding, configuring and running a binary. */
import { readdirSync } from 'node:fs'
import { NatsContainer } from '@testcontainers/nats'
import { connect } from 'nats'
import { expect, onTestFinished, test } from 'vitest'
import { checkServer } from '../../bus/server.ts'
import { onImage } from './on-image.ts'

const folder = new URL('../bus/', import.meta.url)
const suites = readdirSync(folder).filter((name) => /^(?!server).*\.test\.ts$/.test(name))

const image = await onImage(
  'the bus suites',
  suites.map((name) => new URL(name, folder)),
)

test.runIf(image)(
  'the image, started by testcontainers with JetStream, is what lambus needs once messages may be large',
  async () => {
    const container = await new NatsContainer(image ?? '')
      .withCopyContentToContainer([{ target: '/large.conf', content: 'max_payload: 8MB\n' }])
      .withArg('config', '/large.conf')
      .withJetStream()
      .start()
    onTestFinished(async () => void (await container.stop()))
    const nats = await connect({ ...container.getConnectionOptions(), reconnect: false })
    onTestFinished(() => nats.close())
    await checkServer(nats)
    expect(nats.info?.max_payload).toBe(8 * 1024 * 1024)
  },
)
