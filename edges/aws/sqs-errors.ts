/**
 * The errors of SQS, in one flat table. They have a table of their own because they are told in another way than
 * Lambda's: JSON 1.0 names the shape in `__type` and the code of the older protocol in `x-amzn-query-error`, and that older
 * protocol (Query) has only the code, in XML.
 *
 * Source: SQS API reference, errors of each action; names, codes and statuses are those of its service model
 * (`awsQueryError`). Errors that stand before the service are the "Common Errors" of the same reference.
 */
import type { AwsErrorCode, Refusal } from './errors.ts'

type SqsErrorShape = { queryCode: string; status: number; when: string }

const said = (queryCode: string, status: number, when: string): SqsErrorShape => ({
  queryCode,
  status,
  when,
})
const ofSqs = 'AWS.SimpleQueueService'

export const sqsErrors = {
  QueueDoesNotExist: said(`${ofSqs}.NonExistentQueue`, 400, 'No queue of that name here.'),
  QueueNameExists: said('QueueAlreadyExists', 400, 'The queue exists, with other attributes.'),
  InvalidAttributeName: said('InvalidAttributeName', 400, 'SQS has no such attribute.'),
  InvalidAttributeValue: said(
    'InvalidAttributeValue',
    400,
    'The value of an attribute is out of range or no value of it.',
  ),
  InvalidMessageContents: said(
    'InvalidMessageContents',
    400,
    'The body has characters that SQS does not take.',
  ),
  ReceiptHandleIsInvalid: said(
    'ReceiptHandleIsInvalid',
    400,
    'It is no receipt handle, or one of another queue.',
  ),
  EmptyBatchRequest: said(`${ofSqs}.EmptyBatchRequest`, 400, 'The batch has no entry.'),
  TooManyEntriesInBatchRequest: said(
    `${ofSqs}.TooManyEntriesInBatchRequest`,
    400,
    'The batch has more than ten entries.',
  ),
  BatchEntryIdsNotDistinct: said(
    `${ofSqs}.BatchEntryIdsNotDistinct`,
    400,
    'Two entries have the same id.',
  ),
  InvalidBatchEntryId: said(`${ofSqs}.InvalidBatchEntryId`, 400, 'The id of an entry is none.'),
  BatchRequestTooLong: said(
    `${ofSqs}.BatchRequestTooLong`,
    400,
    'The messages of the batch are larger than 1 MiB together.',
  ),
  UnsupportedOperation: said(
    `${ofSqs}.UnsupportedOperation`,
    400,
    'The operation is not possible as things are.',
  ),
  InvalidAddress: said('InvalidAddress', 404, 'The queue URL is none of ours.'),
  ResourceNotFoundException: said(
    'ResourceNotFoundException',
    404,
    'An ARN of a task names a queue, or a handle a task, that is not there.',
  ),
  InvalidParameterValueException: said(
    'InvalidParameterValue',
    400,
    'A value that SQS refuses, or a setting that lambus does not honour.',
  ),
  MissingRequiredParameterException: said('MissingParameter', 400, 'A member is missing.'),
  SerializationException: said(
    'SerializationException',
    400,
    'The body is not JSON, or a member has the wrong type.',
  ),
  UnknownOperationException: said(
    'InvalidAction',
    400,
    'No such operation, or one that is not implemented.',
  ),
  UnrecognizedClientException: said('InvalidClientTokenId', 403, 'No such access key.'),
  InvalidSignatureException: said(
    'SignatureDoesNotMatch',
    403,
    'The signature does not match, or its date is too far off.',
  ),
  MissingAuthenticationTokenException: said(
    'MissingAuthenticationToken',
    403,
    'The request is not signed at all.',
  ),
  IncompleteSignatureException: said(
    'IncompleteSignature',
    403,
    'The Authorization header lacks a part.',
  ),
  AccessDeniedException: said('AccessDenied', 403, 'A presigned URL is past its time.'),
  RequestEntityTooLargeException: said(
    'RequestEntityTooLarge',
    413,
    'The request is larger than any request of SQS.',
  ),
  InternalFailure: said('InternalFailure', 500, 'Something of ours failed. Try again.'),
} as const satisfies Record<string, SqsErrorShape>

export type SqsErrorCode = keyof typeof sqsErrors

export type SqsRefusal = {
  refused: SqsErrorCode
  /** The code of the Query protocol, which SDKs of both protocols show. */
  queryCode: string
  status: number
  message: string
  /** Where the older protocol says it in other words. */
  queryMessage: string
}

export function refuseSqs(
  code: SqsErrorCode,
  message: string,
  queryMessage: string = message,
): SqsRefusal {
  const { queryCode, status } = sqsErrors[code]
  return { refused: code, queryCode, status, message, queryMessage }
}

export const isSqsRefusal = (value: unknown): value is SqsRefusal =>
  typeof value === 'object' && value !== null && 'refused' in value

/** A refusal on its way up through code that throws. */
export class SqsRefused extends Error {
  override readonly name = 'SqsRefused'
  readonly refusal: SqsRefusal
  constructor(refusal: SqsRefusal) {
    super(`${refusal.refused}: ${refusal.message}`)
    this.refusal = refusal
  }
}

/** What of a request is refused before anybody knows of queues, in SQS's way. */
export function sqsRefusalOf({ code, message }: Refusal): SqsRefusal {
  const known = (code: AwsErrorCode): code is AwsErrorCode & SqsErrorCode =>
    Object.hasOwn(sqsErrors, code)
  return known(code)
    ? refuseSqs(code, message ?? '')
    : refuseSqs('InternalFailure', 'An error occurred and the request cannot be processed.')
}

// ── Sentences that more than one operation says ────────────────────────────────────────────────────────────────────

/** Recorded of AWS for both protocols. */
export const noSuchQueue = (): SqsRefusal =>
  refuseSqs(
    'QueueDoesNotExist',
    'The specified queue does not exist.',
    'The specified queue does not exist for this wsdl version.',
  )

export const badValue = (value: unknown, parameter: string, reason: string): SqsRefusal =>
  refuseSqs(
    'InvalidParameterValueException',
    `Value ${value} for parameter ${parameter} is invalid. Reason: ${reason}`,
  )

export const missing = (parameter: string): SqsRefusal =>
  refuseSqs(
    'MissingRequiredParameterException',
    `The request must contain the parameter ${parameter}.`,
  )

/** What is not built is never accepted and ignored. */
export const unhonoured = (what: string): SqsRefusal =>
  refuseSqs('InvalidParameterValueException', `lambus does not ${what}.`)

/** Of the service model's own, and of the framework in front of it. */
const modelled = new Set<SqsErrorCode>([
  'QueueDoesNotExist',
  'QueueNameExists',
  'InvalidAttributeName',
  'InvalidAttributeValue',
  'InvalidMessageContents',
  'ReceiptHandleIsInvalid',
  'EmptyBatchRequest',
  'TooManyEntriesInBatchRequest',
  'BatchEntryIdsNotDistinct',
  'InvalidBatchEntryId',
  'BatchRequestTooLong',
  'UnsupportedOperation',
  'InvalidAddress',
  'ResourceNotFoundException',
])

/** `__type` of the JSON protocol. */
export const shapeOf = (code: SqsErrorCode): string =>
  `${modelled.has(code) ? 'com.amazonaws.sqs' : 'com.amazon.coral.service'}#${code}`

export const faultOf = (status: number): 'Sender' | 'Receiver' =>
  status < 500 ? 'Sender' : 'Receiver'
