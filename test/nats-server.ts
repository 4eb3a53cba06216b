/**
 * A real nats-server for a test: loopback, a free port, JetStream in a directory of its own; and a proxy whose links a
 * test can cut or leave hanging, because that is how networks fail.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { inject } from 'vitest'
import { tethered } from '../bus/server-child.ts'

export type TestServer = {
  url: string
  port: number
  /** Changes with each restart. */
  readonly pid: number
  storeDir: string
  /** `http://127.0.0.1:<port>`, nats-server's monitoring; another port after each restart. */
  readonly monitoringUrl: string
  /** Ends the process and waits until it is gone; the store stays. Default SIGKILL: the worst case. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again with the same port and store; a server that still runs is ended with SIGTERM first. */
  restart(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

export type StartOptions = {
  /** Further lines of nats.conf. */
  conf?: string
  storeDir?: string
  /** Default: a free one. */
  port?: number
}

export type StartServer = (options?: StartOptions) => Promise<TestServer>

const running = new Set<ChildProcess>()
// Where the kernel cannot tie a child to its parent, this does for every end but kill -9.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

let startServer: StartServer = startHere

/** A server for a test. Whoever calls this ends it with `stop()`. */
export const startNatsServer: StartServer = (options) => startServer(options)

/** From now on servers are started in this way: how test/containers runs the suites of test/bus on an image. */
export function startServersBy(start: StartServer): void {
  startServer = start
}

async function startHere(options: StartOptions = {}): Promise<TestServer> {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-test-nats-'))
  const storeDir = options.storeDir ?? join(dir, 'store')
  let life = await start(dir, storeDir, options.conf ?? '', options.port ?? -1)
  const port = life.port

  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    if (!running.has(life.child)) return
    life.child.kill(signal)
    await life.gone
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    get pid() {
      return life.pid
    },
    storeDir,
    get monitoringUrl() {
      return life.monitoringUrl
    },
    kill,
    async restart() {
      await kill('SIGTERM')
      life = await start(dir, storeDir, options.conf ?? '', port)
    },
    async stop() {
      await kill()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

type Life = {
  child: ChildProcess
  pid: number
  port: number
  monitoringUrl: string
  gone: Promise<unknown>
}

async function start(dir: string, storeDir: string, more: string, port: number): Promise<Life> {
  const portsDir = mkdtempSync(join(dir, 'ports-'))
  const conf = join(dir, 'nats.conf')
  mkdirSync(storeDir, { recursive: true })
  writeFileSync(
    conf,
    `
host: 127.0.0.1
port: ${port}
http: "127.0.0.1:-1"
ports_file_dir: ${JSON.stringify(portsDir)}
max_payload: 8MB
jetstream {
  store_dir: ${JSON.stringify(storeDir)}
  sync_interval: always
}
${more}
`,
  )
  const [command, args] = tethered(inject('natsServer').path, ['-c', conf])
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  running.add(child)
  const gone = once(child, 'exit').finally(() => running.delete(child))
  let output = ''
  child.stderr?.on('data', (chunk) => {
    output = (output + chunk).slice(-4_000)
  })
  // nats-server writes this file when it is ready for connections, and takes it away when it ends.
  for (;;) {
    if (!running.has(child)) throw new Error(`nats-server ended at once:\n${output}`)
    const [name] = readdirSync(portsDir)
    const text = name === undefined ? '' : readFileSync(join(portsDir, name), 'utf8')
    if (text.endsWith('}')) {
      const ports = JSON.parse(text) as { nats: string[]; monitoring: string[] }
      return {
        child,
        pid: child.pid ?? 0,
        port: Number(new URL(ports.nats[0] ?? '').port),
        monitoringUrl: ports.monitoring[0] ?? '',
        gone,
      }
    }
    await wait(5)
  }
}

export type CutProxy = {
  url: string
  /** Breaks every link at once; new ones are accepted. */
  cut(): void
  /** Lets nothing through in either direction, links stay open: what a firewall that forgot does. */
  pause(): void
  /** What was held back goes through now. */
  resume(): void
  close(): Promise<void>
}

/** A TCP proxy in front of a server on loopback. */
export async function cutProxy(targetPort: number): Promise<CutProxy> {
  const sockets = new Set<Socket>()
  let paused = false
  const proxy = createServer((near) => {
    const far = connectTcp(targetPort, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('data', (chunk) => to.write(chunk))
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      if (paused) from.pause()
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    url: `nats://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    pause() {
      paused = true
      for (const socket of sockets) socket.pause()
    },
    resume() {
      paused = false
      for (const socket of sockets) socket.resume()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      proxy.close()
      await once(proxy, 'close')
    },
  }
}
