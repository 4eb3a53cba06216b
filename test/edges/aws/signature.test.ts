import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { presignCodeUrl } from '../../../edges/aws/code-url.ts'
import { signatureVerifier } from '../../../edges/aws/signature.ts'
import type { WireRequest } from '../../../edges/aws/signature-claim.ts'

const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
const nowMs = Date.UTC(2026, 10, 23, 8, 55, 44)
const verifyAt = (ms: number) =>
  signatureVerifier({ credentials, region: 'us-east-1', now: () => ms })
const verify = verifyAt(nowMs)

class Sha256 {
  readonly hash
  constructor(secret?: unknown) {
    this.hash =
      secret === undefined ? createHash('sha256') : createHmac('sha256', secret as Uint8Array)
  }
  update(data: Uint8Array) {
    this.hash.update(data)
  }
  async digest() {
    return new Uint8Array(this.hash.digest())
  }
}

type Signing = {
  path?: string
  query?: Record<string, string | string[]>
  headers?: Record<string, string>
  body?: string
  secretAccessKey?: string
  accessKeyId?: string
  region?: string
  service?: string
  atMs?: number
  applyChecksum?: boolean
}

async function signed(options: Signing = {}): Promise<WireRequest> {
  const signer = new SignatureV4({
    credentials: {
      accessKeyId: options.accessKeyId ?? 'test',
      secretAccessKey: options.secretAccessKey ?? 'test',
    },
    region: options.region ?? 'us-east-1',
    service: options.service ?? 'lambda',
    sha256: Sha256,
    applyChecksum: options.applyChecksum ?? true,
  })
  const path = options.path ?? '/2015-03-31/functions/hello/invocations'
  const query = options.query ?? {}
  const body = Buffer.from(options.body ?? '{"n":1}')
  const { headers } = await signer.sign(
    {
      method: 'POST',
      protocol: 'http:',
      hostname: 'localhost',
      path,
      query,
      headers: { host: 'localhost:4566', ...options.headers },
      body,
    },
    { signingDate: new Date(options.atMs ?? nowMs) },
  )
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().map((one) => `${encodeURIComponent(name)}=${encodeURIComponent(one)}`),
  )
  return { method: 'POST', path, query: pairs.join('&'), headers: { ...headers }, body }
}

const mismatch =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.'

describe('a request is let in', () => {
  test.each<[string, Signing]>([
    ['as the JavaScript SDK signs it, body hash in a header', {}],
    ['as botocore signs it, body hash nowhere but in the signature', { applyChecksum: false }],
    ['with a query', { query: { Qualifier: '$LATEST', Marker: 'a b+c/=&' } }],
    ['with a name that comes twice in its query', { query: { tagKeys: ['b', 'a c'] } }],
    [
      'with an ARN in its path, percent-encoded',
      {
        path: '/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af',
      },
    ],
    ['without a body', { body: '' }],
    ['with spaces in a header', { headers: { 'x-amz-meta': '  a   b  ' } }],
    [
      'whose body is declared unsigned',
      { headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } },
    ],
    ['signed five minutes ago', { atMs: nowMs - 299_000 }],
    ['signed five minutes ahead', { atMs: nowMs + 299_000 }],
  ])('%s', async (_, options) => {
    expect(verify(await signed(options), 'lambda')).toBeUndefined()
  })
})

