/**
 * `lambus get <function>`: all that the system knows of a function, as GetFunction answers it.
 */
import type { Command } from 'commander'
import { orLikeliest, withApi } from './api.ts'
import { splitFunctionName } from './function-name.ts'
import { type CommonOptions, credentials } from './options.ts'
import { byteSize, print, printJson, table } from './output.ts'

export function register(program: Command): void {
  const command = program
    .command('get')
    .summary('show a function')
    .description('Shows a function: its state, settings and where to download its code.')
    .argument('<function[:qualifier]>', 'a name or an ARN')
  command.action(async (argument: string) => {
    const options = command.optsWithGlobals<CommonOptions>()
    const { name, qualifier } = splitFunctionName(argument)
    const found = await withApi(options, credentials(), (api) =>
      orLikeliest(api, name, () =>
        api.call('GetFunction', {
          FunctionName: name,
          ...(qualifier === undefined ? {} : { Qualifier: qualifier }),
        }),
      ),
    )
    if (options.json === true) return printJson(found)
    const { Configuration: it, Code, Tags } = found
    const reason = it.LastUpdateStatusReason ?? it.StateReason
    const lines: [string, string | undefined][] = [
      ['name', it.FunctionName],
      ['arn', it.FunctionArn],
      ['state', [it.State, reason].filter((part) => part !== undefined).join(': ')],
      ['last update', it.LastUpdateStatus],
      ['runtime', it.Runtime],
      ['handler', it.Handler],
      ['memory', `${it.MemorySize} MB`],
      ['timeout', `${it.Timeout} s`],
      ['role', it.Role],
      ['description', it.Description || undefined],
      ['modified', it.LastModified],
      ['code', `${byteSize(it.CodeSize)}, SHA-256 ${it.CodeSha256}`],
      ['download', Code?.Location],
      ...pairs('env', it.Environment?.Variables),
      ...pairs('tag', Tags),
    ]
    print(table(lines.flatMap(([label, value]) => (value === undefined ? [] : [[label, value]]))))
  })
}

const pairs = (label: string, values: Record<string, string> = {}): [string, string][] =>
  Object.entries(values).map(([name, value]) => [label, `${name}=${value}`])
