/**
 * What Kinesis says of requests that are not as they should be, in which order and with which status.
 *
 * Source: kinesalite's tests, recorded from AWS: test/connection.js, and the "validations" and "serializations" of each
 * operation. What names no service is Kinesis's when it is signed for it; the rest is answered as it always was: malformed.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { amzCbor, json, type KinesisDoor, openKinesisDoor, target } from './kinesis-door.ts'

let door: KinesisDoor
beforeAll(async () => {
  door = await openKinesisDoor()
})
afterAll(() => door.close())

const list = target('ListStreams')
const old = (refused: string) => ({
  Output: { __type: `com.amazon.coral.service#${refused}` },
  Version: '1.0',
})
const incompleteHeader = (header: string, ...lacking: string[]) => ({
  __type: 'IncompleteSignatureException',
  message: [
    ...lacking.map((part) => `Authorization header requires ${part}`),
    `Authorization=${header}`,
  ].join(' '),
})
const all = ["'Credential' parameter.", "'Signature' parameter.", "'SignedHeaders' parameter."]
const noDate = "existence of either a 'X-Amz-Date' or a 'Date' header."
const incompleteQuery = (...lacking: string[]) => ({
  __type: 'IncompleteSignatureException',
  message: `${lacking.map((name) => `AWS query-string parameters must include 'X-Amz-${name}'. `).join('')}Re-examine the query-string parameters.`,
})

const denied =
  '<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n'

describe('a connection', () => {
  test.each<[string, Parameters<KinesisDoor['ask']>[0], number, string | undefined, unknown]>([
    ...[
      ['no target, no body and no signature', {}],
      ['no target and no body', { service: 'kinesis' }],
      ['no target, signed for no service', { service: '' }],
      ['a random target', { headers: { 'x-amz-target': 'Whatever' }, service: 'kinesis' }],
      ['a random service', { headers: { 'x-amz-target': 'A.ListStreams' }, service: 'kinesis' }],
      [
        'another content type and no body',
        { headers: { 'content-type': `${json}asdf` }, service: 'kinesis' },
      ],
    ].map(([what, request]): [string, object, number, string, object] => [
      String(what),
      request as object,
      400,
      amzCbor,
      { __type: 'UnknownOperationException' },
    ]),
    ...['GET', 'PUT', 'DELETE'].map((method): [string, object, number, undefined, string] => [
      `${method} without a target`,
      { method, service: 'kinesis' },
      403,
      undefined,
      denied,
    ]),
    [
      'a body without target and content type',
      { body: '{}', service: 'kinesis' },
      403,
      undefined,
      denied,
    ],
    [
      'an empty action and no content type',
      { headers: target(''), service: 'kinesis' },
      400,
      amzCbor,
      { __type: 'UnknownOperationException' },
    ],
    [
      'a random action and no body',
      { headers: target('Whatever'), service: 'kinesis' },
      400,
      amzCbor,
      { __type: 'UnknownOperationException' },
    ],
    [
      'an action cut short',
      { headers: target('ListStream') },
      400,
      amzCbor,
      { __type: 'UnknownOperationException' },
    ],
    [
      'no content type and no body',
      { headers: list, service: 'kinesis' },
      400,
      amzCbor,
      { __type: 'SerializationException' },
    ],
    [
      'no target, in JSON',
      { headers: { 'content-type': json }, service: 'kinesis' },
      400,
      json,
      { __type: 'UnknownOperationException' },
    ],
    [
      'no target, in JSON, unsigned',
      { headers: { 'content-type': json } },
      400,
      json,
      { __type: 'UnknownOperationException' },
    ],
    [
      'no body, in plain JSON',
      { headers: { 'content-type': 'application/json', ...list } },
      400,
      amzCbor,
      { __type: 'SerializationException' },
    ],
    [
      'no body, in JSON, unsigned',
      { headers: { 'content-type': json, ...list } },
      400,
      json,
      { __type: 'SerializationException' },
    ],
    [
      'a body that is no JSON',
      { headers: { 'content-type': json, ...list }, body: 'hello' },
      400,
      json,
      { __type: 'SerializationException' },
    ],
    [
      'a body that is JSON and no object',
      { headers: { 'content-type': json, ...list }, body: 'null' },
      400,
      json,
      { __type: 'SerializationException' },
    ],
    [
      'a body that is no CBOR',
      { headers: { 'content-type': amzCbor, ...list }, body: Buffer.of(0xbf, 0x61) },
      400,
      amzCbor,
      { __type: 'SerializationException' },
    ],
    [
      'plain JSON',
      { headers: { 'content-type': 'application/json', ...list }, body: '{}' },
      404,
      'application/json',
      old('UnknownOperationException'),
    ],
    [
      'plain JSON that is none, with blanks around its name',
      { headers: { 'content-type': '     application/json     ;', ...list }, body: 'hello' },
      400,
      'application/json',
      old('SerializationException'),
    ],
    [
      'another content type',
      { headers: { 'content-type': 'text/plain', ...list }, body: '{}' },
      404,
      undefined,
      '<UnknownOperationException/>\n',
    ],
    ['another method', { method: 'GET', headers: list }, 403, undefined, denied],
    [
      'no signature',
      { headers: { 'content-type': `   ${json}   ;whatever`, ...list }, body: '{}' },
      400,
      json,
      {
        __type: 'MissingAuthenticationTokenException',
        message: 'Missing Authentication Token',
      },
    ],
    [
      'an Authorization that is none',
      { headers: { 'content-type': json, ...list, authorization: 'X' }, body: '{}' },
      400,
      json,
      incompleteHeader('X', ...all, noDate),
    ],
    [
      'an Authorization that is none, and half a query',
      {
        path: '/?X-Amz-Algorith',
        headers: { 'content-type': json, ...list, authorization: 'X' },
        body: '{}',
      },
      400,
      json,
      incompleteHeader('X', ...all, noDate),
    ],
    ...['AWS4- Signature=b Credential=a', 'AWS4- Signature=b,Credential=a'].map(
      (authorization): [string, object, number, string, object] => [
        authorization,
        { headers: { 'content-type': json, ...list, authorization, date: 'a' }, body: '{}' },
        400,
        json,
        incompleteHeader(authorization, "'SignedHeaders' parameter."),
      ],
    ),
    [
      'a query without an algorithm',
      {
        path: '/?X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d',
        headers: { 'content-type': json, ...list },
        body: '{}',
      },
      400,
      json,
      {
        __type: 'MissingAuthenticationTokenException',
        message: 'Missing Authentication Token',
      },
    ],
    [
      'both header and query',
      {
        path: '/?X-Amz-Algorithm',
        headers: { 'content-type': json, ...list, authorization: 'X' },
        body: '{}',
      },
      400,
      json,
      {
        __type: 'InvalidSignatureException',
        message:
          "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
      },
    ],
    [
      'a query with nothing but an algorithm',
      { path: '/?X-Amz-Algorithm', headers: { 'content-type': json, ...list }, body: '{}' },
      400,
      json,
      incompleteQuery('Algorithm', 'Credential', 'Signature', 'SignedHeaders', 'Date'),
    ],
    [
      'a query that lacks one part',
      {
        path: '/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d',
        headers: { 'content-type': json, ...list },
        body: '{}',
      },
      400,
      json,
      incompleteQuery('SignedHeaders'),
    ],
    [
      'a signature for another service',
      { headers: { 'content-type': json, ...list }, body: '{}', service: 'sqs' },
      400,
      json,
      {
        __type: 'InvalidSignatureException',
        message: "Credential should be scoped to correct service: 'kinesis'. ",
      },
    ],
  ])('%s', async (_, request, status, contentType, body) => {
    const told = await door.ask(request)
    expect([told.status, told.headers['content-type'], told.body]).toEqual([
      status,
      contentType,
      body,
    ])
    expect(told.headers['content-length']).toBe(String(told.raw.length))
    expect(told.headers['x-amzn-requestid']).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    const { length } = Buffer.from(String(told.headers['x-amz-id-2']), 'base64')
    expect(length).toBe(72)
  })

  test('is served when signed for kinesis, or for no service', async () => {
    for (const service of ['kinesis', '']) {
      const told = await door.ask({
        headers: { 'content-type': json, ...list },
        body: '{}',
        service,
      })
      expect([service, told.status]).toEqual([service, 200])
    }
  })
})

describe('a web page of another origin', () => {
  const page = { origin: 'whatever' }

  test('is told that it may ask, and what', async () => {
    const plain = await door.ask({ method: 'OPTIONS', headers: page })
    expect([plain.status, plain.raw.length]).toEqual([200, 0])
    expect(plain.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-max-age': '172800',
      'content-length': '0',
    })
    expect(plain.headers).not.toHaveProperty('x-amz-id-2')
    expect(plain.headers).not.toHaveProperty('content-type')
    const asked = await door.ask({
      method: 'OPTIONS',
      headers: {
        ...page,
        'access-control-request-headers': 'a, b, c',
        'access-control-request-method': 'd',
      },
    })
    expect(asked.headers).toMatchObject({
      'access-control-allow-headers': 'a, b, c',
      'access-control-allow-methods': 'd',
    })
  })

  test('may read the answer, which is what anybody gets', async () => {
    const told = await door.ask({ headers: page, service: 'kinesis' })
    expect([told.status, told.body]).toEqual([400, { __type: 'UnknownOperationException' }])
    expect(told.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-expose-headers':
        'x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date',
    })
  })
})
