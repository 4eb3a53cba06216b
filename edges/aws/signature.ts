/**
 * Signature Version 4: who is asking, and that nobody changed what is asked.
 *
 * The signature is calculated again, over exactly the headers that the client says it signed, in the canonical form of AWS's own
 * SDK, and compared. The body counts through its hash. Source: IAM User Guide, "AWS Signature Version 4 for API requests".
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import type { Refusal } from './errors.ts'
import { type Hmac, hmacWith } from './hmac.ts'
import { canonicalForm } from './signature-canonical.ts'
import {
  algorithm,
  type Claim,
  type Credentials,
  checkDate,
  checkScope,
  claimReader,
  type Scope,
  unproven,
  type WireRequest,
} from './signature-claim.ts'

const mismatch = () =>
  unproven(
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
  )

/** `undefined`: it is signed by the holder of the credentials. `service` given: and for that service. */
export type Verify = (request: WireRequest, service?: string) => Refusal | undefined

/** `now` gives milliseconds since 1970. */
export function signatureVerifier(options: {
  credentials: Credentials
  region: string
  now: () => number
}): Verify {
  const readClaim = claimReader()
  const canonical = canonicalForm()
  const keyOf = signingKeys(options.credentials.secretAccessKey)

  return (request, service) => {
    const claim = readClaim(request)
    if ('body' in claim) return claim
    const objection = checkScope(claim, { ...options, service }) ?? checkDate(claim, options.now())
    if (objection !== undefined) return objection
    if (!claim.signedHeaders.some((name) => name === 'host' || name === ':authority')) {
      return unproven("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    }
    const text = canonical(request, claim)
    if (text === undefined) return mismatch()
    const ours = keyOf(claim.scope)(stringToSign(claim, text))
    return sameText(ours, claim.signature) ? undefined : mismatch()
  }
}

const stringToSign = ({ scope, date }: Claim, canonicalRequest: string) =>
  `${algorithm}\n${date}\n${scope.day}/${scope.region}/${scope.service}/${scope.end}\n${hash('sha256', canonicalRequest, 'hex')}`

/** Signing keys by day, region and service. */
function signingKeys(secretAccessKey: string): (scope: Scope) => Hmac {
  const keys = new Map<string, Hmac>()
  return ({ day, region, service, end }) => {
    const id = `${day}/${region}/${service}`
    const known = keys.get(id)
    if (known !== undefined) return known
    let secret: string | Uint8Array = `AWS4${secretAccessKey}`
    for (const step of [day, region, service, end]) {
      secret = createHmac('sha256', secret).update(step).digest()
    }
    const key = hmacWith(secret as Uint8Array)
    // The service is the client's to name: one that makes up many only empties the cache.
    if (keys.size >= 16) keys.clear()
    keys.set(id, key)
    return key
  }
}

const sameText = (one: string, other: string): boolean => {
  const [ours, theirs] = [Buffer.from(one), Buffer.from(other)]
  return ours.length === theirs.length && timingSafeEqual(ours, theirs)
}
