/**
 * One runtime process: what a worker starts for a sandbox, gives invocations to, one at a time, and ends.
 *
 * The host and the process talk in frames (edges/frames.ts) over a socket that the child inherits as file descriptor 3.
 * What happens to the process is told to one listener, in the order in which it happened.
 */

export type RuntimeSpec = {
  /** The Node binary to run; default: the one that runs us. */
  nodePath?: string
  /** Directory of the unpacked package: the working directory, and where the handler is looked for. */
  taskRoot: string
  /** `file.export`, as in FunctionConfiguration.Handler. */
  handler: string
  /** The complete environment of the process; nothing of ours is added. */
  environment: Record<string, string>
  /** FunctionConfiguration.MemorySize, MB. */
  memoryMb: number
}

export type RuntimeAnswer = {
  requestId: string
  /** `error`: the handler threw; the payload is the JSON that AWS would answer. */
  kind: 'result' | 'error'
  payload: Uint8Array
  /** `errorType` of the payload, when `kind` is `error`. */
  errorType?: string
  /** High-water mark of the process's resident memory. */
  maxMemoryBytes: number
}

export type RuntimeExit = { code: number | null; signal: string | null }

/** Facts about one runtime process, in order. Nothing comes after `exited`, which comes exactly once. */
export type RuntimeListener = {
  /** The handler is imported; from start of the process to now took so long. */
  ready(initDurationMs: number): void
  /** The handler could not be imported. `error` is the JSON payload that AWS would answer. The process exits next. */
  initFailed(error: Uint8Array, errorType: string): void
  answered(answer: RuntimeAnswer): void
  /** Output of the function (stdout, stderr, console), before the answer that follows it. */
  wrote(bytes: Uint8Array): void
  /** The process is gone and its output was read to the end. A failed spawn is told here too: code and signal null. */
  exited(exit: RuntimeExit): void
}

export type RuntimeInvocation = {
  requestId: string
  /** Epoch ms. */
  deadlineMs: number
  invokedFunctionArn: string
  traceId?: string
  /** JSON text, decoded from its base64. */
  clientContext?: string
}

export type RuntimeProcess = {
  /** Undefined when the process could not be started. */
  pid: number | undefined
  /** Gives the process an event's JSON, as it came. One at a time: the caller waits for the answer. */
  invoke(invocation: RuntimeInvocation, payload: Uint8Array): void
  /** SIGKILL to the process and everything that it started. */
  kill(): void
  /** SIGTERM to the process. */
  terminate(): void
}

/** Starts a process for the function. Never throws: a spawn that fails is told as `exited`. */
export function startRuntime(_spec: RuntimeSpec, _listener: RuntimeListener): RuntimeProcess {
  throw new Error('not built yet')
}
