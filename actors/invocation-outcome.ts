/** How an invocation ended, as its caller gets it and as REPORT tells it. Texts: edges/runtime-errors.ts. */
import type { Report } from '../edges/log-lines.ts'
import { runtimeExited, type SandboxError, timedOut } from '../edges/runtime-errors.ts'
import type { RuntimeAnswer, RuntimeExit } from '../edges/runtime-process.ts'
import type { InvocationEnd } from '../machines/sandbox.ts'

/** What is known of the sandbox's process when an invocation has ended. */
export type Told = {
  answer: RuntimeAnswer | undefined
  initError: { payload: Uint8Array; errorType: string } | undefined
  exit: RuntimeExit | undefined
}

export type Outcome = {
  payload: Uint8Array
  isError: boolean
  failure?: NonNullable<Report['failure']>
}

export function outcomeOf(
  { answer, initError, exit }: Told,
  how: InvocationEnd,
  requestId: string,
  timeoutSeconds: number,
): Outcome {
  switch (how) {
    case 'answer':
      if (answer === undefined) throw new Error('answered without an answer')
      return { payload: answer.payload, isError: answer.kind === 'error' }
    case 'timeout':
      return {
        ...failed(timedOut(requestId, timeoutSeconds * 1000)),
        failure: { status: 'timeout' },
      }
    case 'init error':
      if (initError === undefined) throw new Error('init failed without an error')
      return {
        payload: initError.payload,
        isError: true,
        failure: { status: 'error', errorType: initError.errorType },
      }
    case 'exit':
      return failed(runtimeExited(requestId, exit ?? { code: null, signal: null }))
    case 'out of memory':
      // The caller is told of the signal, the log of its reason: lambda-semantics.md §1.5.
      return {
        ...failed(runtimeExited(requestId, { code: null, signal: 'SIGKILL' })),
        failure: { status: 'error', errorType: 'Runtime.OutOfMemory' },
      }
  }
}

const failed = ({ payload, errorType }: SandboxError): Outcome => ({
  payload: Buffer.from(payload),
  isError: true,
  failure: { status: 'error', errorType },
})
