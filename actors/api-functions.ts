/**
 * The operations on functions: requests read, put to the function's own actor, and its answer told in AWS's words.
 *
 * Source: lambda-semantics.md §2.3 and Appendix A.
 */
import { hexOf } from '../bus/code.ts'
import { checkInput, type Input } from '../edges/aws/constraints.ts'
import { noSuchQueue, targetOf } from '../edges/aws/destinations.ts'
import { isRefusal, type Refusal, refuse } from '../edges/aws/errors.ts'
import { functionConfiguration, listedFunction } from '../edges/aws/function-configuration.ts'
import {
  type GivenCode,
  readCreate,
  readNamed,
  readUpdateCode,
  readUpdateConfiguration,
} from '../edges/aws/function-requests.ts'
import { shapes } from '../edges/aws/function-shapes.ts'
import { canExist, functionArn, functionNotFound } from '../edges/aws/names.ts'
import {
  checkPackage,
  decodeZipFile,
  describePackage,
  zippedLimitBytes,
} from '../edges/aws/package.ts'
import { pageOf } from '../edges/aws/pages.ts'
import { refuseUnhonoured } from '../edges/aws/unhonoured.ts'
import { codeLocation } from '../edges/http-operations.ts'
import { maxUnzippedBytes } from '../edges/unzip.ts'
import type { FunctionCode, FunctionSettings } from '../machines/function.ts'
import type { ApiBinding, ApiHandler, Told } from './api.ts'
import { alreadyExists, changesTo, staleRevision } from './api-changes.ts'
import { reservedBeside } from './api-concurrency.ts'
import type { FunctionCommand } from './function.ts'
import { storePackage } from './package-store.ts'

type Operation =
  | 'CreateFunction'
  | 'GetFunction'
  | 'GetFunctionConfiguration'
  | 'ListFunctions'
  | 'UpdateFunctionCode'
  | 'UpdateFunctionConfiguration'
  | 'DeleteFunction'
  | 'GetAccountSettings'

/** Lambda quotas: code storage of an account, 300 GB. lambda-semantics.md §3.1. */
const codeStorageBytes = 322_122_547_200

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

