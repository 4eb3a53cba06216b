/**
 * Invoke over HTTP: headers and bytes to an InvokeRequest, an InvokeAnswer to headers and bytes.
 *
 * Source: lambda-semantics.md §1.1 (request headers), §1.2 (recorded response headers).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type Refusal, refuse } from './aws/errors.ts'
import {
  checkEventSize,
  checkedInvoke,
  type InvokeAnswer,
  type InvokeRequest,
  invokeAsyncLimitBytes,
} from './aws/invoke.ts'
import { makeTraceId } from './aws/trace-id.ts'
import { type Answer, refused, remapped } from './http-answer.ts'

/** Headers of features that are not built: whoever sends them wants something that would not happen. */
const unbuilt = [
  { name: 'x-amz-tenant-id', feature: 'isolate tenants (X-Amz-Tenant-Id)' },
  {
    name: 'x-amz-durable-execution-name',
    feature: 'run durable functions (X-Amz-Durable-Execution-Name)',
  },
]

export function readInvoke(given: {
  functionName: string
  qualifier: string | undefined
  headers: IncomingHttpHeaders
  /** InvokeAsync: whatever the headers say, it is an Event. */
  isAsync: boolean
  payload: Uint8Array
  requestId: string
  nowMs: number
}): InvokeRequest | Refusal {
  const { functionName, qualifier, headers, isAsync, payload, requestId, nowMs } = given
  for (const { name, feature } of unbuilt) {
    if (headers[name] !== undefined) {
      return refuse('InvalidParameterValueException', `lambus does not ${feature}.`)
    }
  }
  const tooLarge = isAsync ? checkEventSize(payload, invokeAsyncLimitBytes) : undefined
  if (tooLarge !== undefined) return tooLarge
  return checkedInvoke({
    requestId,
    functionName,
    qualifier,
    invocationType: isAsync
      ? 'Event'
      : (text(headers['x-amz-invocation-type']) ?? 'RequestResponse'),
    logType: text(headers['x-amz-log-type']) ?? 'None',
    clientContext: text(headers['x-amz-client-context']),
    traceId: text(headers['x-amzn-trace-id']) || makeTraceId(requestId, nowMs),
    payload,
  })
}

const text = (value: string | string[] | undefined) =>
  Array.isArray(value) ? value.join(',') : value

export function answerInvoke(answer: InvokeAnswer, traceId: string | undefined): Answer {
  switch (answer.kind) {
    case 'refused':
      return refused(answer.refusal)
    case 'dry run':
      return { status: 204, headers: remapped, body: '' }
    case 'accepted':
      return {
        status: 202,
        headers: { ...remapped, ...(traceId === undefined ? {} : { 'x-amzn-trace-id': traceId }) },
        body: '',
      }
    case 'result': {
      const { status, payload, executedVersion, functionError, logResult } = answer
      const headers: Record<string, string> = {
        'content-type': 'application/json',
        'x-amzn-remapped-content-length': '0',
        'x-amz-executed-version': executedVersion,
      }
      if (functionError !== undefined) headers['x-amz-function-error'] = functionError
      if (logResult !== undefined) headers['x-amz-log-result'] = logResult
      if (traceId !== undefined) headers['x-amzn-trace-id'] = traceId
      return { status, headers, body: payload }
    }
  }
}
