/**
 * Kinesis over HTTP: from a request to the operation, its input and its answer, in either of its protocols.
 *
 *     POST / with X-Amz-Target: Kinesis_20131202.<Operation> ─▶ body ─▶ signature ─▶ shape ─▶ call ─▶ answer or events
 *
 * What a request lacks is told in AWS's order, which is not that of its other services: the body is read before the signature is
 * looked at. Source: kinesalite's tests of connections (test/connection.js), recorded from AWS.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Input } from './aws/constraints.ts'
import { isKinesisRefusal, type KinesisRefusal, refuseKinesis } from './aws/kinesis-errors.ts'
import { readKinesisInput } from './aws/kinesis-input.ts'
import {
  isKinesisOperation,
  type KinesisOperation,
  type KinesisOutput,
  kinesisOperations,
  unbuiltKinesisOperations,
} from './aws/kinesis-operations.ts'
import { inCbor, inJson, type KinesisProtocol, refusalBody } from './aws/kinesis-protocols.ts'
import { isSignedForKinesis, objectToSignature } from './aws/kinesis-signature.ts'
import type { Verify } from './aws/signature.ts'
import { targetPrefix as sqsPrefix } from './aws/sqs-json.ts'
import type { Answer } from './http-answer.ts'
import { type Body, readBody } from './http-body.ts'
import { crossOrigin, preflight } from './http-cross-origin.ts'
import { answerWithEvents, type KinesisEvents } from './http-event-stream.ts'
import type { Exchange, Exchanges } from './http-exchange.ts'

export type { KinesisEvents } from './http-event-stream.ts'

/** What stands behind the door. Bytes are Uint8Arrays and times milliseconds. `signal`: when the client has gone. */
export type CallKinesis = (
  operation: KinesisOperation,
  input: Input,
  caller: { requestId: string; signal: AbortSignal },
) => Promise<object | KinesisRefusal | KinesisEvents>

/** 10 MiB of records in base64, 500 keys and hash keys, and the rest: Kinesis API, PutRecords. */
const limitBytes = 15 * 1_024 * 1_024

type Request = {
  requestId: string
  method: string
  path: string
  query: string
  headers: IncomingHttpHeaders
  body: Body
}

export type KinesisServer = {
  /** Takes a request if it is for Kinesis, and says whether it did. */
  take(request: IncomingMessage, response: ServerResponse): boolean
  /** Ends what would go on for minutes. */
  close(): void
}

export function kinesisServer(options: {
  call: CallKinesis
  verify: Verify
  newId: () => string
  exchanges: Exchanges
}): KinesisServer {
  const { newId, exchanges } = options
  const live = new Set<() => void>()
  let isClosed = false
  const endAll = () => {
    for (const end of live) end()
  }

  const serve = async (request: Request, response: ServerResponse): Promise<void> => {
    const exchange: Exchange = { ...request, response }
    const protocol = protocolOf(request) ?? inJson
    try {
      const told =
        preflight(request.method, request.headers) ??
        (await answerKinesis(options, request, response))
      const more = crossOrigin(request.headers)
      if ('status' in told) {
        return exchanges.answer(exchange, { ...told, headers: { ...more, ...told.headers } })
      }
      const ids = { 'x-amzn-requestid': request.requestId, 'x-amz-id-2': extendedId() }
      answerWithEvents(told, protocol, response, { ...ids, ...more }, live)
      if (isClosed) endAll()
    } catch (error) {
      exchanges.fail(exchange, error, refuseIn(protocol, refuseKinesis('InternalFailure', '')))
    }
  }

  return {
    take(request, response) {
      if (!isForKinesis(request)) return false
      readBody(request, limitBytes, (body) => {
        void serve(takeApart(request, body, newId()), response)
      })
      return true
    },
    close() {
      isClosed = true
      endAll()
    },
  }
}

const targetPrefix = 'Kinesis_20131202.'

/**
 * By its target. Without one, or with one that nobody knows, by who it is signed for, or by a protocol that nothing else here
 * speaks.
 */
function isForKinesis({ method, headers, url }: IncomingMessage): boolean {
  const target = headers['x-amz-target']
  if (typeof target === 'string' && target.startsWith(targetPrefix)) return true
  if (url !== '/' || (typeof target === 'string' && target.startsWith(sqsPrefix))) return false
  if (method === 'OPTIONS' && headers.origin !== undefined) return true
  if (isSignedForKinesis(headers)) return true
  const isPlain = method === 'POST' && headers['content-type'] === undefined
  return target === undefined && (isPlain || protocolOf({ headers }) !== undefined)
}

function takeApart(request: IncomingMessage, body: Body, requestId: string): Request {
  const { method = '', url = '', headers } = request
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const query = mark === -1 ? '' : url.slice(mark + 1)
  return { requestId, method, path, query, headers, body }
}

