/**
 * A place in bytes that should be JSON, and a fault found there, both told as Jackson tells them.
 */

const source = (line: number, column: number) =>
  `[Source: REDACTED (\`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION\` disabled); line: ${line}, column: ${column}]`

/** A fault, thrown out of the scanner and caught a few lines further down. */
export class Fault extends Error {}

/** Where a scanner of JSON is, and how Jackson says so. */
export class Cursor {
  readonly bytes: Uint8Array
  at = 0
  line = 1
  lineStart = 0
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get ended(): boolean {
    return this.at >= this.bytes.length
  }
  peek(): number {
    return this.bytes[this.at] ?? -1
  }
  /** The next byte, or -1 at the end, where it stays. */
  next(): number {
    return this.ended ? -1 : (this.bytes[this.at++] as number)
  }
  skipSpace(): void {
    for (; !this.ended; this.at++) {
      const byte = this.peek()
      if (byte === 0x0a) {
        this.line++
        this.lineStart = this.at + 1
      } else if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return
    }
  }
  place(): string {
    return source(this.line, this.at - this.lineStart + 1)
  }
  fault(text: string): Fault {
    return new Fault(`${text}\n at ${this.place()}`)
  }
  /** The character just read cannot stand here. */
  unexpected(code: number, why: string): Fault {
    const where = source(this.line, this.at - this.lineStart)
    return new Fault(`Unexpected character (${described(code)})${why}\n at ${where}`)
  }
}

/** A character as Jackson names it. */
export function described(code: number): string {
  if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return `(CTRL-CHAR, code ${code})`
  const character = String.fromCodePoint(code)
  return code > 0xff
    ? `'${character}' (code ${code} / 0x${code.toString(16)})`
    : `'${character}' (code ${code})`
}
