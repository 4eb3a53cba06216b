import * as sdk from '@aws-sdk/client-lambda'
import { describe, expect, test } from 'vitest'
import { isRefusal } from '../../../edges/aws/errors.ts'
import { built, findRoute, notImplemented, operations } from '../../../edges/aws/operations.ts'
import { answerOtherApi } from '../../../edges/aws/other-apis.ts'

// An operation of the SDK's schemas: [9, namespace, name, traits, input, output].
type OperationSchema = [9, string, string, { http: [string, string, number] }]
const model = Object.values(sdk as Record<string, unknown>).filter(
  (value): value is OperationSchema => Array.isArray(value) && value[0] === 9,
)

test('the table is the service model that the SDK is generated from', () => {
  expect(model.length).toBeGreaterThan(80)
  const fromModel = model.map(([, , name, { http }]) => [name, `${http[0]} ${http[1]}`])
  expect(operations).toEqual(Object.fromEntries(fromModel))
})

test('every built operation succeeds with the status of the model, but DeleteFunction with 204', () => {
  const status = Object.fromEntries(model.map(([, , name, { http }]) => [name, http[2]]))
  for (const [operation, success] of Object.entries(built)) {
    expect([operation, success]).toEqual([
      operation,
      operation === 'DeleteFunction' ? 204 : status[operation],
    ])
  }
})

test('every operation is found by its own request line', () => {
  for (const [operation, line] of Object.entries(operations)) {
    const [method = '', target = ''] = line.split(' ')
    const [path = '', query = ''] = target.split('?')
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
    const filled = path.replaceAll(/\{(\w+)\}/g, 'a%3Ab')
    const parameters = Object.fromEntries(names.map((name) => [name, 'a:b']))
    expect(findRoute(method, filled, query)).toEqual({ operation, parameters })
    expect(findRoute(method, `${filled}/`, query)).toEqual({ operation, parameters })
  }
})

describe('no operation is found', () => {
  test.each([
    ['GET', '/'],
    ['GET', ''],
    ['PATCH', '/2015-03-31/functions/f'],
    ['GET', '/2015-03-31/functions/f/invocations'],
    ['POST', '/2015-03-31/functions/f/invocations/more'],
    ['POST', '/2015-03-31//functions'],
  ])('for %s %s', (method, path) => {
    expect(findRoute(method, path, '')).toBeUndefined()
  })
})

test('a path that cannot be decoded is refused', () => {
  const refusal = findRoute('GET', '/2015-03-31/functions/%E0%A4%A', '')
  expect(isRefusal(refusal) && refusal.code).toBe('MalformedHttpRequestException')
})

test('what is not built is refused by its name', () => {
  expect(notImplemented('PublishVersion')).toMatchObject({
    code: 'UnknownOperationException',
    status: 404,
    body: '{"Message":"lambus does not implement the operation PublishVersion yet."}',
  })
})

describe('another API gets the error of its own protocol', () => {
  const ask = { target: undefined, contentType: undefined, query: '', requestId: 'r' }
  const body = Buffer.alloc(0)

  test('JSON 1.1, which Kinesis speaks', () => {
    expect(answerOtherApi({ ...ask, body, target: 'Kinesis_20131202.ListStreams' })).toEqual({
      status: 400,
      contentType: 'application/x-amz-json-1.1',
      errorType: 'UnknownOperationException',
      body: '{"__type":"com.amazon.coral.service#UnknownOperationException","message":"lambus does not implement the operation Kinesis_20131202.ListStreams yet."}',
    })
  })

  test('JSON 1.0, which SQS speaks', () => {
    const contentType = 'application/x-amz-json-1.0'
    expect(
      answerOtherApi({ ...ask, body, contentType, target: 'AmazonSQS.ListQueues' }),
    ).toMatchObject({ contentType })
  })

  test('Query, which SQS spoke before', () => {
    const contentType = 'application/x-www-form-urlencoded; charset=utf-8'
    const form = Buffer.from('Action=List%3CQueues&Version=2012-11-05')
    const answer = answerOtherApi({ ...ask, contentType, body: form })
    expect(answer).toMatchObject({
      status: 400,
      contentType: 'text/xml',
      errorType: 'InvalidAction',
    })
    expect(answer?.body).toContain(
      '<Message>The action List&lt;Queues is not valid for this endpoint.</Message>',
    )
  })

  test('and what is none of these gets nothing', () => {
    expect(answerOtherApi({ ...ask, body })).toBeUndefined()
  })
})
