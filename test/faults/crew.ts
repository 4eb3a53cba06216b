/**
 * A whole system with every role in processes of its own, as many as a test wishes, and ways to be rid of them: what storms
 * are made with.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { LambdaClient } from '@aws-sdk/client-lambda'
import type { Bus } from '../../bus/bus.ts'
import { openBus } from '../../bus/connection.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'
import { deploy, type LambusProcess, lambdaClient, startLambus } from '../system/system.ts'

export type CrewRole =
  | 'control-plane'
  | 'placement'
  | 'worker-manager'
  | 'worker'
  | 'state-manager'
  | 'leasing'
  | 'stream-tracker'
  | 'front-end'
  | 'poller'

export type Crew = {
  nats: TestServer
  bus: Bus
  dataDir: string
  living(role: CrewRole): LambusProcess[]
  start(role: CrewRole): Promise<LambusProcess>
  /** Kills one, or the one given; nobody comes in its place. */
  kill(role: CrewRole, victim?: LambusProcess, signal?: NodeJS.Signals): Promise<void>
  /** Kills one and starts another in its place. */
  replace(role: CrewRole, signal?: NodeJS.Signals): Promise<void>
  /** Of the front end that was started last. */
  endpoint(): string
  lambda(): LambdaClient
  /** Makes a function; what it writes into the file named by `LOG` can be read with `written`. */
  deploy(name: string, code: string): Promise<void>
  written(name: string): string[]
  stop(): Promise<void>
}

/** In the order in which they are started. */
export async function startCrew(
  staff: Partial<Record<CrewRole, number>>,
  environment: Record<string, string>,
): Promise<Crew> {
  const nats = await startNatsServer({ conf: 'max_payload: 8MB' })
  const bus = await openBus({ servers: nats.url, role: 'client', id: 'storm' })
  const dataDir = mkdtempSync(join(tmpdir(), 'lambus-storm-'))
  const running = new Set<{ role: CrewRole; process: LambusProcess }>()

  const start = async (role: CrewRole): Promise<LambusProcess> => {
    const ports = ['--http-port', '0', '--inspector-port', '0']
    const args = ['start', role, '--nats', nats.url, '--data-dir', dataDir, ...ports]
    const process = await startLambus(args, environment)
    running.add({ role, process })
    return process
  }
  const those = (role: CrewRole) => [...running].filter((one) => one.role === role)
  const kill: Crew['kill'] = async (role, victim, signal = 'SIGKILL') => {
    const one = those(role).find(({ process }) => victim === undefined || process === victim)
    if (one === undefined) return
    running.delete(one)
    await one.process.kill(signal)
  }
  const endpoint = () => those('front-end').at(-1)?.process.http ?? ''
  const logOf = (name: string) => join(dataDir, `${name}.written`)
  const stop = async () => {
    await bus.close()
    await Promise.all([...running].map(({ process }) => process.kill()))
    await nats.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }

  try {
    for (const [role, count] of Object.entries(staff) as [CrewRole, number][]) {
      await Promise.all(Array.from({ length: count }, () => start(role)))
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    nats,
    bus,
    dataDir,
    living: (role) => those(role).map(({ process }) => process),
    start,
    kill,
    async replace(role, signal) {
      if (those(role).length === 0) return
      await kill(role, undefined, signal)
      // NATS may be down at this very moment: whoever starts a process tries again.
      for (let tries = 0; ; tries++) {
        try {
          await start(role)
          return
        } catch (error) {
          if (tries === 5) throw error
          await wait(500)
        }
      }
    },
    endpoint,
    lambda: () => lambdaClient(endpoint()),
    async deploy(name, code) {
      writeFileSync(logOf(name), '')
      await deploy(lambdaClient(endpoint()), name, code, {
        Timeout: 10,
        Environment: { Variables: { LOG: logOf(name) } },
      })
    },
    written: (name) => readFileSync(logOf(name), 'utf8').split('\n').filter(Boolean),
    stop,
  }
}
