/**
 * `lambus doctor`: looks at everything that lambus needs of a machine, and says what to do about what is missing. It
 * changes nothing and downloads nothing.
 */
import type { Command } from 'commander'
import { type Finding, localFindings } from './doctor-machine.ts'
import { systemFindings } from './doctor-system.ts'
import { type CommonOptions, settings } from './options.ts'
import { print, printJson, table } from './output.ts'
import { findSystem } from './system.ts'

export function register(program: Command): void {
  const command = program
    .command('doctor')
    .summary('check this machine and the system')
    .description('Checks this machine and the running system. Exit code 1 when something fails.')
  command.action(async () => {
    const options = command.optsWithGlobals<CommonOptions>()
    const config = settings({ dataDir: options.dataDir })
    const system = findSystem(options, process.env)
    const findings: Finding[] = [
      ...(await localFindings(config, system)),
      ...(await systemFindings(config, system)),
    ]
    if (options.json === true) printJson({ checks: findings })
    else print(report(findings, process.stdout.isTTY === true))
    if (findings.some(({ result }) => result === 'fail')) process.exitCode = 1
  })
}

// SGR codes: green, yellow, red. Source: ECMA-48, 8.3.117.
const colours = { ok: 32, warn: 33, fail: 31 }

function report(findings: readonly Finding[], isColoured: boolean): string {
  const rows = findings.map(({ check, result, found, advice }) => [
    result,
    check,
    advice === undefined ? found : `${found}: ${advice}`,
  ])
  if (!isColoured) return table(rows)
  return table(rows)
    .split('\n')
    .map((line, row) => {
      const result = findings[row]?.result ?? 'ok'
      return `\x1b[${colours[result]}m${result}\x1b[0m${line.slice(result.length)}`
    })
    .join('\n')
}
