/**
 * Every AWS error this system can answer, in one flat table, and the plain value that a refusal is.
 *
 * AWS's errors differ in their bodies: some say `Message`, some `message`, some carry a `Type` and some none, and SDKs
 * read them by exactly these keys. Source: lambda-semantics.md §2.1 (recorded bodies) and §2.2 (statuses of the service
 * model); the errors that stand before the service itself (signatures, unknown operations) are the "Common Errors" of
 * the Lambda API reference.
 */

/** `key`: the member that holds the sentence. `type`: what `Type` says; `undefined` where AWS sends none. */
type ErrorShape = {
  status: number
  key: 'Message' | 'message'
  type: 'User' | 'Service' | undefined
  when: string
}

const said = (
  status: number,
  key: ErrorShape['key'],
  type: ErrorShape['type'],
  when: string,
): ErrorShape => ({ status, key, type, when })

export const awsErrors = {
  ResourceNotFoundException: said(
    404,
    'Message',
    'User',
    'No function or mapping of that name here, or nothing is set for it.',
  ),
  ResourceConflictException: said(
    409,
    'message',
    'User',
    'The function or the mapping exists already, or an update of it is in progress.',
  ),
  ResourceInUseException: said(
    400,
    'Message',
    'User',
    'The event source mapping is changing already.',
  ),
  PreconditionFailedException: said(
    412,
    'message',
    'User',
    'The RevisionId given is not the latest.',
  ),
  InvalidParameterValueException: said(
    400,
    'message',
    'User',
    'A value that AWS refuses, or a setting that lambus does not honour yet.',
  ),
  InvalidRequestContentException: said(
    400,
    'message',
    'User',
    'The body is not JSON, or not JSON in UTF-8; the client context is not base64 of JSON.',
  ),
  RecursiveInvocationException: said(
    400,
    'Message',
    'User',
    'The function was invoked 16 times already in this chain of requests.',
  ),
  ValidationException: said(
    400,
    'message',
    undefined,
    "A member is outside the service model's constraints.",
  ),
  SerializationException: said(
    400,
    'Message',
    undefined,
    'The body of a control operation is not JSON, or a member has the wrong JSON type.',
  ),
  RequestEntityTooLargeException: said(
    413,
    'Message',
    undefined,
    'The request, its payload or its zip is over the limit.',
  ),
  UnsupportedMediaTypeException: said(
    415,
    'message',
    'User',
    'The content type of the body is not one that the operation takes.',
  ),
  TooManyRequestsException: said(
    429,
    'message',
    'User',
    'No room: the concurrency of the function or the account is used up.',
  ),
  ServiceException: said(500, 'Message', 'Service', 'Something of ours failed. Try again.'),
  InvalidRuntimeException: said(502, 'Message', 'User', 'The runtime cannot be run here.'),
  InvalidZipFileException: said(502, 'Message', 'User', 'The stored package cannot be unzipped.'),
  ResourceNotReadyException: said(
    502,
    'message',
    'User',
    'The function is inactive or failed to become active.',
  ),
  AccessDeniedException: said(
    403,
    'Message',
    undefined,
    'The ARN is of another account; or a presigned URL is past its time.',
  ),
  UnrecognizedClientException: said(403, 'message', undefined, 'No such access key.'),
  InvalidSignatureException: said(
    403,
    'message',
    undefined,
    'The signature does not match, or its date is too far off.',
  ),
  MissingAuthenticationTokenException: said(
    403,
    'message',
    undefined,
    'The request is not signed at all.',
  ),
  IncompleteSignatureException: said(
    403,
    'message',
    undefined,
    'The Authorization header lacks a part.',
  ),
  UnknownOperationException: said(
    404,
    'Message',
    undefined,
    'No such operation, or one that is not implemented.',
  ),
  MalformedHttpRequestException: said(
    400,
    'message',
    undefined,
    'What came over the wire is not HTTP, or its URL cannot be decoded.',
  ),
  RequestTimeoutException: said(408, 'message', undefined, 'The body did not arrive in time.'),
} as const satisfies Record<string, ErrorShape>

export type AwsErrorCode = keyof typeof awsErrors

/** The enum of the service model that a function or account at its limit answers with: lambda-semantics.md §2.2. */
export type ThrottleReason =
  | 'ConcurrentInvocationLimitExceeded'
  | 'FunctionInvocationRateLimitExceeded'
  | 'ReservedFunctionConcurrentInvocationLimitExceeded'
  | 'ReservedFunctionInvocationRateLimitExceeded'
  | 'CallerRateLimitExceeded'

/**
 * An error as the caller gets it. `body` is JSON in AWS's own key order. `headers` are those beside
 * `x-amzn-errortype` and `x-amzn-requestid`, which every door adds itself.
 */
export type Refusal = {
  code: AwsErrorCode
  status: number
  /** The sentence alone, as `Nats-Service-Error` shows it; null where AWS says nothing. */
  message: string | null
  body: string
  headers: Record<string, string>
}

/**
 * Where AWS differs from its own table: `type: null` writes `"Type":null` and `'none'` leaves it out, `typeLast` writes it
 * after the sentence.
 */
export type RefusalExtra = {
  reason?: ThrottleReason
  retryAfterSeconds?: number
  type?: null | 'none'
  typeLast?: true
}

/** A sentence repeats what was said wrongly, which may be megabytes, and over NATS it is a header too. */
const longestSentence = 16_384
const cutOff = (sentence: string) =>
  sentence.length > longestSentence ? `${sentence.slice(0, longestSentence)}…` : sentence

/** The refusal of that code with that sentence, the body's keys in the order `Reason, Type, message`. */
export function refuse(
  code: AwsErrorCode,
  message: string | null,
  extra: RefusalExtra = {},
): Refusal {
  const shape: ErrorShape = awsErrors[code]
  const sentence = message === null ? null : cutOff(message)
  const type = extra.type === undefined ? shape.type : extra.type
  const typed = type === undefined || type === 'none' ? {} : { Type: type }
  const body = {
    ...(extra.reason === undefined ? {} : { Reason: extra.reason }),
    ...(extra.typeLast === undefined ? typed : {}),
    [shape.key]: sentence,
    ...(extra.typeLast === undefined ? {} : typed),
  }
  const headers: Record<string, string> =
    extra.retryAfterSeconds === undefined ? {} : { 'retry-after': String(extra.retryAfterSeconds) }
  return { code, status: shape.status, message: sentence, body: JSON.stringify(body), headers }
}

/** The sentence is always this one, whatever the reason: lambda-semantics.md §2.2. */
export const throttled = (reason: ThrottleReason, retryAfterSeconds?: number): Refusal =>
  refuse('TooManyRequestsException', 'Rate Exceeded.', {
    reason,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  })

/** The sentence of the API reference; the one on the wire has not been recorded. Source: Lambda API, Invoke, "Errors". */
export const recursiveInvocation = (): Refusal =>
  refuse(
    'RecursiveInvocationException',
    "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services resources and stopped your function's invocation.",
  )

/** A refusal on its way up through code that throws. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(`${refusal.code}: ${refusal.message}`)
    this.refusal = refusal
  }
}

export const isRefusal = (value: unknown): value is Refusal =>
  typeof value === 'object' && value !== null && 'code' in value && 'body' in value
