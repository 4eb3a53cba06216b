/**
 * `lambus logs <function>`: what a function wrote, and what it writes from now on.
 */
import type { Command } from 'commander'
import type { LogEntry } from '../bus/logs.ts'
import { orLikeliest } from './api.ts'
import { Failure } from './failure.ts'
import { plainName } from './function-name.ts'
import { agoMs, type CommonOptions } from './options.ts'
import { print, remark } from './output.ts'
import { findSystem, natsOf } from './system.ts'

type Options = CommonOptions & { follow?: boolean; since?: number; requestId?: string }

export function register(program: Command): void {
  const command = program
    .command('logs')
    .summary("show a function's log")
    .description("Shows a function's log, the oldest first; with --json an object per line.")
    .argument('<function>', 'a name or an ARN')
    .option('-f, --follow', 'go on with what is written from now on, until Ctrl-C')
    .option('--since <ago>', 'only what is younger than this, such as 90s, 10m, 2h or 1d', agoMs)
    .option('--request-id <id>', 'only of this invocation')
  command.action(async (argument: string) => {
    const options = command.optsWithGlobals<Options>()
    await showLogs(plainName(argument), options)
  })
}

async function showLogs(name: string, options: Options): Promise<void> {
  // The NATS client is for this command and few others: not loaded for the rest.
  const { openBusApi, openCliBus } = await import('./bus-api.ts')
  const { readLogs } = await import('../bus/logs.ts')
  const nats = natsOf(findSystem(options, process.env))
  const bus = await openCliBus(nats)
  const ending = new AbortController()
  const end = () => ending.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  const isThere = async () => {
    const api = await openBusApi(nats)
    await orLikeliest(api, name, () =>
      api.call('GetFunctionConfiguration', { FunctionName: name }),
    ).finally(() => api.close())
  }
  try {
    if (options.follow === true) await isThere().catch(tell)
    let count = 0
    const query = {
      ...(options.since === undefined ? {} : { sinceMs: Date.now() - options.since }),
      ...(options.requestId === undefined ? {} : { requestId: options.requestId }),
      follow: options.follow === true,
      signal: ending.signal,
    }
    for await (const entry of readLogs(bus, name, query)) {
      print(options.json === true ? JSON.stringify(entry) : line(entry))
      count++
    }
    // The log of a deleted function is still there: only silence is a reason to ask.
    if (count === 0 && options.follow !== true) await isThere()
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end)
    await bus.close()
  }
}

/** A function may be made after its log is opened: worth saying, no reason to end. */
function tell(error: unknown): void {
  if (!(error instanceof Failure)) throw error
  remark(`lambus: ${error.message} (waiting)`)
}

/** Lines of one entry stay together under one time. */
const line = ({ atMs, text }: LogEntry): string =>
  `${new Date(atMs).toISOString()}  ${text.replace(/\n$/, '')}`
