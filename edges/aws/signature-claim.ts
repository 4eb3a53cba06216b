/**
 * What a client claims about who signed its request, and what AWS has to say to a claim that cannot be right whatever the
 * signature is: parts missing, an unknown key, another region, a date too far off.
 *
 * Source: IAM User Guide, "AWS Signature Version 4 for API requests"; the sentences are those AWS's services answer with.
 */
import { type Refusal, refuse } from './errors.ts'
import { readQuery } from './query.ts'

export type Credentials = { accessKeyId: string; secretAccessKey: string }

/** A request as it came over the wire: path and query still percent-encoded, header names in lower case. */
export type WireRequest = {
  method: string
  path: string
  query: string
  headers: Record<string, string | string[] | undefined>
  body: Uint8Array
}

/** What the client claims: in its Authorization header, or in the query of a presigned URL. */
export type Claim = {
  scope: Scope
  /** In lower case and in the order given. */
  signedHeaders: readonly string[]
  signature: string
  date: string
  /** Seconds that a presigned URL is good for. */
  expires: number | undefined
}

export type Scope = {
  accessKeyId: string
  day: string
  region: string
  service: string
  end: string
}

/** AWS's tolerance for clocks that disagree: IAM User Guide, "must be within five minutes of the time stamp". */
const skewMs = 5 * 60_000
export const algorithm = 'AWS4-HMAC-SHA256'

const incomplete = (sentence: string) => refuse('IncompleteSignatureException', sentence)
export const unproven = (sentence: string): Refusal => refuse('InvalidSignatureException', sentence)

/** How many clients' claims are remembered; one that makes up many only makes the others be read again. */
const knownClaims = 256
/** SHA-256 in hexadecimal. */
const signatureCharacters = 64

/**
 * Reads claims from the Authorization header, or from the query of a presigned URL.
 *
 * All of that header but the signature at its end stays the same for a day, so what it says is remembered.
 */
export function claimReader(): (request: WireRequest) => Claim | Refusal {
  const known = new Map<string, Claim>()
  return (request) => {
    const authorization = request.headers['authorization']
    if (typeof authorization !== 'string') return readUncommonClaim(request)
    const sameAllDay = authorization.slice(0, -signatureCharacters)
    const alike = known.get(sameAllDay)
    const date = request.headers['x-amz-date']
    if (alike !== undefined && typeof date === 'string') {
      const signature = authorization.slice(-signatureCharacters)
      return { ...alike, signature, date }
    }
    const claim = readHeaderClaim(authorization, request)
    if (!('body' in claim) && endsBeforeSignature(sameAllDay)) {
      if (known.size >= knownClaims) known.clear()
      known.set(sameAllDay, claim)
    }
    return claim
  }
}

/** Whether what follows is the signature, and the only one. */
const endsBeforeSignature = (text: string) =>
  text.endsWith(signaturePart) && text.indexOf(signaturePart) === text.length - signaturePart.length

const signaturePart = 'Signature='

function readUncommonClaim({ query }: WireRequest): Claim | Refusal {
  if (query.includes('X-Amz-Signature=')) return readQueryClaim(readQuery(query))
  return refuse('MissingAuthenticationTokenException', 'Missing Authentication Token')
}

function readHeaderClaim(authorization: string, request: WireRequest): Claim | Refusal {
  const credential = part(authorization, 'Credential')
  const signature = part(authorization, 'Signature')
  const signedHeaders = part(authorization, 'SignedHeaders')
  const date = dateOf(request)
  const lacking = [
    ...(credential === '' ? ["Authorization header requires 'Credential' parameter."] : []),
    ...(signature === '' ? ["Authorization header requires 'Signature' parameter."] : []),
    ...(signedHeaders === '' ? ["Authorization header requires 'SignedHeaders' parameter."] : []),
    ...(date !== undefined
      ? []
      : ["Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."]),
  ]
  if (lacking.length > 0 || date === undefined) {
    return incomplete(`${lacking.join(' ')} Authorization=${schemeOf(authorization)}`)
  }
  if (schemeOf(authorization) !== algorithm) {
    return incomplete(`Unsupported AWS 'algorithm': '${schemeOf(authorization)}'.`)
  }
  return claimOf({ credential, signedHeaders, signature, date, expires: undefined })
}

function claimOf(parts: {
  credential: string
  signedHeaders: string
  signature: string
  date: string
  expires: number | undefined
}): Claim | Refusal {
  const { credential, signedHeaders, signature, date, expires } = parts
  const scope = readScope(credential)
  if ('body' in scope) return scope
  return { scope, signedHeaders: signedHeaders.toLowerCase().split(';'), signature, date, expires }
}

