/**
 * The control plane as AWS's SDK sees it: real HTTP door, real NATS, the function's own actor; only nobody runs functions.
 */
import { randomUUID } from 'node:crypto'
import { LambdaClient } from '@aws-sdk/client-lambda'
import { zipSync } from 'fflate'
import { type Api, serveApi } from '../../actors/api.ts'
import { operate } from '../../actors/api-call.ts'
import { openFunctionActors } from '../../actors/function.ts'
import { askTracker } from '../../actors/mapping-call.ts'
import { openMappingCopies } from '../../actors/mapping-copies.ts'
import { storePackage } from '../../actors/package-store.ts'
import { openActorStore } from '../../bus/actor-store.ts'
import { readEntry, writeEntry } from '../../bus/bucket.ts'
import type { Bus } from '../../bus/bus.ts'
import { openCode } from '../../bus/code.ts'
import { openBus } from '../../bus/connection.ts'
import { openDurableInbox } from '../../bus/durable-inbox.ts'
import { openFunctions } from '../../bus/functions.ts'
import { ensureBucket } from '../../bus/streams.ts'
import { sqsBucket } from '../../bus/subjects.ts'
import { checkPayload, payloadOrEmptyObject } from '../../edges/aws/invoke.ts'
import { systemClock } from '../../edges/clock.ts'
import { openHttpDoor } from '../../edges/http-door.ts'
import type { FunctionRecord } from '../../machines/function.ts'
import { startNatsServer } from '../nats-server.ts'

export const place = { region: 'us-east-1', account: '000000000000' }
export const arnOf = (name: string) => `arn:aws:lambda:us-east-1:000000000000:function:${name}`
export const role = 'arn:aws:iam::000000000000:role/r'
export const zipOf = (source: string) => zipSync({ 'index.mjs': Buffer.from(source) })
export const zip = zipOf('export const handler = async () => 1')
/** A CreateFunction that is accepted, for a function of that name. */
export const createInput = (name: string) =>
  ({
    FunctionName: name,
    Role: role,
    Runtime: 'nodejs24.x',
    Handler: 'index.handler',
    Code: { ZipFile: zip },
  }) as const

const echo = {
  kind: 'result',
  status: 200,
  executedVersion: '$LATEST',
  functionError: undefined,
  logResult: undefined,
} as const

export type ControlPlane = {
  client: LambdaClient
  bus: Bus
  api: Api
  url: string
  /** As the first thing that SQS does for a new queue. */
  makeQueue(name: string): Promise<void>
  /** How many packages were put into the store. */
  stored(): number
  stop(): Promise<void>
}

export async function startControlPlane(): Promise<ControlPlane> {
  const server = await startNatsServer()
  const log = { debug() {}, info() {}, warn() {}, error: console.error }
  const bus = await openBus({ servers: server.url, role: 'control-plane', id: 'c1' })
  const functions = await openFunctions<FunctionRecord>(bus)
  const registry = await functions.watch({ reconcileEveryMs: 60_000, clock: systemClock, log })
  const code = await openCode(bus)
  await ensureBucket(bus, sqsBucket)
  const copies = await openMappingCopies(bus, {
    reconcileEveryMs: 60_000,
    clock: systemClock,
    log,
  })
  let stored = 0
  const counted: typeof code = {
    ...code,
    put: (...args) => {
      stored++
      return code.put(...args)
    },
  }
  const actors = openFunctionActors({
    bus,
    store: await openActorStore(bus),
    inbox: await openDurableInbox(bus),
    functions,
    code,
    controlPlaneId: 'c1',
    clock: systemClock,
    log,
    newId: randomUUID,
  })
  const api = serveApi(bus, {
    functions,
    registry,
    command: actors.command,
    code: counted,
    queueExists: async (name) => (await readEntry(bus, sqsBucket, name))?.removed === false,
    mappings: copies.mappings,
    streams: copies.streams,
    changeMapping: (command) => askTracker({ bus, clock: systemClock }, command),
    ...place,
    accountConcurrency: 1000,
    clock: systemClock,
    newId: randomUUID,
    log,
  })
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const door = await openHttpDoor({
    host: '127.0.0.1',
    port: 0,
    ...place,
    credentials,
    clock: systemClock,
    newId: randomUUID,
    log,
    door: {
      // Every function gives back its event: it is not functions that are tested here.
      invoke: ({ payload }, answer) => {
        const bad = checkPayload(payload)
        answer(
          bad === undefined
            ? { ...echo, payload: payloadOrEmptyObject(payload) }
            : { kind: 'refused', refusal: bad },
        )
      },
      operate: (operation, input) => operate(bus, registry, operation, input),
      storeCode: (bytes) => storePackage(counted, bytes),
      code: code.get,
    },
  })
  const client = new LambdaClient({
    endpoint: door.url,
    region: place.region,
    credentials,
    maxAttempts: 1,
  })
  return {
    client,
    bus,
    api,
    url: door.url,
    async makeQueue(name) {
      await writeEntry(bus, sqsBucket, name, { value: '{}', expectedRevision: 0, write: name })
    },
    stored: () => stored,
    async stop() {
      client.destroy()
      await door.close()
      await api.stop()
      await actors.stop()
      registry.stop()
      copies.stop()
      await bus.close()
      await server.stop()
    },
  }
}
