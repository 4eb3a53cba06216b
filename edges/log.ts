/**
 * The log: JSON lines (pino) on stderr, one per thing worth knowing; pretty for a person at a terminal.
 *
 * stdout belongs to what a command was asked for. Lines are written as they are logged, not by a thread of pino's: the
 * last words of a process that dies are the ones wanted.
 */
import { createRequire } from 'node:module'
import { type DestinationStream, destination, type Logger, pino } from 'pino'

/**
 * `level` is a pino level, or `silent`. `pretty` absent: pretty when stderr is a terminal. `base` fields, such as the
 * process's id, stand in every line. Throws when there is no such level.
 */
export function openLog({
  level,
  pretty = process.stderr.isTTY === true,
  base = {},
}: {
  level: string
  pretty?: boolean
  base?: Record<string, unknown>
}): Logger {
  const options = {
    level,
    base: { ...base, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return pino(options, pretty ? prettyStderr() : destination({ dest: 2, sync: true }))
}

function prettyStderr(): DestinationStream {
  // Loaded only for a person: a server that writes JSON does not pay for it.
  const prettyPrint: typeof import('pino-pretty') = createRequire(import.meta.url)('pino-pretty')
  return prettyPrint({
    colorize: true,
    destination: 2,
    sync: true,
    ignore: 'pid',
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
  })
}
