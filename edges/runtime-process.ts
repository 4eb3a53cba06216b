/**
 * One runtime process: what a worker starts for a sandbox, gives invocations to, one at a time, and ends.
 *
 * The host and the process talk in frames (edges/frames.ts) over two sockets that the child inherits, one each way.
 * Descriptors 1 and 2 are read beside it, for what native code and child processes print. What happens to the process is
 * told to one listener, in the order in which it happened.
 *
 * Whatever the process started dies with it (edges/process-group.ts). Between invocations it stands still in
 * a blocking read (runtimes/node/channel.cjs). A function that prints too much is slowed down (edges/output-throttle.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { FrameError, frameReader, toHost, toRuntime, writeFrame } from './frames.ts'
import { outputThrottle } from './output-throttle.ts'
import { processGroup } from './process-group.ts'

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
  /** Where V8 keeps compiled code from one start to the next; absent: nowhere. It makes 1.4 MB of code
   * start 13 ms sooner and costs a small handler nothing (measured). */
  compileCacheDir?: string
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
  /** Base64 of JSON. */
  clientContext?: string
}

export type RuntimeProcess = {
  /** Undefined when the process could not be started. */
  pid: number | undefined
  /** Gives the process an event's JSON, as it came. One at a time: the caller waits for the answer. */
  invoke(invocation: RuntimeInvocation, payload: Uint8Array): void
  /** SIGKILL to the process and everything that it started. */
  kill(): void
  /** SIGTERM to the process; `kill` half a second later if it is still there. */
  terminate(): void
}

const bootstrap = fileURLToPath(new URL('../runtimes/node/bootstrap.cjs', import.meta.url))

// A child of the function that left the process group may hold the pipes open for ever.
const lastOutputMs = 500

/** Starts a process for the function. Never throws: a spawn that fails is told as `exited`, later. */
export function startRuntime(spec: RuntimeSpec, listener: RuntimeListener): RuntimeProcess {
  const startedMs = performance.now()
  const child = spawnRuntime(spec)
  if (child instanceof Error || child.pid === undefined) {
    if (!(child instanceof Error)) child.on('error', () => {})
    setImmediate(() => listener.exited({ code: null, signal: null }))
    return { pid: undefined, invoke: () => {}, kill: () => {}, terminate: () => {} }
  }
  const { pid } = child
  const toIt = child.stdio[3] as Duplex
  const group = processGroup(pid, markOf(spec))
  const ears = listen(child, startedMs, listener, group.kill)
  const { taskRoot, handler, compileCacheDir } = spec
  // A write to a process that died meanwhile fails; its exit says why.
  toIt.on('error', () => {})
  const init = Buffer.from(JSON.stringify({ taskRoot, handler, compileCacheDir }))
  writeFrame(toIt, toRuntime.init, '', init)

  child.once('exit', () => {
    group.over()
    ears.readToTheEnd()
  })
  return {
    pid,
    invoke: (invocation, payload) => {
      writeFrame(toIt, toRuntime.invoke, invocationMeta(invocation), payload)
    },
    kill: group.kill,
    terminate: group.terminate,
  }
}

// A log stream is one sandbox's. Without it nothing is marked: no variable has an empty name.
const markOf = ({ environment }: RuntimeSpec): string => {
  const stream = environment['AWS_LAMBDA_LOG_STREAM_NAME']
  return stream === undefined ? '=' : `AWS_LAMBDA_LOG_STREAM_NAME=${stream}`
}

function spawnRuntime(spec: RuntimeSpec): ChildProcess | Error {
  try {
    return spawn(spec.nodePath ?? process.execPath, [...memoryFlags(spec.memoryMb), bootstrap], {
      cwd: spec.taskRoot,
      env: spec.environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    })
  } catch (error) {
    return error as Error
  }
}

/**
 * V8's limits for a function of so much memory. Source: the flags that aws-lambda-ric 4.0.2 knows its own process to be
 * started with; the shares, 5 % and 90 %, are those of the bootstrap of AWS's Node runtimes as others reproduce it.
 */
