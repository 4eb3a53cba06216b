/**
 * A process that hosts tallies and kills itself, the hard way, at one point: what a test cannot do to itself.
 *     node tally-process.ts <nats url> <before the store | after the store | before the ack>
 */
import { randomUUID } from 'node:crypto'
import { durable } from '../../actors/durable.ts'
import { openActorStore } from '../../bus/actor-store.ts'
import { openBus } from '../../bus/connection.ts'
import { openDurableInbox } from '../../bus/durable-inbox.ts'
import { systemClock } from '../../edges/clock.ts'
import { keptLog } from '../kept-log.ts'
import { tallyMachine } from './tally.ts'

const [url = '', deadly] = process.argv.slice(2)
const bus = await openBus({ servers: url, role: 'test', id: 'doomed' })
const told =
  (what: string) =>
  async (_: unknown, { key }: { key: string }) => {
    bus.publish('told', JSON.stringify({ what, key }))
    await bus.nats.flush()
  }
durable(tallyMachine, {
  store: await openActorStore(bus),
  inbox: await openDurableInbox(bus),
  clock: systemClock,
  log: keptLog(),
  newId: randomUUID,
  ackWaitMs: 500,
  duties: { tell: told('tell'), ring: told('ring'), bury: told('bury') },
  crash: (point) => {
    if (point === deadly) process.kill(process.pid, 'SIGKILL')
  },
})
