import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { host } from '../../actors/actor.ts'
import { onBus } from '../../actors/on-bus.ts'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { actor } from '../../bus/subjects.ts'
import { keptLog } from '../kept-log.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { simulatedClock } from '../simulated-clock.ts'
import { toyMachine } from './toy.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'test', id: '1' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

function toyOnBus() {
  const log = keptLog()
  const toy = host(toyMachine, {
    clock: simulatedClock(),
    log,
    duties: { greet: () => {}, note: () => {}, explode: () => {} },
  })
  const hearing = onBus(toy, bus)
  onTestFinished(() => hearing.stop())
  toy.start('a', { n: 0 })
  return { toy, log }
}
const patience = { timeout: 10_000, interval: 10 }
/** What was published before has arrived. */
const arrived = async () => {
  await bus.nats.flush()
  await new Promise(setImmediate)
}

test('an actor hears its events by their subjects, with the fields of the body', async () => {
  const { toy } = toyOnBus()
  bus.publish(actor('toy', 'a', 'go'), JSON.stringify({ n: 4, type: 'die' }))
  await vi.waitFor(() => expect(toy.snapshot('a')?.value).toEqual({ busy: 'light' }), patience)
  expect(toy.snapshot('a')?.context.n).toBe(4)
  bus.publish(actor('toy', 'a', 'back'))
  await vi.waitFor(() => expect(toy.snapshot('a')?.value).toBe('idle'), patience)
})

// Malformed messages are counted, logged once and dropped.
test('what is no event is counted, logged once and dropped', async () => {
  const { toy, log } = toyOnBus()
  const prefix = 'lambus.actor.toy'
  const bad: [subject: string, body?: string][] = [
    [`${prefix}.a`],
    [`${prefix}.a.unheard-of`],
    [`${prefix}.a.go.too.far`, '{"n":2}'],
    [`${prefix}.a.xstate.stop`],
    [`${prefix}.a.xstate.done.actor.x`],
    [`${prefix}.a.go`, '{"n":'],
    [`${prefix}.a.go`, '7'],
    [`${prefix}.a.go`, 'null'],
    [`${prefix}.a.go`, '[2]'],
  ]
  for (const [subject, body] of bad) bus.publish(subject, body)
  bus.publish(actor('toy', 'nobody', 'back'))
  await arrived()
  await vi.waitFor(
    () => expect(toy.counts).toMatchObject({ malformed: bad.length, deadLetters: 1 }),
    patience,
  )
  expect(log.lines.map(({ code }) => code)).toEqual(['ACTOR_MALFORMED_EVENT'])
  expect(toy.snapshot('a')?.value).toBe('idle')
})

test('the example runs as its README says', async () => {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const readme = readFileSync(`${root}examples/traffic-light/README.md`, 'utf8')
  const commands = readme.match(/^ {4}.*$/gm)?.map((line) => line.trim()) ?? []
  const [command = '', ...args] =
    commands.find((line) => line.startsWith('node '))?.split(' ') ?? []
  const [walk = '', off = ''] = commands.flatMap((line) => line.match(/^nats pub (\S+)/)?.[1] ?? [])
  expect(command).toBe('node')
  expect(readFileSync(`${root}${args.at(-1)}`, 'utf8').split('\n').length).toBeLessThanOrEqual(40)

  const colours: string[] = []
  const hearing = bus.subscribe('traffic.main-street', (message) => colours.push(message.string()))
  onTestFinished(() => hearing.stop())
  const example = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, NATS_URL: server.url },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  onTestFinished(() => void example.kill('SIGKILL'))
  const exited = once(example, 'exit')
  // The next one may have come already.
  const shows = (...expected: string[]) =>
    vi.waitFor(() => expect(colours.slice(0, expected.length)).toEqual(expected), patience)
  await shows('green')
  bus.publish(walk)
  await shows('green', 'yellow')
  await shows('green', 'yellow', 'red')
  bus.publish(off)
  await shows('green', 'yellow', 'red', 'dark')
  expect(await exited).toEqual([0, null])
  expect(colours).toEqual(['green', 'yellow', 'red', 'dark'])
})
