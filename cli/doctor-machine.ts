/**
 * What `lambus doctor` looks at on this machine, whether or not a system runs.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { findNatsServer, NatsServerNotFound } from '../bus/server-binary.ts'
import type { Config } from '../config.ts'
import { version } from './package.ts'
import type { System } from './system.ts'

/** `warn`: it works, but not as well as it could. `advice` says what to do. */
export type Finding = {
  check: string
  result: 'ok' | 'warn' | 'fail'
  found: string
  advice?: string
}

const run = promisify(execFile)

export async function localFindings(config: Config, system: System): Promise<Finding[]> {
  return [
    { check: 'lambus', result: 'ok', found: version },
    node(),
    await natsServer(system),
    ...(await ports(config, system)),
    dataDir(config.dataDir),
    await isolation(),
    clock(),
  ]
}

function node(): Finding {
  const found = `Node ${process.versions.node}`
  return Number.parseInt(process.versions.node, 10) >= 24
    ? { check: 'node', result: 'ok', found }
    : { check: 'node', result: 'fail', found, advice: 'install Node 24 or newer' }
}

async function natsServer(system: System): Promise<Finding> {
  const check = 'nats-server'
  try {
    // Only what is on this machine: a doctor who downloads has begun the treatment.
    const { path, version } = await findNatsServer({
      environment: process.env,
      release: undefined,
      aptDir: '/nonexistent',
    })
    return { check, result: 'ok', found: `${version} at ${path}` }
  } catch (error) {
    if (!(error instanceof NatsServerNotFound)) throw error
    const named = process.env['LAMBUS_NATS_SERVER']
    if (named !== undefined && named !== '') {
      const why = error.tried.map((each) => each.why).join('; ')
      return {
        check,
        result: 'fail',
        found: `LAMBUS_NATS_SERVER=${named}: ${why}`,
        advice: 'name one that runs, or unset it',
      }
    }
    const found = 'none on this machine that is new enough'
    return system.nats !== undefined && !system.isFallback
      ? { check, result: 'ok', found, advice: 'not needed while a system elsewhere is used' }
      : {
          check,
          result: 'warn',
          found,
          advice:
            '`lambus up` downloads one at its first start; where it cannot, install nats-server 2.12 or newer, or set LAMBUS_NATS_SERVER',
        }
  }
}

async function ports(config: Config, system: System): Promise<Finding[]> {
  const { httpPort, inspectorPort, natsPort } = config
  const wanted = [
    ['http', httpPort, '--http-port', system.http],
    ['inspector', inspectorPort, '--inspector-port', system.inspector],
    ['nats', natsPort, '--nats-port', system.nats?.url],
  ] as const
  return await Promise.all(
    wanted.map(async ([door, port, flag, address]): Promise<Finding> => {
      const check = `${door} port`
      if (port === 0 || (await isFree(port)))
        return { check, result: 'ok', found: `${port} is free` }
      if (!system.isFallback && address !== undefined && Number(new URL(address).port) === port) {
        return { check, result: 'ok', found: `${port}, used by the running system` }
      }
      return {
        check,
        result: 'warn',
        found: `${port} is taken by another program`,
        advice: `\`lambus up\` needs ${flag} with another one, or 0 for any`,
      }
    }),
  )
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  return new Promise((answer) => {
    probe.once('error', () => answer(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => answer(true)))
  })
}

function dataDir(dir: string): Finding {
  const check = 'data dir'
  const path = resolve(dir)
  let existing = path
  while (!existsSync(existing)) existing = dirname(existing)
  if (existing === path && !statSync(path).isDirectory()) {
    return {
      check,
      result: 'fail',
      found: `${path} is a file`,
      advice: 'give another with --data-dir',
    }
  }
  try {
    accessSync(existing, constants.W_OK | constants.X_OK)
  } catch {
    return {
      check,
      result: 'fail',
      found: `${existing} cannot be written to`,
      advice: 'give another with --data-dir',
    }
  }
  return { check, result: 'ok', found: existing === path ? path : `${path}, to be made` }
}

/** Workers say the same at their start: nothing isolates a sandbox yet beyond what a process of its own does. */
async function isolation(): Promise<Finding> {
  return {
    check: 'isolation',
    result: 'warn',
    found: `sandboxes are plain processes of this user and see its files; ${await bubblewrap()}`,
    advice: 'run only functions that you trust',
  }
}

async function bubblewrap(): Promise<string> {
  try {
    // Installed is not enough: containers and some kernels refuse the namespaces.
    await run('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true'], { timeout: 10_000 })
    const { stdout } = await run('bwrap', ['--version'], { timeout: 10_000 })
    return `${stdout.trim()} works here, and is not used yet`
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    return isMissing
      ? 'bubblewrap is not installed'
      : 'bubblewrap is installed and not allowed here'
  }
}

/** No machine on which this runs is older than this file: such a clock was never set. */
const WRITTEN_MS = Date.UTC(2026, 10, 1)

function clock(): Finding {
  const now = new Date()
  const found = now.toISOString()
  return now.getTime() >= WRITTEN_MS
    ? { check: 'clock', result: 'ok', found }
    : {
        check: 'clock',
        result: 'fail',
        found,
        advice: 'set the clock: signatures and expiries go by it',
      }
}
