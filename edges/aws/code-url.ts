/**
 * URLs of packages: GetFunction's `Code.Location`, which on AWS is a presigned URL of S3 and here one of our own door.
 */
import { SignatureV4 } from '@smithy/signature-v4'
import { Sha256 } from './sha256.ts'
import type { Credentials } from './signature-claim.ts'

/** Lambda API, GetFunction: "a presigned URL that's valid for 10 minutes". */
const codeUrlSeconds = 600

/** The path under which the door gives away a package to whoever has a presigned URL of it. */
export const codePath = (sha256Hex: string) => `/_lambus/code/${sha256Hex}`

/**
 * GetFunction's `Code.Location`: a URL that is good for ten minutes and for one package, without further credentials.
 * `origin` is the door's own, as `http://127.0.0.1:4566`.
 */
export async function presignCodeUrl(options: {
  origin: string
  sha256Hex: string
  credentials: Credentials
  region: string
  nowMs: number
}): Promise<string> {
  const host = new URL(options.origin).host
  const path = codePath(options.sha256Hex)
  const signer = new SignatureV4({
    credentials: options.credentials,
    region: options.region,
    service: 'lambda',
    sha256: Sha256,
  })
  const signed = await signer.presign(
    { method: 'GET', protocol: 'http:', hostname: host, path, headers: { host } },
    { expiresIn: codeUrlSeconds, signingDate: new Date(options.nowMs) },
  )
  const query = Object.entries(signed.query ?? {}).map(
    ([name, value]) => `${name}=${encodeURIComponent(String(value))}`,
  )
  return `${options.origin}${path}?${query.join('&')}`
}
