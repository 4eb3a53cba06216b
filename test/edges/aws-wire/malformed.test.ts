/** Requests that no SDK sends: each is answered or hung up on, and the door serves the next one. */
import { InvokeCommand } from '@aws-sdk/client-lambda'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openTestDoor, sendRaw, type TestDoor } from './door.ts'

let door: TestDoor
beforeAll(async () => {
  door = await openTestDoor()
})
afterAll(() => door.close())

/** The silence is for those who are not hung up on: longer than a door needs on a slow machine. */
const send = (bytes: string | Uint8Array, silenceMs = 5_000) => sendRaw(door.port, bytes, silenceMs)
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
const errorOf = (answer: string) => /x-amzn-errortype: (\w+)/i.exec(answer)?.[1]
const stillServes = async () => {
  const { StatusCode } = await door.client.send(new InvokeCommand({ FunctionName: 'hello' }))
  expect(StatusCode).toBe(200)
}

const head = (line: string, headers: Record<string, string> = {}) =>
  `${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`

describe('what is answered', () => {
  test.each<[string, string, number, string]>([
    ['no signature', head('GET /2015-03-31/functions'), 403, 'MissingAuthenticationTokenException'],
    ['an unsigned root', head('GET /'), 403, 'MissingAuthenticationTokenException'],
    [
      'an unsigned unknown path',
      head('GET /a/b/c?d=e'),
      403,
      'MissingAuthenticationTokenException',
    ],
    ['a path that cannot be decoded', head('GET /%E0%A4%A'), 400, 'MalformedHttpRequestException'],
    ['a null byte in the path', head('GET /%00'), 403, 'MissingAuthenticationTokenException'],
    [
      'an empty Authorization',
      head('GET /', { authorization: '' }),
      403,
      'IncompleteSignatureException',
    ],
    [
      'another scheme',
      head('GET /', { authorization: 'Basic dGVzdDp0ZXN0' }),
      403,
      'IncompleteSignatureException',
    ],
    ['an unusual method', head('PROPFIND /'), 403, 'MissingAuthenticationTokenException'],
    [
      'a content type that is none',
      `${head('POST /2015-03-31/functions', { 'content-type': 'nonsense', 'content-length': '2' })}{}`,
      415,
      'UnsupportedMediaTypeException',
    ],
    [
      'an unknown target',
      `${head('POST /', { 'x-amz-target': 'A.B', 'content-length': '0' })}`,
      403,
      'MissingAuthenticationTokenException',
    ],
    [
      'a body where none belongs',
      `${head('GET /2015-03-31/functions', { 'content-length': '2', 'content-type': 'application/json' })}{}`,
      403,
      'MissingAuthenticationTokenException',
    ],
    [
      'no HTTP at all',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
      400,
      'MalformedHttpRequestException',
    ],
    ['a version of HTTP to come', 'GET / HTTP/9.9\r\n\r\n', 400, 'MalformedHttpRequestException'],
    [
      'two lengths',
      head('POST /', { 'content-length': '1', 'Content-Length': '2' }),
      400,
      'MalformedHttpRequestException',
    ],
    [
      'length and chunks',
      head('POST /', { 'content-length': '1', 'transfer-encoding': 'chunked' }),
      400,
      'MalformedHttpRequestException',
    ],
    [
      'a bad chunk',
      `${head('POST /2015-03-31/functions', { 'transfer-encoding': 'chunked' })}zz\r\n`,
      400,
      'MalformedHttpRequestException',
    ],
    [
      'a header of 100 kB',
      head('GET /', { 'x-long': 'a'.repeat(100_000) }),
      400,
      'MalformedHttpRequestException',
    ],
  ])('%s', async (_, bytes, status, error) => {
    const answer = await send(bytes)
    expect([statusOf(answer), errorOf(answer)]).toEqual([status, error])
    await stillServes()
  })

  test('every answer carries a request id, but those to what is no HTTP', async () => {
    const answer = await send(head('GET /'))
    expect(answer).toMatch(/x-amzn-requestid: [0-9a-f-]{36}/i)
  })

  test('HEAD gets headers only', async () => {
    const answer = await send(head('HEAD /_lambus/health'))
    expect(answer).toMatch(/content-length: 15\r\n/i)
    expect(answer.endsWith('\r\n\r\n')).toBe(true)
  })

  test('two requests in one packet get two answers on one connection', async () => {
    const first = 'GET /_lambus/health HTTP/1.1\r\nhost: x\r\n\r\n'
    const answer = await send(first + head('GET /_lambus/health'))
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2)
    expect(answer.slice(0, answer.lastIndexOf('HTTP/1.1'))).toMatch(/connection: keep-alive/i)
  })
})

describe('slow and broken', () => {
  test('a body that never comes is given up with 408', async () => {
    const impatient = await openTestDoor({ requestTimeoutMs: 400 })
    onTestFinished(() => impatient.close())
    const answer = await sendRaw(
      impatient.port,
      'POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{',
      5_000,
    )
    expect([statusOf(answer), errorOf(answer)]).toEqual([408, 'RequestTimeoutException'])
  })

  test('a client that goes away in the middle of its body harms nobody', async () => {
    await send(
      'POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{',
      20,
    )
    await stillServes()
  })

  test('a client that goes away before its answer harms nobody', async () => {
    await send('GET /_lambus/health HTTP/1.1\r\nhost: x\r\n\r\n', 1)
    await stillServes()
  })
})

test('whatever bytes come in, the door serves the next request', async () => {
  const line = fc
    .tuple(
      fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'X'),
      fc.webPath(),
      fc.array(fc.tuple(fc.stringMatching(/^[a-z-]{1,20}$/), fc.string({ maxLength: 40 }))),
      fc.string({ maxLength: 60 }),
    )
    .map(([method, path, headers, body]) =>
      Buffer.from(
        `${method} ${path || '/'} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`,
        'latin1',
      ),
    )
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(line, fc.uint8Array({ minLength: 1, maxLength: 200 })),
      async (bytes) => void (await send(bytes, 30)),
    ),
    { numRuns: 150 },
  )
  await stillServes()
  expect(door.errors).toEqual([])
})