const memoryFlags = (memoryMb: number): string[] => [
  '--expose-gc',
  `--max-semi-space-size=${Math.floor((memoryMb * 5) / 100)}`,
  `--max-old-space-size=${Math.floor((memoryMb * 90) / 100)}`,
]

/** Turns what the process says and prints into the listener's facts. */
function listen(
  child: ChildProcess,
  startedMs: number,
  listener: RuntimeListener,
  kill: () => void,
) {
  const fromIt = child.stdio[4] as Duplex
  const sources = [child.stdout, child.stderr, fromIt] as Readable[]
  const throttle = outputThrottle(sources)
  let lastWords: NodeJS.Timeout | undefined
  let owed: RuntimeAnswer | undefined

  const wrote = (bytes: Uint8Array) => {
    throttle.count(bytes.length)
    listener.wrote(bytes)
  }
  const answer = () => {
    if (owed === undefined) return
    const answered = owed
    owed = undefined
    listener.answered(answered)
  }
  const hear = (kind: number, meta: Buffer, payload: Buffer) => {
    if (kind === toHost.output) return wrote(payload)
    if (kind === toHost.ready) return listener.ready(performance.now() - startedMs)
    if (kind === toHost.initFailed) return listener.initFailed(payload, decoded(meta.toString()))
    if (kind !== toHost.result && kind !== toHost.error) {
      throw new FrameError(`a frame of unknown kind ${kind}`)
    }
    owed = { kind: kind === toHost.result ? 'result' : 'error', payload, ...readAnswerMeta(meta) }
    atEndOfTurn(answer)
  }
  const read = frameReader(hear)

  child.stdout?.on('data', wrote)
  child.stderr?.on('data', wrote)
  fromIt.on('data', (chunk: Buffer) => {
    try {
      read(chunk)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      fromIt.removeAllListeners('data').resume()
      listener.wrote(
        Buffer.from(`The runtime broke its protocol and was ended: ${error.message}\n`),
      )
      kill()
    }
  })
  for (const source of sources) source.on('error', () => {})
  child.once('close', (code, signal) => {
    clearTimeout(lastWords)
    answer()
    listener.exited({ code, signal })
  })
  return {
    readToTheEnd: () => {
      throttle.lift()
      lastWords = setTimeout(() => {
        for (const source of sources) source.destroy()
      }, lastOutputMs)
    },
  }
}

let answers: (() => void)[] = []

/**
 * Answers are told when everything that is there has been read, all of them together: what was printed on descriptors 1
 * and 2 before an answer is read in the same turn of the loop, maybe after it; and what a listener sends because of them
 * leaves in one write, where an immediate for each would make one write each.
 */
function atEndOfTurn(answer: () => void): void {
  if (answers.length === 0) setImmediate(tellAnswers)
  answers.push(answer)
}

function tellAnswers(): void {
  const due = answers
  answers = []
  for (const answer of due) answer()
}

// No field but for the trace id comes from a caller unchecked, and none may make a line of its own.
const invocationMeta = (invocation: RuntimeInvocation): string => {
  const { requestId, deadlineMs, invokedFunctionArn, traceId = '', clientContext = '' } = invocation
  return `${requestId}\n${deadlineMs}\n${invokedFunctionArn}\n${oneLine(traceId)}\n${oneLine(clientContext)}`
}

const oneLine = (text: string): string =>
  notOneLine.test(text) ? text.replace(/[^\x20-\x7e]/g, ' ') : text
const notOneLine = /[^\x20-\x7e]/

type AnswerMeta = { requestId: string; maxMemoryBytes: number; errorType?: string }

function readAnswerMeta(meta: Buffer): AnswerMeta {
  const [requestId = '', maxMemoryBytes, errorType] = meta.toString('latin1').split('\n')
  return {
    requestId,
    maxMemoryBytes: Number(maxMemoryBytes) || 0,
    ...(errorType !== undefined && { errorType: decoded(errorType) }),
  }
}

/** A function could write to our descriptor, too: what cannot be decoded stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
