/**
 * The requests that create and change functions: read, checked against everything AWS checks, and turned into the words of
 * the function machine. Nothing that lambus would ignore gets through.
 *
 * Source: lambda-semantics.md §2.3 and Appendix A for the sentences; Lambda Developer Guide, "Lambda quotas", for 4 KB of
 * environment; "Working with tags", for 50 tags.
 */
import type { FunctionCode, FunctionSettings } from '../../machines/function.ts'
import { reservedVariables } from '../sandbox-environment.ts'
import { checkInput, type Input, type Structure } from './constraints.ts'
import { readDeadLetterTarget } from './destinations.ts'
import { isRefusal, type Refusal, refuse } from './errors.ts'
import { shapes } from './function-shapes.ts'
import {
  complaintsOfName,
  complaintsOfQualifier,
  type FunctionName,
  functionsOnly,
  type Place,
  parseFunctionName,
} from './names.ts'
import { checkRuntime } from './runtimes.ts'
import { refuseUnhonoured, refuseUnknownWithin } from './unhonoured.ts'

/** The package of a request: base64 as it was given, or one that is in the code store already. */
export type GivenCode = { zipFile: string } | { stored: FunctionCode }

export type CreateRequest = {
  name: string
  settings: FunctionSettings
  tags: Record<string, string>
  code: GivenCode
}
export type UpdateCodeRequest = {
  name: string
  code: GivenCode
  revisionId: string | undefined
  dryRun: boolean
}
export type UpdateConfigurationRequest = {
  name: string
  settings: Partial<FunctionSettings>
  revisionId: string | undefined
}

const environmentLimitBytes = 4_096
const tagLimit = 50

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

/** A request that is about one function, held to its shape, with the function and qualifier that it means. */
export function readNamed(
  operation: keyof typeof shapes,
  input: Input,
  where: Place,
): (FunctionName & { input: Input }) | Refusal {
  const shape: Structure = shapes[operation]
  const name = input['FunctionName']
  const qualifier = textOf(input, 'Qualifier')
  const misshapen = checkInput(shape, input, [
    ...(typeof name === 'string' ? complaintsOfName(name, operation) : []),
    ...(typeof qualifier === 'string' ? complaintsOfQualifier(qualifier) : []),
  ])
  if (misshapen !== undefined) return misshapen
  const { region, account } = where
  const parsed = parseFunctionName(String(name), qualifier, { region, account, operation })
  if (isRefusal(parsed)) return parsed
  const unhonoured =
    refuseUnhonoured(input, shape.members, parsed.name) ?? refuseUnknownWithin(input, shape.members)
  return unhonoured ?? { ...parsed, input }
}

/** A request that changes the function itself; its unpublished version may be named. */
function readInput(
  operation: keyof typeof shapes,
  input: Input,
  where: Place,
): { name: string; input: Input } | Refusal {
  const read = readNamed(operation, input, where)
  if (isRefusal(read)) return read
  return read.qualifier === undefined || read.qualifier === '$LATEST' ? read : functionsOnly()
}

export function readCreate(given: Input, where: Place): CreateRequest | Refusal {
  const read = readInput('CreateFunction', given, where)
  if (isRefusal(read)) return read
  const { name, input } = read
  const codeInput = input['Code'] as Input
  const known = (shapes.CreateFunction.members['Code'] as Structure).members
  const unhonoured = refuseUnhonoured(codeInput, known, name)
  if (unhonoured !== undefined) return unhonoured
  const code = readCode(codeInput)
  if (isRefusal(code)) return code
  if (!input['Runtime'] || !input['Handler']) {
    return invalid(
      'Runtime and Handler are mandatory parameters for functions created with deployment packages.',
    )
  }
  const settings = readSettings(input, where)
  if (isRefusal(settings)) return settings
  const tags = (input['Tags'] ?? {}) as Record<string, string>
  const badTags = checkTags(tags)
  return badTags ?? { name, code, tags, settings: { ...defaults, ...settings } as FunctionSettings }
}

