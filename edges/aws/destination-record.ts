/**
 * What a destination is told when an asynchronous event has ended: AWS's invocation record, version 1.0.
 *
 * It is the body of an SQS message, the Message of an SNS notification, the event of a Lambda function and the detail of
 * an EventBridge event. The two payloads go in byte for byte: AWS keeps the caller's own spaces too.
 *
 *     condition                responseContext                              responsePayload
 *     Success                  200, executedVersion                         what the function answered
 *     RetriesExhausted         200, executedVersion, functionError          the error's payload
 *       it is gone meanwhile   404                                          absent
 *     EventAgeExceeded         of the last attempt; 429 if it was refused   of the last attempt, or absent
 *     ZeroReservedConcurrency  absent                                       absent
 *     RecursiveInvocation      400 (not recorded; as for 404)               absent
 *
 * Source: lambda-semantics.md §4.4 (recorded: LocalStack's test_lambda_destinations, stackd's outcomes_expiry), §1.7 and
 * stackd's streaming_async for an answer that is not JSON.
 */
import { payloadOrEmptyObject } from './invoke.ts'
import { jsonComplaint } from './json-complaint.ts'

export type EndCondition =
  | 'Success'
  | 'RetriesExhausted'
  | 'EventAgeExceeded'
  | 'ZeroReservedConcurrency'
  | 'RecursiveInvocation'

/** The last attempt ran. */
export type EventAnswer = {
  readonly statusCode: 200
  readonly executedVersion: string
  readonly functionError?: 'Unhandled' | undefined
  readonly payload: Uint8Array
}

/** The last attempt was refused, with this status and, if it is known, this sentence. */
export type EventRefusal = {
  readonly statusCode: number
  readonly message?: string | undefined
  readonly payload?: undefined
}

/** How an asynchronous event ended. `functionArn` always has a qualifier: `:$LATEST` where none was asked for. */
export type EventEnd = {
  readonly requestId: string
  readonly functionArn: string
  readonly approximateInvokeCount: number
  readonly timestampMs: number
  readonly requestPayload: Uint8Array
} & (
  | { readonly condition: 'ZeroReservedConcurrency'; readonly response?: undefined }
  | {
      readonly condition: Exclude<EndCondition, 'ZeroReservedConcurrency'>
      /** Absent when nothing was attempted. */
      readonly response?: EventAnswer | EventRefusal | undefined
    }
)

/** JSON in UTF-8, its keys in the order recorded. */
export function destinationRecord(end: EventEnd): Uint8Array {
  const { requestId, functionArn, condition, approximateInvokeCount, response } = end
  const head = {
    version: '1.0',
    timestamp: new Date(end.timestampMs).toISOString(),
    requestContext: { requestId, functionArn, condition, approximateInvokeCount },
  }
  return Buffer.concat([
    Buffer.from(`${JSON.stringify(head).slice(0, -1)},"requestPayload":`),
    payloadOrEmptyObject(end.requestPayload),
    ...(response === undefined ? [] : responseMembers(response)),
    Buffer.from('}'),
  ])
}

function responseMembers(response: EventAnswer | EventRefusal): Uint8Array[] {
  if (response.payload === undefined) return [member('responseContext', pick(response))]
  const { statusCode, executedVersion, functionError, payload } = response
  const context = member('responseContext', { statusCode, executedVersion, functionError })
  // What a streaming function wrote may be anything.
  if (jsonComplaint(payload) !== undefined) return [context, member('deliveryError', notJson)]
  return [context, Buffer.from(',"responsePayload":'), payload]
}

const pick = ({ statusCode }: EventRefusal) => ({ statusCode })

/** Without the members that are undefined. */
const member = (name: string, value: object) => Buffer.from(`,"${name}":${JSON.stringify(value)}`)

const notJson = {
  statusCode: 400,
  errorCode: 'InvalidRequestContentException',
  errorMessage: 'The function response payload could not be parsed as JSON.',
}