describe('a request is refused', () => {
  test.each<[string, Signing, string, string]>([
    [
      'by an unknown key',
      { accessKeyId: 'who' },
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    ],
    ['by a wrong secret', { secretAccessKey: 'x' }, 'InvalidSignatureException', mismatch],
    [
      'for another region',
      { region: 'eu-west-1' },
      'InvalidSignatureException',
      "Credential should be scoped to a valid region, not 'eu-west-1'. ",
    ],
    [
      'for another service',
      { service: 'kinesis' },
      'InvalidSignatureException',
      "Credential should be scoped to correct service: 'lambda'. ",
    ],
    [
      'too old',
      { atMs: nowMs - 301_000 },
      'InvalidSignatureException',
      'Signature expired: 20261123T085043Z is now earlier than 20261123T085044Z (20261123T085544Z - 5 min.)',
    ],
    [
      'too new',
      { atMs: nowMs + 301_000 },
      'InvalidSignatureException',
      'Signature not yet current: 20261123T090045Z is still later than 20261123T090044Z (20261123T085544Z + 5 min.)',
    ],
  ])('%s', async (_, options, code, message) => {
    const refusal = verify(await signed(options), 'lambda')
    expect(refusal).toMatchObject({ code, message, status: 403 })
    expect(refusal?.body).toBe(JSON.stringify({ message }))
  })

  const tampered: [string, (request: WireRequest) => void][] = [
    ['another body', (request) => Object.assign(request, { body: Buffer.from('{"n":2}') })],
    ['another path', (request) => Object.assign(request, { path: `${request.path}x` })],
    ['another method', (request) => Object.assign(request, { method: 'PUT' })],
    ['another query', (request) => Object.assign(request, { query: 'Qualifier=1' })],
    ['another host', (request) => Object.assign(request.headers, { host: 'elsewhere' })],
    ['a signed header gone', (request) => Object.assign(request.headers, { host: undefined })],
    [
      'another signature',
      (request) =>
        Object.assign(request.headers, {
          authorization: String(request.headers['authorization']).replace(/.$/, (last) =>
            last === '0' ? '1' : '0',
          ),
        }),
    ],
    [
      'a signature that is too short',
      (request) =>
        Object.assign(request.headers, {
          authorization: String(request.headers['authorization']).slice(0, -1),
        }),
    ],
  ]
  test.each(tampered)('with %s than was signed', async (_, tamper) => {
    for (const applyChecksum of [true, false]) {
      const request = await signed({ applyChecksum })
      tamper(request)
      expect(verify(request, 'lambda')).toMatchObject({
        code: 'InvalidSignatureException',
        message: mismatch,
      })
    }
  })

  test('that is not signed', () => {
    const request = { method: 'GET', path: '/', query: '', headers: {}, body: Buffer.alloc(0) }
    expect(verify(request)).toMatchObject({
      code: 'MissingAuthenticationTokenException',
      message: 'Missing Authentication Token',
      status: 403,
    })
  })

  test.each([
    [
      'AWS4-HMAC-SHA256 Credential=a/b',
      "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256",
    ],
    [
      'Bearer abc',
      "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=Bearer",
    ],
    [
      '',
      "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=",
    ],
    [
      'AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c',
      "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'",
    ],
    [
      'AWS4-HMAC-SHA1 Credential=a/b, SignedHeaders=host, Signature=c',
      "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.",
    ],
  ])('with the header %j', async (authorization, message) => {
    const request = await signed()
    Object.assign(request.headers, { authorization })
    expect(verify(request)).toMatchObject({ code: 'IncompleteSignatureException', message })
  })

  test.each(['constructor', '__proto__', 'toString', 'x-not-there'])(
    'that claims to have signed %s',
    async (name) => {
      const request = await signed()
      const authorization = String(request.headers['authorization'])
      Object.assign(request.headers, {
        authorization: authorization.replace('SignedHeaders=', `SignedHeaders=${name};`),
      })
      expect(verify(request)).toMatchObject({ code: 'InvalidSignatureException' })
    },
  )

  test('whose date is no date', async () => {
    const request = await signed()
    Object.assign(request.headers, {
      'x-amz-date': '20261123 later',
      authorization: String(request.headers['authorization']),
    })
    expect(verify(request)).toMatchObject({ code: 'IncompleteSignatureException' })
  })
})

