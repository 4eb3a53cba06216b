/**
 * The front end's door for pollers: `lambus.attempt.<front end>` runs one attempt of an event as a sync invoke, under the
 * event's own request id.
 *
 * A poller whose link was cut asks again for what it had asked for, and one that took over a dead poller's lane asks anew;
 * both ask the front end that the request id points to. An attempt that still runs is not started a second time: whoever
 * asked last is told how it ended.
 */
import type { Bus, Msg } from '../bus/bus.ts'
import { attempt } from '../bus/subjects.ts'
import type { InvokeAnswer } from '../edges/aws/invoke.ts'
import { type AttemptAnswer, answerHeaders, orderOf } from './attempt-message.ts'
import type { Invocations } from './invocation.ts'

export type AttemptDoor = {
  readonly counts: { attempts: number; adopted: number; malformed: number }
  stop(): void
}

export function openAttemptDoor(
  bus: Bus,
  { invocations, frontEndId }: { invocations: Pick<Invocations, 'invoke'>; frontEndId: string },
): AttemptDoor {
  const counts = { attempts: 0, adopted: 0, malformed: 0 }
  /** By request id: who is to be told. */
  const running = new Map<string, Msg>()

  const hear = (message: Msg): void => {
    const order = orderOf(message)
    if (order === undefined) {
      counts.malformed++
      return
    }
    const { requestId, functionName, qualifier, traceId } = order
    const isRunning = running.has(requestId)
    running.set(requestId, message)
    if (isRunning) {
      counts.adopted++
      return
    }
    counts.attempts++
    const request = {
      requestId,
      functionName,
      qualifier,
      invocationType: 'RequestResponse' as const,
      logType: 'None' as const,
      clientContext: undefined,
      traceId,
      payload: message.data,
    }
    invocations.invoke(request, (answer) => {
      const asker = running.get(requestId)
      running.delete(requestId)
      if (asker !== undefined) respond(asker, answer)
    })
  }

  const hearing = bus.subscribe(attempt(frontEndId), hear)
  return { counts, stop: () => hearing.stop() }
}

function respond(asker: Msg, answer: InvokeAnswer): void {
  const told = toldOf(answer)
  asker.respond(answer.kind === 'result' ? answer.payload : undefined, {
    headers: answerHeaders(told),
  })
}

function toldOf(answer: InvokeAnswer): AttemptAnswer {
  switch (answer.kind) {
    case 'result': {
      const { status, executedVersion, functionError } = answer
      return {
        statusCode: status,
        executedVersion,
        ...(functionError === undefined ? {} : { functionError }),
      }
    }
    case 'refused': {
      const { status, code, message } = answer.refusal
      return {
        statusCode: status,
        code,
        ...(message === null ? {} : { message: oneLine(message) }),
      }
    }
    default:
      return { statusCode: 500, code: 'ServiceException' }
  }
}

const oneLine = (text: string) => text.replace(/\s+/g, ' ')
