import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type EventDesk, openEventDesk } from '../../actors/event-desk.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { encodePacket, type StoredEvent } from '../../bus/event-packet.ts'
import { ensureEvents } from '../../bus/event-stream.ts'
import {
  dead,
  eventPacket,
  eventStream,
  queuedEvent,
  queuedEvents,
  redrive,
} from '../../bus/subjects.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
let desk: EventDesk
let ids = 0
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'state-manager', id: 'desk' })
  await ensureEvents(bus)
  desk = openEventDesk(bus, {
    choose: () => ({ queue: 'q', lane: 0 }),
    clock: { nowMs: () => 5_000 },
    newId: () => `w${++ids}`,
    log: keptLog(),
  })
})
afterAll(async () => {
  desk.stop()
  await bus.close()
  await server.stop()
})
afterEach(async () => {
  await (await bus.jetstreamManager()).streams.purge(eventStream)
})

const died = (id: string, more: Partial<StoredEvent> = {}): StoredEvent => ({
  id,
  acceptedAtMs: 1,
  attempts: 3,
  putOff: 0,
  last: { statusCode: 200, functionError: 'Unhandled' },
  telling: { condition: 'RetriesExhausted', endedAtMs: 2, to: [] },
  payload: Buffer.from('{ "n": 1 }'),
  response: Buffer.from('{"errorType":"TypeError","errorMessage":"boom"}'),
  ...more,
})
const bury = (functionName: string, event: StoredEvent) =>
  bus.jetstream.publish(dead(functionName, event.id), encodePacket([event]))
const ask = async (subject: string, request?: unknown) => {
  const answer = await bus.request(subject, JSON.stringify(request), { timeoutMs: 20_000 })
  if (typeof answer === 'string') throw new Error(answer)
  return answer
}

test('a list says of each event where it is and what went wrong', async () => {
  await bury('f', died('a'))
  await bus.jetstream.publish(
    eventPacket('q', 3, 'f', 1),
    encodePacket([
      {
        id: 'b',
        acceptedAtMs: 2,
        attempts: 0,
        putOff: 2,
        payload: Buffer.from('{}'),
        last: { statusCode: 429 },
      },
    ]),
  )
  expect((await ask(queuedEvents)).json()).toEqual({
    events: [
      {
        requestId: 'a',
        functionName: 'f',
        state: 'dead',
        storedAtMs: expect.any(Number),
        acceptedAtMs: 1,
        attempts: 3,
        putOff: 0,
        payloadBytes: 10,
        responseBytes: 47,
        last: { statusCode: 200, functionError: 'Unhandled' },
        lastError: 'TypeError: boom',
        telling: { condition: 'RetriesExhausted', endedAtMs: 2, to: [] },
      },
      {
        requestId: 'b',
        functionName: 'f',
        state: 'queued',
        queue: 'q',
        lane: 3,
        storedAtMs: expect.any(Number),
        acceptedAtMs: 2,
        attempts: 0,
        putOff: 2,
        payloadBytes: 2,
        last: { statusCode: 429 },
        lastError: 'refused with 429',
      },
    ],
  })
})

test('pages follow each other', async () => {
  for (const id of ['a', 'b', 'c']) await bury('f', died(id))
  const first = (await ask(queuedEvents, { limit: 2 })).json<{ events: []; cursor: string }>()
  const second = (await ask(queuedEvents, { limit: 2, cursor: first.cursor })).json<{
    events: []
  }>()
  expect([first.events.length, second.events.length]).toEqual([2, 1])
  expect(second).not.toHaveProperty('cursor')
})

test('one event comes with its payload as it was, and the answer of its last attempt', async () => {
  await bury('f', died('a'))
  const [head = '', rest] = (await ask(queuedEvent, { requestId: 'a' })).string().split('\n')
  expect(JSON.parse(head)).toMatchObject({ event: { requestId: 'a', payloadBytes: 10 } })
  expect(rest).toBe('{ "n": 1 }{"errorType":"TypeError","errorMessage":"boom"}')
})

test('dead events go back, named or all of a function', async () => {
  for (const id of ['a', 'b', 'c']) await bury('f', died(id))
  await bury('g', died('d'))
  expect((await ask(redrive, { requestIds: ['a', 'x'] })).json()).toEqual({
    redriven: ['a'],
    notDead: ['x'],
  })
  expect((await ask(redrive, { functionName: 'f' })).json()).toMatchObject({ redriven: ['b', 'c'] })
  expect((await ask(redrive, { all: true })).json()).toMatchObject({ redriven: ['d'] })
  const { events } = (await ask(queuedEvents)).json<{ events: object[] }>()
  expect(events.length).toBe(4)
  for (const event of events) {
    expect(event).toMatchObject({ state: 'queued', attempts: 0, acceptedAtMs: 5_000 })
    expect(event).not.toHaveProperty('telling')
  }
})

test.each([
  [queuedEvents, { state: 'gone' }, 400, 'state has to be one of dead, waiting, queued'],
  [
    queuedEvents,
    { functionName: 'a.b' },
    400,
    'functionName has to be the plain name of a function',
  ],
  [queuedEvents, { limit: 0 }, 400, 'limit has to be a whole number from 1 to 500'],
  [queuedEvents, { cursor: 'x' }, 400, "'x' is no cursor"],
  [queuedEvents, { colour: 'red' }, 400, "there is no 'colour' here"],
  [queuedEvents, [], 400, 'the body has to be a JSON object'],
  [queuedEvent, {}, 400, 'requestId is missing'],
  [queuedEvent, { requestId: 'x' }, 404, "no event 'x' is waiting or dead"],
  [redrive, {}, 400, 'exactly one of requestIds, functionName and all is needed'],
  [
    redrive,
    { all: true, functionName: 'f' },
    400,
    'exactly one of requestIds, functionName and all is needed',
  ],
  [redrive, { requestIds: ['>'] }, 400, 'requestIds has to be at most 500 request ids'],
])('%s with %j is refused', async (subject, request, status, message) => {
  const answer = await ask(subject, request)
  expect(answer.headers?.get('Nats-Service-Error-Code')).toBe(String(status))
  expect(answer.json()).toEqual({ message })
})
