/**
 * The life of `up` and `start` once the system runs: say that it is ready, pass on the wish to end, wait for the end.
 */
import type { Running } from '../main.ts'
import { removeConnection, writeConnection } from './connection.ts'
import { print } from './output.ts'
import { readNatsUrl } from './system.ts'

export type Serve = {
  json: boolean
  /** Where to say how to get in; absent: nowhere, because others are in the same system. */
  dataDir?: string
  /** What `--nats` said: its credentials are the system's. */
  nats?: string | undefined
}

/** A Ctrl-C at a terminal can arrive twice, from the terminal and through npm; what comes later than this is meant. */
const SAME_WISH_MS = 1_000
/** What a shell says of a process that ended by SIGINT: 128 + 2. */
const INTERRUPTED = 130

/** Resolves with the exit code, once everything has ended. */
export async function serve(running: Running, { json, dataDir, nats }: Serve): Promise<number> {
  const { http, inspector } = running.addresses
  const address = {
    ...(nats === undefined ? {} : readNatsUrl(nats)),
    ...readNatsUrl(running.addresses.nats),
  }
  if (dataDir !== undefined) {
    const { url, user, password } = address
    writeConnection(dataDir, {
      ...(http === undefined ? {} : { http }),
      ...(inspector === undefined ? {} : { inspector }),
      nats: url,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
      pid: process.pid,
    })
    process.once('exit', () => removeConnection(dataDir, process.pid))
  }
  const forget = endOnSignals(running)
  print(readyLine({ http, inspector, nats: address.url, pid: process.pid }, json))
  const code = await running.ended
  forget()
  if (dataDir !== undefined) removeConnection(dataDir, process.pid)
  return code
}

type Ready = {
  http: string | undefined
  inspector: string | undefined
  nats: string
  pid: number
}

/** The one line on stdout. `-` stands for a door that this process does not have. */
export function readyLine(ready: Ready, json: boolean): string {
  if (json) return JSON.stringify({ ready: true, ...ready })
  const { http = '-', inspector = '-', nats, pid } = ready
  return `lambus ready http=${http} inspector=${inspector} nats=${nats} pid=${pid}`
}

function endOnSignals(running: Running): () => void {
  let wishedMs: number | undefined
  const end = (signal: NodeJS.Signals) => {
    if (wishedMs === undefined) {
      wishedMs = performance.now()
      void running.stop()
    } else if (signal === 'SIGINT' && performance.now() - wishedMs > SAME_WISH_MS) {
      process.exit(INTERRUPTED)
    }
  }
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, end)
  return () => {
    for (const signal of signals) process.off(signal, end)
  }
}
