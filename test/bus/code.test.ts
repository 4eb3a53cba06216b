import { createHash, randomBytes } from 'node:crypto'
import { Objm } from '@nats-io/obj'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { type Code, openCode } from '../../bus/code.ts'
import { openBus } from '../../bus/connection.ts'
import { codeBucket, objectStream } from '../../bus/subjects.ts'
import { cutProxy, startNatsServer, type TestServer } from '../nats-server.ts'
import { until } from './waiting.ts'

let server: TestServer
let bus: Bus
let code: Code

beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'control-plane', id: 'code' })
  code = await openCode(bus)
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const same = (left: Uint8Array | undefined, right: Uint8Array) =>
  left !== undefined && Buffer.compare(left, right) === 0
const chunksStored = async () => {
  const manager = await bus.jetstreamManager()
  const { state } = await manager.streams.info(objectStream(codeBucket), {
    subjects_filter: `$O.${codeBucket}.C.>`,
  })
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0)
}

describe('a package', () => {
  test.for([0, 1, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 5_000_000])(
    'of %d bytes comes back as it was',
    async (sizeBytes) => {
      const bytes = randomBytes(sizeBytes)
      const name = sha256(bytes)
      expect(await code.has(name)).toBe(false)
      expect(await code.get(name)).toBeUndefined()
      await code.put(name, bytes)
      expect(await code.has(name)).toBe(true)
      expect(same(await code.get(name), bytes)).toBe(true)
      await code.remove(name)
    },
  )

  test('of 50 MB is stored, and says how far it is', async () => {
    const bytes = randomBytes(50 * 1024 * 1024)
    const name = sha256(bytes)
    const progress: number[] = []
    await code.put(name, bytes, (sentBytes, totalBytes) => {
      expect(totalBytes).toBe(bytes.length)
      progress.push(sentBytes)
    })
    expect(progress).toHaveLength(25)
    expect(progress).toEqual([...progress].sort((left, right) => left - right))
    expect(progress.at(-1)).toBe(bytes.length)
    expect(same(await code.get(name), bytes)).toBe(true)
    await code.remove(name)
  })

  test('that is there already is not stored again', async () => {
    const bytes = randomBytes(300_000)
    await code.put(sha256(bytes), bytes)
    const before = await chunksStored()
    const progress: number[] = []
    await code.put(sha256(bytes), bytes, (sentBytes) => progress.push(sentBytes))
    expect(await chunksStored()).toBe(before)
    expect(progress).toEqual([bytes.length])
  })

  test('stored by many at once is there once, and readable all the while', async () => {
    const bytes = randomBytes(2_000_000)
    const name = sha256(bytes)
    const before = await chunksStored()
    let storing = true
    const readings: boolean[] = []
    const reading = (async () => {
      while (storing) {
        const found = await code.get(name)
        if (found !== undefined) readings.push(same(found, bytes))
      }
    })()
    await Promise.all(Array.from({ length: 8 }, () => code.put(name, bytes)))
    storing = false
    await reading
    expect(readings.every(Boolean)).toBe(true)
    expect(same(await code.get(name), bytes)).toBe(true)
    expect((await chunksStored()) - before).toBe(Math.ceil(bytes.length / (128 * 1024)))
  })

  test('is refused under a name that is not its digest', async () => {
    const bytes = randomBytes(10)
    await expect(code.put(sha256(randomBytes(10)), bytes)).rejects.toMatchObject({
      code: 'BUS_DIGEST_MISMATCH',
    })
    for (const name of ['', 'a', sha256(bytes).toUpperCase(), `${sha256(bytes)}.>`]) {
      await expect(code.get(name)).rejects.toMatchObject({ code: 'BUS_BAD_SUBJECT' })
    }
  })

  test('that was removed is gone with all its chunks, and may be stored again', async () => {
    const bytes = randomBytes(300_000)
    const name = sha256(bytes)
    const before = await chunksStored()
    await code.put(name, bytes)
    await code.remove(name)
    await code.remove(name)
    expect(await code.has(name)).toBe(false)
    expect(await code.get(name)).toBeUndefined()
    expect(await chunksStored()).toBe(before)
    await code.put(name, bytes)
    expect(same(await code.get(name), bytes)).toBe(true)
  })

  test('that is damaged is not handed out', async () => {
    const bytes = randomBytes(1_000)
    const name = sha256(bytes)
    const store = await new Objm(bus.nats).open(codeBucket)
    await store.putBlob({ name }, randomBytes(1_000))
    await expect(code.get(name)).rejects.toMatchObject({ code: 'BUS_DIGEST_MISMATCH' })
    await store.delete(name)
    expect(await code.get(name)).toBeUndefined()
    await code.put(name, bytes)
    expect(same(await code.get(name), bytes)).toBe(true)
  })

  test("can be read with the clients' own object store, and one stored there by ours", async () => {
    const bytes = randomBytes(300_000)
    const store = await new Objm(bus.nats).open(codeBucket)
    await code.put(sha256(bytes), bytes)
    expect(same((await store.getBlob(sha256(bytes))) ?? undefined, bytes)).toBe(true)
    const other = randomBytes(300_000)
    await store.putBlob({ name: sha256(other) }, other)
    expect(same(await code.get(sha256(other)), other)).toBe(true)
  })
})

describe('a link that breaks', () => {
  test('in the middle of an upload, whose process then dies, leaves nothing that looks whole', async () => {
    const proxy = await cutProxy(server.port)
    const far = await openBus({ servers: proxy.url, role: 'control-plane', id: 'far' })
    const bytes = randomBytes(20_000_000)
    const name = sha256(bytes)
    let sent = 0
    const storing = (await openCode(far)).put(name, bytes, (sentBytes) => {
      sent = sentBytes
    })
    const ended = storing.catch((error) => error)
    await until(() => sent > 0)
    await proxy.close()
    await until(() => !far.up)
    await far.close()
    expect(await ended).toBeInstanceOf(Error)
    expect(await code.has(name)).toBe(false)
    expect(await code.get(name)).toBeUndefined()
    await code.put(name, bytes)
    expect(same(await code.get(name), bytes)).toBe(true)
  })

  test('and comes back delays an upload and a download, and spoils neither', async () => {
    const proxy = await cutProxy(server.port)
    const far = await openBus({
      servers: proxy.url,
      role: 'control-plane',
      id: 'far',
      timeoutMs: 3_000,
    })
    const there = await openCode(far)
    const bytes = randomBytes(20_000_000)
    const name = sha256(bytes)
    let sent = 0
    const storing = there.put(name, bytes, (sentBytes) => {
      sent = sentBytes
    })
    await until(() => sent > 0)
    proxy.cut()
    await storing
    expect(same(await code.get(name), bytes)).toBe(true)

    const reading = there.get(name)
    const received = far.nats.stats().inBytes
    await until(() => far.nats.stats().inBytes > received + 1_000_000)
    proxy.cut()
    expect(same(await reading, bytes)).toBe(true)
    await far.close()
    await proxy.close()
  })
})
