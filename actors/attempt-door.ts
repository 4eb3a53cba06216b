/**
 * The front end's door for pollers: `lambus.attempt.<front end>` runs one attempt of an event as a sync invoke, under the
 * event's own request id.
 *
 * A poller whose link was cut asks again for what it had asked for, and one that took over a dead poller's lane asks anew;
 * both ask the front end that the request id points to. An attempt that still runs is not started a second time: whoever
 * asked last is told how it ended. A poller of the same process asks without the bus between.
 */
import type { Answers } from '../bus/answers.ts'
import type { Bus, Msg } from '../bus/bus.ts'
import { attempt as attemptSubject } from '../bus/subjects.ts'
import type { InvokeAnswer } from '../edges/aws/invoke.ts'
import { type AttemptAnswer, type AttemptOrder, answerHeaders, orderOf } from './attempt-message.ts'
import type { Invocations } from './invocation.ts'

/** How an attempt ended, and what the function answered. */
export type TellAttempt = (answer: AttemptAnswer, payload: Uint8Array) => void

export type AttemptDoor = {
  attempt(order: AttemptOrder, payload: Uint8Array, tell: TellAttempt): void
  readonly counts: { attempts: number; adopted: number; malformed: number }
  stop(): void
}

export function openAttemptDoor(
  bus: Bus,
  {
    invocations,
    answers,
    frontEndId,
  }: {
    invocations: Pick<Invocations, 'invoke'>
    answers: Pick<Answers, 'give'>
    frontEndId: string
  },
): AttemptDoor {
  const counts = { attempts: 0, adopted: 0, malformed: 0 }
  /** By request id: who is to be told. */
  const running = new Map<string, TellAttempt>()

  const hear = (message: Msg): void => {
    const order = orderOf(message)
    if (order === undefined) {
      counts.malformed++
      return
    }
    const { reply = '' } = message
    attempt(order, message.data, (answer, payload) => {
      if (reply !== '') answers.give(reply, payload, answerHeaders(answer))
    })
  }

  const attempt: AttemptDoor['attempt'] = (order, payload, tell) => {
    const { requestId, functionName, qualifier, traceId } = order
    const isRunning = running.has(requestId)
    running.set(requestId, tell)
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
      payload,
      isChecked: true,
    }
    invocations.invoke(request, (answer) => {
      const asker = running.get(requestId)
      running.delete(requestId)
      asker?.(toldOf(answer), answer.kind === 'result' ? answer.payload : nothing)
    })
  }

  const hearing = bus.subscribe(attemptSubject(frontEndId), hear)
  return { attempt, counts, stop: () => hearing.stop() }
}

const nothing = new Uint8Array()

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
