/**
 * An invocation on its way from a front end to a sandbox and back.
 *
 * The payload is the message's body, both ways, as it came. What goes beside it is one header, because each one costs the
 * reader a microsecond or two; an ordinary answer has none at all.
 */
import type { Msg, MsgHdrs } from '../bus/bus.ts'
import { sentHeaders } from '../bus/sent-headers.ts'

/** What a sandbox is told beside the event. */
export type Errand = {
  requestId: string
  /** With the qualifier that was asked for, or none: context.invokedFunctionArn. */
  arn: string
  traceId?: string | undefined
  /** Base64 of JSON, as the caller gave it. */
  clientContext?: string | undefined
  /** Whether the caller wants the end of the log. */
  tail?: true | undefined
  /** Whether it may wait for the invocation that the sandbox is busy with. */
  ahead?: true | undefined
}

/** How it ended, beside the payload. `missed`: the sandbox did not take it; nothing has run. */
export type Ending = {
  how: 'result' | 'error' | 'missed'
  /** Base64 of the end of the log. */
  logResult?: string | undefined
}

const errandHeader = 'Lambus-Errand'
const endingHeader = 'Lambus-Ending'

export const errandHeaders = (errand: Errand): MsgHdrs =>
  sentHeaders([errandHeader, JSON.stringify(errand)])

/** Undefined when the message is no invocation of ours. */
export function errandOf(message: Msg): Errand | undefined {
  try {
    const errand = JSON.parse(message.headers?.get(errandHeader) ?? '') as Errand
    return typeof errand.requestId === 'string' && typeof errand.arn === 'string'
      ? errand
      : undefined
  } catch {
    return undefined
  }
}

/** Undefined for the ordinary case: a result, and nobody asked for the log. */
export function endingHeaders(ending: Ending): MsgHdrs | undefined {
  if (ending.how === 'result' && ending.logResult === undefined) return undefined
  return sentHeaders([endingHeader, JSON.stringify(ending)])
}

export function endingOf(message: Msg): Ending {
  const text = message.headers?.get(endingHeader)
  return text === undefined || text === '' ? { how: 'result' } : (JSON.parse(text) as Ending)
}
