/**
 * The system's API as the CLI uses it: AWS Lambda's operations, over HTTP with a signature, or over the bus where only
 * that is known. Nothing is retried: whoever types a command wants to know what happened.
 *
 * Source of paths and members: lambda service model 2015-03-31.
 */
import { AwsFailure } from './aws-failure.ts'
import { Failure } from './failure.ts'
import { openHttpApi } from './http-api.ts'
import { likeliest } from './likeliest.ts'
import { findSystem, natsOf, type System, type SystemFlags } from './system.ts'

export type Operation =
  | 'CreateFunction'
  | 'GetFunction'
  | 'GetFunctionConfiguration'
  | 'ListFunctions'
  | 'UpdateFunctionCode'
  | 'UpdateFunctionConfiguration'
  | 'DeleteFunction'

export type Input = Record<string, unknown>

/** What the CLI reads of AWS's FunctionConfiguration; the rest passes through. */
export type FunctionConfiguration = {
  FunctionName: string
  FunctionArn: string
  Runtime?: string
  Handler?: string
  Role?: string
  Description?: string
  CodeSize: number
  CodeSha256: string
  MemorySize: number
  Timeout: number
  Version: string
  LastModified: string
  Environment?: { Variables?: Record<string, string> }
  State?: string
  StateReason?: string
  LastUpdateStatus?: string
  LastUpdateStatusReason?: string
}

export type Outputs = {
  CreateFunction: FunctionConfiguration
  GetFunction: {
    Configuration: FunctionConfiguration
    Code?: { Location?: string }
    Tags?: Record<string, string>
  }
  GetFunctionConfiguration: FunctionConfiguration
  ListFunctions: { Functions: FunctionConfiguration[]; NextMarker?: string | null }
  UpdateFunctionCode: FunctionConfiguration
  UpdateFunctionConfiguration: FunctionConfiguration
  DeleteFunction: unknown
}

export type Invocation = {
  functionName: string
  qualifier?: string | undefined
  payload: Uint8Array
  invocationType: 'RequestResponse' | 'Event' | 'DryRun'
  logType: 'None' | 'Tail'
}

export type InvocationResult = {
  statusCode: number
  executedVersion?: string
  functionError?: string
  requestId?: string
  /** Base64, as it came. */
  logResult?: string
  payload: Uint8Array
}

export type Upload = (sentBytes: number, totalBytes: number) => void

/** One way to the operations. Both throw AwsFailure for what AWS refuses, Failure for what is not there. */
export type Api = {
  call<Name extends Operation>(
    operation: Name,
    input: Input,
    onUpload?: Upload,
  ): Promise<Outputs[Name]>
  invoke(invocation: Invocation): Promise<InvocationResult>
  close(): Promise<void>
}

export type Credentials = { accessKeyId: string; secretAccessKey: string; region: string }

export async function openApi(system: System, credentials: Credentials): Promise<Api> {
  if (system.door === 'http' && system.http !== undefined) {
    return openHttpApi(system.http, credentials, system.source)
  }
  // Loading the NATS client costs more than the whole of an HTTP command.
  const { openBusApi } = await import('./bus-api.ts')
  return await openBusApi(natsOf(system))
}

/** Finds the system, opens its API for the time of `use`, and makes "not found" a better sentence. */
export async function withApi<Result>(
  flags: SystemFlags,
  credentials: Credentials,
  use: (api: Api) => Promise<Result>,
): Promise<Result> {
  const api = await openApi(findSystem(flags, process.env), credentials)
  try {
    return await use(api)
  } finally {
    await api.close()
  }
}

/** Every function there is, in the server's order. */
export async function allFunctions(api: Api): Promise<FunctionConfiguration[]> {
  const found: FunctionConfiguration[] = []
  let marker: string | undefined
  do {
    const page = await api.call('ListFunctions', marker === undefined ? {} : { Marker: marker })
    found.push(...page.Functions)
    marker = page.NextMarker || undefined
  } while (marker !== undefined)
  return found
}

/** Does what is asked of function `name`; when there is none, throws a Failure that names those it may have meant. */
export async function orLikeliest<Result>(
  api: Api,
  name: string,
  ask: () => Promise<Result>,
): Promise<Result> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof AwsFailure) || error.code !== 'ResourceNotFoundException') throw error
    const names = (await allFunctions(api).catch(() => [])).map((each) => each.FunctionName)
    // The function is there: what is missing is something else, such as a version.
    if (names.includes(name.split(':')[0] ?? name)) throw error
    const meant = likeliest(name, names)
    const hint =
      meant.length > 0
        ? `did you mean ${meant.map((each) => `'${each}'`).join(' or ')}?`
        : names.length > 0
          ? '`lambus list` shows what is there'
          : 'there are none yet: `lambus deploy <dir|file>` makes one'
    throw new Failure(error.code, `no function '${name}': ${hint}`, error)
  }
}
