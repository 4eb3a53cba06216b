/**
 * An attempt of an event on its way from a poller to a front end and back: the payload is the body, both ways, as it is;
 * what goes beside it is one header.
 */
import type { Msg, MsgHdrs } from '../bus/bus.ts'
import type { LastOutcome } from '../bus/event-packet.ts'
import { sentHeaders } from '../bus/sent-headers.ts'

export type AttemptOrder = {
  requestId: string
  functionName: string
  qualifier?: string | undefined
  traceId?: string | undefined
}

/** `code`: of AWS's error, when the front end refused. */
export type AttemptAnswer = LastOutcome & { code?: string }

const orderHeader = 'Lambus-Attempt'
const answerHeader = 'Lambus-Attempted'

export const orderHeaders = (order: AttemptOrder): MsgHdrs =>
  sentHeaders([orderHeader, JSON.stringify(order)])

/** Undefined when the message is no attempt. */
export function orderOf(message: Msg): AttemptOrder | undefined {
  const order = read<AttemptOrder>(message, orderHeader)
  return typeof order?.requestId === 'string' && typeof order.functionName === 'string'
    ? order
    : undefined
}

export const answerHeaders = (answer: AttemptAnswer): MsgHdrs =>
  sentHeaders([answerHeader, JSON.stringify(answer)])

/** Undefined when the message is no answer to an attempt. */
export function answerOf(message: Msg): AttemptAnswer | undefined {
  const answer = read<AttemptAnswer>(message, answerHeader)
  return typeof answer?.statusCode === 'number' ? answer : undefined
}

function read<T>(message: Msg, header: string): T | undefined {
  try {
    return JSON.parse(message.headers?.get(header) ?? '') as T
  } catch {
    return undefined
  }
}
