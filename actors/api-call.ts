/**
 * The HTTP door's way to the control plane: one NATS request per operation. The answer waits until this front end's own
 * copy of the registry has what it tells about, so that who reads "Active" here can invoke here.
 */
import type { Bus } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import { type Refusal, refuse } from '../edges/aws/errors.ts'
import type { ApiAnswer } from '../edges/http-door.ts'

/** Longer than the control plane waits for a function's answer. */
const OPERATION_TIMEOUT_MS = 15_000
/** A watched copy is some milliseconds behind; after a lost update it is behind until the next comparison. */
const CATCH_UP_MS = 2_000

export type Copy = { reached(revision: number, timeoutMs: number): Promise<boolean> }

/** Asks the control plane; a refusal of its own when there is none. */
export async function operate(
  bus: Bus,
  copy: Copy,
  operation: string,
  input: Record<string, unknown>,
): Promise<ApiAnswer> {
  const answer = await bus.request(subjects.api(operation), JSON.stringify(input), {
    timeoutMs: OPERATION_TIMEOUT_MS,
  })
  if (answer === 'no responders') return answerOf(refuse('ServiceException', noControlPlane))
  if (answer === 'timeout') return answerOf(refuse('ServiceException', silentControlPlane))
  const header = (name: string): string | undefined => answer.headers?.get(name) || undefined
  const revision = Number(header('Lambus-Revision') ?? 0)
  if (revision > 0) await copy.reached(revision, CATCH_UP_MS)
  const errorType = header('X-Amzn-ErrorType')
  return {
    status: Number(header('Nats-Service-Error-Code') ?? header('Lambus-Status') ?? 200),
    body: answer.string(),
    ...(errorType === undefined ? {} : { errorType }),
  }
}

const answerOf = ({ status, body, code, headers }: Refusal): ApiAnswer => ({
  status,
  body,
  headers,
  errorType: code,
})

const noControlPlane = 'There is no control plane: start one with `lambus start control-plane`.'
const silentControlPlane =
  'The control plane did not answer in time. Whether the change was made is not known.'
