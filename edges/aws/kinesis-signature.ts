/**
 * Who signed a request to Kinesis, and how Kinesis says that a signature lacks something: before anything else, and with all
 * of the header that it got.
 *
 * Source: kinesalite's tests of connections (test/connection.js), recorded from AWS.
 */
import type { Refusal } from './errors.ts'
import { type KinesisErrorCode, type KinesisRefusal, refuseKinesis } from './kinesis-errors.ts'
import { readQuery } from './query.ts'
import type { Verify } from './signature.ts'
import type { WireRequest } from './signature-claim.ts'

/** `undefined`: it is signed by the holder of the credentials. */
export function objectToSignature(
  verify: Verify,
  request: WireRequest,
): KinesisRefusal | undefined {
  const lacking = whatLacks(request)
  if (lacking !== undefined) return lacking
  // Who signs for no service at all, as signers do that do not know the host, says no wrong one.
  const objection = verify(request, namesNoService(request) ? undefined : 'kinesis')
  return objection && asKinesisSays(objection)
}

function whatLacks({ query, headers }: WireRequest): KinesisRefusal | undefined {
  const given = query.includes('X-Amz-Algorithm') ? readQuery(query) : {}
  const isInQuery = given['X-Amz-Algorithm'] !== undefined
  const { authorization } = headers
  if (typeof authorization !== 'string') return isInQuery ? lacksInQuery(given) : unsigned
  return isInQuery
    ? refuseKinesis(
        'InvalidSignatureException',
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
      )
    : lacksInHeader(authorization, headers)
}

const unsigned = refuseKinesis(
  'MissingAuthenticationTokenException',
  'Missing Authentication Token',
)

const incomplete = (sentences: readonly string[], last: string) =>
  sentences.length === 0
    ? undefined
    : refuseKinesis('IncompleteSignatureException', [...sentences, last].join(' '))

function lacksInQuery(given: Record<string, string | string[]>): KinesisRefusal | undefined {
  const needed = ['Algorithm', 'Credential', 'Signature', 'SignedHeaders', 'Date']
  const lacking = needed.filter((name) => !given[`X-Amz-${name}`])
  return incomplete(
    lacking.map((name) => `AWS query-string parameters must include 'X-Amz-${name}'.`),
    'Re-examine the query-string parameters.',
  )
}

function lacksInHeader(
  authorization: string,
  headers: WireRequest['headers'],
): KinesisRefusal | undefined {
  const lacking = ['Credential', 'Signature', 'SignedHeaders']
    .filter((name) => !new RegExp(`[ ,]${name}=[^ ,]`).test(authorization))
    .map((name) => `Authorization header requires '${name}' parameter.`)
  const isDated = headers['x-amz-date'] !== undefined || headers['date'] !== undefined
  const undated = isDated
    ? []
    : ["Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."]
  return incomplete([...lacking, ...undated], `Authorization=${authorization}`)
}

/** The service that the signature says it is for. */
const serviceIn = (headers: WireRequest['headers']) =>
  /Credential=[^/,]*\/\d{8}\/[^/,]*\/([^/,]*)\/aws4_request/.exec(
    String(headers['authorization']),
  )?.[1]

const namesNoService = ({ headers }: WireRequest) => serviceIn(headers) === ''

/** Or for none. */
export const isSignedForKinesis = (headers: WireRequest['headers']): boolean =>
  ['kinesis', ''].includes(serviceIn(headers) ?? 'none')

const shared: readonly string[] = [
  'MissingAuthenticationTokenException',
  'IncompleteSignatureException',
  'InvalidSignatureException',
  'UnrecognizedClientException',
  'AccessDeniedException',
] satisfies KinesisErrorCode[]

const asKinesisSays = ({ code, message }: Refusal): KinesisRefusal =>
  refuseKinesis(
    shared.includes(code) ? (code as KinesisErrorCode) : 'AccessDeniedException',
    message ?? '',
  )
