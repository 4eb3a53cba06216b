/** Issue 2, "Bad input gets": over HTTP and over NATS; nothing is stored, nothing crashes. */
import { InvokeCommand, ListFunctionsCommand } from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import {
  chanceOf,
  errorsIn,
  playHttp,
  playNats,
  shapeOf,
  statusOf,
  targetsOf,
} from './bad-input.ts'
import { deploy, type System, startSystem } from './system.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))

let system: System
let bus: Bus
beforeAll(async () => {
  system = await startSystem()
  bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'test' })
  await deploy(system.lambda, 'echo', 'export const handler = (event) => event')
  await works()
})
afterAll(async () => {
  await bus?.close()
  await system?.stop()
})

const works = async () => {
  const { Payload } = await system.lambda.send(
    new InvokeCommand({ FunctionName: 'echo', Payload: '{"n":1}' }),
  )
  expect(Buffer.from(Payload ?? []).toString()).toBe('{"n":1}')
}
const stored = async () =>
  (await system.lambda.send(new ListFunctionsCommand({}))).Functions?.map(
    ({ FunctionName, RevisionId }) => [FunctionName, RevisionId],
  )

/** Plays, and compares what there is with what there was. */
async function harmless(play: () => Promise<void>) {
  const before = { functions: await stored(), shape: shapeOf(await statusOf(bus)) }
  await play()
  await works()
  // A placement that was asked for gives up after its patience; all else is over at once.
  await expect
    .poll(async () => shapeOf(await statusOf(bus)), { timeout: 5_000, interval: 200 })
    .toEqual(before.shape)
  expect(await stored()).toEqual(before.functions)
  expect(errorsIn(system.log())).toEqual([])
}

test(`a thousand bad requests are refused as AWS refuses them, and change nothing (SEED=${seed})`, async () => {
  await harmless(async () => {
    const chance = chanceOf(seed)
    const port = Number(new URL(system.http ?? '').port)
    for (let sent = 0; sent < 1_000; sent++) expect(await playHttp(port, chance)).toBeUndefined()
  })
}, 30_000)

test(`a thousand bad messages are refused or dropped, logged once, and change nothing (SEED=${seed})`, async () => {
  await harmless(async () => {
    const chance = chanceOf(seed)
    const targets = targetsOf(await statusOf(bus), 'echo')
    for (let sent = 0; sent < 1_000; sent++) {
      expect(await playNats(bus, targets, chance)).toBeUndefined()
    }
  })
  const warnings = system
    .log()
    .split('\n')
    .flatMap((line) => /"code":"(\w+)".*?"machine":"(\w+)"|"code":"(\w+)"/.exec(line)?.[0] ?? [])
  // Once for each process and machine, however many there were.
  for (const warning of new Set(warnings)) {
    expect(warnings.filter((other) => other === warning).length, warning).toBeLessThanOrEqual(2)
  }
}, 30_000)