test('however the headers look, what the SDK signs is let in and anything else is not', async () => {
  const name = fc.constantFrom('x-amz-meta', 'a', 'x-amz-meta-z', 'x-0', '0', 'content-type')
  const value = fc.oneof(
    fc.stringMatching(/^[!-~]{0,20}$/),
    fc.stringMatching(/^[ \ta-c]{0,8}$/),
    fc.constantFrom('é', 'a,b', 'a, b', ''),
  )
  const path = fc.oneof(
    fc.webPath(),
    fc.constantFrom('/a//b', '/a/../b', '/a%2Fb/', '/%c3%a9', '/'),
  )
  const query = fc.dictionary(fc.stringMatching(/^[a-zA-Z]{1,3}$/), fc.string({ maxLength: 5 }), {
    maxKeys: 2,
  })
  const one = fc.record({
    headers: fc.dictionary(name, value),
    path: path.filter((text) => text.startsWith('/')),
    query: fc.oneof(fc.constant({}), query),
    body: fc.string({ maxLength: 10 }),
    applyChecksum: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(one, async (options) => {
      const request = await signed(options)
      expect(verify(request, 'lambda')).toBeUndefined()
      for (const header of Object.keys(options.headers)) {
        const headers = { ...request.headers, [header]: `${options.headers[header]}x` }
        expect(verify({ ...request, headers }, 'lambda')).toMatchObject({ message: mismatch })
      }
    }),
    { numRuns: 100 },
  )
})

test('the second request of a client is checked as the first was', async () => {
  const [one, other] = [await signed(), await signed({ body: '{"n":2}' })]
  expect(verify(one)).toBeUndefined()
  expect(verify(other)).toBeUndefined()
  const authorization = one.headers['authorization']
  const swapped = { ...other, headers: { ...other.headers, authorization } }
  expect(verify(swapped)).toMatchObject({ message: mismatch })
  const later = { ...one, headers: { ...one.headers, 'x-amz-date': '20261123T085545Z' } }
  expect(verify(later)).toMatchObject({ message: mismatch })
  const undated = { ...one, headers: { ...one.headers, 'x-amz-date': undefined } }
  expect(verify(undated)).toMatchObject({ code: 'IncompleteSignatureException' })
  expect(verify(one, 'kinesis')).toMatchObject({ code: 'InvalidSignatureException' })
})

describe('a presigned URL of a package', () => {
  const wire = (url: string): WireRequest => {
    const { pathname, search, host } = new URL(url)
    const headers = { host }
    return { method: 'GET', path: pathname, query: search.slice(1), headers, body: Buffer.alloc(0) }
  }
  const presign = () =>
    presignCodeUrl({
      origin: 'http://127.0.0.1:4566',
      sha256Hex: 'ab'.repeat(32),
      credentials,
      region: 'us-east-1',
      nowMs,
    })

  test('opens for ten minutes', async () => {
    const request = wire(await presign())
    expect(verify(request)).toBeUndefined()
    expect(verifyAt(nowMs + 599_000)(request)).toBeUndefined()
    expect(verifyAt(nowMs + 601_000)(request)).toMatchObject({
      code: 'AccessDeniedException',
      message: 'Request has expired',
    })
  })

  test('opens nothing else, and not for longer', async () => {
    const request = wire(await presign())
    const other = { ...request, path: request.path.replace('ab', 'cd') }
    const longer = { ...request, query: request.query.replace('Expires=600', 'Expires=6000') }
    expect(verify(other)).toMatchObject({ code: 'InvalidSignatureException' })
    expect(verify(longer)).toMatchObject({ code: 'InvalidSignatureException' })
  })

  test('with a part missing is refused', async () => {
    const request = wire(await presign())
    const lacking = { ...request, query: request.query.replace(/X-Amz-Expires=600&?/, '') }
    expect(verify(lacking)).toMatchObject({
      code: 'IncompleteSignatureException',
      message:
        "AWS query-string parameters must include 'X-Amz-Expires'. Re-examine the query-string parameters.",
    })
  })
})
