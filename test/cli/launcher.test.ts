/**
 * bin/lambus.js on a Node that is too old: it has to be as if the newer Node had been started itself.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBus } from '../../bus/connection.ts'
import { ensureLogs } from '../../bus/logs.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

const bin = join(import.meta.dirname, '../../bin/lambus.js')
const bundled = join(import.meta.dirname, '../../node_modules/node/bin/node')

/** The first on the PATH below 24, as on a machine where nobody has done anything about it. */
function olderNode(): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((dir) => join(dir, 'node'))
    .filter((path) => existsSync(path))
    .find((path) => {
      const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
      const major = Number(/^v(\d+)/.exec(stdout)?.[1])
      return major >= 20 && major < 24
    })
}

const old = olderNode()
const missing =
  old === undefined
    ? 'no Node from 20 to 23 on the PATH'
    : existsSync(bundled)
      ? undefined
      : "the optional dependency 'node' is not installed"
if (missing !== undefined) console.log(`test/cli/launcher.test.ts did not run: ${missing}`)

describe.skipIf(missing !== undefined)('lambus on an older Node', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startNatsServer()
    const bus = await openBus({ servers: server.url, role: 'test', id: 'launcher' })
    await ensureLogs(bus, { maxAgeMs: 60_000, maxBytes: 1_000_000 })
    await bus.close()
  })
  afterAll(() => server.stop())

  /** Runs until it is told to end; told once it ends with 0, told twice it dies of the second time. */
  async function follow(): Promise<{
    launcher: ChildProcess
    pid: number
    ended: Promise<unknown[]>
  }> {
    const launcher = spawn(old ?? '', [bin, 'logs', '-f', 'f', '--nats', server.url], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    const ended = once(launcher, 'exit')
    // It says that there is no function f, and from then on it listens for signals.
    await once(launcher.stderr ?? launcher, 'data')
    const file = `/proc/${launcher.pid}/task/${launcher.pid}/children`
    return { launcher, pid: Number(readFileSync(file, 'utf8').trim()), ended }
  }

  const isAlive = (pid: number): boolean => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }

  test('runs on the newer one, with its arguments, its output and its exit code', () => {
    const ok = execFileSync(old ?? '', [bin, '--version'], { encoding: 'utf8' })
    expect(ok).toMatch(/^\d+\.\d+\.\d+\n$/)
    const bad = spawnSync(old ?? '', [bin, 'invoke', 'f', '@/nowhere', '--json'], {
      encoding: 'utf8',
    })
    expect(bad.status).toBe(1)
    expect(JSON.parse(bad.stderr).error.code).toBe('NO_SUCH_FILE')
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('passes %s on once', async (signal) => {
    const { launcher, ended } = await follow()
    launcher.kill(signal)
    expect(await ended).toEqual([0, null])
  })

  test('passes the Ctrl-C of a terminal on once, though the terminal tells everybody', async () => {
    const { launcher, ended } = await follow()
    process.kill(-(launcher.pid ?? 0), 'SIGINT')
    expect(await ended).toEqual([0, null])
  })

  test('dies of the signal that its process died of', async () => {
    const { pid, ended } = await follow()
    process.kill(pid, 'SIGKILL')
    expect(await ended).toEqual([null, 'SIGKILL'])
  })

  test('takes its process along when it is killed', async () => {
    const { launcher, pid } = await follow()
    launcher.kill('SIGKILL')
    while (isAlive(pid)) await wait(10)
  })
})

test.skipIf(old === undefined)('without a newer Node beside it lambus says what to install', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-test-launcher-'))
  mkdirSync(join(dir, 'bin'))
  cpSync(bin, join(dir, 'bin', 'lambus.js'))
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
  const { status, stderr } = spawnSync(old ?? '', [join(dir, 'bin', 'lambus.js'), 'up'], {
    encoding: 'utf8',
  })
  rmSync(dir, { recursive: true })
  expect(status).toBe(1)
  expect(stderr).toMatch(
    /^lambus needs Node 24 or newer\. This is Node 2\d\..*\ninstall Node 24, or /,
  )
})
