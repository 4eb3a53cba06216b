/**
 * The API over NATS, for when only the bus is known: `lambus.api.<Operation>` and `lambus.invoke.<function>`.
 */
import { randomUUID } from 'node:crypto'
import { headers as newHeaders } from 'nats'
import type { Bus, Msg } from '../bus/bus.ts'
import { openBus } from '../bus/connection.ts'
import * as subjects from '../bus/subjects.ts'
import type { Api, Input, InvocationResult, Operation, Outputs } from './api.ts'
import { readAwsFailure } from './aws-failure.ts'
import { Failure } from './failure.ts'
import type { Nats } from './system.ts'

/** Longer than a function may run (AWS Lambda quotas: 900 s), so that the system's answer comes first. */
const INVOKE_TIMEOUT_MS = 910_000
const CALL_TIMEOUT_MS = 60_000

/** A bus for one command. Throws Failure when there is nobody, or we are not let in. */
export async function openCliBus(nats: Nats): Promise<Bus> {
  const { url, user, password } = nats
  try {
    return await openBus({
      servers: url,
      role: 'cli',
      id: randomUUID(),
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
    })
  } catch (error) {
    const code = (error as { code?: string }).code
    if (code === 'BUS_NO_SERVER') {
      throw new Failure('NO_SERVER', `no NATS server at ${url}: is \`lambus up\` running?`, error)
    }
    if (code === 'BUS_CREDENTIALS_REFUSED') {
      throw new Failure(
        'CREDENTIALS_REFUSED',
        `the NATS server at ${url} refuses ${user === undefined ? 'us without credentials' : `user '${user}'`}: give --nats nats://user:password@host:4222, or run this where \`lambus up\` runs (--data-dir)`,
        error,
      )
    }
    throw error
  }
}

export async function openBusApi(nats: Nats): Promise<Api> {
  const bus = await openCliBus(nats)
  const ask = async (
    subject: string,
    payload: Uint8Array | string,
    options: { timeoutMs: number; headers?: Msg['headers'] },
  ): Promise<Msg> => {
    const outcome = await request(bus, subject, payload, options)
    if (outcome === 'no responders') {
      throw new Failure(
        'NO_SERVER',
        `there is a NATS server at ${nats.url}, but no lambus on it: is \`lambus up\` running?`,
      )
    }
    if (outcome === 'timeout') {
      throw new Failure('NO_ANSWER', `no answer from ${nats.url} in ${options.timeoutMs / 1000} s`)
    }
    const status = outcome.headers?.get('Nats-Service-Error-Code') ?? ''
    if (status === '') return outcome
    const said = outcome.headers?.get('Nats-Service-Error') ?? ''
    throw readAwsFailure(said.split(':')[0], outcome.string(), Number(status))
  }
  return {
    async call<Name extends Operation>(operation: Name, input: Input) {
      const body = JSON.stringify(input)
      const answer = await ask(subjects.api(operation), body, { timeoutMs: CALL_TIMEOUT_MS })
      return (answer.data.length === 0 ? {} : answer.json()) as Outputs[Name]
    },
    async invoke({ functionName, qualifier, payload, invocationType, logType }) {
      const headers = newHeaders()
      headers.set('X-Amz-Invocation-Type', invocationType)
      headers.set('X-Amz-Log-Type', logType)
      const answer = await ask(subjects.invoke(functionName, qualifier), payload, {
        headers,
        timeoutMs: INVOKE_TIMEOUT_MS,
      })
      const header = (name: string) => answer.headers?.get(name) || undefined
      const optional: Omit<Partial<InvocationResult>, 'payload' | 'statusCode'> = {}
      const executedVersion = header('X-Amz-Executed-Version')
      const functionError = header('X-Amz-Function-Error')
      const logResult = header('X-Amz-Log-Result')
      const requestId = header('X-Amzn-RequestId')
      if (executedVersion !== undefined) optional.executedVersion = executedVersion
      if (functionError !== undefined) optional.functionError = functionError
      if (logResult !== undefined) optional.logResult = logResult
      if (requestId !== undefined) optional.requestId = requestId
      return { statusCode: statusOf[invocationType], ...optional, payload: answer.data }
    },
    close: () => bus.close(),
  }
}

/** What the HTTP door answers to the same. Source: lambda-semantics.md §1.1. */
const statusOf = { RequestResponse: 200, Event: 202, DryRun: 204 }

async function request(
  bus: Bus,
  subject: string,
  payload: Uint8Array | string,
  options: { timeoutMs: number; headers?: Msg['headers'] },
) {
  try {
    return await bus.request(subject, payload, options)
  } catch (error) {
    if ((error as { code?: string }).code !== 'BUS_PAYLOAD_TOO_LARGE') throw error
    throw new Failure(
      'TOO_LARGE_FOR_NATS',
      'this is larger than a NATS message may be: give the HTTP address, --http http://127.0.0.1:4566',
      error,
    )
  }
}
