/**
 * Every operation of the Lambda API with its method and path, which of them are built, and the way from a request line to
 * its operation.
 *
 * Source: lambda-semantics.md, Appendix B, and for what that leaves out (layers, code signing, capacity providers, durable
 * executions, resource policies) the service model that the JavaScript SDK is generated from.
 */
import { type Refusal, refuse } from './errors.ts'

export const operations = {
  AddLayerVersionPermission: 'POST /2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy',
  AddPermission: 'POST /2015-03-31/functions/{FunctionName}/policy',
  CheckpointDurableExecution:
    'POST /2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint',
  CreateAlias: 'POST /2015-03-31/functions/{FunctionName}/aliases',
  CreateCapacityProvider: 'POST /2025-11-30/capacity-providers',
  CreateCodeSigningConfig: 'POST /2020-04-22/code-signing-configs',
  CreateEventSourceMapping: 'POST /2015-03-31/event-source-mappings',
  CreateFunction: 'POST /2015-03-31/functions',
  CreateFunctionUrlConfig: 'POST /2021-10-31/functions/{FunctionName}/url',
  DeleteAlias: 'DELETE /2015-03-31/functions/{FunctionName}/aliases/{Name}',
  DeleteCapacityProvider: 'DELETE /2025-11-30/capacity-providers/{CapacityProviderName}',
  DeleteCodeSigningConfig: 'DELETE /2020-04-22/code-signing-configs/{CodeSigningConfigArn}',
  DeleteEventSourceMapping: 'DELETE /2015-03-31/event-source-mappings/{UUID}',
  DeleteFunction: 'DELETE /2015-03-31/functions/{FunctionName}',
  DeleteFunctionCodeSigningConfig:
    'DELETE /2020-06-30/functions/{FunctionName}/code-signing-config',
  DeleteFunctionConcurrency: 'DELETE /2017-10-31/functions/{FunctionName}/concurrency',
  DeleteFunctionEventInvokeConfig:
    'DELETE /2019-09-25/functions/{FunctionName}/event-invoke-config',
  DeleteFunctionUrlConfig: 'DELETE /2021-10-31/functions/{FunctionName}/url',
  DeleteLayerVersion: 'DELETE /2018-10-31/layers/{LayerName}/versions/{VersionNumber}',
  DeleteProvisionedConcurrencyConfig:
    'DELETE /2019-09-30/functions/{FunctionName}/provisioned-concurrency',
  DeleteResourcePolicy: 'DELETE /2026-07-09/resource-policy/{ResourceArn}',
  GetAccountSettings: 'GET /2016-08-19/account-settings',
  GetAlias: 'GET /2015-03-31/functions/{FunctionName}/aliases/{Name}',
  GetCapacityProvider: 'GET /2025-11-30/capacity-providers/{CapacityProviderName}',
  GetCodeSigningConfig: 'GET /2020-04-22/code-signing-configs/{CodeSigningConfigArn}',
  GetDurableExecution: 'GET /2025-12-01/durable-executions/{DurableExecutionArn}',
  GetDurableExecutionHistory: 'GET /2025-12-01/durable-executions/{DurableExecutionArn}/history',
  GetDurableExecutionState: 'GET /2025-12-01/durable-executions/{DurableExecutionArn}/state',
  GetEventSourceMapping: 'GET /2015-03-31/event-source-mappings/{UUID}',
  GetFunction: 'GET /2015-03-31/functions/{FunctionName}',
  GetFunctionCodeSigningConfig: 'GET /2020-06-30/functions/{FunctionName}/code-signing-config',
  GetFunctionConcurrency: 'GET /2019-09-30/functions/{FunctionName}/concurrency',
  GetFunctionConfiguration: 'GET /2015-03-31/functions/{FunctionName}/configuration',
  GetFunctionEventInvokeConfig: 'GET /2019-09-25/functions/{FunctionName}/event-invoke-config',
  GetFunctionRecursionConfig: 'GET /2024-08-31/functions/{FunctionName}/recursion-config',
  GetFunctionScalingConfig: 'GET /2025-11-30/functions/{FunctionName}/function-scaling-config',
  GetFunctionUrlConfig: 'GET /2021-10-31/functions/{FunctionName}/url',
  GetLayerVersion: 'GET /2018-10-31/layers/{LayerName}/versions/{VersionNumber}',
  GetLayerVersionByArn: 'GET /2018-10-31/layers?find=LayerVersion',
  GetLayerVersionPolicy: 'GET /2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy',
  GetPolicy: 'GET /2015-03-31/functions/{FunctionName}/policy',
  GetProvisionedConcurrencyConfig:
    'GET /2019-09-30/functions/{FunctionName}/provisioned-concurrency',
  GetResourcePolicy: 'GET /2026-07-09/resource-policy/{ResourceArn}',
  GetRuntimeManagementConfig: 'GET /2021-07-20/functions/{FunctionName}/runtime-management-config',
  Invoke: 'POST /2015-03-31/functions/{FunctionName}/invocations',
  InvokeAsync: 'POST /2014-11-13/functions/{FunctionName}/invoke-async',
  InvokeWithResponseStream:
    'POST /2021-11-15/functions/{FunctionName}/response-streaming-invocations',
  ListAliases: 'GET /2015-03-31/functions/{FunctionName}/aliases',
  ListCapacityProviders: 'GET /2025-11-30/capacity-providers',
  ListCodeSigningConfigs: 'GET /2020-04-22/code-signing-configs',
  ListDurableExecutionsByFunction: 'GET /2025-12-01/functions/{FunctionName}/durable-executions',
  ListEventSourceMappings: 'GET /2015-03-31/event-source-mappings',
  ListFunctionEventInvokeConfigs:
    'GET /2019-09-25/functions/{FunctionName}/event-invoke-config/list',
  ListFunctionUrlConfigs: 'GET /2021-10-31/functions/{FunctionName}/urls',
  ListFunctionVersionsByCapacityProvider:
    'GET /2025-11-30/capacity-providers/{CapacityProviderName}/function-versions',
  ListFunctions: 'GET /2015-03-31/functions',
  ListFunctionsByCodeSigningConfig:
    'GET /2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions',
  ListLayerVersions: 'GET /2018-10-31/layers/{LayerName}/versions',
  ListLayers: 'GET /2018-10-31/layers',
  ListProvisionedConcurrencyConfigs:
    'GET /2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL',
  ListTags: 'GET /2017-03-31/tags/{Resource}',
  ListVersionsByFunction: 'GET /2015-03-31/functions/{FunctionName}/versions',
  PublishLayerVersion: 'POST /2018-10-31/layers/{LayerName}/versions',
  PublishVersion: 'POST /2015-03-31/functions/{FunctionName}/versions',
  PutFunctionCodeSigningConfig: 'PUT /2020-06-30/functions/{FunctionName}/code-signing-config',
  PutFunctionConcurrency: 'PUT /2017-10-31/functions/{FunctionName}/concurrency',
  PutFunctionEventInvokeConfig: 'PUT /2019-09-25/functions/{FunctionName}/event-invoke-config',
  PutFunctionRecursionConfig: 'PUT /2024-08-31/functions/{FunctionName}/recursion-config',
  PutFunctionScalingConfig: 'PUT /2025-11-30/functions/{FunctionName}/function-scaling-config',
  PutProvisionedConcurrencyConfig:
    'PUT /2019-09-30/functions/{FunctionName}/provisioned-concurrency',
  PutResourcePolicy: 'PUT /2026-07-09/resource-policy/{ResourceArn}',
  PutRuntimeManagementConfig: 'PUT /2021-07-20/functions/{FunctionName}/runtime-management-config',
  RemoveLayerVersionPermission:
    'DELETE /2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}',
  RemovePermission: 'DELETE /2015-03-31/functions/{FunctionName}/policy/{StatementId}',
  SendDurableExecutionCallbackFailure:
    'POST /2025-12-01/durable-execution-callbacks/{CallbackId}/fail',
  SendDurableExecutionCallbackHeartbeat:
    'POST /2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat',
  SendDurableExecutionCallbackSuccess:
    'POST /2025-12-01/durable-execution-callbacks/{CallbackId}/succeed',
  StopDurableExecution: 'POST /2025-12-01/durable-executions/{DurableExecutionArn}/stop',
  TagResource: 'POST /2017-03-31/tags/{Resource}',
  UntagResource: 'DELETE /2017-03-31/tags/{Resource}',
  UpdateAlias: 'PUT /2015-03-31/functions/{FunctionName}/aliases/{Name}',
  UpdateCapacityProvider: 'PUT /2025-11-30/capacity-providers/{CapacityProviderName}',
  UpdateCodeSigningConfig: 'PUT /2020-04-22/code-signing-configs/{CodeSigningConfigArn}',
  UpdateEventSourceMapping: 'PUT /2015-03-31/event-source-mappings/{UUID}',
  UpdateFunctionCode: 'PUT /2015-03-31/functions/{FunctionName}/code',
  UpdateFunctionConfiguration: 'PUT /2015-03-31/functions/{FunctionName}/configuration',
  UpdateFunctionEventInvokeConfig: 'POST /2019-09-25/functions/{FunctionName}/event-invoke-config',
  UpdateFunctionUrlConfig: 'PUT /2021-10-31/functions/{FunctionName}/url',
} as const satisfies Record<string, `${string} /${string}`>

