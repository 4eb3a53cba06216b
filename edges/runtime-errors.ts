/**
 * What AWS answers when the sandbox, and not the handler, ended an invocation. Pure texts.
 *
 * Key order and wording as recorded on AWS (lambda-semantics §1.5). The error type that REPORT names can differ from the
 * payload's: a function killed for its memory answers Runtime.ExitError while REPORT says Runtime.OutOfMemory.
 */

export type SandboxError = {
  /** JSON, the caller's payload. */
  payload: string
  errorType: string
}

/** How the runtime ended: its exit code, or the signal as Node names it. */
export type Exit = { code: number | null; signal: string | null }

const failed = (errorType: string, requestId: string, text: string): SandboxError => ({
  errorType,
  payload: JSON.stringify({ errorType, errorMessage: `RequestId: ${requestId} Error: ${text}` }),
})

/** `timeoutMs` is the function's Timeout; AWS prints seconds with two decimals. */
export const timedOut = (requestId: string, timeoutMs: number): SandboxError =>
  failed(
    'Sandbox.Timedout',
    requestId,
    `Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`,
  )

/** The runtime process ended without an answer, in an invocation or while it was initialised. */
export const runtimeExited = (requestId: string, exit: Exit): SandboxError =>
  failed('Runtime.ExitError', requestId, exitText(exit))

// Go's names of signals, which AWS prints: "killed" and "segmentation fault" are recorded, the rest follow os.Signal.
const signalNames: Record<string, string> = {
  SIGABRT: 'aborted',
  SIGBUS: 'bus error',
  SIGFPE: 'floating point exception',
  SIGHUP: 'hangup',
  SIGILL: 'illegal instruction',
  SIGINT: 'interrupt',
  SIGKILL: 'killed',
  SIGPIPE: 'broken pipe',
  SIGQUIT: 'quit',
  SIGSEGV: 'segmentation fault',
  SIGTERM: 'terminated',
  SIGTRAP: 'trace/breakpoint trap',
}

function exitText({ code, signal }: Exit): string {
  if (signal !== null)
    return `Runtime exited with error: signal: ${signalNames[signal] ?? signal.toLowerCase()}`
  if (code === null || code === 0) return 'Runtime exited without providing a reason'
  return `Runtime exited with error: exit status ${code}`
}
