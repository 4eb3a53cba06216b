import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isRefusal } from '../../../edges/aws/errors.ts'
import {
  canExist,
  functionArn,
  functionNotFound,
  parseFunctionName,
} from '../../../edges/aws/names.ts'

const here = { region: 'us-east-1', account: '000000000000' }
const parse = (text: string, qualifier?: string, operation = 'Invoke') =>
  parseFunctionName(text, qualifier, { ...here, operation })
const names = fc.stringMatching(/^[a-zA-Z0-9-_]{1,64}$/)
const qualifiers = fc.stringMatching(/^(\$LATEST|[a-zA-Z0-9-_]{1,64})$/)

describe('a function may be named', () => {
  test.each([
    ['f', { name: 'f', qualifier: undefined }],
    ['f:1', { name: 'f', qualifier: '1' }],
    ['f:$LATEST', { name: 'f', qualifier: '$LATEST' }],
    ['function:f', { name: 'f', qualifier: undefined }],
    ['function:f:live', { name: 'f', qualifier: 'live' }],
    ['000000000000:f', { name: 'f', qualifier: undefined }],
    ['000000000000:function:f', { name: 'f', qualifier: undefined }],
    ['us-east-1:000000000000:function:f', { name: 'f', qualifier: undefined }],
    ['arn:aws:lambda:us-east-1:000000000000:function:f', { name: 'f', qualifier: undefined }],
    ['arn:aws:lambda:us-east-1:000000000000:function:f:2', { name: 'f', qualifier: '2' }],
    ['arn:aws:lambda:us-east-1:000000000000:function', { name: 'function', qualifier: undefined }],
  ])('%s', (text, meant) => {
    expect(parse(text)).toEqual(meant)
  })
})

test('every way of naming a function means the same function', () => {
  fc.assert(
    fc.property(names, qualifiers, (name, qualifier) => {
      const arn = functionArn(here, name, qualifier)
      const expected = { name, qualifier }
      for (const text of [
        arn,
        arn.slice('arn:aws:lambda:us-east-1:'.length),
        `${name}:${qualifier}`,
      ]) {
        // A bare word before a colon may be read as one of the optional parts: `function:x` is a function called x.
        fc.pre(name !== 'function' && !/^\d{12}$/.test(name) && !/^[a-z]{2}-[a-z]+-\d$/.test(name))
        expect(parse(text)).toEqual(expected)
        expect(parse(text, qualifier)).toEqual(expected)
      }
      expect(parse(functionArn(here, name), qualifier)).toEqual(expected)
      expect(parse(name)).toEqual({ name, qualifier: undefined })
    }),
  )
})

test('whatever is said, it is a name that matches the pattern, or a refusal', () => {
  const noise = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[a-z0-9:$.-]{0,300}$/),
    fc.stringMatching(/^arn:aws:lambda:[a-z0-9:-]{0,40}$/),
  )
  fc.assert(
    fc.property(noise, fc.option(noise, { nil: undefined }), (text, qualifier) => {
      for (const operation of ['Invoke', 'CreateFunction']) {
        const parsed = parse(text, qualifier, operation)
        if (isRefusal(parsed)) expect(JSON.parse(parsed.body)).toBeTypeOf('object')
        else expect(parsed.name).toMatch(/^[a-zA-Z0-9-_.]+$/)
        if (!isRefusal(parsed) && operation === 'CreateFunction') {
          expect(canExist(parsed.name)).toBe(true)
        }
      }
    }),
    { numRuns: 2000 },
  )
})

test('a partition of its own has ARNs of its own', () => {
  expect(functionArn({ ...here, region: 'cn-north-1' }, 'f')).toMatch(/^arn:aws-cn:/)
  expect(functionArn({ ...here, region: 'us-gov-west-1' }, 'f')).toMatch(/^arn:aws-us-gov:/)
})

test('a name that no function can have can still be asked for', () => {
  expect(parse('a.b')).toEqual({ name: 'a.b', qualifier: undefined })
  expect(canExist('a.b')).toBe(false)
  expect(functionNotFound(here, 'a.b').status).toBe(404)
})
