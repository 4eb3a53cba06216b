/**
 * What `lambus doctor` looks at of a system that runs, or should.
 */
import { existsSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import type { Bus } from '../bus/bus.ts'
import { checkServer } from '../bus/server.ts'
import * as subjects from '../bus/subjects.ts'
import type { Config } from '../config.ts'
import { allFunctions } from './api.ts'
import { openCliBus } from './bus-api.ts'
import type { Finding } from './doctor-machine.ts'
import { openHttpApi } from './http-api.ts'
import { credentials } from './options.ts'
import type { Nats, System } from './system.ts'

export async function systemFindings(config: Config, system: System): Promise<Finding[]> {
  if (system.isFallback) {
    return [
      { check: 'system', result: 'ok', found: 'none runs here', advice: '`lambus up` starts one' },
    ]
  }
  if (system.isStale) {
    return [
      {
        check: 'system',
        result: 'warn',
        found: system.source,
        advice: 'it did not end by itself; `lambus up` starts it again with what it had stored',
      },
    ]
  }
  return [
    ...(system.http === undefined ? [] : await httpFindings(system.http, system.source)),
    ...(system.nats === undefined ? [] : await natsFindings(system.nats, config)),
  ]
}

async function httpFindings(http: string, source: string): Promise<Finding[]> {
  try {
    const functions = await allFunctions(openHttpApi(http, credentials(), source))
    const known: Finding = {
      check: 'http',
      result: 'ok',
      found: `${http} answers, ${functions.length} functions`,
    }
    return [known, await serverClock(http)]
  } catch (error) {
    return [{ check: 'http', result: 'fail', found: (error as Error).message }]
  }
}

/** Source: AWS General Reference, "Signature Version 4": a request's date may be off by 5 minutes. */
const TOLERATED_MS = 300_000

async function serverClock(http: string): Promise<Finding> {
  const check = "server's clock"
  const theirs = Date.parse(await dateHeader(http))
  if (Number.isNaN(theirs))
    return { check, result: 'warn', found: `${http} does not tell its time` }
  const offMs = Math.abs(Date.now() - theirs)
  // The header has whole seconds.
  const found = offMs < 2_000 ? 'the same as ours' : `${Math.round(offMs / 1000)} s from ours`
  return offMs < TOLERATED_MS
    ? { check, result: offMs < TOLERATED_MS / 5 ? 'ok' : 'warn', found }
    : {
        check,
        result: 'fail',
        found,
        advice: 'set one of the clocks: signatures are refused from 300 s on',
      }
}

const dateHeader = (http: string): Promise<string> =>
  new Promise((answer) => {
    const asked = request(http, { method: 'HEAD', agent: false, timeout: 5_000 }, (response) => {
      response.resume()
      answer(response.headers.date ?? '')
    })
    asked.on('timeout', () => asked.destroy(new Error('timeout')))
    asked.on('error', () => answer(''))
    asked.end()
  })

async function natsFindings(nats: Nats, config: Config): Promise<Finding[]> {
  let bus: Bus
  try {
    bus = await openCliBus(nats)
  } catch (error) {
    return [{ check: 'nats', result: 'fail', found: (error as Error).message }]
  }
  try {
    return [await fitness(bus, nats), durability(bus, config), await processes(bus)]
  } finally {
    await bus.close()
  }
}

async function fitness(bus: Bus, { url }: Nats): Promise<Finding> {
  try {
    await checkServer(bus.nats)
    return { check: 'nats', result: 'ok', found: `${bus.nats.info?.version} at ${url}` }
  } catch (error) {
    return { check: 'nats', result: 'fail', found: (error as Error).message }
  }
}

/**
 * A server tells its configuration to its system account alone, whose password only `lambus up` has. What can be seen
 * from here is whether the server is the one that `lambus up` configures, and verifies at each start.
 */
function durability(bus: Bus, { dataDir }: Config): Finding {
  const check = 'sync_interval'
  const file = join(resolve(dataDir), 'nats-server.conf')
  const isOurs = existsSync(file) && bus.nats.info?.client_ip === '127.0.0.1'
  if (isOurs && /^\s*sync_interval:\s*always/m.test(readFileSync(file, 'utf8'))) {
    return { check, result: 'ok', found: 'always, in the configuration written by `lambus up`' }
  }
  return {
    check,
    result: 'warn',
    found: 'cannot be seen from here',
    advice:
      'a server of your own should say `sync_interval: always`, as nats.conf does: else what was acknowledged may be lost with the machine',
  }
}

async function processes(bus: Bus): Promise<Finding> {
  const answers = await bus.askAll(subjects.status, undefined, { waitMs: 500 })
  const roles = new Set(answers.flatMap((answer) => answer.json<{ roles: string[] }>().roles))
  const check = 'processes'
  return answers.length === 0
    ? {
        check,
        result: 'fail',
        found: 'nobody answers on this bus',
        advice: 'is `lambus up` running?',
      }
    : { check, result: 'ok', found: `${answers.length}, with ${[...roles].sort().join(', ')}` }
}
