/**
 * `lambus up`: the whole system on this machine.
 */
import type { Command } from 'commander'
import { Failure } from './failure.ts'
import { type CommonOptions, settings, wholeNumber } from './options.ts'
import { openProgress } from './progress.ts'
import { serve } from './serve.ts'

export type ServerOptions = CommonOptions & {
  httpPort?: number
  inspectorPort?: number
  natsPort?: number
  workers?: number
}

export function register(program: Command): void {
  const command = program
    .command('up')
    .summary('run the whole system on this machine')
    .description(
      'Runs the whole system on this machine, with a nats-server of its own unless --nats names one. Ends with SIGTERM or Ctrl-C, when what runs has finished.',
    )
  withPorts(command)
    .option('--nats-port <port>', "port of the system's own nats-server; 0 picks a free one", port)
    .option('--workers <count>', 'worker processes', wholeNumber(1, 64))
  command.action(async () => {
    const options = command.optsWithGlobals<ServerOptions>()
    refuseHttp(options)
    const { nats, json = false, natsPort } = options
    if (nats !== undefined && natsPort !== undefined) {
      throw new Failure(
        'BAD_OPTIONS',
        '--nats names a server that runs, --nats-port starts one: give one of them',
      )
    }
    const config = configOf(options)
    const { up } = await import('../main.ts')
    const progress = openProgress({ json })
    const running = await orPortTaken(
      up(config, { ...(nats === undefined ? {} : { nats }), onProgress: progress.show }),
    ).finally(progress.clear)
    process.exitCode = await serve(running, { json, nats, dataDir: config.dataDir })
  })
}

const port = wholeNumber(0, 65_535)

export const withPorts = (command: Command): Command =>
  command
    .option('--http-port <port>', 'default: 4566; 0 picks a free one', port)
    .option('--inspector-port <port>', 'default: 4567; 0 picks a free one', port)

export const configOf = ({ httpPort, inspectorPort, natsPort, workers, dataDir }: ServerOptions) =>
  settings({ httpPort, inspectorPort, natsPort, workers, dataDir })

/** `--http` is every other command's way to a system; taken here in silence it would look like a place to listen. */
export function refuseHttp({ http }: ServerOptions): void {
  if (http === undefined) return
  throw new Failure(
    'BAD_OPTIONS',
    '--http names a system that runs; where this one listens is --http-port',
  )
}

/** The system's most frequent mistake deserves a sentence. */
export async function orPortTaken<Result>(starting: Promise<Result>): Promise<Result> {
  try {
    return await starting
  } catch (error) {
    const { code, port: taken } = error as NodeJS.ErrnoException & { port?: number }
    if (code !== 'EADDRINUSE') throw error
    throw new Failure(
      'PORT_TAKEN',
      `port ${taken} is taken by another program: give --http-port or --inspector-port with another one, or 0 for any`,
      error,
    )
  }
}
