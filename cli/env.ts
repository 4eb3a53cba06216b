/**
 * `lambus env`: shell exports for everyone else's tools. `eval "$(lambus env)"` and the AWS CLI, the SDKs and the `nats` CLI
 * talk to this system.
 */
import type { Command } from 'commander'
import { Failure } from './failure.ts'
import { type CommonOptions, credentials } from './options.ts'
import { print, printJson, remark } from './output.ts'
import { findSystem, natsUrl, type System } from './system.ts'

export function register(program: Command): void {
  const command = program
    .command('env')
    .summary("print shell exports for other people's tools")
    .description(
      'Prints shell exports for the AWS CLI and SDKs, the nats CLI and lambus itself: eval "$(lambus env)"',
    )
  command.action(() => {
    const options = command.optsWithGlobals<CommonOptions>()
    const system = findSystem(options, process.env)
    if (system.isFallback) {
      throw new Failure(
        'NO_SERVER',
        'no running system is known here: run this where `lambus up` runs, or give --data-dir, --http or --nats',
      )
    }
    if (system.isStale) remark(`lambus: ${system.source}: is \`lambus up\` running?`)
    const variables = environmentOf(system)
    if (options.json === true) printJson(variables)
    else print(shellExports(variables))
  })
}

/** Names by DESIGN §3: ours, those of the `nats` CLI, those of AWS's SDKs. Only what is known of the system. */
export function environmentOf(system: System): Record<string, string> {
  const { accessKeyId, secretAccessKey, region } = credentials()
  const { http, inspector, nats } = system
  return {
    ...(http === undefined ? {} : { LAMBUS_HTTP: http }),
    ...(inspector === undefined ? {} : { LAMBUS_INSPECTOR: inspector }),
    ...(nats === undefined ? {} : { LAMBUS_NATS: natsUrl(nats), NATS_URL: nats.url }),
    ...(nats?.user === undefined ? {} : { NATS_USER: nats.user }),
    ...(nats?.password === undefined ? {} : { NATS_PASSWORD: nats.password }),
    ...(http === undefined ? {} : { AWS_ENDPOINT_URL: http }),
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_REGION: region,
    // What boto3 and version 1 of the AWS CLI read.
    AWS_DEFAULT_REGION: region,
  }
}

export const shellExports = (variables: Record<string, string>): string =>
  Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}`)
    .join('\n')

/** Nothing is special between single quotes but the quote itself. Source: POSIX.1-2024, Shell Command Language, 2.2.2. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