export type Operation = keyof typeof operations

/**
 * Those that are built, with the status of their success: the model's, but DeleteFunction really answers 204
 * (lambda-semantics.md §2.3). The rest is refused by name.
 */
export const built = {
  Invoke: 200,
  InvokeAsync: 202,
  CreateFunction: 201,
  GetFunction: 200,
  GetFunctionConfiguration: 200,
  ListFunctions: 200,
  UpdateFunctionCode: 200,
  UpdateFunctionConfiguration: 200,
  DeleteFunction: 204,
  GetAccountSettings: 200,
  ListTags: 200,
  TagResource: 204,
  UntagResource: 204,
  PutFunctionEventInvokeConfig: 200,
  UpdateFunctionEventInvokeConfig: 200,
  GetFunctionEventInvokeConfig: 200,
  ListFunctionEventInvokeConfigs: 200,
  DeleteFunctionEventInvokeConfig: 204,
  PutFunctionRecursionConfig: 200,
  GetFunctionRecursionConfig: 200,
  PutFunctionConcurrency: 200,
  GetFunctionConcurrency: 200,
  DeleteFunctionConcurrency: 204,
  CreateEventSourceMapping: 202,
  GetEventSourceMapping: 200,
  ListEventSourceMappings: 200,
  UpdateEventSourceMapping: 202,
  DeleteEventSourceMapping: 202,
} as const satisfies Partial<Record<Operation, number>>

