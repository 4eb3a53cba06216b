/**
 * The operations on what becomes of a function that calls itself in a circle.
 *
 * Source: lambda-semantics.md §4.6; LocalStack's TestLambdaRecursion, recorded on AWS.
 */
import { isRefusal } from '../edges/aws/errors.ts'
import { readNamed } from '../edges/aws/function-requests.ts'
import { canExist, functionNotFound } from '../edges/aws/names.ts'
import type { RecursiveLoop } from '../machines/function.ts'
import type { ApiBinding, ApiHandler } from './api.ts'
import { changesTo } from './api-changes.ts'

type Operation = 'PutFunctionRecursionConfig' | 'GetFunctionRecursionConfig'

export function recursionOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const { functions } = binding
  const { stamp, change } = changesTo(binding)

  return {
    async PutFunctionRecursionConfig(input) {
      const read = readNamed('PutFunctionRecursionConfig', input, binding)
      if (isRefusal(read)) return read
      const { name } = read
      if (!canExist(name)) return functionNotFound(binding, name)
      const recursiveLoop = input['RecursiveLoop'] as RecursiveLoop
      const { revision } = await change(name, {
        type: 'setRecursiveLoop',
        recursiveLoop,
        ...stamp(),
      })
      return { body: { RecursiveLoop: recursiveLoop }, revision }
    },

    async GetFunctionRecursionConfig(input) {
      const read = readNamed('GetFunctionRecursionConfig', input, binding)
      if (isRefusal(read)) return read
      const held = canExist(read.name) ? await functions.read(read.name) : undefined
      if (held === undefined) return functionNotFound(binding, read.name)
      const { recursiveLoop = 'Terminate' } = held.value
      return { body: { RecursiveLoop: recursiveLoop }, revision: held.revision }
    },
  }
}
