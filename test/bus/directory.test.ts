import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { type Directory, openDirectory } from '../../bus/directory.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
let directory: Directory<string>
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
  directory = await openDirectory<string>(bus, 'lambus_test')
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

test('a leader cannot write over what a later one wrote', async () => {
  expect(await directory.put('a', 'first', 1)).toBe('stored')
  expect(await directory.put('a', 'second', 2)).toBe('stored')
  expect(await directory.put('a', 'late', 1)).toBe('stale')
  expect(await directory.remove('a', 1)).toBe('stale')
  expect(await directory.read('a')).toBe('second')
  expect(await directory.remove('a', 2)).toBe('stored')
  expect(await directory.read('a')).toBeUndefined()
})

test('what a leader takes over stays as it is, and the one before it cannot change it any more', async () => {
  await directory.put('b', 'value', 1)
  expect(await directory.epochOf('b')).toBe(1)
  expect(await directory.take('b', 2)).toBe('value')
  expect(await directory.epochOf('b')).toBe(2)
  expect(await directory.put('b', 'late', 1)).toBe('stale')
  expect(await directory.take('b', 1)).toBe('stale')
  // Its own, and what is not there, is nothing that it could take over.
  expect(await directory.take('b', 2)).toBeUndefined()
  expect(await directory.take('c', 2)).toBeUndefined()
  expect(await directory.epochOf('c')).toBe(0)
})
