/**
 * What every command takes, and how a command's own options are read from text.
 */
import { resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import type { Config } from '../config.ts'
import { readConfig } from '../config.ts'
import type { Credentials } from './api.ts'
import type { SystemFlags } from './system.ts'

export type CommonOptions = SystemFlags & { json?: boolean }

/** The key the CLI signs with: the one that `lambus up` accepts by default, or config.ts's environment variables. */
export function credentials(): Credentials {
  const { accessKeyId, secretAccessKey, region } = settings()
  return { accessKeyId, secretAccessKey, region }
}

/** config.ts with this process's environment. Throws BadConfig. */
export function settings(overrides: Parameters<typeof readConfig>[1] = {}): Config {
  const config = readConfig(process.env, overrides)
  // From here on it means the same in every process, whatever directory that works in.
  return { ...config, dataDir: resolve(config.dataDir) }
}

export function wholeNumber(from: number, to: number) {
  return (text: string): number => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= from && value <= to) return value
    throw new InvalidArgumentError(`It must be a whole number from ${from} to ${to}.`)
  }
}

/** `--env A=1 --env B=x=y` → { A: '1', B: 'x=y' }. */
export function keyValue(
  text: string,
  before: Record<string, string> = {},
): Record<string, string> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('It must be KEY=VALUE.')
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) }
}

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90s`, `10m`, `2h`, `1d` → milliseconds. */
export function agoMs(text: string): number {
  const [, amount, unit] = /^(\d+)([smhd])$/.exec(text) ?? []
  const factor = unitMs[unit ?? '']
  if (amount !== undefined && factor !== undefined) return Number(amount) * factor
  throw new InvalidArgumentError('It must be a time such as 90s, 10m, 2h or 1d.')
}
