/**
 * Reserved concurrency: lambda-semantics.md §3.2 and §3.3, LocalStack's TestLambdaReservedConcurrency (2025-11). The account
 * of these tests has 1000.
 */
import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  DeleteFunctionConcurrencyCommand,
  GetAccountSettingsCommand,
  GetFunctionCommand,
  GetFunctionConcurrencyCommand,
  PutFunctionConcurrencyCommand,
} from '@aws-sdk/client-lambda'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { arnOf, type ControlPlane, createInput, startControlPlane } from './control-plane.ts'

let plane: ControlPlane
beforeAll(async () => {
  plane = await startControlPlane()
})
afterAll(() => plane.stop())
beforeEach(async () => {
  for (const name of ['f', 'g']) await send(new CreateFunctionCommand(createInput(name)))
})
afterEach(async () => {
  for (const FunctionName of ['f', 'g']) await send(new DeleteFunctionCommand({ FunctionName }))
})

// biome-ignore lint/suspicious/noExplicitAny: commands of many kinds go through one client
const send = (command: any): Promise<any> => plane.client.send(command)
const put = (ReservedConcurrentExecutions: number, FunctionName = 'f') =>
  send(new PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions }))
const get = async (FunctionName = 'f') => {
  const { $metadata: _, ...shown } = await send(new GetFunctionConcurrencyCommand({ FunctionName }))
  return shown
}
const release = (FunctionName = 'f') => send(new DeleteFunctionConcurrencyCommand({ FunctionName }))
const unreserved = async () =>
  (await send(new GetAccountSettingsCommand({}))).AccountLimit.UnreservedConcurrentExecutions

const belowLeast = {
  name: 'InvalidParameterValueException',
  message:
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].",
  $metadata: { httpStatusCode: 400 },
}

describe('what is reserved', () => {
  // test_function_concurrency
  test('is set, shown and given up', async () => {
    expect(await get()).toEqual({})
    expect(await put(0)).toMatchObject({ ReservedConcurrentExecutions: 0 })
    expect(await get()).toEqual({ ReservedConcurrentExecutions: 0 })
    expect(await put(1, arnOf('f'))).toMatchObject({ ReservedConcurrentExecutions: 1 })
    expect(await get()).toEqual({ ReservedConcurrentExecutions: 1 })
    expect((await release()).$metadata.httpStatusCode).toBe(204)
    expect(await get()).toEqual({})
    expect((await release()).$metadata.httpStatusCode).toBe(204)
  })

  // Lambda API, GetFunction: Concurrency
  test('is shown with its function', async () => {
    const shown = async () =>
      (await send(new GetFunctionCommand({ FunctionName: 'f' }))).Concurrency
    expect(await shown()).toBeUndefined()
    await put(0)
    expect(await shown()).toEqual({ ReservedConcurrentExecutions: 0 })
  })

  // §3.3: the rest of the account shares 1000 − Σ reserved
  test('is taken from what the account has for the others', async () => {
    await put(300)
    await put(20, 'g')
    expect(await unreserved()).toBe(680)
    await put(200)
    expect(await unreserved()).toBe(780)
    await release('g')
    expect(await unreserved()).toBe(800)
    await send(new DeleteFunctionCommand({ FunctionName: 'f' }))
    expect(await unreserved()).toBe(1000)
    await send(new CreateFunctionCommand(createInput('f')))
  })

  // test_function_concurrency_limits
  test('leaves 100 to functions without a reservation', async () => {
    for (const tooMuch of [1001, 1000, 901]) {
      await expect(put(tooMuch)).rejects.toMatchObject(belowLeast)
    }
    await put(600)
    await expect(put(301, 'g')).rejects.toMatchObject(belowLeast)
    await put(300, 'g')
    // What the function has itself does not count against it.
    await put(600)
    await expect(put(601)).rejects.toMatchObject(belowLeast)
    expect(await get()).toEqual({ ReservedConcurrentExecutions: 600 })
  })

  test('is counted although it is asked for at the same time', async () => {
    const asked = await Promise.allSettled([put(500), put(500, 'g')])
    expect(asked.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await unreserved()).toBe(500)
  })
})

describe('a reservation is refused', () => {
  // test_function_concurrency_exceptions, put_function_concurrency_with_qualified_arn
  test.each(['$LATEST', '1', 'live'])('for a version or alias: %s', async (qualifier) => {
    const functionsOnly = {
      name: 'InvalidParameterValueException',
      message:
        'This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.',
    }
    const qualified = `${arnOf('f')}:${qualifier}`
    await expect(put(0, qualified)).rejects.toMatchObject(functionsOnly)
    await expect(get(qualified)).rejects.toMatchObject(functionsOnly)
    await expect(release(qualified)).rejects.toMatchObject(functionsOnly)
  })

  // put_function_concurrency_with_function_name_doesnotexist, test_ops_on_nonexisting_fn[get_function_concurrency]
  test('where there is no function', async () => {
    const missing = (arn: string) => ({
      name: 'ResourceNotFoundException',
      message: `Function not found: ${arn}`,
      $metadata: { httpStatusCode: 404 },
    })
    await expect(put(1, 'doesnotexist')).rejects.toMatchObject(
      missing(`${arnOf('doesnotexist')}:$LATEST`),
    )
    await expect(get('doesnotexist')).rejects.toMatchObject(missing(arnOf('doesnotexist')))
    await expect(release('doesnotexist')).rejects.toMatchObject(
      missing(`${arnOf('doesnotexist')}:$LATEST`),
    )
  })

  // service model
  test('for less than nothing', async () => {
    await expect(put(-1)).rejects.toMatchObject({
      name: 'ValidationException',
      message:
        "1 validation error detected: Value '-1' at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 0",
    })
  })

  // §2.1; native recordings of both (2026-09)
  test('in bodies with the members in AWS’s order', async () => {
    const bodyOf = async (operation: string, input: object) => {
      const answer = await plane.bus.request(`lambus.api.${operation}`, JSON.stringify(input), {
        timeoutMs: 20_000,
      })
      return typeof answer === 'string' ? answer : answer.string()
    }
    const arn = arnOf('doesnotexist')
    const missing = { FunctionName: 'doesnotexist' }
    expect(await bodyOf('GetFunctionConcurrency', missing)).toBe(
      `{"Message":"Function not found: ${arn}","Type":"User"}`,
    )
    expect(
      await bodyOf('PutFunctionConcurrency', { ...missing, ReservedConcurrentExecutions: 1 }),
    ).toBe(`{"Type":"User","Message":"Function not found: ${arn}:$LATEST"}`)
    const tooMuch = { FunctionName: 'f', ReservedConcurrentExecutions: 1000 }
    expect(await bodyOf('PutFunctionConcurrency', tooMuch)).toBe(
      `{"message":"${belowLeast.message}"}`,
    )
  })
})
