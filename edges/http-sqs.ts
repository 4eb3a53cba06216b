/**
 * SQS over HTTP, in both its protocols, to the one JSON input that the operation has on the bus too.
 *
 *     POST / with X-Amz-Target: AmazonSQS.<Operation> ──▶ JSON 1.0
 *     POST / or /<account>/<queue> with Action=<Operation> ──▶ Query
 *
 * A queue's URL is an address, too: clients of the Query protocol send what is for a queue there.
 */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Input } from './aws/constraints.ts'
import { isRefusal } from './aws/errors.ts'
import { payloadLimitBytes } from './aws/invoke.ts'
import type { Verify } from './aws/signature.ts'
import { isSqsRefusal, refuseSqs, type SqsRefusal, sqsRefusalOf } from './aws/sqs-errors.ts'
import {
  readSqsJson,
  refuseInJson,
  targetPrefix,
  type WireAnswer,
  writeSqsJson,
} from './aws/sqs-json.ts'
import {
  isSqsOperation,
  type SqsOperation,
  sqsOperations,
  unbuiltSqsOperations,
} from './aws/sqs-operations.ts'
import { queryVersion, readSqsQuery, refuseInQuery, writeSqsQuery } from './aws/sqs-query.ts'
import type { Body } from './http-body.ts'

/** What stands behind the door. `signal`: when the client has gone. */
export type CallSqs = (
  operation: SqsOperation,
  input: Input,
  caller: { origin: string; signal: AbortSignal },
) => Promise<object | SqsRefusal>

type Request = {
  requestId: string
  method: string
  path: string
  query: string
  headers: IncomingHttpHeaders
  body: Body
}

/** A request to SQS, as far as its protocol goes. */
type Spoken = {
  operation: string
  read(operation: SqsOperation): Input | SqsRefusal
  write(operation: SqsOperation, output: object): WireAnswer
  refuse(refusal: SqsRefusal): WireAnswer
}

/** The answer to a request that is for SQS; nothing for any other. */
export function answerSqs(
  options: { verify: Verify; call: CallSqs },
  request: Request,
  response: ServerResponse,
): Promise<WireAnswer> | undefined {
  const spoken = inJson(request) ?? inQuery(request)
  return spoken && answer(options, request, response, spoken)
}

async function answer(
  { verify, call }: { verify: Verify; call: CallSqs },
  request: Request,
  response: ServerResponse,
  spoken: Spoken,
): Promise<WireAnswer> {
  const { operation } = spoken
  const { body } = request
  if (body === 'too large') {
    return spoken.refuse(
      refuseSqs(
        'RequestEntityTooLargeException',
        `Request must be smaller than ${payloadLimitBytes} bytes.`,
      ),
    )
  }
  const unsigned = verify({ ...request, body }, 'sqs')
  if (isRefusal(unsigned)) return spoken.refuse(sqsRefusalOf(unsigned))
  if (!isSqsOperation(operation)) {
    return spoken.refuse(
      refuseSqs(
        'UnknownOperationException',
        `lambus does not implement the operation ${operation}.`,
        `The action ${operation} is not valid for this endpoint.`,
      ),
    )
  }
  const input = spoken.read(operation)
  if (isSqsRefusal(input)) return spoken.refuse(input)
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const origin = `http://${request.headers.host}`
  const told = await call(operation, input, { origin, signal: gone.signal })
  return isSqsRefusal(told) ? spoken.refuse(told) : spoken.write(operation, told)
}

function inJson({ headers, body }: Request): Spoken | undefined {
  const target = headers['x-amz-target']
  if (typeof target !== 'string' || !target.startsWith(targetPrefix)) return undefined
  return {
    operation: target.slice(targetPrefix.length),
    read: (operation) => readSqsJson(sqsOperations[operation].input, body as Buffer),
    write: (_, output) => writeSqsJson(output),
    refuse: refuseInJson,
  }
}

const queuePath = /^\/\d{12}\/[^/]+\/?$/

function inQuery({ method, path, query, headers, body, requestId }: Request): Spoken | undefined {
  if (headers['x-amz-target'] !== undefined) return undefined
  if (path !== '/' && !queuePath.test(path)) return undefined
  const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true
  const text = method === 'POST' && isForm && body !== 'too large' ? body.toString() : query
  const form = new URLSearchParams(text)
  const action = form.get('Action')
  if (action === null || !isOfSqs(action, form.get('Version'))) return undefined
  return {
    operation: action,
    read: (operation) => {
      const { input } = sqsOperations[operation]
      const takesUrl = 'QueueUrl' in input.members && form.get('QueueUrl') === null
      if (takesUrl && path !== '/') form.set('QueueUrl', path)
      return readSqsQuery(input, form)
    },
    write: (operation, output) =>
      writeSqsQuery(operation, sqsOperations[operation].output, output as Input, requestId),
    refuse: (refusal) => refuseInQuery(refusal, requestId),
  }
}

/** Other services speak Query, too, with versions of their own. */
const isOfSqs = (action: string, version: string | null): boolean =>
  version === null
    ? isSqsOperation(action) || (unbuiltSqsOperations as readonly string[]).includes(action)
    : version === queryVersion
