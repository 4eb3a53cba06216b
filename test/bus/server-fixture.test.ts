import { existsSync } from 'node:fs'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from 'nats'
import { expect, onTestFinished, test } from 'vitest'
import { cutProxy, startNatsServer } from '../nats-server.ts'

test('a test server keeps its port and what is stored over kill -9 and restart', async () => {
  const server = await startNatsServer()
  onTestFinished(() => server.stop())
  const nats = await connect({ servers: server.url, reconnectTimeWait: 20 })
  onTestFinished(() => nats.close())
  const manager = await jetstreamManager(nats)
  await manager.streams.add({ name: 'KEPT', subjects: ['kept'] })
  const firstPid = server.pid

  await server.kill()
  await server.restart()

  expect(server.pid).not.toBe(firstPid)
  const again = await connect({ servers: server.url })
  onTestFinished(() => again.close())
  expect((await (await jetstreamManager(again)).streams.info('KEPT')).config.name).toBe('KEPT')
  const jsz = (await (await fetch(`${server.monitoringUrl}/jsz`)).json()) as {
    config: { sync_interval: number; sync_always: boolean }
  }
  expect(jsz.config.sync_always).toBe(true)
  expect(again.info?.max_payload).toBe(8 * 1024 * 1024)
})

test('a test server that is stopped leaves neither process nor files', async () => {
  const server = await startNatsServer()
  const { pid, storeDir } = server
  await server.stop()
  expect(() => process.kill(pid, 0)).toThrow()
  expect(existsSync(storeDir)).toBe(false)
})

test('a cut proxy breaks links, holds them and lets go', async () => {
  const server = await startNatsServer()
  onTestFinished(() => server.stop())
  const proxy = await cutProxy(server.port)
  onTestFinished(() => proxy.close())
  const nats = await connect({ servers: proxy.url, reconnectTimeWait: 20 })
  onTestFinished(() => nats.close())
  nats.subscribe('echo', { callback: (_, message) => void message.respond(message.data) })
  await nats.flush()

  proxy.pause()
  await expect(nats.request('echo', 'a', { timeout: 200 })).rejects.toThrow()
  proxy.resume()
  expect((await nats.request('echo', 'b')).string()).toBe('b')

  const statuses = nats.status()[Symbol.asyncIterator]()
  proxy.cut()
  expect((await statuses.next()).value?.type).toBe('disconnect')
  for (let status = await statuses.next(); status.value?.type !== 'reconnect'; )
    status = await statuses.next()
  expect((await nats.request('echo', 'c')).string()).toBe('c')
})
