/** lambda-semantics.md §4.2: what can be a destination, by its ARN. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseDestination } from '../../../edges/aws/arn.ts'

const where = { region: 'us-east-1', account: '000000000000' }

test.each([
  ['arn:aws:sqs:us-east-1:000000000000:q_1', { kind: 'sqs', queue: 'q_1', ...where }],
  ['arn:aws:sqs:us-east-1:000000000000:q.fifo', { kind: 'sqs', queue: 'q.fifo', ...where }],
  ['arn:aws:sns:us-east-1:000000000000:My-Topic', { kind: 'sns', topic: 'My-Topic', ...where }],
  [
    'arn:aws:lambda:us-east-1:000000000000:function:f',
    { kind: 'lambda', name: 'f', qualifier: undefined, ...where },
  ],
  [
    'arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST',
    { kind: 'lambda', name: 'f', qualifier: '$LATEST', ...where },
  ],
  [
    'arn:aws:events:us-east-1:000000000000:event-bus/default',
    { kind: 'eventbridge', bus: 'default', ...where },
  ],
  [
    'arn:aws:events:us-east-1:000000000000:event-bus/a.b/c-d_e',
    { kind: 'eventbridge', bus: 'a.b/c-d_e', ...where },
  ],
  [
    'arn:aws-us-gov:sqs:us-gov-west-1:000000000000:q',
    { kind: 'sqs', queue: 'q', region: 'us-gov-west-1', account: '000000000000' },
  ],
  ['arn:lambus:nats:::orders.failed.eu:1', { kind: 'nats', subject: 'orders.failed.eu:1' }],
])('%s', (arn, destination) => {
  expect(parseDestination(arn)).toEqual(destination)
})

test.each([
  '',
  'q',
  'arn:aws:s3:::bucket',
  'arn:aws:sqs:us-east-1:000000000000:',
  'arn:aws:sqs:us-east-1:000000000000:a b',
  `arn:aws:sqs:us-east-1:000000000000:${'q'.repeat(81)}`,
  'arn:aws:sqs:us-east-1:0000:q',
  'arn:aws:sqs::000000000000:q',
  'arn:aws:sns:us-east-1:000000000000:t:6a7e8feb-b491-4cf7-a9f1-bf3703467718',
  'arn:aws:lambda:us-east-1:000000000000:layer:l',
  'arn:aws:lambda:us-east-1:000000000000:function:f:1:2',
  'arn:aws:events:us-east-1:000000000000:rule/r',
  'arn:aws:events:us-east-1:000000000000:event-bus/',
  'arn:lambus:nats:::',
  'arn:lambus:nats:::a..b',
  'arn:lambus:nats:::a.*',
  'arn:lambus:nats:::>',
  'arn:lambus:nats:::a b',
  'arn:lambus:nats:::$KV.lambus_functions.f',
  'arn:lambus:nats:::$JS.API.STREAM.DELETE.LAMBUS_EVENTS',
  'arn:lambus:nats:::_INBOX_front_end.a.b',
  'arn:lambus:nats:::lambus.pool.0.released',
])('%s is none', (arn) => {
  expect(parseDestination(arn)).toBeUndefined()
})

test('any text is read without an exception, and a subject comes back as it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const read = parseDestination(`arn:lambus:nats:::${text}`)
      if (read !== undefined) expect(read).toEqual({ kind: 'nats', subject: text })
      expect(() => parseDestination(text)).not.toThrow()
    }),
  )
})
