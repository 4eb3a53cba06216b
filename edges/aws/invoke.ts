/**
 * An Invoke request and its answer, as they pass between a door and the front end: plain values, whichever door they came
 * through. The payload is bytes from the first to the last and is never encoded again.
 *
 * Source: lambda-semantics.md §1.1 (members), §1.2 (answers), §1.4 (limits and texts).
 */
import { type Refusal, refuse } from './errors.ts'
import { jsonComplaint } from './json-complaint.ts'
import { enumConstraint, validationFailure } from './validation-texts.ts'

export type InvocationType = 'RequestResponse' | 'Event' | 'DryRun'

export type InvokeRequest = {
  requestId: string
  /** As given: name, partial or full ARN, `name:qualifier`. */
  functionName: string
  qualifier: string | undefined
  invocationType: InvocationType
  logType: 'None' | 'Tail'
  /** Base64 of JSON, as given. */
  clientContext: string | undefined
  traceId: string | undefined
  payload: Uint8Array
  /** It is known to be JSON, and no larger than it may be: an event that was accepted, or made by ourselves. */
  isChecked?: boolean
}

export type InvokeAnswer =
  | {
      kind: 'result'
      status: 200
      executedVersion: string
      functionError: 'Unhandled' | undefined
      /** Base64 of the last 4096 bytes of the log. */
      logResult: string | undefined
      payload: Uint8Array
    }
  | { kind: 'dry run' }
  /** An asynchronous event, on disk. */
  | { kind: 'accepted' }
  | { kind: 'refused'; refusal: Refusal }

/** An Invoke request as it came in: the two enums may hold anything. */
export type UncheckedInvoke = Omit<InvokeRequest, 'invocationType' | 'logType'> & {
  invocationType: string
  logType: string
}

/** Lambda quotas: invocation payload, synchronous. lambda-semantics.md §1.4. */
export const payloadLimitBytes = 6_291_456
/** Lambda quotas: invocation payload, asynchronous; 256 KB until October 2025. */
export const eventLimitBytes = 1_048_576
/** The older operation: 256 KiB, recorded. lambda-semantics.md §1.4. */
export const invokeAsyncLimitBytes = 262_144
/** Lambda API, Invoke: "up to 3,583 bytes of base64-encoded data about the invoking client". */
export const clientContextLimitBytes = 3_583

const invocationTypes = ['Event', 'RequestResponse', 'DryRun']
const logTypes = ['None', 'Tail']

/**
 * What is wrong with a request as such, before anyone asks whether the function exists: size, the two enums (both
 * complaints in one sentence), client context. The payload's JSON comes later, after the function was found: see
 * `checkPayload`. Narrows the request when it answers `undefined`.
 */
export function checkInvoke(request: UncheckedInvoke): Refusal | undefined {
  if (request.payload.length > payloadLimitBytes) return payloadTooLarge()
  const complaints: string[] = []
  if (!invocationTypes.includes(request.invocationType)) {
    complaints.push(enumConstraint(request.invocationType, 'invocationType', invocationTypes))
  }
  if (!logTypes.includes(request.logType)) {
    complaints.push(enumConstraint(request.logType, 'logType', logTypes))
  }
  if (complaints.length > 0) return validationFailure(complaints)
  return request.clientContext === undefined ? undefined : checkClientContext(request.clientContext)
}

/** The request with its enums narrowed, or why not. */
export function checkedInvoke(request: UncheckedInvoke): InvokeRequest | Refusal {
  return checkInvoke(request) ?? (request as InvokeRequest)
}

export const payloadTooLarge = (): Refusal =>
  refuse(
    'RequestEntityTooLargeException',
    `Request must be smaller than ${payloadLimitBytes} bytes for the InvokeFunction operation`,
  )

// `Type` is null here and nowhere else: raw bodies in public reports of this error.
const badClientContext = () =>
  refuse(
    'InvalidRequestContentException',
    'Client context must be a valid Base64-encoded JSON object.',
    { type: null },
  )

function checkClientContext(encoded: string): Refusal | undefined {
  if (encoded.length > clientContextLimitBytes) {
    return refuse(
      'InvalidRequestContentException',
      `Client context must be less than ${clientContextLimitBytes + 1} bytes in base64`,
    )
  }
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) return badClientContext()
  try {
    const context: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))
    return typeof context === 'object' && context !== null && !Array.isArray(context)
      ? undefined
      : badClientContext()
  } catch {
    return badClientContext()
  }
}

/**
 * Whether the payload is JSON in UTF-8. An empty one is none at all, which AWS takes: the function is given `{}`
 * (LocalStack and SAM, whose suites run against AWS, do the same); see `payloadOrEmptyObject`.
 */
export function checkPayload(payload: Uint8Array): Refusal | undefined {
  if (payload.length === 0) return undefined
  const complaint = jsonComplaint(payload)
  if (complaint === undefined) return undefined
  return refuse(
    'InvalidRequestContentException',
    `Could not parse request body into json: Could not parse payload into json: ${complaint}`,
  )
}

/** An asynchronous event may not be as large. Source of the sentence: lambda-semantics.md §1.4. */
export const checkEventSize = (
  payload: Uint8Array,
  limitBytes: number = eventLimitBytes,
): Refusal | undefined =>
  payload.length > limitBytes
    ? refuse(
        'RequestEntityTooLargeException',
        `${payload.length} byte payload is too large for the Event invocation type (limit ${limitBytes} bytes)`,
      )
    : undefined

const emptyObject = new Uint8Array([0x7b, 0x7d])

/** What the function is given: the payload itself, or `{}` where there is none. */
export const payloadOrEmptyObject = (payload: Uint8Array): Uint8Array =>
  payload.length === 0 ? emptyObject : payload
