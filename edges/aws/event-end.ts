/**
 * How an asynchronous event that is stored has ended, in the terms of what destinations and dead-letter queues are told.
 *
 * Source: lambda-semantics.md §4.4: `approximateInvokeCount` is the number of attempts, and 1 for a success, however many
 * attempts went before it (recorded); `functionArn` always has a qualifier.
 */
import type { StoredEvent, Telling } from '../../bus/event-packet.ts'
import type { EndCondition, EventAnswer, EventEnd, EventRefusal } from './destination-record.ts'
import { functionArn, type Place } from './names.ts'

export function eventEnd(
  place: Place,
  functionName: string,
  event: StoredEvent,
  telling: Telling,
): EventEnd {
  const condition = telling.condition as EndCondition
  const known = {
    requestId: event.id,
    functionArn: functionArn(place, functionName, event.qualifier ?? '$LATEST'),
    approximateInvokeCount: condition === 'Success' ? 1 : event.attempts,
    timestampMs: telling.endedAtMs,
    requestPayload: event.payload,
  }
  return condition === 'ZeroReservedConcurrency'
    ? { ...known, condition }
    : { ...known, condition, response: lastResponse(event) }
}

function lastResponse({ last, response }: StoredEvent): EventAnswer | EventRefusal | undefined {
  if (last === undefined) return undefined
  if (last.statusCode !== 200) return { statusCode: last.statusCode, message: last.message }
  return {
    statusCode: 200,
    executedVersion: last.executedVersion ?? '$LATEST',
    ...(last.functionError === undefined ? {} : { functionError: 'Unhandled' }),
    payload: response ?? new Uint8Array(),
  }
}
