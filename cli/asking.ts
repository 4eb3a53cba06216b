/**
 * Asking one of the system's roles: over the bus, because that is where they listen.
 */
import type { Msg } from '../bus/bus.ts'
import { readAwsFailure } from './aws-failure.ts'
import { Failure } from './failure.ts'
import type { SystemFlags } from './system.ts'
import { findSystem, natsOf } from './system.ts'

/** Throws Failure for whatever is not an answer. */
export type Ask = (subject: string, request?: object, timeoutMs?: number) => Promise<Msg>

/** Longer than the state manager insists on JetStream. */
const ANSWER_MS = 40_000

export async function withAnswers<Result>(
  flags: SystemFlags,
  role: 'state manager' | 'stream tracker',
  use: (ask: Ask) => Promise<Result>,
): Promise<Result> {
  const nats = natsOf(findSystem(flags, process.env))
  // The NATS client is for this command and few others: not loaded for the rest.
  const { openCliBus } = await import('./bus-api.ts')
  const bus = await openCliBus(nats)
  const ask: Ask = async (subject, request, timeoutMs = ANSWER_MS) => {
    const body = request === undefined ? undefined : JSON.stringify(request)
    const answer = await bus.request(subject, body, { timeoutMs })
    if (answer === 'no responders') {
      throw new Failure(
        `NO_${role.replace(' ', '_').toUpperCase()}`,
        `there is a NATS server at ${nats.url}, but no ${role} on it: is \`lambus up\` running?`,
      )
    }
    if (answer === 'timeout') {
      throw new Failure('NO_ANSWER', `no answer from ${nats.url} in ${timeoutMs / 1000} s`)
    }
    const status = answer.headers?.get('Nats-Service-Error-Code') ?? ''
    if (status === '') return answer
    const said = answer.headers?.get('Nats-Service-Error') ?? ''
    throw readAwsFailure(said.split(':')[0], answer.string(), Number(status))
  }
  try {
    return await use(ask)
  } finally {
    await bus.close()
  }
}
