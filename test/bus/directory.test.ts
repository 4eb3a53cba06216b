import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { openDirectory } from '../../bus/directory.ts'
import { writerOf } from '../../bus/directory-writer.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'stream-tracker', id: 'directory' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

test('an entry is read as the bucket has it', async () => {
  const directory = await openDirectory<number>(bus, 'read')
  expect(await directory.read('a')).toBeUndefined()
  await directory.put('a', 1, 7)
  expect(await directory.put('a', 2, 6)).toBe('stale')
  expect(await directory.read('a')).toBe(1)
  await directory.remove('a', 7)
  expect(await directory.read('a')).toBeUndefined()
})

test('of writes to one key the last that was asked for stays, however long the first ones take', async () => {
  const directory = await openDirectory<number>(bus, 'ordered')
  const writer = writerOf({
    ...directory,
    put: async (key, value: number, epoch) => {
      await wait(value === 1 ? 30 : 0)
      if (value === 2) throw new Error('not written')
      return await directory.put(key, value, epoch)
    },
  })
  const writes = [writer.put('a', 1, 1), writer.put('a', 2, 1), writer.remove('a', 1)]
  const last = writer.put('a', 4, 1)
  expect(writer.isBusy('a')).toBe(true)
  expect(writer.isBusy('b')).toBe(false)
  expect(await last).toBe('stored')
  expect((await Promise.allSettled(writes)).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  expect(await directory.read('a')).toBe(4)
  await wait(0)
  expect(writer.isBusy('a')).toBe(false)
})
