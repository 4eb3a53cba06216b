/** `lambus events` and `lambus queues`, each a process of its own, with the desk on a real server. */
import { spawn } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type EventDesk, openEventDesk } from '../../actors/event-desk.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { encodePacket, type StoredEvent } from '../../bus/event-packet.ts'
import { listEvents } from '../../bus/event-shelf.ts'
import { ensureEvents } from '../../bus/event-stream.ts'
import { dead, eventPacket, eventStream, queues, retry } from '../../bus/subjects.ts'
import type { QueuesAnswer } from '../../cli/queues.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { cleanEnvironment, lambusCommand, runLambus } from './run-lambus.ts'

let server: TestServer
let bus: Bus
let desk: EventDesk
let ids = 0
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'state-manager', id: 'cli' })
  await ensureEvents(bus)
  desk = openEventDesk(bus, {
    choose: () => ({ queue: 'q', lane: 0 }),
    clock: { nowMs: () => Date.now() },
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

const lambus = (...args: string[]) => runLambus([...args, '--nats', server.url])
const json = async (...args: string[]) => JSON.parse((await lambus(...args, '--json')).stdout)

const event = (id: string, more: Partial<StoredEvent> = {}): StoredEvent => ({
  id,
  acceptedAtMs: Date.now() - 61_000,
  attempts: 0,
  putOff: 0,
  payload: Buffer.from(`{ "id": "${id}" }`),
  ...more,
})
const failure = {
  last: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
  response: Buffer.from('{"errorType":"TypeError","errorMessage":"boom"}'),
}
const queue = (id: string, functionName = 'f') =>
  bus.jetstream.publish(eventPacket('shared', 1, functionName, 1), encodePacket([event(id)]))
const delay = (id: string) =>
  bus.jetstream.publish(
    retry('shared', 1, 'f', id),
    encodePacket([event(id, { attempts: 1, ...failure })]),
    {
      schedule: {
        specification: new Date(Date.now() + 50_000),
        target: eventPacket('shared', 1, 'f', 1),
      },
    },
  )
const bury = (id: string, functionName = 'f') => {
  const to = [{ as: 'destination' as const, arn: 'arn:aws:sqs:us-east-1:000000000000:gone' }]
  const telling = { condition: 'RetriesExhausted', endedAtMs: Date.now() - 2_000, to }
  return bus.jetstream.publish(
    dead(functionName, id),
    encodePacket([event(id, { attempts: 3, qualifier: 'live', telling, ...failure })]),
  )
}
const states = async () =>
  (await listEvents(bus, { limit: 5_000 })).events.map(
    ({ state, event: { id } }) => `${state} ${id}`,
  )

/** Cells of a table: two blanks or more divide them. */
const rows = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/))

describe('lambus events list', () => {
  test('shows a row for each event', async () => {
    await queue('a')
    await delay('b')
    await bury('c')
    const { code, stdout } = await lambus('events', 'list')
    expect(code).toBe(0)
    const age = expect.stringMatching(/^1m \d+s$/)
    expect(rows(stdout)).toEqual([
      ['REQUEST ID', 'FUNCTION', 'STATE', 'ATTEMPTS', 'AGE', 'DUE', 'END', 'LAST ERROR'],
      ['c', 'f:live', 'dead', '3', age, '-', 'RetriesExhausted', 'TypeError: boom'],
      [
        'b',
        'f',
        'waiting',
        '1',
        age,
        expect.stringMatching(/^in [34]\d\.\d s$/),
        '-',
        'TypeError: boom',
      ],
      ['a', 'f', 'queued', '0', age, '-', '-', '-'],
    ])
  })

  test('can be narrowed down, and says when there is more', async () => {
    for (const id of ['a', 'b', 'c']) await queue(id)
    await queue('d', 'g')
    await bury('e', 'g')
    const arn = 'arn:aws:lambda:us-east-1:000000000000:function:g'
    const idsOf = ({ events }: { events: { requestId: string }[] }) =>
      events.map(({ requestId }) => requestId)
    expect(idsOf(await json('events', 'list', '--function', arn))).toEqual(['e', 'd'])
    expect(idsOf(await json('events', 'ls', '--state', 'dead'))).toEqual(['e'])
    const { stdout, stderr } = await lambus('events', 'list', '--limit', '2')
    expect(rows(stdout).length).toBe(3)
    expect(stderr).toBe('There are more than 2: --limit shows more of them.\n')
  })

  test('takes as many pages as it needs', async () => {
    const packet = (from: number) => Array.from({ length: 60 }, (_, at) => event(`e${from + at}`))
    for (let from = 0; from < 1_020; from += 60) {
      await bus.jetstream.publish(eventPacket('shared', 1, 'f', 60), encodePacket(packet(from)))
    }
    expect((await json('events', 'list', '--limit', '2000')).events.length).toBe(1_020)
    expect((await json('events', 'list', '--limit', '700')).events.length).toBe(700)
  })

  test('is not cut off when who reads it is slow', async () => {
    const packet = Array.from({ length: 500 }, (_, at) => event(`e${at}`))
    for (let time = 0; time < 4; time++) {
      await bus.jetstream.publish(eventPacket('shared', 1, 'f', 500), encodePacket(packet))
    }
    const args = ['events', 'list', '--limit', '2000', '--json', '--nats', server.url]
    const [command = '', ...before] = lambusCommand
    const child = spawn(command, [...before, ...args], { env: cleanEnvironment() })
    await wait(1_500)
    let text = ''
    for await (const chunk of child.stdout) text += chunk
    expect(JSON.parse(text).events.length).toBe(2_000)
  })

  test('says so when there is nothing', async () => {
    expect(await lambus('events', 'list')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'There are no such events.\n',
    })
    expect(await json('events', 'list')).toEqual({ events: [] })
  })
})

