/**
 * Acceptance of asynchronous events: what can be refused is refused at once, everything else is answered when it is on disk,
 * and from then on it has an end.
 *
 * Source: lambda-semantics.md §4.1, §1.4. That the function can run is not asked.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { StoredEvent } from '../bus/event-packet.ts'
import type { EventWriter } from '../bus/event-writer.ts'
import { isRefusal, type Refusal, refuse } from '../edges/aws/errors.ts'
import {
  checkEventSize,
  checkPayload,
  type InvokeAnswer,
  type InvokeRequest,
  payloadOrEmptyObject,
} from '../edges/aws/invoke.ts'
import {
  type FunctionName,
  functionNotFound,
  type Place,
  parseFunctionName,
} from '../edges/aws/names.ts'
import type { FunctionRecord } from '../machines/function.ts'
import { whenGone } from './event-policy.ts'
import type { Intake } from './intake.ts'
import type { Invocations } from './invocation.ts'

export type Acceptance = {
  /** Answers once: an Event with `accepted` when it is stored; whatever else it is goes on to the invocations. */
  invoke(request: InvokeRequest, answer: (answer: InvokeAnswer) => void): void
  /** Resolves when everything taken in is stored. */
  idle(): Promise<void>
}

export type AcceptanceBinding = {
  clock: Clock
  log: Log
  place: Place
  functions: {
    get(name: string): FunctionRecord | undefined
    read(name: string): Promise<FunctionRecord | undefined>
  }
  writer: EventWriter
  intake: Pick<Intake, 'took'>
  invocations: Pick<Invocations, 'invoke'>
}

const LATEST = '$LATEST'

export function openAcceptance(binding: AcceptanceBinding): Acceptance {
  const { clock, log, place, functions, writer } = binding

  const store = (
    { name, qualifier }: FunctionName,
    record: FunctionRecord,
    request: InvokeRequest,
    answer: (answer: InvokeAnswer) => void,
  ): void => {
    const asked = qualifier === undefined ? {} : { qualifier }
    const event: StoredEvent = {
      id: request.requestId,
      ...asked,
      ...(request.traceId === undefined ? {} : { traceId: request.traceId }),
      acceptedAtMs: clock.nowMs(),
      attempts: 0,
      putOff: 0,
      ...whenGone(record, asked),
      payload: payloadOrEmptyObject(request.payload),
    }
    binding.intake.took()
    writer.write(name, event, (error) => {
      if (error === undefined) {
        answer({ kind: 'accepted' })
        return
      }
      const { requestId } = request
      log.error({ code: 'EVENT_NOT_STORED', requestId, err: error }, 'an event was not accepted')
      answer({ kind: 'refused', refusal: refuse('ServiceException', notStored) })
    })
  }

  const find = async (name: string): Promise<FunctionRecord | undefined | 'unreadable'> => {
    try {
      return await functions.read(name)
    } catch (error) {
      log.error({ code: 'REGISTRY_UNREADABLE', function: name, err: error }, 'no registry')
      return 'unreadable'
    }
  }

  const decide = (
    { name, qualifier }: FunctionName,
    record: FunctionRecord | undefined | 'unreadable',
    { payload }: InvokeRequest,
  ): FunctionRecord | Refusal => {
    if (record === 'unreadable') return refuse('ServiceException', noRegistry)
    if (record === undefined || (qualifier !== undefined && qualifier !== LATEST)) {
      return functionNotFound(place, name, qualifier ?? LATEST)
    }
    return checkPayload(payload) ?? record
  }

  const nameIn = ({ functionName, qualifier, payload }: InvokeRequest): FunctionName | Refusal => {
    const named = parseFunctionName(functionName, qualifier, { ...place, operation: 'Invoke' })
    return isRefusal(named) ? named : (checkEventSize(payload) ?? named)
  }

  const accept = (request: InvokeRequest, answer: (answer: InvokeAnswer) => void): void => {
    const named = nameIn(request)
    if (isRefusal(named)) {
      answer({ kind: 'refused', refusal: named })
      return
    }
    const settle = (found: FunctionRecord | undefined | 'unreadable'): void => {
      const record = decide(named, found, request)
      if (isRefusal(record)) answer({ kind: 'refused', refusal: record })
      else store(named, record, request, answer)
    }
    const known = functions.get(named.name)
    if (known !== undefined) settle(known)
    // Only what the copy would refuse costs a read: a function made a moment ago.
    else void find(named.name).then(settle)
  }

  return {
    invoke(request, answer) {
      if (request.invocationType === 'Event') accept(request, answer)
      else binding.invocations.invoke(request, answer)
    },
    idle: () => writer.idle(),
  }
}

const notStored =
  'The event could not be stored in time. It is not known whether it was: it may be invoked.'
const noRegistry = 'The registry of functions cannot be read right now.'
