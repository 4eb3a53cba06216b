/** A real HTTP door over real sockets, with a small Lambda in memory behind it: it is the door that is tested. */
import { createHash, randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { LambdaClient } from '@aws-sdk/client-lambda'
import type { Input } from '../../../edges/aws/constraints.ts'
import type { InvokeAnswer, InvokeRequest } from '../../../edges/aws/invoke.ts'
import { type ApiAnswer, type HttpDoor, openHttpDoor } from '../../../edges/http-door.ts'
import type { CallKinesis } from '../../../edges/http-kinesis.ts'

export const silent = { debug() {}, info() {}, warn() {}, error() {} }
export const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }

export type TestDoor = {
  url: string
  port: number
  client: LambdaClient
  invokes: InvokeRequest[]
  operations: { operation: string; input: Input }[]
  packages: Map<string, Uint8Array>
  errors: object[]
  behind: {
    invoke: (request: InvokeRequest) => InvokeAnswer
    operate: (operation: string, input: Input) => ApiAnswer
    /** Is given what answers an Invoke, instead of it being answered at once. */
    answerLater?: (answer: () => void) => void
  }
  /** Closes the door and leaves the client's connections alone. */
  stop(): Promise<void>
  close(): Promise<void>
}

export const result = (payload: Uint8Array | string, more: object = {}): InvokeAnswer => ({
  kind: 'result',
  status: 200,
  executedVersion: '$LATEST',
  functionError: undefined,
  logResult: undefined,
  payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
  ...more,
})

export async function openTestDoor({
  kinesis,
  ...options
}: {
  requestTimeoutMs?: number
  kinesis?: CallKinesis
} = {}): Promise<TestDoor> {
  const invokes: InvokeRequest[] = []
  const operations: { operation: string; input: Input }[] = []
  const packages = new Map<string, Uint8Array>()
  const errors: object[] = []
  const behind: TestDoor['behind'] = {
    invoke: ({ payload }) => result(payload),
    operate: () => ({ status: 200, body: '{}' }),
  }
  const door: HttpDoor = {
    invoke(request, answer) {
      invokes.push(request)
      const give = () => answer(behind.invoke(request))
      if (behind.answerLater === undefined) give()
      else behind.answerLater(give)
    },
    async operate(operation, input) {
      operations.push({ operation, input })
      return behind.operate(operation, input)
    },
    async storeCode(zip) {
      const hash = createHash('sha256').update(zip).digest()
      packages.set(hash.toString('hex'), zip)
      return { sha256: hash.toString('base64'), sizeBytes: zip.length }
    },
    code: async (sha256Hex) => packages.get(sha256Hex),
    ...(kinesis === undefined ? {} : { kinesis }),
  }
  const { url, close } = await openHttpDoor({
    host: '127.0.0.1',
    port: 0,
    region: 'us-east-1',
    account: '000000000000',
    credentials,
    clock: { nowMs: () => Date.now() },
    newId: randomUUID,
    log: { ...silent, error: (fields) => errors.push(fields) },
    door,
    ...options,
  })
  const client = new LambdaClient({
    endpoint: url,
    region: 'us-east-1',
    credentials,
    maxAttempts: 1,
  })
  return {
    url,
    port: Number(new URL(url).port),
    client,
    invokes,
    operations,
    packages,
    errors,
    behind,
    stop: close,
    async close() {
      client.destroy()
      await close()
    },
  }
}

/** Sends bytes as they are and resolves with everything that comes back until the connection ends or falls silent. */
export function sendRaw(
  port: number,
  bytes: string | Uint8Array,
  silenceMs = 150,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let received = ''
    socket.setTimeout(silenceMs, () => socket.destroy())
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
    })
    socket.on('close', () => resolve(received))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(received) : reject(error),
    )
    socket.write(bytes)
  })
}
