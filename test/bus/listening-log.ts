/** A log that remembers what it was told, for tests about what is logged. */
import type { Log } from '../../bus/bus.ts'

type Line = { level: string; fields: { code?: unknown; [name: string]: unknown }; text: string }

export type ListeningLog = Log & {
  lines: Line[]
  /** The codes logged, in order; lines without one are left out. */
  codes(): unknown[]
}

export function listeningLog(): ListeningLog {
  const lines: Line[] = []
  const at = (level: string) => (fields: object, text: string) =>
    void lines.push({ level, fields: { ...fields }, text })
  return {
    lines,
    codes: () => lines.flatMap(({ fields }) => (fields.code === undefined ? [] : [fields.code])),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  }
}
