/**
 * The program: its commands, what they have in common, and how a mistake is told.
 */
import { Command, CommanderError } from 'commander'
import { describeError } from './failure.ts'
import { remark } from './output.ts'
import { version } from './package.ts'

type CommandFile = { register(program: Command): void }

/** In the order of the help. */
const groups: Record<string, Record<string, () => Promise<CommandFile>>> = {
  'Run the system:': {
    up: () => import('./up.ts'),
    start: () => import('./start.ts'),
  },
  'Functions:': {
    deploy: () => import('./deploy.ts'),
    invoke: () => import('./invoke.ts'),
    list: () => import('./list.ts'),
    get: () => import('./get.ts'),
    delete: () => import('./delete.ts'),
    logs: () => import('./logs.ts'),
  },
  'Look at the system:': {
    ps: () => import('./ps.ts'),
    queues: () => import('./queues.ts'),
    events: () => import('./events.ts'),
    streams: () => import('./streams.ts'),
    doctor: () => import('./doctor.ts'),
    env: () => import('./env.ts'),
    machines: () => import('./machines.ts'),
  },
}

/** `args` without the interpreter and the script. Resolves with the exit code; says everything itself. */
export async function lambus(args: string[]): Promise<number> {
  outliveClosedPipes()
  // Before anything is parsed: a mistake in the arguments is told as JSON, too.
  const json = args.includes('--json')
  try {
    const command = program(json)
    await registerCommands(command, args[0])
    await command.parseAsync(args, { from: 'user' })
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
  return (
    new Command('lambus')
      .description('The inside of AWS Lambda, built as actors on NATS.')
      .version(version)
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
  )
}

/**
 * Only the command that is asked for is loaded, where that is plain: it saves a process of the system 25 MB and every
 * other command up to half a second, measured. Help and mistakes need them all.
 */
async function registerCommands(program: Command, name: string | undefined): Promise<void> {
  const wanted = Object.entries(groups).filter(([, commands]) =>
    Object.hasOwn(commands, name ?? ''),
  )
  for (const [heading, commands] of wanted.length > 0 ? wanted : Object.entries(groups)) {
    program.commandsGroup(heading)
    for (const [each, load] of Object.entries(commands)) {
      if (wanted.length === 0 || each === name) (await load()).register(program)
    }
  }
}

/** `lambus list | head -1` closes our stdout: not an error, and nobody left to tell. */
function outliveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
  }
}
