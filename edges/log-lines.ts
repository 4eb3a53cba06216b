/**
 * The lines that Lambda itself writes around an invocation, and the tail that a caller can ask for. Pure, but for the
 * small collector at the end.
 *
 * Source: lambda-semantics §7.6 (recorded), §1.6 (the tail: the last 4,096 bytes of START … REPORT), and for what is
 * billed §3.4: since August 2025 the time of an on-demand init too.
 */

export type Report = {
  requestId: string
  durationMs: number
  memoryMb: number
  maxMemoryBytes: number
  /** Of a cold start only. */
  initDurationMs?: number
  /** How an invocation ended that its handler did not answer; absent when it answered, also with an error. */
  failure?: { status: 'timeout' } | { status: 'error'; errorType: string }
}

export const startLine = (requestId: string, version: string): string =>
  `START RequestId: ${requestId} Version: ${version}\n`

export const endLine = (requestId: string): string => `END RequestId: ${requestId}\n`

/** Billed are whole milliseconds, rounded up, of the init and the invocation together. */
export const billedMs = ({ durationMs, initDurationMs = 0 }: Report): number =>
  Math.ceil(hundredths(durationMs + initDurationMs))

/** REPORT as AWS writes it: a tab between the fields, and after the last one unless the invocation failed. */
export function reportLine(report: Report): string {
  const { requestId, durationMs, memoryMb, maxMemoryBytes, initDurationMs, failure } = report
  const fields = [
    `REPORT RequestId: ${requestId}`,
    `Duration: ${durationMs.toFixed(2)} ms`,
    `Billed Duration: ${billedMs(report)} ms`,
    `Memory Size: ${memoryMb} MB`,
    `Max Memory Used: ${Math.ceil(maxMemoryBytes / 1_048_576)} MB`,
  ]
  if (initDurationMs !== undefined) fields.push(`Init Duration: ${initDurationMs.toFixed(2)} ms`)
  if (failure === undefined) return `${fields.join('\t')}\t\n`
  fields.push(`Status: ${failure.status}`)
  if (failure.status === 'error') fields.push(`Error Type: ${failure.errorType}`)
  return `${fields.join('\t')}\n`
}

// What is printed with two decimals is billed as printed: 2.00 ms is not 3.
const hundredths = (ms: number): number => Math.round(ms * 100) / 100

/** `YYYY/MM/DD/[<version>]<32 hex digits>`; `at` is when the sandbox was made, `id` its 32 digits. */
export const logStreamName = (at: Date, version: string, id: string): string =>
  `${at.toISOString().slice(0, 10).replaceAll('-', '/')}/[${version}]${id}`

export const logGroupName = (functionName: string): string => `/aws/lambda/${functionName}`

/** How much of the log a caller gets with LogType=Tail (lambda-semantics §1.6). */
export const tailBytes = 4096

export type LogTail = {
  add(text: Uint8Array | string): void
  /** Base64 of the last 4,096 bytes, with the replacement character where a cut or the function left no UTF-8. */
  read(): string
}

/** Collects one invocation's log for its tail. Made only for a caller who asked: nobody else pays anything. */
export function logTail(): LogTail {
  let pieces: Uint8Array[] = []
  let bytes = 0
  return {
    add(text) {
      const piece = typeof text === 'string' ? Buffer.from(text) : text
      // A copy of the end: a view would keep the whole read buffer behind it alive.
      pieces.push(Uint8Array.prototype.slice.call(piece, -tailBytes))
      bytes += Math.min(piece.length, tailBytes)
      if (bytes < 4 * tailBytes) return
      const last = lastBytes(pieces)
      pieces = [last]
      bytes = last.length
    },
    read: () => Buffer.from(Buffer.from(lastBytes(pieces)).toString('utf8')).toString('base64'),
  }
}

const lastBytes = (pieces: Uint8Array[]): Uint8Array => Buffer.concat(pieces).subarray(-tailBytes)
