/**
 * The front end: the HTTP and NATS doors, and the invocations that came through them.
 */

import { operate } from '../actors/api-call.ts'
import { openInvocations } from '../actors/invocation.ts'
import { openNatsDoor } from '../actors/nats-door.ts'
import { storePackage } from '../actors/package-store.ts'
import { watchPeers } from '../actors/peer.ts'
import { poolOf } from '../actors/pool-messages.ts'
import { openReservations } from '../actors/reservations.ts'
import { openCode } from '../bus/code.ts'
import { openFunctions } from '../bus/functions.ts'
import { openHttpDoor } from '../edges/http-door.ts'
import type { FunctionRecord } from '../machines/function.ts'
import { anyHost, type Process, type Role } from './role.ts'

export async function startFrontEnd({
  id,
  bus,
  config,
  clock,
  log,
  presence,
  newId,
}: Process): Promise<Role> {
  const place = { region: config.region, account: config.account }
  const functions = await openFunctions<FunctionRecord>(bus)
  const code = await openCode(bus)
  /** The pool of each function that serves, to know when another one does. */
  const serving = new Map<string, string>()
  const caps = new Map<string, number>()

  // While nothing is reserved yet, nothing is superseded or capped.
  let superseded = (_pool: string): void => {}
  let capped = (_functionName: string): void => {}
  const noteCap = (name: string, cap: number | undefined) => {
    if (caps.get(name) === cap) return
    if (cap === undefined) caps.delete(name)
    else caps.set(name, cap)
    capped(name)
  }
  const noteServing = (name: string, record: FunctionRecord | undefined) => {
    const pool = record?.serving && poolOf(record, record.serving)
    const before = serving.get(name)
    if (pool === undefined) serving.delete(name)
    else serving.set(name, pool)
    if (before !== undefined && before !== pool) superseded(before)
    noteCap(name, record?.reservedConcurrency)
  }
  const registry = await functions.watch({
    onChange: noteServing,
    reconcileEveryMs: config.reconcileMs,
    clock,
    log,
  })
  // The two need each other: nothing may wait between them, or a message would find one without the other.
  const reservations = openReservations({
    bus,
    frontEndId: id,
    partitions: config.partitions,
    clock,
    log,
    lingerMs: config.lingerMs,
    capOf: (name) => caps.get(name),
    seated: (requestId, seat) => invocations.seated(requestId, seat),
    sentAhead: (requestId, seat) => invocations.sentAhead(requestId, seat),
    begun: (requestId) => invocations.begun(requestId),
    calledBack: (requestId) => invocations.calledBack(requestId),
    forsaken: (requestId) => invocations.forsaken(requestId),
    throttled: (requestId, reason) => invocations.throttled(requestId, reason),
    redirected: (requestId) => invocations.redirected(requestId),
    inUse: () => invocations.inUse(),
  })
  superseded = reservations.superseded
  capped = reservations.capped
  const invocations = openInvocations({
    bus,
    clock,
    log,
    place,
    functions: {
      get: (name) => registry.get(name)?.value,
      read: async (name) => (await functions.read(name))?.value,
    },
    reservations,
    reservationTimeoutMs: config.reservationTimeoutMs,
  })

  const workers = watchPeers({
    presence,
    role: 'worker',
    clock,
    log,
    silenceMs: config.silenceMs,
    beatMs: config.beatMs,
    beat: (workerId, { isDraining }) => {
      if (isDraining === true) reservations.workerDraining(workerId)
    },
    gone: (workerId) => {
      invocations.workerGone(workerId)
      reservations.workerGone(workerId)
    },
  })

  const natsDoor = openNatsDoor(bus, { invocations, newId, log })
  const httpDoor = await openHttpDoor({
    host: config.httpHost,
    port: config.httpPort,
    ...place,
    credentials: { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey },
    clock,
    newId,
    log,
    door: {
      invoke: invocations.invoke,
      operate: (operation, input) => operate(bus, registry, operation, input),
      code: code.get,
      storeCode: (zip) => storePackage(code, zip),
    },
  })

  return {
    hosts: [anyHost(invocations.host), anyHost(reservations.host)],
    address: httpDoor.url,
    status: () => ({ doors: natsDoor.counts, functions: registry.size }),
    async drain() {
      natsDoor.stop()
      await httpDoor.close()
      await invocations.idle()
      reservations.stop()
    },
    async stop() {
      natsDoor.stop()
      await httpDoor.close()
      reservations.stop()
      workers.stop()
      registry.stop()
    },
  }
}
