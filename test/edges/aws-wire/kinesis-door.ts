/** A real HTTP door with a Kinesis behind it that is told what to answer, and requests to it as any client would sign them. */
import { createHash, createHmac } from 'node:crypto'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { cbor } from '@smithy/core/cbor'
import { SignatureV4 } from '@smithy/signature-v4'
import type { Input } from '../../../edges/aws/constraints.ts'
import type { CallKinesis } from '../../../edges/http-kinesis.ts'
import { credentials, openTestDoor, type TestDoor } from './door.ts'

export const json = 'application/x-amz-json-1.1'
export const amzCbor = 'application/x-amz-cbor-1.1'
export const target = (operation: string) => ({ 'x-amz-target': `Kinesis_20131202.${operation}` })

export type KinesisDoor = TestDoor & {
  calls: { operation: string; input: Input; requestId: string; signal: AbortSignal }[]
  kinesis: { answer: (operation: string, input: Input) => ReturnType<CallKinesis> }
  ask(request: AskOptions): Promise<Told>
  askJson(operation: string, input: unknown): Promise<Told>
  askCbor(operation: string, input: unknown): Promise<Told>
  /** The headers of a request in JSON that somebody else sends. */
  sign(operation: string, input: unknown): Promise<{ headers: Record<string, string> }>
}
export type AskOptions = {
  method?: string
  path?: string
  headers?: Record<string, string>
  body?: string | Uint8Array
  /** Of which service the signature is; none: no signature. */
  service?: string
}
export type Told = {
  status: number
  headers: IncomingHttpHeaders
  raw: Buffer
  /** As its content type has it; text where it has none. */
  body: unknown
}

export async function openKinesisDoor(
  options: { requestTimeoutMs?: number } = {},
): Promise<KinesisDoor> {
  const calls: KinesisDoor['calls'] = []
  const kinesis: KinesisDoor['kinesis'] = { answer: async () => ({}) }
  const door = await openTestDoor({
    ...options,
    kinesis: (operation, input, { requestId, signal }) => {
      calls.push({ operation, input, requestId, signal })
      return kinesis.answer(operation, input)
    },
  })
  const ask = (request: AskOptions) => send(door.port, request)
  return {
    ...door,
    calls,
    kinesis,
    ask,
    askJson: (operation, input) =>
      ask({
        headers: { 'content-type': json, ...target(operation) },
        body: JSON.stringify(input),
        service: 'kinesis',
      }),
    sign: (operation, input) =>
      sign(door.port, {
        headers: { 'content-type': json, ...target(operation) },
        body: JSON.stringify(input),
        service: 'kinesis',
      }),
    askCbor: (operation, input) =>
      ask({
        headers: { 'content-type': amzCbor, ...target(operation) },
        body: cbor.serialize(input),
        service: 'kinesis',
      }),
  }
}

class Sha256 {
  readonly #hash
  constructor(secret?: unknown) {
    this.#hash =
      secret === undefined
        ? createHash('sha256')
        : createHmac('sha256', secret as string | Uint8Array)
  }
  update(chunk: string | Uint8Array) {
    this.#hash.update(chunk)
  }
  async digest() {
    return this.#hash.digest()
  }
}

async function sign(
  port: number,
  { method = 'POST', path = '/', body = '', ...rest }: AskOptions,
): Promise<{ headers: Record<string, string> }> {
  const plain = {
    method,
    protocol: 'http:',
    hostname: '127.0.0.1',
    path: path.split('?')[0] ?? '/',
    headers: { host: `127.0.0.1:${port}`, ...rest.headers },
    body,
  }
  if (rest.service === undefined) return plain
  const { service } = rest
  const signer = { credentials, region: 'us-east-1', service, sha256: Sha256 as never }
  return await new SignatureV4(signer).sign(plain)
}

async function send(port: number, asked: AskOptions): Promise<Told> {
  const { method = 'POST', path = '/', body = '' } = asked
  const { headers } = await sign(port, asked)
  return new Promise<Told>((resolve, reject) => {
    const request = httpRequest({ port, method, path, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const raw = Buffer.concat(chunks)
        const { statusCode: status = 0, headers: told } = response
        resolve({ status, headers: told, raw, body: readBody(told['content-type'], raw) })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

function readBody(contentType: string | undefined, raw: Buffer): unknown {
  if (raw.length === 0) return ''
  if (contentType === amzCbor) return cbor.deserialize(raw)
  return contentType === json || contentType === 'application/json'
    ? JSON.parse(raw.toString())
    : raw.toString()
}
