/**
 * The operations on reserved concurrency: what a function has for itself, and the most that it gets.
 *
 * Source: lambda-semantics.md §3.2 and §3.3; LocalStack's TestLambdaReservedConcurrency, recorded on AWS.
 */
import type { Input } from '../edges/aws/constraints.ts'
import { isRefusal, type Refusal, refuse } from '../edges/aws/errors.ts'
import { readNamed } from '../edges/aws/function-requests.ts'
import { canExist, functionArn, functionNotFound, functionsOnly } from '../edges/aws/names.ts'
import type { FunctionRecord } from '../machines/function.ts'
import type { ApiBinding, ApiHandler } from './api.ts'
import { changesTo } from './api-changes.ts'
import type { FunctionCommand } from './function.ts'

type Operation = 'PutFunctionConcurrency' | 'GetFunctionConcurrency' | 'DeleteFunctionConcurrency'

/** §3.1: what an account keeps for functions without a reservation. One that has less, has no more to keep. */
const leastUnreserved = 100

/** What all functions but the one of that name have reserved. */
export const reservedBeside = (
  registry: Pick<ApiBinding['registry'], 'entries'>,
  name?: string,
): number =>
  [...registry.entries()].reduce(
    (sum, [, { value }]) => sum + (value.name === name ? 0 : (value.reservedConcurrency ?? 0)),
    0,
  )

export function concurrencyOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const { functions, registry, accountConcurrency } = binding
  const { stamp, change } = changesTo(binding)
  const inTurn = turns()

  const find = async (operation: Operation, input: Input) => {
    const read = readNamed(operation, input, binding)
    if (isRefusal(read)) return read
    if (read.qualifier !== undefined) return functionsOnly()
    const { name } = read
    const held = canExist(name) ? await functions.read(name) : undefined
    return { name, held }
  }

  const changed = async (
    record: FunctionRecord,
    command: FunctionCommand,
  ): Promise<number | undefined> => (await change(record.name, command)).revision

  return {
    // One after the other: each counts what the one before has reserved.
    PutFunctionConcurrency: (input) =>
      inTurn(async () => {
        const found = await find('PutFunctionConcurrency', input)
        if (isRefusal(found)) return found
        const { name, held } = found
        if (held === undefined) return functionNotFound(binding, name, '$LATEST')
        const reservedConcurrency = Number(input['ReservedConcurrentExecutions'])
        const least = Math.min(leastUnreserved, accountConcurrency)
        const unreserved = accountConcurrency - reservedBeside(registry, name)
        if (reservedConcurrency > unreserved - least) return belowLeast(least)
        const revision = await changed(held.value, {
          type: 'reserveConcurrency',
          reservedConcurrency,
          ...stamp(),
        })
        return { body: { ReservedConcurrentExecutions: reservedConcurrency }, revision }
      }),

    async GetFunctionConcurrency(input) {
      const found = await find('GetFunctionConcurrency', input)
      if (isRefusal(found)) return found
      const { name, held } = found
      if (held === undefined) return notFoundTypeLast(functionArn(binding, name))
      const { reservedConcurrency } = held.value
      return {
        body: { ReservedConcurrentExecutions: reservedConcurrency },
        revision: held.revision,
      }
    },

    async DeleteFunctionConcurrency(input) {
      const found = await find('DeleteFunctionConcurrency', input)
      if (isRefusal(found)) return found
      const { name, held } = found
      if (held === undefined) return functionNotFound(binding, name, '$LATEST')
      return { revision: await changed(held.value, { type: 'releaseConcurrency', ...stamp() }) }
    },
  }
}

// Recorded without a Type: test_function_concurrency_limits.
const belowLeast = (least: number) =>
  refuse(
    'InvalidParameterValueException',
    `Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [${least}].`,
    { type: 'none' },
  )

// Recorded in this order, by GetFunctionConcurrency alone: lambda-semantics.md §2.1.
const notFoundTypeLast = (arn: string): Refusal =>
  refuse('ResourceNotFoundException', `Function not found: ${arn}`, { typeLast: true })

function turns(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const turn = last.then(task, task)
    last = turn.catch(() => undefined)
    return turn
  }
}
