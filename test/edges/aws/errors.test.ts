import * as sdk from '@aws-sdk/client-lambda'
import { expect, test } from 'vitest'
import { awsErrors, isRefusal, Refused, refuse, throttled } from '../../../edges/aws/errors.ts'

test('a throttle says its reason, its type and its sentence in the order that AWS has', () => {
  expect(throttled('ConcurrentInvocationLimitExceeded').body).toBe(
    '{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}',
  )
})

test('a throttle says in a header when to come back', () => {
  expect(throttled('ConcurrentInvocationLimitExceeded', 1).headers).toEqual({ 'retry-after': '1' })
})

test('a function not found is said with a capital Message', () => {
  expect(refuse('ResourceNotFoundException', 'x')).toEqual({
    code: 'ResourceNotFoundException',
    status: 404,
    message: 'x',
    body: '{"Type":"User","Message":"x"}',
    headers: {},
  })
})

test('a type that AWS sends as null is sent as null', () => {
  expect(refuse('InvalidRequestContentException', 'x', { type: null }).body).toBe(
    '{"Type":null,"message":"x"}',
  )
})

test('a type that AWS sends after the sentence, or not at all, stands there too', () => {
  expect(refuse('ResourceNotFoundException', 'x', { typeLast: true }).body).toBe(
    '{"Message":"x","Type":"User"}',
  )
  expect(refuse('InvalidParameterValueException', 'x', { type: 'none' }).body).toBe(
    '{"message":"x"}',
  )
})

test('a refusal thrown is found again', () => {
  const refused = new Refused(refuse('ServiceException', 'x'))
  expect(isRefusal(refused.refusal)).toBe(true)
  expect(refused.message).toBe('ServiceException: x')
})

// The SDK's classes are generated from AWS's service model: what it knows, we must not call a server's fault or a client's
// otherwise than it does.
test('every code that the service model has is a class of the SDK with the same side at fault', () => {
  const known = Object.entries(sdk).flatMap(([name, value]) =>
    name in awsErrors && typeof value === 'function' ? [[name, value] as const] : [],
  )
  expect(known.length).toBeGreaterThan(10)
  for (const [name, Exception] of known) {
    const error = new (Exception as new (options: object) => { $fault: string })({
      message: '',
      $metadata: {},
    })
    const { status } = awsErrors[name as keyof typeof awsErrors]
    expect([name, error.$fault]).toEqual([name, status >= 500 ? 'server' : 'client'])
  }
})
