/**
 * What the CLI says. stdout carries the answer and nothing else, so that it can be piped; progress and remarks go to
 * stderr, and progress only where somebody watches.
 */

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2))
}

export function remark(text: string): void {
  process.stderr.write(text.endsWith('\n') ? text : `${text}\n`)
}

/** Columns as wide as their widest cell; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
    }
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const units = ['B', 'kB', 'MB', 'GB']

/** 1,234 → `1.2 kB`. */
export function byteSize(bytes: number): string {
  let amount = bytes
  let unit = 0
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000
    unit++
  }
  return `${unit === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`
}

/** 93,784,000 ms → `1d 2h`, 65,000 → `1m 5s`: the two largest units. */
export function duration(totalMs: number): string {
  const parts: [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1_000, 's'],
  ]
  const shown: string[] = []
  let left = totalMs
  for (const [sizeMs, letter] of parts) {
    const count = Math.floor(left / sizeMs)
    left -= count * sizeMs
    if (count > 0 || (shown.length > 0 && shown.length < 2)) shown.push(`${count}${letter}`)
    if (shown.length === 2) break
  }
  return shown.join(' ') || '0s'
}

/** 12.3 → `12 ms`, 1,234 → `1.2 s`, 65,000 → `1m 5s`. */
export function elapsed(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : duration(ms)
}
