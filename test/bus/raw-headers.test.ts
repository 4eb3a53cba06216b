import fc from 'fast-check'
import { headers } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus, Msg } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { rawHeader, rawHeaders } from '../../bus/raw-headers.ts'
import { readRecord, recordHeaders } from '../../bus/shard-record.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import '../seed.ts'
import { until } from './waiting.ts'

let server: TestServer
let bus: Bus
const heard: Msg[] = []

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: 'raw' })
  bus.subscribe('raw', (message) => heard.push(message))
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

async function sent(given: Record<string, string>): Promise<Msg> {
  const head = headers()
  for (const [name, value] of Object.entries(given)) head.set(name, value)
  const before = heard.length
  bus.publish('raw', 'body', Object.keys(given).length === 0 ? {} : { headers: head })
  await until(() => heard.length > before)
  return heard[before] as Msg
}

test('headers are read as nats.js reads them', async () => {
  const name = fc.stringMatching(/^[A-Z][a-z]{1,8}(-[A-Z][a-z]{1,8}){0,2}$/)
  const value = fc.stringMatching(/^[!-9;-~]([ -~]{0,20}[!-~])?$/)
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 4 }), async (given) => {
      const message = await sent(given)
      const raw = rawHeaders(message)
      for (const each of Object.keys(given)) {
        expect(rawHeader(raw, each)).toBe(message.headers?.get(each))
      }
      expect(rawHeader(raw, 'Not-There')).toBeUndefined()
    }),
    { numRuns: 30 },
  )
})

test('a message without headers has none', async () => {
  expect(rawHeaders(await sent({}))).toBe('')
})

test('a record is what was put, whatever its partition key', async () => {
  const keys = fc.string({ minLength: 1, maxLength: 40, unit: 'binary' })
  await fc.assert(
    fc.asyncProperty(keys, fc.nat(), async (partitionKey, arrivalMs) => {
      const message = await sent(recordHeaders({ partitionKey, arrivalMs: arrivalMs + 1 }))
      expect(readRecord(message, { sequence: 7, storedAtMs: 5 })).toMatchObject({
        sequence: 7,
        partitionKey: partitionKey.toWellFormed(),
        arrivalMs: arrivalMs + 1,
      })
    }),
    { numRuns: 30 },
  )
})
