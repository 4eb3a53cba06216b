/**
 * `connection.json`: how `lambus up` tells the other commands where it is and how to get in.
 *
 * It lives in the data directory, is readable by its owner alone, because it holds the bus's password, appears whole or
 * not at all, and goes when the system ends. After a kill -9 it stays behind; the pid in it shows that.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Failure } from './failure.ts'

/** `nats` is without credentials; those are `user` and `password`. */
export type Connection = {
  http?: string
  inspector?: string
  nats: string
  user?: string
  password?: string
  pid: number
}

export const connectionFile = (dataDir: string): string => join(resolve(dataDir), 'connection.json')

/** Replaces what is there. The directory is made, for its owner alone, if it is not there. */
export function writeConnection(dataDir: string, connection: Connection): void {
  const file = connectionFile(dataDir)
  mkdirSync(resolve(dataDir), { recursive: true, mode: 0o700 })
  const unfinished = `${file}.${connection.pid}`
  writeFileSync(unfinished, `${JSON.stringify(connection, null, 2)}\n`, { mode: 0o600 })
  // The mode above is for a new file only.
  chmodSync(unfinished, 0o600)
  renameSync(unfinished, file)
}

/** Undefined when there is none. Throws Failure when there is one that cannot be read. */
export function readConnection(dataDir: string): Connection | undefined {
  const file = connectionFile(dataDir)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (code === 'EACCES') {
      throw new Failure(
        'CONNECTION_UNREADABLE',
        `${file} belongs to the user who runs \`lambus up\`; give --http or --nats, or set LAMBUS_HTTP or LAMBUS_NATS`,
      )
    }
    throw new Failure(
      'CONNECTION_UNREADABLE',
      `${file} cannot be read: ${(error as Error).message}`,
    )
  }
  const connection = parse(text)
  if (connection === undefined) {
    throw new Failure(
      'CONNECTION_UNREADABLE',
      `${file} is not what \`lambus up\` writes: remove it and start again`,
    )
  }
  return connection
}

/** Removes it if it is still that of process `pid`, so that a late end does not take away a successor's. */
export function removeConnection(dataDir: string, pid: number): void {
  try {
    if (readConnection(dataDir)?.pid === pid) rmSync(connectionFile(dataDir), { force: true })
  } catch {
    // Unreadable: not ours to remove.
  }
}

/** Whether the process that wrote it is gone. A process of another container counts as gone. */
export function isStale(connection: Connection): boolean {
  try {
    process.kill(connection.pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function parse(text: string): Connection | undefined {
  try {
    const found: Partial<Connection> | null = JSON.parse(text)
    return typeof found?.nats === 'string' && Number.isInteger(found.pid)
      ? (found as Connection)
      : undefined
  } catch {
    return undefined
  }
}
