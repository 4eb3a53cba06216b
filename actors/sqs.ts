/**
 * SQS: one call for every operation, whichever door it came through.
 *
 * Every front end answers everything itself: queues and their messages are in JetStream, and what JetStream counts as one
 * consumer is shared by all.
 */
import { BusError } from '../bus/bus-error.ts'
import type { Input } from '../edges/aws/constraints.ts'
import {
  isSqsRefusal,
  missing,
  refuseSqs,
  type SqsRefusal,
  SqsRefused,
} from '../edges/aws/sqs-errors.ts'
import { type SqsOperation, sqsOperations } from '../edges/aws/sqs-operations.ts'
import type { SqsBinding, SqsCaller, SqsHandler } from './sqs-binding.ts'
import { openInFlight } from './sqs-in-flight.ts'
import { messageOperations } from './sqs-messages.ts'
import { openMoveWorker } from './sqs-moves.ts'
import { queueOperations } from './sqs-queues.ts'

export type Sqs = {
  readonly counts: { calls: number; refused: number; failed: number }
  /** Never throws. `signal`: when the caller has gone. */
  call(
    operation: SqsOperation,
    input: Input,
    caller: { origin: string; signal?: AbortSignal },
  ): Promise<object | SqsRefusal>
  /** Ends long polls, and leaves tasks to others; what is called after this does not wait. */
  stop(): Promise<void>
}

export function openSqs(options: Omit<SqsBinding, 'inFlight'>): Sqs {
  const inFlight = openInFlight(options.bus, options)
  const binding: SqsBinding = { ...options, inFlight }
  const { log, newId } = binding
  const counts = { calls: 0, refused: 0, failed: 0 }
  /** Calls in hand. */
  const open = new Set<AbortController>()
  let isStopping = false
  const moving = openMoveWorker(binding)
  const handlers: Record<SqsOperation, SqsHandler> = {
    ...queueOperations(binding),
    ...messageOperations(binding),
    ...moving.operations,
  }

  const perform = async (
    operation: SqsOperation,
    input: Input,
    caller: SqsCaller,
  ): Promise<object | SqsRefusal> => {
    const lacking = sqsOperations[operation].input.required.find(
      (member) => input[member] === undefined,
    )
    return lacking === undefined ? await handlers[operation](input, caller) : missing(lacking)
  }

  return {
    counts,
    async call(operation, input, { origin, signal }) {
      counts.calls++
      const call = new AbortController()
      const end = () => call.abort()
      open.add(call)
      if (isStopping || signal?.aborted === true) end()
      signal?.addEventListener('abort', end)
      let told: object | SqsRefusal
      try {
        told = await perform(operation, input, { origin, signal: call.signal })
      } catch (error) {
        told = refusalOf(error)
        if (!(error instanceof SqsRefused)) {
          counts.failed++
          const known = error instanceof BusError ? { cause: error.code } : {}
          log.error(
            { code: 'SQS_FAILED', id: newId(), operation, err: error, ...known },
            'an operation of SQS failed',
          )
        }
      } finally {
        open.delete(call)
        signal?.removeEventListener('abort', end)
      }
      if (isSqsRefusal(told)) counts.refused++
      return told
    },
    async stop() {
      isStopping = true
      for (const call of open) call.abort()
      inFlight.stop()
      await moving.stop()
    },
  }
}

const refusalOf = (error: unknown): SqsRefusal =>
  error instanceof SqsRefused
    ? error.refusal
    : refuseSqs('InternalFailure', 'An error occurred and the request cannot be processed.')
