/**
 * The HTTP door: AWS's wire protocol on one side, plain values on the other.
 *
 *     request ─▶ Invoke? ─▶ body ─▶ signature ─────────────────▶ door.invoke
 *           ├──▶ Kinesis? ─▶ body ─▶ signature ─▶ shape ───────▶ door.kinesis
 *           └──▶ Fastify ─▶ body ─▶ signature ─▶ operation ────▶ door.operate
 *                                          └──▶ of SQS ───────▶ door.sqs
 *
 * It knows what a request means and what an answer looks like; it decides nothing about functions. Invoke and Kinesis have a
 * short way of their own, and all may come over HTTP/2 as well as over HTTP/1.1; what else comes in is answered here whatever it is, and nothing that comes in ends the process.
 */
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock, Log } from '../bus/bus.ts'
import type { FunctionCode } from '../machines/function.ts'
import { codePath, presignCodeUrl } from './aws/code-url.ts'
import type { Input } from './aws/constraints.ts'
import { isRefusal, type Refusal, refuse } from './aws/errors.ts'
import type { InvokeAnswer, InvokeRequest } from './aws/invoke.ts'
import {
  type ApiOperation,
  findRoute,
  isOfControlPlane,
  notImplemented,
  type Route,
  unknownOperation,
} from './aws/operations.ts'
import { answerOtherApi } from './aws/other-apis.ts'
import { signatureVerifier, type Verify } from './aws/signature.ts'
import type { Credentials } from './aws/signature-claim.ts'
import { type Answer, ofJson, refused, remapped, write } from './http-answer.ts'
import { type Body, readBody } from './http-body.ts'
import { type Exchanges, exchangesOf } from './http-exchange.ts'
import { hangUp, limitOf, refusalFor, tooLarge } from './http-failures.ts'
import { invokeServer } from './http-invoke-server.ts'
import { type CallKinesis, kinesisServer } from './http-kinesis.ts'
import { fillLocation, readOperationInput, refuseStored, storeCodeOf } from './http-operations.ts'
import { answerSqs, type CallSqs } from './http-sqs.ts'
import { hearHttp2Too } from './http2-beside.ts'

/** An answer of the control plane; `errorType` is there when it is a refusal. */
export type ApiAnswer = {
  status: number
  body: string
  headers?: Record<string, string>
  errorType?: string
}

/** What stands behind the door. */
export type HttpDoor = {
  /** Answers exactly once. */
  invoke(request: InvokeRequest, answer: (answer: InvokeAnswer) => void): void
  operate(operation: ApiOperation, input: Input): Promise<ApiAnswer>
  /** Keeps a package; the same bytes twice are one package. */
  storeCode(zip: Uint8Array): Promise<FunctionCode>
  code(sha256Hex: string): Promise<Uint8Array | undefined>
  /** Absent: SQS is one of the other APIs that are not here. */
  sqs?: CallSqs
  /** Absent: neither is Kinesis. */
  kinesis?: CallKinesis
}

export type HttpDoorOptions = {
  host: string
  /** 0 picks a free one. */
  port: number
  region: string
  account: string
  credentials: Credentials
  clock: Pick<Clock, 'nowMs'>
  /** UUIDs: AWS's request ids. */
  newId: () => string
  log: Log
  door: HttpDoor
  /** How long a request may take to come in, body included. Node's own default, which is no proxy's problem. */
  requestTimeoutMs?: number
}

const requestTimeoutMs = 300_000
/** Fastify's default: longer than proxies keep theirs, so that it is they who close, and never while they send. */
const keepAliveTimeoutMs = 72_000

/** Listens; resolves with the URL. `close()` lets requests in hand end. */
export async function openHttpDoor(
  options: HttpDoorOptions,
): Promise<{ url: string; close(): Promise<void> }> {
  const { log, clock, newId, door, credentials, region } = options
  const verify = signatureVerifier({ credentials, region, now: () => clock.nowMs() })
  const exchanges = exchangesOf({ log, isOpen: () => app.server.listening })
  const takeInvoke = invokeServer({ invoke: door.invoke, verify, clock, newId, exchanges })
  const kinesis = door.kinesis && kinesisServer({ call: door.kinesis, verify, newId, exchanges })
  const requestTimeout = options.requestTimeoutMs ?? requestTimeoutMs
  // At creation: Node derives from the first how long the headers may take, and never times out if that is longer.
  const timeouts = {
    requestTimeout,
    connectionsCheckingInterval: Math.min(requestTimeout, 30_000),
    keepAliveTimeout: keepAliveTimeoutMs,
  }
  const fail = (
    error: Error & { statusCode?: number },
    request: FastifyRequest,
    reply: FastifyReply,
  ) => answerFailure(error, request, reply, options)
  let http2: ReturnType<typeof hearHttp2Too> | undefined
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    serverFactory: (others) => {
      const hear: RequestListener = (request, response) => {
        // Fastify knows how to refuse while it closes.
        const isTaken =
          server.listening &&
          (takeInvoke(request, response) || kinesis?.take(request, response) === true)
        if (!isTaken) others(request, response)
      }
      const server = createServer(timeouts, hear)
      // What a client expects beside 100-continue is not ours to fulfil; Node would refuse in words that are not AWS's.
      server.on('checkExpectation', hear)
      http2 = hearHttp2Too(server, hear, timeouts)
      return server
    },
    frameworkErrors: fail,
    clientErrorHandler: hangUp,
  })

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (request, payload, done) => {
    readBody(payload as FastifyRequest['raw'], limitOf(request.raw.url ?? ''), (body) =>
      done(null, body),
    )
  })
  const serve = server(options, verify, exchanges)
  app.all('*', serve)
  app.setNotFoundHandler(serve)
  app.setErrorHandler(fail)

  const url = await listen(app, options)
  log.debug({ url }, 'the HTTP door is open')
  const close = (): Promise<void> => {
    const closed = app.close()
    kinesis?.close()
    http2?.close()
    return closed
  }
  return { url, close }
}

