import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isDestination, isToken } from '../../../bus/subjects.ts'
import { readDeadLetterTarget, readDestination, targetOf } from '../../../edges/aws/destinations.ts'
import { isRefusal } from '../../../edges/aws/errors.ts'

const here = { region: 'us-east-1', account: '000000000000' }
const at = (service: string, resource: string) =>
  `arn:aws:${service}:us-east-1:000000000000:${resource}`

describe('an ARN names', () => {
  test.each([
    [at('sqs', 'q'), { kind: 'queue', name: 'q' }],
    [at('sns', 't'), { kind: 'topic', name: 't' }],
    [at('events', 'event-bus/b'), { kind: 'bus', name: 'b' }],
    [at('lambda', 'function:f'), { kind: 'function', name: 'f', qualifier: undefined }],
    [at('lambda', 'function:f:$LATEST'), { kind: 'function', name: 'f', qualifier: '$LATEST' }],
    ['arn:lambus:nats:::a.b:c', { kind: 'subject', subject: 'a.b:c' }],
  ])('%s', (arn, target) => {
    expect(targetOf(arn, here)).toEqual(target)
  })

  test.each([
    '',
    'q',
    'arn:',
    at('sqs', ''),
    at('sqs', 'q.fifo'),
    at('sqs', 'q'.repeat(81)),
    at('sns', 't.fifo'),
    at('events', 'b'),
    at('lambda', 'f'),
    at('constructor', 'f'),
    at('sqs', 'q').replace('us-east-1', 'us-west-1'),
    at('sqs', 'q').replace('000000000000', '111111111111'),
    at('sqs', 'q').replace('arn:aws', 'arn:aws-cn'),
    'arn:aws:s3:::bucket',
    'arn:lambus:nats:::',
    'arn:lambus:nats::000000000000:a',
  ])('nothing here: %s', (arn) => {
    expect(targetOf(arn, here)).toBeUndefined()
  })

  test('elsewhere what it names there', () => {
    const china = { region: 'cn-north-1', account: '123456789012' }
    expect(targetOf('arn:aws-cn:sqs:cn-north-1:123456789012:q', china)).toEqual({
      kind: 'queue',
      name: 'q',
    })
  })
})

describe('records may be published', () => {
  test.each([
    'orders',
    'orders.failed.eu',
    'lambus.sns.topic',
    'lambus.events.default',
    'lambusx.a',
    'größe.a',
    'a.$b',
  ])('on %s', (subject) => {
    expect(isDestination(subject)).toBe(true)
  })

  // What would change a subject's shape, and what is ours or the server's.
  test.each([
    '',
    '.',
    'a..b',
    '.a',
    'a.',
    'a b',
    'a.*',
    'a.>',
    '*',
    'a*b',
    'a\r\nb',
    'a\u0000b',
    'lambus',
    'lambus.pool.1.want',
    'lambus.sns',
    'lambus.sns.a.b',
    'lambus.durable.function.f',
    '$JS.API.STREAM.DELETE.X',
    '$KV.lambus_functions.f',
    '_INBOX.a',
    '_INBOX_front_end.a',
  ])('but not on %j', (subject) => {
    expect(isDestination(subject)).toBe(false)
  })

  test('on nothing that is no subject', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'lambus.>*$_ \t\na') }), (subject) => {
        if (isDestination(subject)) expect(subject.split('.').every(isToken)).toBe(true)
      }),
    )
  })
})

test('whatever is given is a target or refused', () => {
  const part = fc.constantFrom(
    'arn',
    'aws',
    'sqs',
    'sns',
    'events',
    'lambda',
    'us-east-1',
    '000000000000',
    'function',
    'q',
    'event-bus/b',
    '',
    'kafka://x',
    'lambus',
    'nats',
    '__proto__',
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const arn = parts.join(':')
      const destination = readDestination(arn, here)
      if (destination !== 'unsupported' && !isRefusal(destination)) {
        expect(destination).toEqual(targetOf(arn, here))
      }
      const deadLetters = readDeadLetterTarget(arn, here)
      if (!isRefusal(deadLetters)) expect(['queue', 'topic']).toContain(deadLetters.kind)
    }),
  )
})
