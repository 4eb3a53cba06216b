/**
 * What a function's settings say about an event: how often and how long it is tried, and whom its end is told.
 *
 * They are read when the event is processed. If the function is deleted before its end, AWS goes on by them all the same:
 * it tries again, finds the function if it was made anew, and else tells those who would have been told. So an event
 * carries what they said when it was accepted, or tried last.
 * Source: lambda-semantics.md §4.2–4.5; for deleted functions stackd's recordings async_deleted_targets (a 404 spends an
 * attempt: count 1 with MaximumRetryAttempts 0, count 2 a minute later with 1), async_deleted_dlq and async_deletion.
 */
import type { StoredEvent, Telling } from '../bus/event-packet.ts'
import type { EventPolicy } from '../machines/event.ts'
import { eventInvokeOf, type FunctionRecord } from '../machines/function.ts'

type Recipients = Telling['to']
type Asked = Pick<StoredEvent, 'qualifier' | 'whenGone'>

/** AWS's defaults: Lambda API, PutFunctionEventInvokeConfig. */
const mostRetries = 2
const mostAgeSeconds = 21_600
const LATEST = '$LATEST'

/** `record`: undefined when the function is deleted. */
export function policyOf(record: FunctionRecord | undefined, event: Asked): EventPolicy {
  const config = record && eventInvokeOf(record, event.qualifier ?? LATEST)
  const before = record === undefined ? event.whenGone : undefined
  return {
    mostAttempts: before?.mostAttempts ?? 1 + (config?.maximumRetryAttempts ?? mostRetries),
    mostAgeMs: before?.mostAgeMs ?? 1000 * (config?.maximumEventAgeSeconds ?? mostAgeSeconds),
    isShutOff: record?.reservedConcurrency === 0,
    tellsSuccess: config?.onSuccess !== undefined,
  }
}

export function recipients(
  record: FunctionRecord | undefined,
  event: Asked,
  ended: 'well' | 'badly',
): Recipients {
  if (record === undefined) return ended === 'well' ? [] : (event.whenGone?.to ?? [])
  const config = eventInvokeOf(record, event.qualifier ?? LATEST)
  const destination = ended === 'well' ? config?.onSuccess : config?.onFailure
  const deadLetter = ended === 'well' ? undefined : record.settings.deadLetterTargetArn
  return [
    ...(destination === undefined ? [] : [{ as: 'destination' as const, arn: destination }]),
    ...(deadLetter === undefined ? [] : [{ as: 'dead letter' as const, arn: deadLetter }]),
  ]
}

/** What an event carries for the case that its function is deleted; nothing, where that is what holds for everybody. */
export function whenGone(
  record: FunctionRecord | undefined,
  event: Asked,
): Pick<StoredEvent, 'whenGone'> {
  if (record === undefined) return event.whenGone === undefined ? {} : { whenGone: event.whenGone }
  const to = recipients(record, event, 'badly')
  if (to.length === 0 && eventInvokeOf(record, event.qualifier ?? LATEST) === undefined) return {}
  const { mostAttempts, mostAgeMs } = policyOf(record, event)
  return { whenGone: { mostAttempts, mostAgeMs, to } }
}
