/**
 * The clients. The same code asks the floor and lambus, so that its cost is in both figures.
 *
 * Every answer is compared with the event: the function echoes it.
 */
import { createHash, createHmac } from 'node:crypto'
import { Agent, request } from 'node:http'
import { SignatureV4 } from '@smithy/signature-v4'
import { connect } from 'nats'
import { questions } from '../floor/questions.ts'
import type { Invoke } from './load.ts'

/** A small event, as `lambus invoke` sends one. */
export const event = Buffer.from(
  JSON.stringify({ name: 'Ada', list: [1, 2, 3], nested: { ok: true } }),
)

export type NatsServer = { url: string; user?: string; password?: string }

export type NatsClient = AsyncDisposable & {
  /** Invocations by one subject; `payload` is what is sent and must come back. */
  to(subject: string, payload?: Buffer): Invoke
}

export async function natsClient({ url, user, password }: NatsServer): Promise<NatsClient> {
  const nats = await connect({
    servers: url,
    noAsyncTraces: true,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
  })
  const ask = questions(nats)
  return {
    to:
      (subject, payload = event) =>
      (answered) =>
        ask(subject, payload, ({ data, headers }) => {
          const status = headers?.code ? `status ${headers.code}` : undefined
          answered(complaint(payload, data, headers?.get('Nats-Service-Error') || status))
        }),
    [Symbol.asyncDispose]: () => nats.close(),
  }
}

export type HttpTarget = { url: string; path: string }

export type HttpClient = AsyncDisposable & { invoke: Invoke }

/** How long one signature is used. AWS accepts it for 5 minutes, and so must lambus, which checks it each time. */
const signatureAgeMs = 1_000

/** Signs once a second: what it costs a client to sign is not what is asked. The floor gets the same headers. */
export async function httpClient(target: HttpTarget): Promise<HttpClient> {
  const { hostname, port } = new URL(target.url)
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  let headers = await sign(target)
  const signing = setInterval(async () => {
    headers = await sign(target)
  }, signatureAgeMs)
  return {
    invoke: (answered) => {
      const call = request({ agent, hostname, port, path: target.path, method: 'POST', headers })
      call.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const refusal = response.statusCode === 200 ? undefined : `status ${response.statusCode}`
          answered(complaint(event, Buffer.concat(chunks), refusal))
        })
      })
      call.on('error', answered)
      call.end(event)
    },
    async [Symbol.asyncDispose]() {
      clearInterval(signing)
      agent.destroy()
    },
  }
}

function complaint(
  expected: Buffer,
  answer: Uint8Array,
  refusal: string | undefined,
): Error | undefined {
  if (!refusal && expected.equals(answer)) return undefined
  return new Error(
    `wrong answer (${refusal || 'no error'}): ${Buffer.from(answer).toString('utf8')}`,
  )
}

async function sign(target: HttpTarget): Promise<Record<string, string>> {
  const { hostname, port, host } = new URL(target.url)
  const signer = new SignatureV4({
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    region: 'us-east-1',
    service: 'lambda',
    sha256: Sha256,
  })
  const { headers } = await signer.sign({
    method: 'POST',
    protocol: 'http:',
    hostname,
    port: Number(port),
    path: target.path,
    headers: {
      host,
      'content-type': 'application/json',
      'content-length': String(event.length),
    },
    body: event,
  })
  return headers
}

/** What the signer wants of a hash: SHA-256, or HMAC-SHA-256 when it is given a key. */
class Sha256 {
  readonly #hash
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytes(secret))
  }
  update(data: Uint8Array | string): void {
    this.#hash.update(data)
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
  reset(): void {}
}

function bytes(secret: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof secret === 'string') return Buffer.from(secret)
  if (secret instanceof ArrayBuffer) return Buffer.from(secret)
  return Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength)
}
