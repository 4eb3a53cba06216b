/**
 * `lambus list`: every function there is.
 */
import type { Command } from 'commander'
import { allFunctions, withApi } from './api.ts'
import { type CommonOptions, credentials } from './options.ts'
import { byteSize, print, printJson, remark, table } from './output.ts'

export function register(program: Command): void {
  const command = program
    .command('list')
    .alias('ls')
    .summary('list the functions')
    .description('Lists the functions.')
  command.action(async () => {
    const options = command.optsWithGlobals<CommonOptions>()
    const functions = await withApi(options, credentials(), allFunctions)
    if (options.json === true) return printJson({ Functions: functions })
    if (functions.length === 0) {
      return remark('There are no functions yet: `lambus deploy <dir|file>` makes one.')
    }
    print(
      table([
        ['NAME', 'RUNTIME', 'HANDLER', 'MEMORY', 'TIMEOUT', 'CODE', 'MODIFIED'],
        ...functions.map((each) => [
          each.FunctionName,
          each.Runtime ?? '-',
          each.Handler ?? '-',
          `${each.MemorySize} MB`,
          `${each.Timeout} s`,
          byteSize(each.CodeSize),
          each.LastModified.slice(0, 19).replace('T', ' '),
        ]),
      ]),
    )
  })
}