describe('lambus events show', () => {
  test('shows all that is known of an event', async () => {
    await bury('c')
    const { stdout } = await lambus('events', 'show', 'c')
    expect(stdout).toMatch(/^function +f:live$/m)
    expect(stdout).toMatch(/^ended +RetriesExhausted, \d{4}-.*Z \(\d+\.\d s ago\)$/m)
    expect(stdout).toMatch(/^last attempt +200 Unhandled of version \$LATEST$/m)
    expect(stdout).toMatch(/^destination for +arn:aws:sqs:us-east-1:000000000000:gone$/m)
    expect(stdout).toContain('\n\n{ "id": "c" }\n\nanswered\n\n{"errorType"')
  })

  test('is JSON for programs, the payload in it', async () => {
    await delay('b')
    expect(await json('events', 'show', 'b')).toMatchObject({
      requestId: 'b',
      state: 'waiting',
      queue: 'shared',
      lane: 1,
      dueAtMs: expect.any(Number),
      payload: { id: 'b' },
      response: { errorType: 'TypeError', errorMessage: 'boom' },
    })
  })

  test('says when there is none', async () => {
    const { code, stderr } = await lambus('events', 'show', 'x')
    expect([code, stderr]).toEqual([1, "lambus: no event 'x' is waiting or dead\n"])
    const asJson = await lambus('events', 'show', 'x', '--json')
    expect(JSON.parse(asJson.stderr).error.code).toBe('EVENT_NOT_FOUND')
  })
})

describe('lambus events redrive', () => {
  test('puts named events back; one that is not dead makes exit code 1', async () => {
    await bury('a')
    await bury('b')
    expect(await lambus('events', 'redrive', 'a', 'x')).toEqual({
      code: 1,
      stdout: 'put back 1 event\n',
      stderr: "lambus: 'x' is not dead\n",
    })
    expect(await states()).toEqual(['dead b', 'queued a'])
  })

  test('puts back all of a function, or all', { timeout: 60_000 }, async () => {
    await Promise.all(Array.from({ length: 600 }, (_, index) => bury(`f${index}`)))
    await bury('g0', 'g')
    const ofF = await json('events', 'redrive', '--function', 'f')
    expect([ofF.redriven.length, ofF.notDead]).toEqual([600, []])
    expect((await states()).filter((state) => state.startsWith('dead'))).toEqual(['dead g0'])
    expect((await lambus('events', 'redrive', '--all')).stdout).toBe('put back 1 event\n')
    expect((await states()).length).toBe(601)
    expect((await lambus('events', 'redrive', '--all')).stdout).toBe('put back 0 events\n')
  })

  test.each([[[]], [['a', '--all']], [['--function', 'f', '--all']]])(
    'wants to know which, and in one way: %j',
    async (args) => {
      const { code, stderr } = await lambus('events', 'redrive', ...args)
      expect([code, stderr]).toEqual([1, 'error: give request ids, or --function, or --all\n'])
    },
  )
})

describe('lambus queues', () => {
  const answer: QueuesAnswer = {
    queues: [
      {
        queue: 'shared-0',
        kind: 'shared',
        state: 'serving',
        lanes: [
          { lane: 0, poller: 'p1', state: 'reading' },
          { lane: 1, state: 'waiting' },
        ],
        functions: [
          {
            functionName: 'f',
            backlog: 12,
            inFlight: 3,
            oldestMs: 1_234,
            firstAttemptP50Ms: 12.4,
            firstAttemptP99Ms: null,
          },
          { functionName: 'g', backlog: 0, inFlight: 0 },
        ],
      },
      {
        queue: 'own-h',
        kind: 'dedicated',
        functionName: 'h',
        state: 'draining',
        lanes: [{ lane: 0, poller: 'p2', state: 'reading' }],
        functions: [],
      },
    ],
  }

  test('shows a row per queue and function', async () => {
    const hearing = bus.subscribe(queues, (message) => message.respond(JSON.stringify(answer)))
    await bus.nats.flush()
    const { stdout } = await lambus('queues')
    expect(rows(stdout).slice(1)).toEqual([
      ['shared-0', 'shared', 'serving', '1 of 2', 'f', '12', '3', '1.2 s', '12 ms', '-'],
      ['shared-0', 'shared', 'serving', '1 of 2', 'g', '0', '0', '-', '-', '-'],
      ['own-h', 'dedicated', 'draining', '1 of 1', 'h', '0', '0', '-', '-', '-'],
    ])
    expect(await json('queues')).toEqual(answer)
    hearing.stop()
  })

  test('says when there is no state manager', async () => {
    const { code, stderr } = await lambus('queues')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^lambus: there is a NATS server at nats:.*, but no state manager on it/)
  })
})
