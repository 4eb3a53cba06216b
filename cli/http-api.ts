/**
 * The API over HTTP: AWS's REST-JSON with a SigV4 signature, as any AWS SDK would send it.
 */
import { createHash, createHmac } from 'node:crypto'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { SignatureV4 } from '@smithy/signature-v4'
import type { Api, Credentials, Input, Operation, Outputs, Upload } from './api.ts'
import { readAwsFailure } from './aws-failure.ts'
import { Failure } from './failure.ts'

type Route = { method: string; path: string; query?: readonly string[] }

const routes: Record<Operation, Route> = {
  CreateFunction: { method: 'POST', path: '/2015-03-31/functions' },
  GetFunction: {
    method: 'GET',
    path: '/2015-03-31/functions/{FunctionName}',
    query: ['Qualifier'],
  },
  GetFunctionConfiguration: {
    method: 'GET',
    path: '/2015-03-31/functions/{FunctionName}/configuration',
    query: ['Qualifier'],
  },
  ListFunctions: { method: 'GET', path: '/2015-03-31/functions', query: ['Marker', 'MaxItems'] },
  UpdateFunctionCode: { method: 'PUT', path: '/2015-03-31/functions/{FunctionName}/code' },
  UpdateFunctionConfiguration: {
    method: 'PUT',
    path: '/2015-03-31/functions/{FunctionName}/configuration',
  },
  DeleteFunction: {
    method: 'DELETE',
    path: '/2015-03-31/functions/{FunctionName}',
    query: ['Qualifier'],
  },
}

type Request = {
  method: string
  path: string
  query: Record<string, string>
  headers: Record<string, string>
  body: Uint8Array
}
type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer }

/** `source` says in messages where the address came from. */
export function openHttpApi(address: string, credentials: Credentials, source: string): Api {
  const send = async (request: Request, onUpload?: Upload) => {
    const signed = await sign(new URL(address), credentials, request)
    const answer = await exchange(address, source, signed, onUpload)
    if (answer.status < 300) return answer
    const type = answer.headers['x-amzn-errortype']
    throw readAwsFailure(
      Array.isArray(type) ? type[0] : type,
      answer.body.toString('utf8'),
      answer.status,
    )
  }
  return {
    async call<Name extends Operation>(operation: Name, input: Input, onUpload?: Upload) {
      const answer = await send(toRequest(routes[operation], input), onUpload)
      return readJson(answer.body, address) as Outputs[Name]
    },
    async invoke({ functionName, qualifier, payload, invocationType, logType }) {
      const { status, headers, body } = await send({
        method: 'POST',
        path: `/2015-03-31/functions/${encodeURIComponent(functionName)}/invocations`,
        query: qualifier === undefined ? {} : { Qualifier: qualifier },
        headers: {
          'content-type': 'application/json',
          'x-amz-invocation-type': invocationType,
          'x-amz-log-type': logType,
        },
        body: payload,
      })
      return {
        statusCode: status,
        ...member('executedVersion', headers['x-amz-executed-version']),
        ...member('functionError', headers['x-amz-function-error']),
        ...member('logResult', headers['x-amz-log-result']),
        ...member('requestId', headers['x-amzn-requestid']),
        payload: body,
      }
    },
    async close() {},
  }
}

const member = (name: string, value: string | string[] | undefined) =>
  typeof value === 'string' ? { [name]: value } : {}

function toRequest(route: Route, input: Input): Request {
  const { FunctionName, ...members } = input
  const isInPath = route.path.includes('{FunctionName}')
  const inBody: Input = { ...members, ...(isInPath ? {} : { FunctionName }) }
  const query: Record<string, string> = {}
  for (const name of route.query ?? []) {
    if (inBody[name] !== undefined) query[name] = String(inBody[name])
    delete inBody[name]
  }
  const hasBody = route.method === 'POST' || route.method === 'PUT'
  return {
    method: route.method,
    path: route.path.replace('{FunctionName}', encodeURIComponent(String(FunctionName))),
    query,
    headers: hasBody ? { 'content-type': 'application/json' } : {},
    body: Buffer.from(hasBody ? JSON.stringify(inBody) : ''),
  }
}

async function sign(base: URL, credentials: Credentials, request: Request): Promise<Request> {
  const { accessKeyId, secretAccessKey, region } = credentials
  const signer = new SignatureV4({
    credentials: { accessKeyId, secretAccessKey },
    region,
    service: 'lambda',
    sha256: Sha256,
  })
  const { headers } = await signer.sign({
    protocol: base.protocol,
    hostname: base.hostname,
    ...(base.port === '' ? {} : { port: Number(base.port) }),
    method: request.method,
    path: request.path,
    query: request.query,
    headers: { ...request.headers, host: base.host },
    body: request.body,
  })
  return { ...request, headers }
}

/** SHA-256 in the form the signer asks for. */
class Sha256 {
  readonly #secret: Parameters<typeof createHmac>[1] | undefined
  #hash: ReturnType<typeof createHash | typeof createHmac>

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? undefined : bytesOf(secret)
    this.#hash = this.#fresh()
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data))
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
  reset(): void {
    this.#hash = this.#fresh()
  }
  #fresh() {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret)
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data)
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

// Large enough that a fast upload is not cut into crumbs, small enough that a bar moves.
const UPLOAD_CHUNK_BYTES = 256 * 1024

function exchange(
  address: string,
  source: string,
  { method, path, query, headers, body }: Request,
  onUpload?: Upload,
): Promise<Answer> {
  const url = new URL(address)
  url.pathname = path
  url.search = new URLSearchParams(query).toString()
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    const outgoing = send(url, {
      method,
      headers: { ...headers, 'content-length': body.length },
      // The process ends with its command: an idle socket would only keep it.
      agent: false,
    })
    outgoing.on('error', (error) => reject(unreachable(error, address, source)))
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', (error) => reject(unreachable(error, address, source)))
      incoming.on('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: Buffer.concat(chunks),
        }),
      )
    })
    let sentBytes = 0
    const sendRest = () => {
      while (sentBytes < body.length) {
        const chunk = body.subarray(sentBytes, sentBytes + UPLOAD_CHUNK_BYTES)
        sentBytes += chunk.length
        const isRoomLeft = outgoing.write(chunk)
        onUpload?.(sentBytes, body.length)
        if (!isRoomLeft) return outgoing.once('drain', sendRest)
      }
      return outgoing.end()
    }
    sendRest()
  })
}

function unreachable(error: NodeJS.ErrnoException, address: string, source: string): Failure {
  const isRefused = error.code === 'ECONNREFUSED' || error.code === 'ENOTFOUND'
  return new Failure(
    'NO_SERVER',
    isRefused
      ? `no server at ${address}: is \`lambus up\` running? (The address is from ${source}.)`
      : `the connection to ${address} broke off (${error.code ?? error.message})`,
    error,
  )
}

function readJson(body: Buffer, address: string): unknown {
  if (body.length === 0) return {}
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new Failure(
      'NOT_LAMBUS',
      `what answers at ${address} does not speak the Lambda API`,
      error,
    )
  }
}
