/**
 * The NATS door: `lambus.invoke.<function>[.<qualifier>]`. The body is the event, the headers are AWS's own, and a
 * refusal is a NATS service error with the AWS body. No SDK needed: `nats req lambus.invoke.hello '{}'`. Without a reply
 * subject (`nats pub`) it is an asynchronous event; who wants to know that it is on disk asks with `X-Amz-Invocation-Type:
 * Event`, and the answer says so.
 *
 * A message that is no request of ours (too many tokens) is counted, logged once, and dropped.
 */
import { headers } from 'nats'
import type { Answers } from '../bus/answers.ts'
import type { Bus, Clock, Log, Msg, MsgHdrs } from '../bus/bus.ts'
import { sentHeaders } from '../bus/sent-headers.ts'
import * as subjects from '../bus/subjects.ts'
import { isRefusal, type Refusal } from '../edges/aws/errors.ts'
import { checkedInvoke, type InvokeAnswer } from '../edges/aws/invoke.ts'
import { makeTraceId } from '../edges/aws/trace-id.ts'
import type { Invocations } from './invocation.ts'

export type NatsDoor = {
  readonly counts: { invokes: number; malformed: number; refusedEvents: number }
  /** Takes no more requests. */
  stop(): void
}

export function openNatsDoor(
  bus: Bus,
  {
    invocations,
    answers,
    clock,
    newId,
    log,
  }: {
    invocations: Pick<Invocations, 'invoke'>
    answers: Pick<Answers, 'give'>
    clock: Pick<Clock, 'nowMs'>
    newId: () => string
    log: Log
  },
): NatsDoor {
  const counts = { invokes: 0, malformed: 0, refusedEvents: 0 }
  const once = (count: number, code: string, fields: object, text: string) => {
    if (count === 1) log.warn({ code, ...fields }, text)
  }

  const noteLost = ({ subject }: Msg, { code, message }: Refusal): void => {
    counts.refusedEvents++
    once(
      counts.refusedEvents,
      'DOOR_EVENT_REFUSED',
      { subject, refusal: code, message },
      'refused an event without a reply subject, so nobody was told; further ones are only counted',
    )
  }

  const hear = (message: Msg): void => {
    const [, , functionName, qualifier, ...more] = subjects.tokens(message.subject)
    if (functionName === undefined || more.length > 0) {
      counts.malformed++
      once(
        counts.malformed,
        'DOOR_MALFORMED_SUBJECT',
        { subject: message.subject },
        'dropped a message whose subject names no function; further ones are only counted',
      )
      return
    }
    counts.invokes++
    const header = (name: string): string | undefined => message.headers?.get(name) || undefined
    const requestId = newId()
    const { reply = '' } = message
    const isAwaited = reply !== ''
    const answer = (given: InvokeAnswer) => {
      if (isAwaited) answers.give(reply, ...replyOf(given, requestId))
      else if (given.kind === 'refused') noteLost(message, given.refusal)
    }
    const asked = header('X-Amz-Invocation-Type') ?? 'RequestResponse'
    const request = checkedInvoke({
      requestId,
      functionName,
      qualifier,
      // Nobody waits for a result: then it is an event. A dry run stays what it is.
      invocationType: isAwaited || asked !== 'RequestResponse' ? asked : 'Event',
      logType: header('X-Amz-Log-Type') ?? 'None',
      clientContext: header('X-Amz-Client-Context'),
      traceId: header('X-Amzn-Trace-Id') ?? makeTraceId(requestId, clock.nowMs()),
      payload: message.data,
    })
    if (isRefusal(request)) answer({ kind: 'refused', refusal: request })
    else invocations.invoke(request, answer)
  }

  const hearing = bus.subscribe(subjects.anyInvoke, hear, { queue: 'front-end' })
  return { counts, stop: () => hearing.stop() }
}

/** What a caller gets: the body and the headers. */
function replyOf(answer: InvokeAnswer, requestId: string): [body: Uint8Array | string, MsgHdrs] {
  if (answer.kind === 'refused') {
    return [answer.refusal.body, refusedHeaders(requestId, answer.refusal)]
  }
  const id = ['X-Amzn-RequestId', requestId] as const
  if (answer.kind === 'dry run' || answer.kind === 'accepted') return ['', sentHeaders(id)]
  const { executedVersion, functionError, logResult, payload } = answer
  const made = sentHeaders(
    id,
    ['X-Amz-Executed-Version', executedVersion],
    ...(functionError === undefined ? [] : [['X-Amz-Function-Error', functionError] as const]),
    ...(logResult === undefined ? [] : [['X-Amz-Log-Result', logResult] as const]),
  )
  return [payload, made]
}

/** Source: NATS ADR-32, service errors. */
function refusedHeaders(requestId: string, refusal: Refusal): MsgHdrs {
  const made = headers()
  made.set('Nats-Service-Error-Code', String(refusal.status))
  made.set('Nats-Service-Error', `${refusal.code}: ${(refusal.message ?? '').replace(/\s+/g, ' ')}`)
  made.set('X-Amzn-RequestId', requestId)
  made.set('X-Amzn-ErrorType', refusal.code)
  return made
}

export const respondRefused = (message: Msg, requestId: string, refusal: Refusal): void =>
  void message.respond(refusal.body, { headers: refusedHeaders(requestId, refusal) })
