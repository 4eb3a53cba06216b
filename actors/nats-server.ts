/**
 * The embedded NATS: a nats-server child on loopback with its store in the data directory, kept running.
 *
 * Its port and its credentials stay the same over all its lives, so that everyone who was connected comes back.
 */
import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { connect, type NatsConnection } from 'nats'
import type { Log } from '../bus/bus.ts'
import { checkDurability, checkServer } from '../bus/server.ts'
import { refuseTakenPort, spawnNatsServer } from '../bus/server-child.ts'
import { endLeftover, lockDataDir, markOf, readMark } from '../bus/server-lock.ts'
import type { ChildEnd, Children } from './child.ts'

export type EmbeddedServer = {
  /** `nats://127.0.0.1:<port>`, without credentials. */
  url: string
  user: string
  password: string
  pid(): number
  /** Resolves when it is over for good: stopped, or given up. */
  over: Promise<ChildEnd>
  /** Ends the server and gives the data directory free. */
  stop(): Promise<void>
}

export type EmbedServer = {
  /** From `findNatsServer`. */
  binary: string
  version: string
  /** Taken for as long as the server runs; the store is `<dataDir>/nats`. */
  dataDir: string
  /** 0–65535; 0 picks a free one. */
  port: number
  children: Children
  log: Log
}

/**
 * Starts it and resolves when it takes connections and has shown that it is what we need. Throws `DataDirTaken`,
 * `NatsPortTaken`, `ChildFailed` with what the server said last, or `UnfitNatsServer`.
 */
export async function embedNatsServer(options: EmbedServer): Promise<EmbeddedServer> {
  const { port } = options
  const dataDir = resolve(options.dataDir)
  const lock = lockDataDir(dataDir)
  try {
    const leftover = readMark(pidFile(dataDir))
    if (leftover !== undefined) await endLeftover(leftover)
    await refuseTakenPort(port)
    return await start({ ...options, dataDir }, () => lock.release())
  } catch (error) {
    lock.release()
    throw error
  }
}

const pidFile = (dataDir: string) => join(dataDir, 'nats-server.pid')

async function start(
  { binary, version, dataDir, port, children, log }: EmbedServer,
  release: () => void,
): Promise<EmbeddedServer> {
  const credentials = {
    user: 'lambus',
    password: secret(),
    systemUser: 'lambus_system',
    systemPassword: secret(),
  }
  const storeDir = join(dataDir, 'nats')
  let listensOn = port
  const child = await children.start('nats-server', () => {
    const life = spawnNatsServer({
      binary,
      dir: dataDir,
      conf: { version, port: listensOn, storeDir, ...credentials },
      log,
    })
    writeFileSync(pidFile(dataDir), JSON.stringify(markOf(life.pid)))
    const ready = life.ready.then((heard) => {
      listensOn = heard.port
    })
    return { ...life, ready }
  })
  const { user, password } = credentials
  const server: EmbeddedServer = {
    url: `nats://127.0.0.1:${listensOn}`,
    user,
    password,
    pid: child.pid,
    over: child.over,
    async stop() {
      await child.stop()
      for (const name of ['nats-server.pid', 'nats-server.conf', 'nats-ports']) {
        rmSync(join(dataDir, name), { recursive: true, force: true })
      }
      release()
    },
  }
  try {
    await check(server.url, credentials)
  } catch (error) {
    await child.stop()
    throw error
  }
  return server
}

/** 32 bytes: more than anyone guesses. */
const secret = () => randomBytes(32).toString('base64url')

type Credentials = { user: string; password: string; systemUser: string; systemPassword: string }

async function check(url: string, credentials: Credentials): Promise<void> {
  await connected(url, credentials.user, credentials.password, checkServer)
  await connected(url, credentials.systemUser, credentials.systemPassword, checkDurability)
}

async function connected(
  servers: string,
  user: string,
  pass: string,
  look: (nats: NatsConnection) => Promise<void>,
): Promise<void> {
  const nats = await connect({ servers, user, pass, reconnect: false })
  try {
    await look(nats)
  } finally {
    await nats.close()
  }
}
