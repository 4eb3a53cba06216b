/**
 * Requests that a door meets in the open, from a seed: no HTTP at all, half of it, HTTP that is no request of AWS's, and
 * requests that are signed well and ask for nonsense. None of them may change anything, so none names a function that is
 * not there to be misused, and none is right by chance.
 */
import { createHash, createHmac } from 'node:crypto'
import { connect } from 'node:net'
import type { Chance } from '../seed.ts'
import { badCall, type StreamTargets } from './bad-kinesis.ts'

export type BadRequest = {
  /** For the report of a failure. */
  name: string
  bytes: Uint8Array
  /** What comes back: a refusal in AWS's form; where it is no whole request, perhaps nothing. */
  answer: 'refusal' | 'refusal or hang-up' | 'goodbye in HTTP/2'
}

const pick = <Item>(chance: Chance, items: readonly Item[]): Item =>
  items[chance(items.length)] as Item
const repeat = (text: string, times: number) => text.repeat(times)
const noise = (chance: Chance, length: number) =>
  Buffer.from(Array.from({ length }, () => chance(256)))

/** Bodies that are no JSON, or no JSON object. */
const bodies = [
  '',
  '{',
  '{"a":',
  '[]',
  'null',
  '"text"',
  '1e999',
  '{"a":1}}',
  "{'a':1}",
  '{"a":undefined}',
  '\u0000',
  '{"a":"\u0001"}',
  repeat('[', 100_000),
  `{"a":${repeat('[', 5_000)}${repeat(']', 5_000)}}`,
  '{"__proto__":{"x":1},"constructor":{}}',
  '\ufeff{}',
]

/** Values of the wrong type or size for every member. */
const values = [
  null,
  true,
  -1,
  1.5,
  1e308,
  '',
  ' ',
  'ä'.repeat(300),
  'x'.repeat(3_000),
  '\u0000',
  '../../etc/passwd',
  'arn:aws:lambda:us-east-1:000000000000:function:',
  'arn:aws:lambda:eu-west-1:000000000000:function:f',
  'arn:aws:lambda:us-east-1:111111111111:function:f',
  '*',
  '>',
  [],
  ['x'],
  {},
  { a: { b: { c: 1 } } },
]

const members = [
  'FunctionName',
  'Runtime',
  'Handler',
  'Role',
  'Code',
  'Timeout',
  'MemorySize',
  'Environment',
  'Tags',
  'Layers',
  'VpcConfig',
  'Publish',
  'DryRun',
  'RevisionId',
  'ZipFile',
  'PackageType',
  'Architectures',
]

const names = [
  'nobody',
  'a b',
  'ä',
  '%00',
  '%',
  '%E0%A4%A',
  '..',
  '.',
  '*',
  '>',
  'a:b:c:d',
  '$LATEST',
  'x'.repeat(200),
  'nobody:1',
  'nobody:$LATEST',
  '__proto__',
  'constructor',
  'arn:aws:lambda:us-east-1:000000000000:function:nobody:x:y',
  'arn%3Aaws%3Alambda',
]

const places = (name: string): [string, string][] => [
  ['GET', `/2015-03-31/functions/${name}`],
  ['GET', `/2015-03-31/functions/${name}/configuration`],
  ['DELETE', `/2015-03-31/functions/${name}`],
  ['PUT', `/2015-03-31/functions/${name}/code`],
  ['PUT', `/2015-03-31/functions/${name}/configuration`],
  ['POST', `/2015-03-31/functions/${name}/invocations`],
  ['GET', `/2017-03-31/tags/${name}`],
  ['POST', `/2017-03-31/tags/${name}`],
  ['DELETE', `/2017-03-31/tags/${name}?tagKeys=a`],
  ['POST', `/2015-03-31/functions/${name}/versions`],
  ['POST', `/2014-11-13/functions/${name}/invoke-async`],
  ['PATCH', `/2015-03-31/functions/${name}`],
  ['POST', `/2015-03-31/functions/${name}/invocations?Qualifier=${name}`],
  ['GET', `/${name}`],
  ['GET', `//2015-03-31//functions/${name}`],
]

