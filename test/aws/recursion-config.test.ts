/** What becomes of a function that calls itself: lambda-semantics.md §4.6, LocalStack's TestLambdaRecursion (2025-11). */
import {
  CreateFunctionCommand,
  GetFunctionRecursionConfigCommand,
  PutFunctionRecursionConfigCommand,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { arnOf, type ControlPlane, createInput, startControlPlane } from './control-plane.ts'

let plane: ControlPlane
beforeAll(async () => {
  plane = await startControlPlane()
  await send(new CreateFunctionCommand(createInput('f')))
})
afterAll(() => plane.stop())

// biome-ignore lint/suspicious/noExplicitAny: commands of many kinds go through one client
const send = (command: any): Promise<any> => plane.client.send(command)
const put = (RecursiveLoop: string, FunctionName = 'f') =>
  send(new PutFunctionRecursionConfigCommand({ FunctionName, RecursiveLoop } as never))
const get = async (FunctionName = 'f') => {
  const { $metadata: _, ...shown } = await send(
    new GetFunctionRecursionConfigCommand({ FunctionName }),
  )
  return shown
}
const validation = (complaint: string) => ({
  name: 'ValidationException',
  message: `1 validation error detected: ${complaint}`,
  $metadata: { httpStatusCode: 400 },
})

// test_put_function_recursion_config_default_terminate, test_put_function_recursion_config_allow
test('it is ended, unless that is said to be wanted', async () => {
  expect(await get()).toEqual({ RecursiveLoop: 'Terminate' })
  expect(await put('Allow')).toMatchObject({ RecursiveLoop: 'Allow' })
  expect(await get()).toEqual({ RecursiveLoop: 'Allow' })
  expect(await put('Terminate', arnOf('f'))).toMatchObject({ RecursiveLoop: 'Terminate' })
  expect(await get(arnOf('f'))).toEqual({ RecursiveLoop: 'Terminate' })
})

// test_put_function_recursion_config_invalid_value
test('anything else is refused', async () => {
  await expect(put('InvalidValue')).rejects.toMatchObject(
    validation(
      "Value 'InvalidValue' at 'recursiveLoop' failed to satisfy constraint: Member must satisfy enum value set: [Terminate, Allow]",
    ),
  )
})

// service model: UnqualifiedFunctionName
test('it is said of a function, not of a version', async () => {
  const pattern = String.raw`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)`
  const refusal = validation(
    `Value 'f:$LATEST' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: ${pattern}`,
  )
  await expect(put('Allow', 'f:$LATEST')).rejects.toMatchObject(refusal)
  await expect(get('f:$LATEST')).rejects.toMatchObject(refusal)
})

test('of a function that is there', async () => {
  const refusal = {
    name: 'ResourceNotFoundException',
    message: `Function not found: ${arnOf('doesnotexist')}`,
    $metadata: { httpStatusCode: 404 },
  }
  await expect(put('Allow', 'doesnotexist')).rejects.toMatchObject(refusal)
  await expect(get('doesnotexist')).rejects.toMatchObject(refusal)
})
