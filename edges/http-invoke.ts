/**
 * Invoke over HTTP: headers and bytes to an InvokeRequest, an InvokeAnswer to headers and bytes.
 *
 * Source: lambda-semantics.md §1.1 (request headers), §1.2 (recorded response headers).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type Refusal, refuse } from './aws/errors.ts'
import { checkedInvoke, type InvokeAnswer, type InvokeRequest } from './aws/invoke.ts'
import { readQuery } from './aws/query.ts'
import { makeTraceId } from './aws/trace-id.ts'
import { type Answer, refused, remapped } from './http-answer.ts'

/** Headers of features that are not built: whoever sends them wants something that would not happen. */
const unbuilt: Record<string, string> = {
  'x-amz-tenant-id': 'isolate tenants (X-Amz-Tenant-Id)',
  'x-amz-durable-execution-name': 'run durable functions (X-Amz-Durable-Execution-Name)',
}

export function readInvoke(given: {
  functionName: string
  query: string
  headers: IncomingHttpHeaders
  payload: Uint8Array
  requestId: string
  nowMs: number
}): InvokeRequest | Refusal {
  const { functionName, query, headers, payload, requestId, nowMs } = given
  for (const [name, feature] of Object.entries(unbuilt)) {
    if (headers[name] !== undefined) {
      return refuse('InvalidParameterValueException', `lambus does not ${feature}.`)
    }
  }
  const header = (name: string): string | undefined => {
    const value = headers[name]
    return Array.isArray(value) ? value.join(',') : value
  }
  const qualifier = query === '' ? undefined : readQuery(query)['Qualifier']
  return checkedInvoke({
    requestId,
    functionName,
    qualifier: Array.isArray(qualifier) ? qualifier.at(-1) : qualifier,
    invocationType: header('x-amz-invocation-type') ?? 'RequestResponse',
    logType: header('x-amz-log-type') ?? 'None',
    clientContext: header('x-amz-client-context'),
    traceId: header('x-amzn-trace-id') ?? makeTraceId(requestId, nowMs),
    payload,
  })
}

export function answerInvoke(answer: InvokeAnswer, traceId: string | undefined): Answer {
  switch (answer.kind) {
    case 'refused':
      return refused(answer.refusal)
    case 'dry run':
      return { status: 204, headers: remapped, body: '' }
    case 'result':
      return {
        status: answer.status,
        headers: {
          'content-type': 'application/json',
          ...remapped,
          'x-amz-executed-version': answer.executedVersion,
          ...(answer.functionError !== undefined && {
            'x-amz-function-error': answer.functionError,
          }),
          ...(answer.logResult !== undefined && { 'x-amz-log-result': answer.logResult }),
          ...(traceId !== undefined && { 'x-amzn-trace-id': traceId }),
        },
        body: answer.payload,
      }
  }
}