export function readUpdateConfiguration(
  given: Input,
  where: Place,
): UpdateConfigurationRequest | Refusal {
  const read = readInput('UpdateFunctionConfiguration', given, where)
  if (isRefusal(read)) return read
  const settings = readSettings(read.input, where)
  return isRefusal(settings)
    ? settings
    : { name: read.name, settings, revisionId: textOf(read.input, 'RevisionId') }
}

export function readUpdateCode(given: Input, where: Place): UpdateCodeRequest | Refusal {
  const read = readInput('UpdateFunctionCode', given, where)
  if (isRefusal(read)) return read
  const code = readCode(read.input)
  if (isRefusal(code)) return code
  const { name, input } = read
  return {
    name,
    code,
    revisionId: textOf(input, 'RevisionId'),
    dryRun: input['DryRun'] === true,
  }
}

const textOf = (input: Input, member: string) => (input[member] ?? undefined) as string | undefined

/** Lambda API, CreateFunction: the defaults of what need not be given. */
const defaults: Omit<FunctionSettings, 'runtime' | 'handler' | 'role'> = {
  description: '',
  timeoutSeconds: 3,
  memoryMb: 128,
  environment: undefined,
}

function readCode(input: Input): GivenCode | Refusal {
  if (typeof input['ZipFile'] === 'string') return { zipFile: input['ZipFile'] }
  const stored = input['Stored'] as FunctionCode | undefined
  if (stored) return { stored: { sha256: stored.sha256, sizeBytes: stored.sizeBytes } }
  return invalid('Please provide a source for function code.')
}

/** Only the members that are given. */
function readSettings(input: Input, where: Place): Partial<FunctionSettings> | Refusal {
  const settings: Partial<FunctionSettings> = {}
  const take = <Name extends keyof FunctionSettings>(member: string, name: Name) => {
    const value = input[member]
    if (value !== undefined && value !== null) settings[name] = value as FunctionSettings[Name]
  }
  take('Runtime', 'runtime')
  take('Handler', 'handler')
  take('Role', 'role')
  take('Description', 'description')
  take('Timeout', 'timeoutSeconds')
  take('MemorySize', 'memoryMb')
  const environment = input['Environment'] as { Variables?: Record<string, string> } | undefined
  if (environment) settings.environment = environment.Variables ?? {}
  const deadLetters = input['DeadLetterConfig'] as { TargetArn?: string | null } | undefined
  if (deadLetters) settings.deadLetterTargetArn = deadLetters.TargetArn ?? ''
  return (
    (settings.runtime === undefined ? undefined : checkRuntime(settings.runtime)) ??
    checkEnvironment(settings.environment) ??
    checkDeadLetters(settings.deadLetterTargetArn, where) ??
    settings
  )
}

function checkDeadLetters(arn: string | undefined, where: Place): Refusal | undefined {
  const target = arn ? readDeadLetterTarget(arn, where) : undefined
  return isRefusal(target) ? target : undefined
}

function checkEnvironment(variables: Record<string, string> | undefined): Refusal | undefined {
  if (variables === undefined) return undefined
  const reserved = Object.keys(variables).filter((key) => reservedVariables.has(key))
  if (reserved.length > 0) {
    return invalid(
      `Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: ${reserved.join(', ')}`,
    )
  }
  const measured = JSON.stringify(variables)
  return Buffer.byteLength(measured) > environmentLimitBytes
    ? invalid(
        `Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: ${measured}`,
      )
    : undefined
}

/** AWS General Reference, "Tag naming limits": keys of 1–128 characters, values up to 256, `aws:` is AWS's own. */
export function checkTags(tags: Record<string, string>): Refusal | undefined {
  const entries = Object.entries(tags)
  if (entries.length > tagLimit) return invalid('Number of tags exceeds resource tag limit.')
  for (const [key, value] of entries) {
    if (key.length < 1 || key.length > 128) {
      return invalid('The tag keys you have provided must be from 1 to 128 characters long.')
    }
    if (value.length > 256) {
      return invalid('The tag values you have provided must be at most 256 characters long.')
    }
    if (key.toLowerCase().startsWith('aws:')) {
      return invalid('aws: prefixed tag key names are not allowed for external use.')
    }
  }
  return undefined
}