export type BuiltOperation = keyof typeof built
/** What the control plane does: everything built but what invokes, which takes a path of its own. */
export type ApiOperation = Exclude<BuiltOperation, 'Invoke' | 'InvokeAsync'>

export const isOfControlPlane = (operation: string): operation is ApiOperation =>
  isBuilt(operation) && operation !== 'Invoke' && operation !== 'InvokeAsync'

export const isBuilt = (operation: string): operation is BuiltOperation =>
  Object.hasOwn(built, operation)

/** An operation and what its path holds, decoded: `{ FunctionName: 'hello' }`. */
export type Route = { operation: Operation; parameters: Record<string, string> }

type Leaf = { operation: Operation; names: string[]; query: string | undefined }
type Node = { literal: Map<string, Node>; parameter: Node | undefined; leaves: Leaf[] }

const node = (): Node => ({ literal: new Map(), parameter: undefined, leaves: [] })
const roots = plant()

function plant(): Map<string, Node> {
  const byMethod = new Map<string, Node>()
  for (const [operation, line] of Object.entries(operations)) {
    const [method = '', target = ''] = line.split(' ')
    const [path = '', query] = target.split('?')
    let at = byMethod.get(method) ?? node()
    byMethod.set(method, at)
    const names: string[] = []
    for (const segment of path.slice(1).split('/')) {
      if (segment.startsWith('{')) {
        names.push(segment.slice(1, -1))
        at.parameter ??= node()
        at = at.parameter
      } else {
        const next = at.literal.get(segment) ?? node()
        at.literal.set(segment, next)
        at = next
      }
    }
    at.leaves.push({ operation: operation as Operation, names, query })
  }
  return byMethod
}

/**
 * The operation of a request line; `path` and `query` still percent-encoded, a slash at the end of the path is ignored as
 * older SDKs send one. `undefined`: no operation has this line. A path that cannot be decoded is refused.
 */
export function findRoute(
  method: string,
  path: string,
  query: string,
): Route | Refusal | undefined {
  const root = roots.get(method)
  if (root === undefined) return undefined
  const values: string[] = []
  let at: Node = root
  const end = path.length > 1 && path.endsWith('/') ? -1 : undefined
  for (const segment of path.slice(1, end).split('/')) {
    const literal = at.literal.get(segment)
    if (literal !== undefined) at = literal
    else if (at.parameter !== undefined) {
      values.push(segment)
      at = at.parameter
    } else return undefined
  }
  const leaf =
    at.leaves.find((one) => one.query !== undefined && `&${query}&`.includes(`&${one.query}&`)) ??
    at.leaves.find((one) => one.query === undefined) ??
    at.leaves[0]
  return leaf === undefined ? undefined : decodeInto(leaf, values)
}

function decodeInto({ operation, names }: Leaf, values: string[]): Route | Refusal {
  const parameters: Record<string, string> = {}
  try {
    for (const [index, name] of names.entries()) {
      parameters[name] = decodeURIComponent(values[index] ?? '')
    }
  } catch {
    return refuse('MalformedHttpRequestException', 'The path of the request cannot be decoded.')
  }
  return { operation, parameters }
}

export const unknownOperation = (method: string, path: string): Refusal =>
  refuse('UnknownOperationException', `Unknown operation: ${method} ${path}`)

export const notImplemented = (operation: string): Refusal =>
  refuse('UnknownOperationException', `lambus does not implement the operation ${operation} yet.`)
