/**
 * One line that says what is being done, while somebody watches: rewritten in place on a terminal, nothing elsewhere.
 */
import { byteSize } from './output.ts'

export type Progress = {
  /** With both byte counts it shows how far it is. */
  show(what: string, doneBytes?: number, totalBytes?: number): void
  /** Takes the line away. */
  clear(): void
}

export function openProgress(options: { json: boolean }): Progress {
  if (options.json || process.stderr.isTTY !== true) return { show() {}, clear() {} }
  let shown = ''
  return {
    show(what, doneBytes, totalBytes) {
      const line = progressLine(what, doneBytes, totalBytes)
      if (line === shown) return
      shown = line
      process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`)
    },
    clear() {
      if (shown !== '') process.stderr.write('\r\x1b[2K')
      shown = ''
    },
  }
}

const BAR_CELLS = 24

export function progressLine(what: string, doneBytes?: number, totalBytes?: number): string {
  if (doneBytes === undefined) return `${what} …`
  if (totalBytes === undefined || totalBytes <= 0) return `${what} … ${byteSize(doneBytes)}`
  const share = Math.min(1, doneBytes / totalBytes)
  const full = Math.round(share * BAR_CELLS)
  const bar = '█'.repeat(full) + '░'.repeat(BAR_CELLS - full)
  return `${what} ${bar} ${Math.floor(share * 100)} % of ${byteSize(totalBytes)}`
}
