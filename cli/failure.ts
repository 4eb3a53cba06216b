/**
 * A mistake that can be said in a sentence: what is wrong and, where there is one, the way out. The CLI prints the
 * sentence and ends with 1; whatever else is thrown is a bug of ours and shows its stack.
 */
export class Failure extends Error {
  override readonly name = 'Failure'
  /** Stable; what `--json` prints. Of the server's refusals it is AWS's error type. */
  readonly code: string

  constructor(code: string, sentence: string, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** What a command ends with when it has said everything itself: its exit code. */
export type ExitCode = number

/** The text that stands for an error: `as JSON` for programs, a line for people. */
export function describeError(error: unknown, json: boolean): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'INTERNAL'
  // Errors of the bus and of the settings carry a code and a sentence too.
  const isForPeople = error instanceof Failure || /^(BUS|CONFIG|NATS)_/.test(code)
  const message = error instanceof Error ? error.message : String(error)
  if (json) return JSON.stringify({ error: { code, message } })
  if (isForPeople) return `lambus: ${message}`
  return `lambus: this is a bug: ${error instanceof Error ? (error.stack ?? message) : message}`
}
