/**
 * `lambus machines export`: what each component decides, as data: the configuration of every state machine.
 */
import { readdirSync } from 'node:fs'
import type { Command } from 'commander'
import type { CommonOptions } from './options.ts'
import { print, printJson } from './output.ts'

export function register(program: Command): void {
  const machines = program
    .command('machines')
    .helpCommand(false)
    .summary('export the state machines')
    .description('The state machines of the system.')
  const command = machines
    .command('export')
    .summary('print the machines')
    .description('Prints the names of the machines; with --json their configurations by name.')
  command.action(async () => {
    const { json } = command.optsWithGlobals<CommonOptions>()
    const found = await machineConfigs()
    if (json === true) printJson(found)
    else print(Object.keys(found).join('\n'))
  })
}

type Machine = { id: string; config: object }

/** `{"<name>": <machine config>}`, from every file of machines/ that exports a machine. */
export async function machineConfigs(): Promise<Record<string, object>> {
  const dir = new URL('../machines/', import.meta.url)
  const files = readdirSync(dir)
    .filter((name) => /(?<!\.d)\.(?:ts|js)$/.test(name))
    .sort()
  const configs: Record<string, object> = {}
  for (const file of files) {
    const exported: Record<string, unknown> = await import(new URL(file, dir).href)
    for (const value of Object.values(exported)) {
      if (isMachine(value)) configs[value.id] = value.config
    }
  }
  return configs
}

function isMachine(value: unknown): value is Machine {
  return (
    typeof value === 'object' &&
    value !== null &&
    'config' in value &&
    typeof value.config === 'object' &&
    'id' in value &&
    typeof value.id === 'string' &&
    'transition' in value
  )
}