function dateOf({ headers }: WireRequest): string | undefined {
  const stated = headers['x-amz-date']
  if (typeof stated === 'string') return stated
  const ms = typeof headers['date'] === 'string' ? Date.parse(headers['date']) : Number.NaN
  return Number.isNaN(ms) ? undefined : basicDate(ms)
}

/** The algorithm only: what follows it is near enough a secret not to be sent back. */
const schemeOf = (authorization: string) => authorization.split(' ', 1)[0] ?? ''

function part(authorization: string, name: string): string {
  const start = authorization.indexOf(`${name}=`)
  if (start === -1) return ''
  const from = start + name.length + 1
  const end = authorization.indexOf(',', from)
  return authorization.slice(from, end === -1 ? undefined : end).trim()
}

function readQueryClaim(query: Record<string, string | string[]>): Claim | Refusal {
  const read = (name: string) => {
    const value = query[name]
    return typeof value === 'string' ? value : ''
  }
  const needed = ['Algorithm', 'Credential', 'Signature', 'SignedHeaders', 'Date', 'Expires']
  const lacking = needed.filter((name) => read(`X-Amz-${name}`) === '')
  if (lacking.length > 0) {
    const sentences = lacking.map(
      (name) => `AWS query-string parameters must include 'X-Amz-${name}'.`,
    )
    return incomplete(`${sentences.join(' ')} Re-examine the query-string parameters.`)
  }
  if (read('X-Amz-Algorithm') !== algorithm) {
    return incomplete(`Unsupported AWS 'algorithm': '${read('X-Amz-Algorithm')}'.`)
  }
  return claimOf({
    credential: read('X-Amz-Credential'),
    signedHeaders: read('X-Amz-SignedHeaders'),
    signature: read('X-Amz-Signature'),
    date: read('X-Amz-Date'),
    expires: Number(read('X-Amz-Expires')) || 0,
  })
}

function readScope(credential: string): Scope | Refusal {
  const elements = credential.split('/')
  const [accessKeyId, day, region, service, end] = elements
  if (elements.length !== 5) {
    return incomplete(
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${credential}'`,
    )
  }
  return { accessKeyId, day, region, service, end } as Scope
}

/** Whether it is our key, for here, for this service, from the day that the date says. */
export function checkScope(
  { scope, date }: Claim,
  ours: { credentials: Credentials; region: string; service: string | undefined },
): Refusal | undefined {
  if (scope.accessKeyId !== ours.credentials.accessKeyId) {
    return refuse(
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    )
  }
  if (scope.region !== ours.region) {
    return unproven(`Credential should be scoped to a valid region, not '${scope.region}'. `)
  }
  if (ours.service !== undefined && scope.service !== ours.service) {
    return unproven(`Credential should be scoped to correct service: '${ours.service}'. `)
  }
  if (scope.end !== 'aws4_request') {
    return unproven(
      `Credential should be scoped with a valid terminator: 'aws4_request', not '${scope.end}'. `,
    )
  }
  return scope.day === date.slice(0, 8)
    ? undefined
    : unproven(
        `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${scope.day}' != '${date.slice(0, 8)}', from '${date}'.`,
      )
}

export function checkDate({ date, expires }: Claim, nowMs: number): Refusal | undefined {
  const signedMs = millisecondsOf(date)
  if (Number.isNaN(signedMs)) {
    return incomplete(
      `Date must be in ISO-8601 'basic format'. Got '${date}'. See http://en.wikipedia.org/wiki/ISO_8601`,
    )
  }
  if (signedMs > nowMs + skewMs) {
    const latest = basicDate(nowMs + skewMs)
    return unproven(
      `Signature not yet current: ${date} is still later than ${latest} (${basicDate(nowMs)} + 5 min.)`,
    )
  }
  if (expires !== undefined) {
    return nowMs > signedMs + expires * 1000
      ? refuse('AccessDeniedException', 'Request has expired')
      : undefined
  }
  return signedMs < nowMs - skewMs
    ? unproven(
        `Signature expired: ${date} is now earlier than ${basicDate(nowMs - skewMs)} (${basicDate(nowMs)} - 5 min.)`,
      )
    : undefined
}

/** `20261123T085544Z` in milliseconds since 1970; NaN for anything else. */
function millisecondsOf(date: string): number {
  if (date !== lastRead.date) lastRead = { date, ms: readDate(date) }
  return lastRead.ms
}

/** Dates come in order and are whole seconds: most are the one that came before. */
let lastRead = { date: '', ms: Number.NaN }

function readDate(date: string): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

const basicDate = (ms: number) => new Date(ms).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
