/**
 * What a function may be called: recorded on AWS in LocalStack's test_function_name_and_qualifier_validation (2025-11), one
 * line a case; lambda-semantics.md §1.8.
 */
import { describe, expect, test } from 'vitest'
import { isRefusal } from '../../edges/aws/errors.ts'
import { functionNotFound, parseFunctionName } from '../../edges/aws/names.ts'

const here = { region: 'us-east-1', account: '111111111111' }
const arn = (rest: string) => `arn:aws:lambda:us-east-1:111111111111:${rest}`
const reading = String.raw`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`
const writing = String.raw`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`

const refusal = (functionName: string, qualifier?: string, operation = 'Invoke') => {
  const parsed = parseFunctionName(functionName, qualifier, { ...here, operation })
  if (!isRefusal(parsed)) throw new Error(`${functionName} was taken`)
  return parsed
}
const ofPattern = (value: string, pattern: string) =>
  `1 validation error detected: Value '${value}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: ${pattern}`

describe('a name that does not match the pattern is told the whole pattern', () => {
  test.each([
    'my-function!',
    '*',
    'invalid-account:function:my-function',
    'arn:aws:lambda:invalid-region:111111111111:function:my-function',
    'arn:aws:ec2:us-east-1:111111111111:instance:i-1234567890abcdef0',
    arn('function:my-function:1:2'),
    'function:my-function:$LATEST:extra',
    'arn:aws:lambda::111111111111:function:my-function',
    'arn:aws:lambda:us-east-1::function:my-function',
    arn('function:my-function:$LATES'),
    'arn:aws:lambda:us-east-1:123400000000@function:myfn',
    'invalid:function:name',
  ])('%s', (name) => {
    for (const operation of ['Invoke', 'GetFunction', 'DeleteFunction']) {
      expect(refusal(name, undefined, operation)).toMatchObject({
        code: 'ValidationException',
        status: 400,
        message: ofPattern(name, reading),
      })
    }
    expect(refusal(name, undefined, 'CreateFunction').message).toBe(ofPattern(name, writing))
  })
})

test('a region that is none and more than 140 characters are two complaints of CreateFunction and one of Invoke', () => {
  const long = `arn:aws:lambda:invalid-region:111111111111:function:my-function${'a'.repeat(170)}`
  expect(refusal(long).message).toBe(ofPattern(long, reading))
  expect(refusal(long, undefined, 'CreateFunction').message).toBe(
    `2 validation errors detected: Value '${long}' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140; Value '${long}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: ${writing}`,
  )
})

test('a bad name and a bad qualifier are two complaints', () => {
  expect(refusal('*', 'a'.repeat(129)).message).toMatch(
    /^2 validation errors detected: Value '\*' at 'functionName' .*; Value 'a{129}' at 'qualifier' failed to satisfy constraint: Member must have length less than or equal to 128$/,
  )
})

test('a qualifier has a pattern of its own', () => {
  expect(refusal('my-function', 'invalid!').message).toBe(
    String.raw`1 validation error detected: Value 'invalid!' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`,
  )
})

test('a qualifier has at most 128 characters', () => {
  expect(refusal('my-function', 'a'.repeat(129)).message).toBe(
    `1 validation error detected: Value '${'a'.repeat(129)}' at 'qualifier' failed to satisfy constraint: Member must have length less than or equal to 128`,
  )
})

test('CreateFunction takes at most 140 characters, name and qualifier together', () => {
  const name = `my-function:${'a'.repeat(129)}`
  expect(refusal(name, undefined, 'CreateFunction').message).toBe(
    `1 validation error detected: Value '${name}' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140`,
  )
})

// test_function_arns, long_function_name_exc
test('a name of 65 characters is an invalid parameter to CreateFunction, and not found by all others', () => {
  const name = 'a'.repeat(65)
  expect(refusal(name, undefined, 'CreateFunction')).toMatchObject({
    code: 'InvalidParameterValueException',
    message: `1 validation error detected: Value '${name}' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64`,
  })
  expect(parseFunctionName(name, undefined, { ...here, operation: 'Invoke' })).toEqual({
    name,
    qualifier: undefined,
  })
})

test('an ARN that ends with "function" means a function of that name', () => {
  expect(
    parseFunctionName(arn('function'), undefined, { ...here, operation: 'GetFunction' }),
  ).toEqual({ name: 'function', qualifier: undefined })
})

// test_ops_with_arn_qualifier_mismatch
test('a qualifier in the ARN must not contradict the one beside it', () => {
  expect(refusal(arn('function:my-function:$LATEST'), '1')).toMatchObject({
    code: 'InvalidParameterValueException',
    status: 400,
    message: 'The derived qualifier from the function name does not match the specified qualifier.',
  })
})

// test_get_function_wrong_region
test('a function of another region is not reachable', () => {
  expect(refusal('arn:aws:lambda:eu-west-1:111111111111:function:f')).toMatchObject({
    code: 'ResourceNotFoundException',
    status: 404,
    message: "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
  })
})

// test_function_arns, function_arn_other_account_exc: the recorded answer has no message at all
test('a function of another account is denied', () => {
  const other = 'arn:aws:lambda:us-east-1:123456789012:function:f'
  expect(refusal(other, undefined, 'CreateFunction')).toMatchObject({
    code: 'AccessDeniedException',
    status: 403,
    body: '{"Message":null}',
  })
  expect(refusal(other)).toMatchObject({ code: 'AccessDeniedException', status: 403 })
})

// §1.8: test_invoke_exceptions, test_ops_on_nonexisting_fn
test('what is not found is named by its ARN', () => {
  expect(functionNotFound(here, 'f', '$LATEST').body).toBe(
    '{"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:111111111111:function:f:$LATEST"}',
  )
})
