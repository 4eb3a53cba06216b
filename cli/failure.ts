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

/** An error as the CLI shows it: `{"error":{"code","message"}}` for programs, a sentence for people. */
export function describeError(error: unknown, json: boolean): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'INTERNAL'
  // Errors of ours all carry a code of words; Node's own are ERR_THIS or a bare errno.
  const isForPeople = error instanceof Failure || /^(?!ERR_)[A-Z]+(?:_[A-Z]+)+$/.test(code)
  const message = error instanceof Error ? error.message : String(error)
  if (json) return JSON.stringify({ error: { code, message } })
  if (isForPeople) return `lambus: ${message}`
  return `lambus: this is a bug: ${error instanceof Error ? (error.stack ?? message) : message}`
}
