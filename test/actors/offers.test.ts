import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Assignment } from '../../actors/holding.ts'
import { openOffers } from '../../actors/offers.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Directory, openDirectory } from '../../bus/directory.ts'
import { assignmentsBucket } from '../../bus/subjects.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
let directory: Directory<Assignment>
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'leasing', id: 'test' })
  directory = await openDirectory<Assignment>(bus, assignmentsBucket)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

test('what was wanted last is what is written last, and what was wanted in between is passed over', async () => {
  // As they are made: a watch may pass over what is written over at once.
  const written: string[] = []
  const offers = openOffers({
    ...directory,
    put(key, value, epoch) {
      written.push(`${key} ${value.poller}`)
      return directory.put(key, value, epoch)
    },
    remove(key, epoch) {
      written.push(`${key} undefined`)
      return directory.remove(key, epoch)
    },
  })
  const write = (key: string, poller: string | undefined) => offers.write(key, { poller, epoch: 1 })
  await Promise.all([
    ...['p1', 'p2', 'p3', undefined, 'p4'].map((poller) => write('a', poller)),
    ...['p1', undefined].map((poller) => write('b', poller)),
  ])
  expect(written.filter((line) => line.startsWith('a'))).toEqual(['a p1', 'a p4'])
  expect(written.filter((line) => line.startsWith('b'))).toEqual(['b p1', 'b undefined'])
  expect(await directory.read('a')).toEqual({ poller: 'p4' })
  expect(await directory.read('b')).toBeUndefined()
})
