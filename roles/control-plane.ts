/**
 * The control plane: the operations that create, configure, list and delete functions.
 */
import { serveApi } from '../actors/api.ts'
import { openFunctionActors } from '../actors/function.ts'
import { askTracker } from '../actors/mapping-call.ts'
import { openMappingCopies } from '../actors/mapping-copies.ts'
import { openActorStore } from '../bus/actor-store.ts'
import { readEntry } from '../bus/bucket.ts'
import { openCode } from '../bus/code.ts'
import { openDurableInbox } from '../bus/durable-inbox.ts'
import { openFunctions } from '../bus/functions.ts'
import { ensureBucket } from '../bus/streams.ts'
import { sqsBucket } from '../bus/subjects.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { Process, Role } from './role.ts'

export async function startControlPlane({
  id,
  bus,
  config,
  clock,
  log,
  newId,
}: Process): Promise<Role> {
  const functions = await openFunctions<FunctionRecord>(bus)
  const registry = await functions.watch({ reconcileEveryMs: config.reconcileMs, clock, log })
  const code = await openCode(bus)
  await ensureBucket(bus, sqsBucket)
  const copies = await openMappingCopies(bus, {
    reconcileEveryMs: config.reconcileMs,
    clock,
    log,
  })
  const actors = openFunctionActors({
    bus,
    store: await openActorStore(bus),
    inbox: await openDurableInbox(bus),
    functions,
    code,
    controlPlaneId: id,
    clock,
    log,
    newId,
  })
  const api = serveApi(bus, {
    functions,
    registry,
    command: actors.command,
    code,
    queueExists: async (name) => (await readEntry(bus, sqsBucket, name))?.removed === false,
    mappings: copies.mappings,
    streams: copies.streams,
    changeMapping: (command) => askTracker({ bus, clock }, command),
    region: config.region,
    account: config.account,
    accountConcurrency: config.accountConcurrency,
    clock,
    newId,
    log,
  })
  return {
    hosts: [],
    status: () => ({ durable: { function: actors.host.counts } }),
    async drain() {
      await api.stop()
    },
    async stop() {
      await api.stop()
      await actors.stop()
      registry.stop()
      copies.stop()
    },
  }
}
