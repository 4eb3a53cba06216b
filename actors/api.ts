/**
 * The control plane's door: `lambus.api.<Operation>` takes and gives the JSON of the AWS operation of that name. The HTTP
 * doors ask here too.
 *
 * A refusal is a NATS service error with the AWS body. An answer about a function names the revision at which the registry
 * shows it, so that whoever asked can wait until his own copy does.
 */
import { headers } from 'nats'
import type { Bus, Clock, Log, Msg, Subscription } from '../bus/bus.ts'
import type { Code } from '../bus/code.ts'
import * as subjects from '../bus/subjects.ts'
import type { Held, Watched } from '../bus/watched.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { isRefusal, type Refusal, Refused, refuse } from '../edges/aws/errors.ts'
import { readJsonInput } from '../edges/aws/json-input.ts'
import type { Place } from '../edges/aws/names.ts'
import {
  type ApiOperation,
  built,
  isBuilt,
  isOfControlPlane,
  notImplemented,
  operations,
  unknownOperation,
} from '../edges/aws/operations.ts'
import type { FunctionAnswer, FunctionRecord } from '../machines/function.ts'
import type { MappingCommand } from '../machines/mapping.ts'
import { concurrencyOperations } from './api-concurrency.ts'
import { eventInvokeOperations } from './api-event-invoke.ts'
import { functionOperations } from './api-functions.ts'
import { mappingOperations } from './api-mappings.ts'
import { recursionOperations } from './api-recursion.ts'
import { tagOperations } from './api-tags.ts'
import type { FunctionCommand } from './function.ts'
import type { MappingAnswer } from './mapping-command.ts'
import type { MappingCopies } from './mapping-copies.ts'
import { respondRefused } from './nats-door.ts'

/** What the operations work with. */
export type ApiBinding = Place & {
  /** The registry by the word of its leader, and its copy in memory, for lists. */
  functions: { read(name: string): Promise<Held<FunctionRecord> | undefined> }
  registry: Pick<Watched<FunctionRecord>, 'get' | 'entries' | 'reached'>
  command(name: string, command: FunctionCommand): Promise<FunctionAnswer | 'timeout'>
  code: Code
  /** Whether there is an SQS queue of that name. */
  queueExists(name: string): Promise<boolean>
  mappings: MappingCopies['mappings']
  streams: MappingCopies['streams']
  changeMapping(command: MappingCommand): Promise<MappingAnswer | 'nobody' | 'timeout'>
  accountConcurrency: number
  clock: Clock
  newId: () => string
  log: Log
}

/** What an operation answers: JSON, or nothing for a 204. `revision`: where the registry shows it. */
export type Told = { body?: object; revision?: number | undefined }
export type ApiHandler = (input: Input) => Promise<Told | Refusal>

export type Api = {
  readonly counts: { calls: number; refused: number; malformed: number; failed: number }
  /** Takes nothing new; resolves when what is in hand is answered. */
  stop(): Promise<void>
}

export function serveApi(bus: Bus, binding: ApiBinding): Api {
  const { log, newId } = binding
  const counts = { calls: 0, refused: 0, malformed: 0, failed: 0 }
  const inHand = new Set<Promise<void>>()
  const handlers: Record<ApiOperation, ApiHandler> = {
    ...functionOperations(binding),
    ...tagOperations(binding),
    ...eventInvokeOperations(binding),
    ...recursionOperations(binding),
    ...concurrencyOperations(binding),
    ...mappingOperations(binding),
  }

  const perform = async (operation: string, message: Msg): Promise<Told | Refusal> => {
    if (!Object.hasOwn(operations, operation)) return unknownOperation('NATS', message.subject)
    if (!isOfControlPlane(operation)) return notImplemented(operation)
    const input = readJsonInput(message.data)
    if (isRefusal(input)) {
      counts.malformed++
      if (counts.malformed === 1) {
        log.warn(
          { code: 'API_MALFORMED', subject: message.subject },
          'refused a call that is no JSON object; further ones are only counted',
        )
      }
      return input
    }
    return await handlers[operation](input)
  }

  const hear = async (message: Msg): Promise<void> => {
    const requestId = newId()
    const operation = subjects.tokens(message.subject).slice(2).join('.')
    counts.calls++
    let told: Told | Refusal
    try {
      told = await perform(operation, message)
    } catch (error) {
      told = failure(error)
      if (!(error instanceof Refused)) {
        counts.failed++
        log.error({ requestId, operation, err: error, code: 'API_FAILED' }, 'an operation failed')
      }
    }
    if (isRefusal(told)) counts.refused++
    respond(message, requestId, operation, told)
    log.debug({ requestId, operation, refused: isRefusal(told) ? told.code : undefined }, 'API')
  }

  const hearing: Subscription = bus.subscribe(
    subjects.anyApi,
    (message) => {
      const task = hear(message).finally(() => inHand.delete(task))
      inHand.add(task)
    },
    { queue: 'control-plane' },
  )
  return {
    counts,
    async stop() {
      hearing.stop()
      await Promise.allSettled(inHand)
    },
  }
}

const failure = (error: unknown): Refusal =>
  error instanceof Refused
    ? error.refusal
    : refuse('ServiceException', 'An error occurred and the request cannot be processed.')

function respond(message: Msg, requestId: string, operation: string, told: Told | Refusal): void {
  if (isRefusal(told)) {
    respondRefused(message, requestId, told)
    return
  }
  const made = headers()
  made.set('X-Amzn-RequestId', requestId)
  // HTTP's word for success, for the doors that speak it.
  if (isBuilt(operation)) made.set('Lambus-Status', String(built[operation]))
  if (told.revision !== undefined) made.set('Lambus-Revision', String(told.revision))
  message.respond(told.body === undefined ? '' : JSON.stringify(told.body), { headers: made })
}