/** The answer, or the events that it is made of. */
export async function answerKinesis(
  { call, verify }: { call: CallKinesis; verify: Verify },
  request: Request,
  response: ServerResponse,
): Promise<Answer | KinesisEvents> {
  const spoken = speech(request)
  if ('status' in spoken) return spoken
  const { operation, protocol, given } = spoken
  const refuse = (refusal: KinesisRefusal) => refuseIn(protocol, refusal)
  if (!isKinesisOperation(operation)) return refuse(unknownOperation(operation))
  const unsigned = objectToSignature(verify, { ...request, body: request.body as Buffer })
  if (unsigned !== undefined) return refuse(unsigned)
  const { input: shape, output } = kinesisOperations[operation]
  const input = readKinesisInput(shape, given, protocol.readTimestamp)
  if (isKinesisRefusal(input)) return refuse(input)
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const { requestId } = request
  const told = await call(operation, input, { requestId, signal: gone.signal })
  if (isKinesisRefusal(told)) return refuse(told)
  return isEvents(told) ? told : answerIn(protocol, told, output)
}

const isEvents = (told: object): told is KinesisEvents =>
  'events' in told && typeof told.events === 'function'

/** A request as far as its protocol goes. */
type Spoken = { operation: string; protocol: KinesisProtocol; given: Input }

function speech(request: Request): Spoken | Answer {
  const { method, headers, body } = request
  if (method !== 'POST') return inXml(403, 'AccessDeniedException', undeterminable)
  if (body === 'too large') return { status: 413, headers: {}, body: '' }
  const target = String(headers['x-amz-target'] ?? '')
  const operation = target.startsWith(targetPrefix) ? target.slice(targetPrefix.length) : ''
  const protocol = protocolOf(request)
  if (body.length === 0) {
    const unread = isKinesisOperation(operation)
      ? 'SerializationException'
      : 'UnknownOperationException'
    return refuseIn(protocol ?? inCbor, refuseKinesis(unread, ''))
  }
  if (protocol === undefined) return inNeither(target, headers, body)
  const given = protocol.parse(body)
  return given === undefined
    ? refuseIn(protocol, refuseKinesis('SerializationException', ''))
    : { operation, protocol, given }
}

function inNeither(target: string, headers: IncomingHttpHeaders, body: Buffer): Answer {
  if (contentTypeOf(headers) === 'application/json') return inJsonOfOld(body)
  return /^[^.]+\.[^.]/.test(target)
    ? inXml(404, 'UnknownOperationException')
    : inXml(403, 'AccessDeniedException', undeterminable)
}

const undeterminable = 'Unable to determine service/operation name to be authorized'

function contentTypeOf(headers: IncomingHttpHeaders): string {
  const given = headers['content-type'] ?? ''
  const end = given.indexOf(';')
  return (end === -1 ? given : given.slice(0, end)).trim()
}

function protocolOf({ headers }: { headers: IncomingHttpHeaders }): KinesisProtocol | undefined {
  const contentType = contentTypeOf(headers)
  if (contentType === inJson.contentType) return inJson
  return contentType === inCbor.contentType ? inCbor : undefined
}

const unknownOperation = (operation: string): KinesisRefusal =>
  refuseKinesis(
    'UnknownOperationException',
    unbuiltKinesisOperations.includes(operation)
      ? `lambus does not implement the operation ${operation}.`
      : '',
  )

// ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What AWS's second id looks like; it means nothing here. */
const extendedId = () => randomBytes(72).toString('base64')

const headersOf = ({ contentType }: KinesisProtocol) => ({
  'x-amz-id-2': extendedId(),
  'content-type': contentType,
})

/** An answer without members has no body at all. */
function answerIn(protocol: KinesisProtocol, output: object, which: KinesisOutput): Answer {
  const body = Object.keys(output).length === 0 ? '' : protocol.write(output, which)
  return { status: 200, headers: headersOf(protocol), body }
}

const refuseIn = (protocol: KinesisProtocol, refusal: KinesisRefusal): Answer => ({
  status: refusal.status,
  headers: headersOf(protocol),
  body: protocol.write(refusalBody(refusal), {}),
})

/** To what is neither JSON nor CBOR; without a content type, as AWS has it. */
function inXml(status: number, refused: string, message?: string): Answer {
  const body =
    message === undefined
      ? `<${refused}/>\n`
      : `<${refused}>\n  <Message>${message}</Message>\n</${refused}>\n`
  return { status, headers: { 'x-amz-id-2': extendedId() }, body }
}

/** To plain `application/json`, in which an older protocol was spoken. */
function inJsonOfOld(body: Uint8Array): Answer {
  const isRead = inJson.parse(body) !== undefined
  const refused = isRead ? 'UnknownOperationException' : 'SerializationException'
  return {
    status: isRead ? 404 : 400,
    headers: { 'x-amz-id-2': extendedId(), 'content-type': 'application/json' },
    body: JSON.stringify({
      Output: { __type: `com.amazon.coral.service#${refused}` },
      Version: '1.0',
    }),
  }
}
