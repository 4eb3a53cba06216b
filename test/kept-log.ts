/** A log that keeps what it is told, for tests that look at it. */
import type { Log } from '../bus/bus.ts'

export type KeptLog = Log & { readonly lines: { level: string; text: string; code: unknown }[] }

export function keptLog(): KeptLog {
  const lines: KeptLog['lines'] = []
  const keep = (level: string) => (fields: object, text: string) => {
    lines.push({ level, text, code: (fields as { code?: unknown }).code })
  }
  return {
    lines,
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    isLevelEnabled: () => false,
  }
}
