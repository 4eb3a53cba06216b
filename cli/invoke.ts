/**
 * `lambus invoke <function[:qualifier]> [payload | @file | -]`: the result on stdout, everything else on stderr; exit code
 * 1 when the function failed.
 */
import type { Command } from 'commander'
import { type InvocationResult, orLikeliest, withApi } from './api.ts'
import { splitFunctionName } from './function-name.ts'
import { type CommonOptions, credentials } from './options.ts'
import { print, printJson, remark } from './output.ts'
import { readPayload } from './payload.ts'

type Options = CommonOptions & { event?: boolean; dryRun?: boolean; tail?: boolean }

export function register(program: Command): void {
  const command = program
    .command('invoke')
    .summary('invoke a function')
    .description('Invokes a function and prints its result. Exit code 1 when the function failed.')
    .argument('<function[:qualifier]>', 'a name or an ARN')
    .argument(
      '[payload]',
      'JSON, @file, or - for stdin; default: none, which the function sees as {}',
    )
    .option('--event', 'put it on the queue and do not wait for a result')
    .option('--dry-run', 'only check that it could be invoked')
    .option('--tail', "show the end of the invocation's log on stderr")
  command.action(async (functionArgument: string, payloadArgument: string | undefined) => {
    const options = command.optsWithGlobals<Options>()
    const payload = await readPayload(payloadArgument, process.stdin)
    const { name, qualifier } = splitFunctionName(functionArgument)
    const result = await withApi(options, credentials(), (api) =>
      orLikeliest(api, name, () =>
        api.invoke({
          functionName: name,
          qualifier,
          payload,
          invocationType: typeOf(options),
          logType: options.tail === true ? 'Tail' : 'None',
        }),
      ),
    )
    if (options.json === true) printJson(asJson(result))
    else show(result)
    if (result.functionError !== undefined) process.exitCode = 1
  })
}

const typeOf = ({ event, dryRun }: Options) =>
  dryRun === true ? 'DryRun' : event === true ? 'Event' : 'RequestResponse'

function show({ statusCode, functionError, logResult, payload }: InvocationResult): void {
  if (logResult !== undefined) remark(Buffer.from(logResult, 'base64').toString('utf8'))
  if (payload.length > 0) print(Buffer.from(payload).toString('utf8'))
  if (statusCode === 204) remark('it could be invoked')
  if (functionError !== undefined) remark(`lambus: the function failed: ${reasonOf(payload)}`)
}

function asJson({ payload, logResult, ...rest }: InvocationResult) {
  return {
    ...rest,
    ...(logResult === undefined ? {} : { log: Buffer.from(logResult, 'base64').toString('utf8') }),
    payload:
      payload.length === 0 ? null : (jsonOf(payload) ?? Buffer.from(payload).toString('utf8')),
  }
}

function reasonOf(payload: Uint8Array): string {
  const found = jsonOf(payload)
  if (typeof found !== 'object' || found === null) return 'it gave no reason'
  const { errorType, errorMessage }: { errorType?: unknown; errorMessage?: unknown } = found
  return [errorType, errorMessage].filter((part) => typeof part === 'string').join(': ')
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'))
  } catch {
    return undefined
  }
}
