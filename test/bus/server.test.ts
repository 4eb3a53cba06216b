import { createServer } from 'node:net'
import { connect, type NatsConnection } from 'nats'
import { expect, onTestFinished, test } from 'vitest'
import { checkServer, isAtLeast, type UnfitCode } from '../../bus/server.ts'
import { startNatsServer } from '../nats-server.ts'

async function connectionTo(options: { conf?: string; user?: string; pass?: string } = {}) {
  const server = await startNatsServer({ conf: options.conf ?? '' })
  onTestFinished(() => server.stop())
  const { user, pass } = options
  return connected(server.url, user === undefined ? {} : { user, pass })
}

async function connected(servers: string, credentials: object = {}): Promise<NatsConnection> {
  const nats = await connect({ servers, reconnect: false, ...credentials })
  onTestFinished(() => nats.close())
  return nats
}

async function refusal(nats: NatsConnection): Promise<{ code: UnfitCode; message: string }> {
  const error = await checkServer(nats).then(
    () => undefined,
    (reason) => reason,
  )
  expect(error?.name).toBe('UnfitNatsServer')
  return error
}

test('a server that is new enough and configured for it passes', async () => {
  await checkServer(await connectionTo())
})

test('a server with small messages is refused', async () => {
  const { code, message } = await refusal(await connectionTo({ conf: 'max_payload: 1MB' }))
  expect(code).toBe('NATS_MAX_PAYLOAD_TOO_SMALL')
  expect(message).toContain('max_payload: 8MB')
})

test('a server without JetStream is refused', async () => {
  const { code, message } = await refusal(await connectionTo({ conf: 'jetstream: false' }))
  expect(code).toBe('NATS_JETSTREAM_OFF')
  expect(message).toContain('jetstream {')
})

test('an account without JetStream is refused', async () => {
  const conf = 'accounts {\n  A {\n    users: [ { user: a, password: b } ]\n  }\n}'
  const { code } = await refusal(await connectionTo({ conf, user: 'a', pass: 'b' }))
  expect(code).toBe('NATS_JETSTREAM_OFF')
})

/** An old server is not at hand; what it says when it greets is all that is looked at. */
async function greeter(version: string): Promise<string> {
  const server = createServer((socket) => {
    const info = { server_id: 'x', version, proto: 1, max_payload: 8 * 1024 * 1024, headers: true }
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
    socket.on('data', (chunk) => {
      if (chunk.includes('PING')) socket.write('PONG\r\n')
    })
    socket.on('error', () => {})
    onTestFinished(() => void socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

test('a server that is too old is refused by its version, because it would drop a TTL silently', async () => {
  const url = await greeter('2.10.27')
  const { code, message } = await refusal(await connected(url))
  expect(code).toBe('NATS_TOO_OLD')
  expect(message).toBe(`nats-server 2.10.27 at ${url} is too old: lambus needs 2.12.0 or newer`)
})

test('versions are compared by number', () => {
  expect(isAtLeast('2.12.0', '2.12.0')).toBe(true)
  expect(isAtLeast('2.9.25', '2.12.0')).toBe(false)
  expect(isAtLeast('2.15.1-RC.1', '2.15.0')).toBe(true)
  expect(isAtLeast('3.0.0', '2.99.99')).toBe(true)
  expect(isAtLeast('2.14.0-preview.2', '2.15.0')).toBe(false)
})