const request = (line: string, headers: Record<string, string>, body: string | Uint8Array = '') =>
  Buffer.concat([
    Buffer.from(
      `${line}\r\n${Object.entries(headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n`,
    ),
    Buffer.from(body),
  ])

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const sha256 = (body: string | Uint8Array) => createHash('sha256').update(body).digest('hex')

/** SigV4 in its shortest form, for the dev credentials. Source: AWS IAM User Guide, "Create a signed AWS API request". */
export function signed(
  method: string,
  url: string,
  body: string | Uint8Array,
  extra: Record<string, string> = {},
  service = 'lambda',
): Buffer {
  const at = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${at.slice(0, 8)}/us-east-1/${service}/aws4_request`
  const [path = '', query = ''] = url.split('?')
  const canonicalQuery = query.split('&').sort().join('&')
  const canonicalPath = path
    .split('/')
    .map((part) => encodeURIComponent(part).replace(/[!'()*]/g, encodeHex))
    .join('/')
  const canonical = `${method}\n${canonicalPath}\n${canonicalQuery}\nhost:localhost\nx-amz-date:${at}\n\nhost;x-amz-date\n${sha256(body)}`
  const text = `AWS4-HMAC-SHA256\n${at}\n${scope}\n${sha256(canonical)}`
  const key = scope
    .split('/')
    .reduce<string | Buffer>((secret, part) => hmac(secret, part), 'AWS4test')
  const signature = hmac(key, text).toString('hex')
  return request(
    `${method} ${url} HTTP/1.1`,
    {
      host: 'localhost',
      connection: 'close',
      'x-amz-date': at,
      authorization: `AWS4-HMAC-SHA256 Credential=test/${scope}, SignedHeaders=host;x-amz-date, Signature=${signature}`,
      'content-length': String(Buffer.byteLength(body)),
      ...extra,
    },
    body,
  )
}
const encodeHex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`

type Kind = (chance: Chance) => BadRequest

const noHttp: Kind = (chance) => ({
  name: 'bytes that are no HTTP',
  bytes: Buffer.concat([
    noise(chance, 1 + chance(2_000)),
    Buffer.from(pick(chance, ['', '\r\n\r\n', '\n\n'])),
  ]),
  answer: 'refusal or hang-up',
})

const badLine: Kind = (chance) => ({
  name: 'a request line that is none',
  bytes: request(
    pick(chance, [
      'GET',
      'GET /',
      'GET / HTTP/9.9',
      'GET  /  HTTP/1.1',
      ' GET / HTTP/1.1',
      'get / http/1.1',
      'GET / HTTP/1.1 more',
      'NONSENSE / HTTP/1.1',
      'GET \u0000 HTTP/1.1',
      `GET /${repeat('a', 70_000)} HTTP/1.1`,
      'CONNECT example.com:443 HTTP/1.1',
      'OPTIONS * HTTP/1.1',
      'GET http://example.com/x HTTP/1.1',
      'HTTP/1.1 200 OK',
    ]),
    { host: 'localhost', connection: 'close' },
  ),
  answer: 'refusal or hang-up',
})

const badPreface: Kind = (chance) => ({
  name: 'the first line of HTTP/2, and then none of it',
  bytes: Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n'), noise(chance, 30 + chance(100))]),
  answer: 'goodbye in HTTP/2',
})

const badHeaders: Kind = (chance) => ({
  name: 'headers that are none, or too many',
  bytes: Buffer.from(
    `POST /2015-03-31/functions/nobody/invocations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${pick(
      chance,
      [
        'no colon\r\n',
        ': no name\r\n',
        'name : blank\r\n',
        ' folded\r\n',
        `x: ${repeat('y', 100_000)}\r\n`,
        Array.from({ length: 3_000 }, (_, n) => `x-${n}: 1\r\n`).join(''),
        'content-length: -1\r\n',
        'content-length: 1\r\ncontent-length: 2\r\n',
        'content-length: 99999999999999999999\r\n',
        'content-length: 5\r\ntransfer-encoding: chunked\r\n',
        'transfer-encoding: nonsense\r\n',
        'x: \u0000\r\n',
        'upgrade: websocket\r\nconnection: upgrade\r\n',
      ],
    )}\r\n`,
    'latin1',
  ),
  answer: 'refusal or hang-up',
})

const badChunks: Kind = (chance) => ({
  name: 'chunks that are none',
  bytes: request(
    'POST /2015-03-31/functions/nobody/invocations HTTP/1.1',
    { host: 'localhost', connection: 'close', 'transfer-encoding': 'chunked' },
    pick(chance, [
      'zz\r\n{}\r\n',
      '2\r\n{}x\r\n',
      '-1\r\n',
      'ffffffffffffffff\r\n',
      '2\n{}\n0\n\n',
    ]),
  ),
  answer: 'refusal or hang-up',
})

const half: Kind = (chance) => {
  const whole = signed('POST', '/2015-03-31/functions/nobody/invocations', '{"a":1}')
  return {
    name: 'half a request',
    bytes: whole.subarray(0, 1 + chance(whole.length - 1)),
    answer: 'refusal or hang-up',
  }
}

const old: Kind = (chance) => ({
  name: 'HTTP/1.0, unsigned',
  bytes: request(`GET ${pick(chance, places('nobody'))[1]} HTTP/1.0`, {}),
  answer: 'refusal',
})

const expecting: Kind = (chance) => ({
  name: 'an expectation',
  bytes: request(
    'POST /2015-03-31/functions/nobody/invocations HTTP/1.1',
    {
      host: 'localhost',
      connection: 'close',
      expect: pick(chance, ['100-continue', '100-Continue', 'the-impossible']),
      'content-length': '2',
    },
    '{}',
  ),
  answer: 'refusal',
})

const unsigned: Kind = (chance) => {
  const [method, url] = pick(chance, places(pick(chance, names)))
  return {
    name: `unsigned ${method} ${url}`,
    bytes: request(`${method} ${url.replaceAll(' ', '%20')} HTTP/1.1`, {
      host: 'localhost',
      connection: 'close',
      ...pick<Record<string, string>>(chance, [
        {},
        { authorization: '' },
        { authorization: 'Basic dGVzdDp0ZXN0' },
        { authorization: 'AWS4-HMAC-SHA256' },
        { authorization: 'AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=' },
        { authorization: `AWS4-HMAC-SHA256 ${repeat('Credential=a/b/c/d/e,', 200)}` },
        {
          authorization:
            'AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=00',
          'x-amz-date': '20200101T000000Z',
        },
        { 'x-amz-target': pick(chance, ['A.B', '', 'AmazonSQS.SendMessage', '__proto__']) },
      ]),
    }),
    answer: 'refusal',
  }
}

const forged: Kind = (chance) => {
  const bytes = signed('GET', '/2015-03-31/functions/nobody', '')
  const at = bytes.indexOf('Signature=') + 10 + chance(64)
  bytes[at] = bytes[at] === 0x30 ? 0x31 : 0x30
  return { name: 'a signature with one digit changed', bytes, answer: 'refusal' }
}

const asked: Kind = (chance) => {
  const [method, url] = pick(chance, places(encodeURIComponent(pick(chance, names))))
  const body = method === 'GET' || method === 'DELETE' ? '' : pick(chance, bodies)
  return { name: `${method} ${url} ${body}`, bytes: signed(method, url, body), answer: 'refusal' }
}

const mistyped: Kind = (chance) => {
  const right = {
    FunctionName: 'never-made',
    Runtime: 'nodejs24.x',
    Handler: 'index.handler',
    Role: 'arn:aws:iam::000000000000:role/r',
    // No zip: also with all other members right by chance it is refused.
    Code: { ZipFile: 'bm8gemlw' },
  }
  const wrong = Object.fromEntries(
    Array.from({ length: 1 + chance(3) }, () => [pick(chance, members), pick(chance, values)]),
  )
  const body = JSON.stringify({ ...right, ...wrong })
  return {
    name: `CreateFunction ${JSON.stringify(wrong)}`,
    bytes: signed('POST', '/2015-03-31/functions', body),
    answer: 'refusal',
  }
}

const invoked: Kind = (chance) => ({
  name: 'an Invoke of a function that is not there, with nonsense in its headers',
  bytes: signed('POST', '/2015-03-31/functions/nobody/invocations', pick(chance, bodies), {
    [pick(chance, [
      'x-amz-invocation-type',
      'x-amz-log-type',
      'x-amz-client-context',
      'x-amzn-trace-id',
    ])]: pick(chance, ['nonsense', '', repeat('A', 7_000), '{}', '\u00e4', 'e30=', '===']),
  }),
  answer: 'refusal',
})

const paged: Kind = (chance) => ({
  name: 'a page that is none',
  bytes: signed(
    'GET',
    `/2015-03-31/functions?${pick(chance, [
      'MaxItems=0',
      'MaxItems=-1',
      'MaxItems=x',
      'MaxItems=10001',
      'Marker=garbage',
      'FunctionVersion=bad',
    ])}`,
    '',
  ),
  answer: 'refusal',
})

const pipelined: Kind = (chance) => {
  const many = Array.from({ length: 20 }, () => {
    const [method, url] = pick(chance, places('nobody'))
    return request(`${method} ${url} HTTP/1.1`, { host: 'localhost', 'content-length': '0' })
  })
  return {
    name: 'twenty unsigned requests at once, and nonsense',
    bytes: Buffer.concat([...many, Buffer.from('nonsense\r\n\r\n')]),
    answer: 'refusal',
  }
}

const kinds: readonly Kind[] = [
  noHttp,
  badLine,
  badPreface,
  badHeaders,
  badChunks,
  half,
  old,
  expecting,
  unsigned,
  forged,
  asked,
  asked,
  mistyped,
  mistyped,
  invoked,
  paged,
  pipelined,
]

export const badRequest = (chance: Chance): BadRequest => pick(chance, kinds)(chance)

/** About streams and mappings: see bad-kinesis.ts. */
export function badStreamRequest(chance: Chance, targets: StreamTargets): BadRequest {
  const { name, method, url, body, service, headers } = badCall(chance, targets)
  return { name, bytes: signed(method, url, body, headers, service), answer: 'refusal' }
}

/**
 * Sends, and resolves with all that came back until the server closed. Where a whole request may not have been sent, the
 * server is told that nothing more comes, or it would wait for it.
 */
export function sendRaw(
  port: number,
  { bytes, answer }: BadRequest,
  patienceMs = 5_000,
): Promise<string> {
  return new Promise((resolve) => {
    const heard: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const done = (how: string) => () => {
      socket.destroy()
      resolve(Buffer.concat(heard).toString('latin1') + how)
    }
    socket.setTimeout(patienceMs, done('<silence>'))
    socket.on('data', (chunk) => heard.push(chunk))
    socket.on('error', done(''))
    socket.on('end', done(''))
    if (answer === 'refusal') socket.write(bytes)
    else socket.end(bytes)
  })
}

/** More than the door reads: 413 and nothing more, whatever is asked, as Kinesis does it. Source: kinesalite, test/connection.js. */
const isTooMuchForKinesis = (bytes: Uint8Array) =>
  bytes.length > 15 * 1_024 * 1_024 && Buffer.from(bytes.buffer).includes('Kinesis_20131202')

/** What is wrong with an answer; undefined when nothing is. */
export function complaintAbout({ answer, bytes }: BadRequest, heard: string): string | undefined {
  if (heard.includes('<silence>')) return 'neither answered nor hung up'
  if (answer === 'goodbye in HTTP/2') {
    return /^HTTP\/1/.test(heard) ? 'answered in HTTP/1.1' : undefined
  }
  const status = Number(
    /^HTTP\/1\.[01] (\d{3})/.exec(heard.replace(/^HTTP\/1.1 100.*\r\n\r\n/, ''))?.[1],
  )
  if (heard === '') return answer === 'refusal' ? 'hung up without an answer' : undefined
  if (!(status >= 400 && status < 500)) return `answered ${status}`
  if (status === 413 && isTooMuchForKinesis(bytes)) return undefined
  const isAws = /x-amzn-errortype: \w+/i.test(heard) || /<Code>|__type/.test(heard)
  return isAws ? undefined : 'refused, but not as AWS does'
}
