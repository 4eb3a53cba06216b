/**
 * The environment of a sandbox's process: AWS's variables and the function's own, nothing of ours.
 *
 * Source: lambda-semantics §7.7 (recorded on AWS). Left out because nothing stands behind them here: the X-Ray daemon's
 * address, AWS_LAMBDA_RUNTIME_API (this runtime is spoken to over a socket), LD_LIBRARY_PATH and LAMBDA_RUNTIME_DIR (of
 * AWS's image). AWS credentials are not given: they would be ours.
 */

export type SandboxFunction = {
  functionName: string
  /** `$LATEST` or a number. */
  version: string
  handler: string
  /** FunctionConfiguration.Runtime, for example `nodejs24.x`. */
  runtime: string
  memoryMb: number
  region: string
  logGroup: string
  logStream: string
  /** Directory of the unpacked package. */
  taskRoot: string
  initializationType: 'on-demand' | 'provisioned-concurrency'
  /** FunctionConfiguration.Environment.Variables. */
  variables: Readonly<Record<string, string>>
  /** Directory for temporary files, when the sandbox does not have /tmp to itself. */
  tmpDir?: string
}

/** Keys that a function cannot set. Source: Lambda Developer Guide, "Reserved environment variables". */
export const reservedVariables: ReadonlySet<string> = new Set([
  '_HANDLER',
  '_X_AMZN_TRACE_ID',
  'AWS_DEFAULT_REGION',
  'AWS_REGION',
  'AWS_EXECUTION_ENV',
  'AWS_LAMBDA_FUNCTION_NAME',
  'AWS_LAMBDA_FUNCTION_MEMORY_SIZE',
  'AWS_LAMBDA_FUNCTION_VERSION',
  'AWS_LAMBDA_INITIALIZATION_TYPE',
  'AWS_LAMBDA_LOG_GROUP_NAME',
  'AWS_LAMBDA_LOG_STREAM_NAME',
  'AWS_ACCESS_KEY',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AWS_LAMBDA_RUNTIME_API',
  'LAMBDA_TASK_ROOT',
  'LAMBDA_RUNTIME_DIR',
])

/** Every variable of the process, in one flat object. The function's own win, except over the reserved ones. */
export function sandboxEnvironment(of: SandboxFunction): Record<string, string> {
  return { ...defaults(of), ...ownVariables(of.variables), ...identity(of) }
}

const ownVariables = (variables: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(variables).filter(([key]) => !reservedVariables.has(key)))

const defaults = (of: SandboxFunction): Record<string, string> => ({
  LANG: 'en_US.UTF-8',
  TZ: ':UTC',
  PATH: '/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin',
  PWD: of.taskRoot,
  SHLVL: '0',
  AWS_XRAY_CONTEXT_MISSING: 'LOG_ERROR',
  NODE_PATH: nodePath(of),
  ...(of.tmpDir !== undefined && { TMPDIR: of.tmpDir }),
})

function nodePath({ runtime, taskRoot }: SandboxFunction): string {
  const major = /^nodejs(\d+)\.x$/.exec(runtime)?.[1]
  const ofMajor = major === undefined ? '' : `/opt/nodejs/node${major}/node_modules:`
  return `${ofMajor}/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:${taskRoot}`
}

const identity = (of: SandboxFunction): Record<string, string> => ({
  _HANDLER: of.handler,
  AWS_DEFAULT_REGION: of.region,
  AWS_REGION: of.region,
  AWS_EXECUTION_ENV: `AWS_Lambda_${of.runtime}`,
  AWS_LAMBDA_FUNCTION_NAME: of.functionName,
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(of.memoryMb),
  AWS_LAMBDA_FUNCTION_VERSION: of.version,
  AWS_LAMBDA_INITIALIZATION_TYPE: of.initializationType,
  AWS_LAMBDA_LOG_GROUP_NAME: of.logGroup,
  AWS_LAMBDA_LOG_STREAM_NAME: of.logStream,
  LAMBDA_TASK_ROOT: of.taskRoot,
})
