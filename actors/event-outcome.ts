/**
 * What an attempt's answer means for its event, and what is kept of it.
 *
 * Source: lambda-semantics.md §4.3; a 404 is a function that is gone, a 429 one that has no concurrency left, and whatever
 * else is no answer of the function's is a failure of ours.
 */
import type { LastOutcome } from '../bus/event-packet.ts'
import type { AttemptOutcome } from '../machines/event.ts'
import type { Attempted } from './attempt.ts'
import type { AttemptAnswer } from './attempt-message.ts'

/** What is kept of an attempt between its answer and what is stored of it. */
export type Kept = { last: LastOutcome; response: Uint8Array | undefined }

export function outcomeOf(attempted: Attempted): AttemptOutcome {
  if (attempted === 'unknown') return 'unavailable'
  const { statusCode, functionError, code } = attempted.answer
  if (statusCode === 200) return functionError === undefined ? 'succeeded' : 'failed'
  if (code === 'RecursiveInvocationException') return 'recursive'
  if (statusCode === 404) return 'gone'
  return statusCode === 429 ? 'throttled' : 'unavailable'
}

/** For how many may run at a time. */
export const howOf = (outcome: AttemptOutcome): 'well' | 'badly' | 'throttled' =>
  outcome === 'succeeded' ? 'well' : outcome === 'throttled' ? 'throttled' : 'badly'

export function keptOf(attempted: Attempted): Kept {
  if (attempted === 'unknown') {
    return { last: { statusCode: 500, message: 'Service error.' }, response: undefined }
  }
  const { code: _, ...last }: AttemptAnswer = attempted.answer
  return { last, response: last.statusCode === 200 ? attempted.payload : undefined }
}
