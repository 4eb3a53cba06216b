/**
 * `lambus delete <function>`: takes a function away, with its code.
 */
import type { Command } from 'commander'
import { orLikeliest, withApi } from './api.ts'
import { splitFunctionName } from './function-name.ts'
import { type CommonOptions, credentials } from './options.ts'
import { print, printJson } from './output.ts'

export function register(program: Command): void {
  const command = program
    .command('delete')
    .alias('rm')
    .summary('delete a function')
    .description('Deletes a function.')
    .argument('<function>', 'a name or an ARN')
  command.action(async (argument: string) => {
    const options = command.optsWithGlobals<CommonOptions>()
    const { name, qualifier } = splitFunctionName(argument)
    await withApi(options, credentials(), (api) =>
      orLikeliest(api, name, () =>
        api.call('DeleteFunction', {
          FunctionName: name,
          ...(qualifier === undefined ? {} : { Qualifier: qualifier }),
        }),
      ),
    )
    if (options.json === true) printJson({ deleted: argument })
    else print(`deleted ${argument}`)
  })
}
