/**
 * Whom the end of an event is told: the destination of its qualifier, and the function's dead-letter queue if it ended
 * badly.
 *
 * They are read when it ends. If the function is deleted before that, AWS tells them all the same; so an event carries
 * who would have been told when it was accepted, or tried last.
 * Source: lambda-semantics.md §4.3 (config is read when the event is processed), §4.4, §4.5; for deleted functions
 * stackd's recordings async_deleted_targets and async_deleted_dlq.
 */
import type { Telling } from '../bus/event-packet.ts'
import { eventInvokeOf, type FunctionRecord } from '../machines/function.ts'

type Recipients = Telling['to']

const LATEST = '$LATEST'

export function recipients(
  record: FunctionRecord,
  qualifier: string | undefined,
  ended: 'well' | 'badly',
): Recipients {
  const config = eventInvokeOf(record, qualifier ?? LATEST)
  const destination = ended === 'well' ? config?.onSuccess : config?.onFailure
  const deadLetter = ended === 'well' ? undefined : record.settings.deadLetterTargetArn
  return [
    ...(destination === undefined ? [] : [{ as: 'destination' as const, arn: destination }]),
    ...(deadLetter === undefined ? [] : [{ as: 'dead letter' as const, arn: deadLetter }]),
  ]
}

/** What an event carries for the case that its function is deleted; nothing, where nobody is told. */
export function whenGone(
  record: FunctionRecord,
  qualifier: string | undefined,
): { whenGone?: Recipients } {
  const to = recipients(record, qualifier, 'badly')
  return to.length === 0 ? {} : { whenGone: to }
}
