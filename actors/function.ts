/**
 * Functions: the durable actors of the control plane. Any control plane may take the next event of any function; the
 * store's revision decides.
 */
import type { ActorStore } from '../bus/actor-store.ts'
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { type Code, hexOf } from '../bus/code.ts'
import type { DurableInbox } from '../bus/durable-inbox.ts'
import type { Functions } from '../bus/functions.ts'
import * as subjects from '../bus/subjects.ts'
import {
  type FunctionAnswer,
  type FunctionEvent,
  type FunctionRecord,
  functionMachine,
} from '../machines/function.ts'
import { type DurableHost, durable } from './durable.ts'

/** A request to a function, before it is known where the answer goes. */
export type FunctionCommand = FunctionEvent extends infer Event
  ? Event extends { reply: string }
    ? Omit<Event, 'reply'>
    : never
  : never

export type FunctionActors = {
  host: DurableHost
  /** Asks a function for a change; resolves with its answer, or `timeout` when it is not known whether it was made. */
  command(name: string, command: FunctionCommand): Promise<FunctionAnswer | 'timeout'>
  stop(): Promise<void>
}

export type FunctionActorsBinding = {
  bus: Bus
  store: ActorStore
  inbox: DurableInbox
  functions: Functions<FunctionRecord>
  code: Code
  controlPlaneId: string
  clock: Clock
  log: Log
  newId: () => string
  reloading?: boolean
}

/** Two JetStream writes and an answer: some milliseconds; seconds while a stream elects a leader. */
const COMMAND_TIMEOUT_MS = 10_000

export function openFunctionActors(binding: FunctionActorsBinding): FunctionActors {
  const { bus, store, inbox, functions, code, controlPlaneId, clock, log, newId } = binding
  const waiting = new Map<string, (answer: FunctionAnswer) => void>()

  const hearing = bus.subscribe(subjects.anyAnswer(controlPlaneId), (message) => {
    waiting.get(message.subject)?.(message.json<FunctionAnswer>())
  })

  const host = durable(functionMachine, {
    store,
    inbox,
    clock,
    log,
    newId,
    ...(binding.reloading === undefined ? {} : { reloading: binding.reloading }),
    duties: {
      answer: ({ reply, answer }) => bus.publish(reply, JSON.stringify(answer)),
      prepare: async ({ generation }, { instance, key }) => {
        const isThere = await code.has(hexOf(generation.code.sha256))
        const event: FunctionEvent = isThere
          ? { type: 'prepared', generation: generation.id }
          : {
              type: 'unprepared',
              generation: generation.id,
              reason: 'its code is not in the store',
            }
        await inbox.post('function', instance, event, { id: key })
      },
      publish: async ({ record }) => void (await functions.put(record)),
      withdraw: async ({ record }) => void (await functions.remove(record)),
    },
  })

  return {
    host,
    command: (name, command) =>
      new Promise((resolve, reject) => {
        const id = newId()
        const reply = subjects.answer(controlPlaneId, id)
        const settle = (answer: FunctionAnswer | 'timeout') => {
          clock.clearTimer(deadline)
          waiting.delete(reply)
          resolve(answer)
        }
        const deadline = clock.setTimer(() => settle('timeout'), COMMAND_TIMEOUT_MS)
        waiting.set(reply, settle)
        host.post(name, { ...command, reply } as FunctionEvent, { id }).catch((error) => {
          clock.clearTimer(deadline)
          waiting.delete(reply)
          reject(error)
        })
      }),
    async stop() {
      await host.stop()
      hearing.stop()
    },
  }
}