async function listen(app: FastifyInstance, { host, port }: HttpDoorOptions): Promise<string> {
  await app.listen({ host, port })
  const address = app.server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`
}

/** A request, taken apart once. */
type Call = {
  requestId: string
  method: string
  path: string
  query: string
  headers: FastifyRequest['headers']
  body: Body
  route: Route | Refusal | undefined
}

const empty = Buffer.alloc(0)

function takeApart(request: FastifyRequest, requestId: string): Call {
  const url = request.raw.url ?? '/'
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const query = mark === -1 ? '' : url.slice(mark + 1)
  return {
    requestId,
    method: request.method,
    path,
    query,
    headers: request.headers,
    body: (request.body ?? empty) as Body,
    route: findRoute(request.method, path, query),
  }
}

function server(options: HttpDoorOptions, verify: Verify, exchanges: Exchanges) {
  const { newId, clock, door, region, account, credentials } = options
  const where = { region, account }

  const answer = async (call: Call, response: ServerResponse): Promise<Answer> => {
    const ofSqs = door.sqs && answerSqs({ verify, call: door.sqs }, call, response)
    if (ofSqs !== undefined) return await ofSqs
    if (call.body === 'too large') return refused(tooLarge(operationOf(call)))
    const packageHex = packageOf(call)
    const isOther = call.headers['x-amz-target'] !== undefined || call.path === '/'
    const service = packageHex !== undefined || isOther ? undefined : 'lambda'
    const unsigned = verify({ ...call, body: call.body }, service)
    if (unsigned !== undefined) return refused(unsigned)
    if (packageHex !== undefined) return givePackage(packageHex)
    return isOther ? ofOtherApi(call) : operate(call, call.body)
  }

  const givePackage = async (sha256Hex: string): Promise<Answer> => {
    const zip = await door.code(sha256Hex)
    return zip === undefined
      ? refused(refuse('ResourceNotFoundException', 'The specified key does not exist.'))
      : { status: 200, headers: { 'content-type': 'application/zip' }, body: zip }
  }

  const operate = async (call: Call, body: Buffer): Promise<Answer> => {
    const { route } = call
    if (route === undefined) return refused(unknownOperation(call.method, call.path))
    if (isRefusal(route)) return refused(route)
    const { operation } = route
    // What invokes has gone its own way.
    if (!isOfControlPlane(operation)) return refused(notImplemented(operation))
    const given = readOperationInput(operation, route, call.query, body)
    if (isRefusal(given)) return refused(given)
    const input =
      refuseStored(given) ?? (await storeCodeOf(operation, given, where, door.storeCode))
    if (isRefusal(input)) return refused(input)
    const told = await door.operate(operation, input)
    const headers = {
      ...told.headers,
      ...(told.errorType === undefined ? remapped : { 'x-amzn-errortype': told.errorType }),
    }
    const filled =
      operation === 'GetFunction' && told.status === 200
        ? await fillLocation(told.body, (sha256Hex) => presign(sha256Hex, call))
        : told.body
    return ofJson(told.status, filled, headers)
  }

  const presign = (sha256Hex: string, call: Call) => {
    const origin = `http://${call.headers.host}`
    return presignCodeUrl({ origin, sha256Hex, credentials, region, nowMs: clock.nowMs() })
  }

  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    reply.hijack()
    const call = takeApart(request, newId())
    const exchange = { ...call, response: reply.raw }
    try {
      const told = isHealthCheck(call)
        ? ofJson(200, '{"status":"ok"}')
        : await answer(call, reply.raw)
      exchanges.answer(exchange, told)
    } catch (error) {
      exchanges.fail(exchange, error)
    }
  }
}

const isHealthCheck = ({ method, path }: Call) =>
  path === '/_lambus/health' && (method === 'GET' || method === 'HEAD')

const operationOf = ({ route }: Call) =>
  route === undefined || isRefusal(route) ? 'Unknown' : route.operation

function packageOf({ method, path }: Call): string | undefined {
  const hex = /([0-9a-f]{64})$/.exec(path)?.[1]
  return method === 'GET' && hex !== undefined && path === codePath(hex) ? hex : undefined
}

function ofOtherApi(call: Call): Answer {
  const target = call.headers['x-amz-target']
  const told = answerOtherApi({
    target: Array.isArray(target) ? target[0] : target,
    contentType: call.headers['content-type'],
    query: call.query,
    body: call.body === 'too large' ? empty : call.body,
    requestId: call.requestId,
  })
  if (told === undefined) return refused(unknownOperation(call.method, call.path))
  return {
    status: told.status,
    headers: { 'content-type': told.contentType, 'x-amzn-errortype': told.errorType },
    body: told.body,
  }
}

function answerFailure(
  error: Error & { statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
  { newId, log }: HttpDoorOptions,
): void {
  reply.hijack()
  const requestId = newId()
  const status = error.statusCode ?? 500
  if (status >= 500) log.warn({ requestId, err: error }, 'a request could not be taken in')
  write(reply.raw, requestId, refused(refusalFor(status, request.headers['content-type'])))
}
