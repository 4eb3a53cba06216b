/**
 * The program: its commands, what they have in common, and how a mistake is told.
 */
import { Command, CommanderError } from 'commander'
import * as del from './delete.ts'
import * as deploy from './deploy.ts'
import * as doctor from './doctor.ts'
import * as env from './env.ts'
import { describeError } from './failure.ts'
import * as get from './get.ts'
import * as invoke from './invoke.ts'
import * as list from './list.ts'
import * as logs from './logs.ts'
import * as machines from './machines.ts'
import { remark } from './output.ts'
import { version } from './package.ts'
import * as ps from './ps.ts'
import * as start from './start.ts'
import * as up from './up.ts'

const groups = {
  'Run the system:': [up, start],
  'Functions:': [deploy, invoke, list, get, del, logs],
  'Look at the system:': [ps, doctor, env, machines],
}

/** `args` without the interpreter and the script. Resolves with the exit code; says everything itself. */
export async function lambus(args: string[]): Promise<number> {
  outliveClosedPipes()
  // Before anything is parsed: a mistake in the arguments is told as JSON, too.
  const json = args.includes('--json')
  try {
    await program(json).parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0
      if (json) remark(JSON.stringify({ error: { code: error.code, message: error.message } }))
      return error.exitCode
    }
    remark(describeError(error, json))
    return 1
  }
}

function program(json: boolean): Command {
  const command = new Command('lambus')
    .description('The inside of AWS Lambda, built as actors on NATS.')
    .version(version)
    .helpCommand(false)
    .option('--json', 'answer, and complain, as JSON')
    .option(
      '--http <url>',
      'the system to talk to; default: LAMBUS_HTTP, or that of the data directory',
    )
    .option(
      '--nats <url>',
      'its NATS server, nats://user:password@host:4222; default: LAMBUS_NATS, or that of the data directory',
    )
    .option(
      '--data-dir <dir>',
      'where `lambus up` keeps what it stores; default: LAMBUS_DATA_DIR, or ./.lambus',
    )
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (text, write) => (json ? undefined : write(text)) })
    // Commands inherit what is set before they are made.
    .exitOverride()
  for (const [heading, commands] of Object.entries(groups)) {
    command.commandsGroup(heading)
    for (const { register } of commands) register(command)
  }
  return command
}

/** `lambus list | head -1` closes our stdout: not an error, and nobody left to tell. */
function outliveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
  }
}
