/**
 * What a dead-letter queue gets when an asynchronous event has failed for good: the event as it came, and in three message
 * attributes what became of it. The attributes have the form that both SQS SendMessage and SNS Publish take.
 *
 *     RequestID     String   always
 *     ErrorCode     Number   the status of the last attempt; absent when there was none
 *     ErrorMessage  String   the function's errorMessage, or the sentence of the refusal; the first 1,024 bytes
 *
 * Source: lambda-semantics.md §4.5 (recorded: LocalStack's test_dead_letter_queue, stackd's async_deleted_dlq and
 * dlq_ownership); AWS Lambda Developer Guide, "Dead-letter queues": "the first 1 KB of the error message".
 */
import type { EventAnswer, EventEnd } from './destination-record.ts'
import { recursiveInvocation, throttled } from './errors.ts'
import { payloadOrEmptyObject } from './invoke.ts'

export type MessageAttributes = Record<
  string,
  { DataType: 'String' | 'Number'; StringValue: string }
>

export type DeadLetter = { body: Uint8Array; attributes: MessageAttributes }

export const errorMessageLimitBytes = 1_024

export function deadLetter(end: EventEnd): DeadLetter {
  const message = cutOff(errorMessage(end))
  const attributes: MessageAttributes = {
    RequestID: { DataType: 'String', StringValue: end.requestId },
  }
  if (end.response !== undefined) {
    attributes['ErrorCode'] = { DataType: 'Number', StringValue: String(end.response.statusCode) }
  }
  // SQS takes no attribute without a value.
  if (message !== '') attributes['ErrorMessage'] = { DataType: 'String', StringValue: message }
  return { body: payloadOrEmptyObject(end.requestPayload), attributes }
}

function errorMessage(end: EventEnd): string {
  const { response, functionArn } = end
  if (end.condition === 'ZeroReservedConcurrency') return zeroReserved
  if (response === undefined) return ''
  if (response.payload !== undefined) return messageOf(response)
  return response.message ?? sentenceOf(response.statusCode, functionArn)
}

/** What such a refusal of an Invoke says. */
function sentenceOf(statusCode: number, functionArn: string): string {
  switch (statusCode) {
    case 400:
      return recursiveInvocation().message ?? ''
    case 404:
      return `Function not found: ${functionArn}`
    case 429:
      return throttled('ConcurrentInvocationLimitExceeded').message ?? ''
    default:
      return ''
  }
}

/** AWS's own words, its missing blank included. */
const zeroReserved =
  'Function not invoked. Function isconfigured with zero reserved concurrent executions'

/**
 * A runtime of somebody's own may report an error that is no object with an errorMessage; nobody has recorded what AWS says
 * then. We say all that there is: the payload.
 */
function messageOf({ payload }: EventAnswer): string {
  const text = Buffer.from(payload).toString()
  try {
    const error: unknown = JSON.parse(text)
    if (typeof error === 'object' && error !== null && 'errorMessage' in error) {
      if (typeof error.errorMessage === 'string') return error.errorMessage
    }
  } catch {
    // Not JSON: said as it is.
  }
  return text
}

/** SQS API, SendMessage: "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"; others are refused. */
const unsendable = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu

/** The first 1,024 bytes, without the beginning of a character that does not fit. */
function cutOff(message: string): string {
  const bytes = Buffer.from(message.replace(unsendable, '\u{fffd}'))
  let end = Math.min(bytes.length, errorMessageLimitBytes)
  while (isContinuation(bytes[end])) end--
  return bytes.toString('utf8', 0, end)
}

const isContinuation = (byte = 0) => (byte & 0xc0) === 0x80