export function functionOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const { functions, registry, newId } = binding
  const { stamp, change } = changesTo(binding)

  const changed = async (name: string, command: FunctionCommand): Promise<Told> => {
    const { record, revision } = await change(name, command)
    return { body: functionConfiguration(record, binding), revision }
  }

  /** The function that a reading operation means. */
  const find = async (operation: 'GetFunction' | 'GetFunctionConfiguration', input: Input) => {
    const asked = readNamed(operation, input, binding)
    if (isRefusal(asked)) return asked
    const { name, qualifier } = asked
    const known = qualifier === undefined || qualifier === '$LATEST'
    const held = known && canExist(name) ? await functions.read(name) : undefined
    return held === undefined
      ? functionNotFound(binding, name, qualifier)
      : {
          ...held,
          configuration: {
            ...functionConfiguration(held.value, binding),
            FunctionArn: functionArn(binding, name, qualifier),
          },
        }
  }

  return {
    async CreateFunction(input) {
      const read = readCreate(input, binding)
      if (isRefusal(read)) return read
      // A zip that would be stored for nothing.
      if ((await functions.read(read.name)) !== undefined) return alreadyExists(read.name)
      const bad = await refuseDeadLetters(read.settings, binding)
      if (bad !== undefined) return bad
      const code = await takeCode(read.code, binding)
      if (isRefusal(code)) return code
      const { name, settings, tags } = read
      const ids = { incarnation: newId(), generation: newId() }
      return changed(name, { type: 'create', name, settings, code, tags, ...ids, ...stamp() })
    },

    async GetFunction(input) {
      const found = await find('GetFunction', input)
      if (isRefusal(found)) return found
      const { code, tags, reservedConcurrency } = found.value
      const Code = { RepositoryType: 'S3', Location: codeLocation(hexOf(code.sha256)) }
      const Tags = Object.keys(tags).length === 0 ? undefined : tags
      const Concurrency =
        reservedConcurrency === undefined
          ? undefined
          : { ReservedConcurrentExecutions: reservedConcurrency }
      return {
        body: { Configuration: found.configuration, Code, Tags, Concurrency },
        revision: found.revision,
      }
    },

    async GetFunctionConfiguration(input) {
      const found = await find('GetFunctionConfiguration', input)
      return isRefusal(found) ? found : { body: found.configuration, revision: found.revision }
    },

    async ListFunctions(input) {
      const { members } = shapes.ListFunctions
      const bad = checkInput(shapes.ListFunctions, input) ?? refuseUnhonoured(input, members, '')
      if (bad !== undefined) return bad
      const records = [...registry.entries()].map(([, { value }]) => value)
      const page = pageOf('ListFunctions', input, records, ({ name }) => name, canExist)
      if (isRefusal(page)) return page
      const qualified = input['FunctionVersion'] === 'ALL'
      return {
        body: {
          NextMarker: page.nextMarker,
          Functions: page.items.map((record) => listedFunction(record, binding, qualified)),
        },
      }
    },

    async UpdateFunctionCode(input) {
      const read = readUpdateCode(input, binding)
      if (isRefusal(read)) return read
      const { name, revisionId } = read
      const there = canExist(name) ? await functions.read(name) : undefined
      if (there === undefined) return functionNotFound(binding, name)
      if (revisionId !== undefined && revisionId !== there.value.revisionId) return staleRevision()
      const code = await takeCode(read.code, binding, read.dryRun)
      if (isRefusal(code)) return code
      if (read.dryRun) return { body: functionConfiguration(there.value, binding) }
      const guard = { expectedRevisionId: revisionId }
      return changed(name, { type: 'updateCode', generation: newId(), code, ...guard, ...stamp() })
    },

    async UpdateFunctionConfiguration(input) {
      const read = readUpdateConfiguration(input, binding)
      if (isRefusal(read)) return read
      const { name, settings, revisionId } = read
      if (!canExist(name)) return functionNotFound(binding, name)
      const bad = await refuseDeadLetters(settings, binding)
      if (bad !== undefined) return bad
      const guard = { expectedRevisionId: revisionId }
      return changed(name, {
        type: 'updateConfiguration',
        generation: newId(),
        settings,
        ...guard,
        ...stamp(),
      })
    },

    async DeleteFunction(input) {
      const asked = readNamed('DeleteFunction', input, binding)
      if (isRefusal(asked)) return asked
      const { name, qualifier } = asked
      const bad = refuseDeletion(qualifier)
      if (bad !== undefined) return bad
      const there = canExist(name) ? await functions.read(name) : undefined
      if (there === undefined || qualifier?.startsWith('$')) return functionNotFound(binding, name)
      // A version that is not there is deleted already, and none is ever there yet.
      if (qualifier === undefined) await change(name, { type: 'delete', ...stamp() })
      return {}
    },

    async GetAccountSettings(input) {
      const bad = refuseUnhonoured(input, {}, '')
      if (bad !== undefined) return bad
      const records = [...registry.entries()].map(([, { value }]) => value)
      return {
        body: {
          AccountLimit: {
            TotalCodeSize: codeStorageBytes,
            CodeSizeUnzipped: maxUnzippedBytes,
            CodeSizeZipped: zippedLimitBytes,
            ConcurrentExecutions: binding.accountConcurrency,
            UnreservedConcurrentExecutions: binding.accountConcurrency - reservedBeside(registry),
          },
          AccountUsage: {
            TotalCodeSize: records.reduce((sum, { code }) => sum + code.sizeBytes, 0),
            FunctionCount: records.length,
          },
        },
      }
    },
  }
}

/** A dead-letter queue has to be there. */
async function refuseDeadLetters(
  { deadLetterTargetArn }: Partial<FunctionSettings>,
  binding: ApiBinding,
): Promise<Refusal | undefined> {
  const target = deadLetterTargetArn ? targetOf(deadLetterTargetArn, binding) : undefined
  return target?.kind === 'queue' && !(await binding.queueExists(target.name))
    ? noSuchQueue()
    : undefined
}

/** Recorded: test_ops_with_arn_qualifier_mismatch and test_function_name_and_qualifier_validation, delete_function. */
function refuseDeletion(qualifier: string | undefined): Refusal | undefined {
  if (qualifier === '$LATEST') {
    return invalid('$LATEST version cannot be deleted without deleting the function.')
  }
  return qualifier === undefined || /^(\d+|\$.*)$/.test(qualifier)
    ? undefined
    : invalid('Deletion of aliases is not currently supported.')
}

/** The package of a request, in the store. `dryRun`: checked, and not stored. */
async function takeCode(
  given: GivenCode,
  { code }: ApiBinding,
  dryRun = false,
): Promise<FunctionCode | Refusal> {
  if ('stored' in given) {
    const { sha256 } = given.stored
    if (dryRun) return given.stored
    const isThere = /^[A-Za-z0-9+/]{43}=$/.test(sha256) && (await code.has(hexOf(sha256)))
    return isThere ? given.stored : invalid('The package that Stored names is not in the store.')
  }
  const zip = decodeZipFile(given.zipFile)
  if (isRefusal(zip)) return zip
  const bad = await checkPackage(zip)
  if (bad !== undefined) return bad
  return dryRun ? describePackage(zip) : storePackage(code, zip)
}
