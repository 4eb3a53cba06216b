import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import { findNatsServer, NatsServerNotFound } from '../../bus/server-binary.ts'
import { fileInTar } from '../../bus/server-release.ts'

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-test-find-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A program that says it is nats-server of this version. */
function fake(dir: string, version: string): string {
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'nats-server')
  writeFileSync(path, `#!/bin/sh\necho 'nats-server: v${version}'\n`, { mode: 0o755 })
  return path
}

/** A machine on which no other way leads anywhere: no apt, no release for it. */
const nowhere = () => ({
  cacheDir: join(tempDir(), 'cache'),
  aptDir: tempDir(),
  release: undefined,
})

async function failure(promise: Promise<unknown>): Promise<NatsServerNotFound> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(NatsServerNotFound)
  return error
}

test('LAMBUS_NATS_SERVER wins over PATH', async () => {
  const named = fake(tempDir(), '2.99.0')
  const PATH = dirname(fake(tempDir(), '2.15.0'))
  const environment = { LAMBUS_NATS_SERVER: named, PATH }
  expect(await findNatsServer({ environment, ...nowhere() })).toEqual({
    path: named,
    version: '2.99.0',
  })
})

test('a LAMBUS_NATS_SERVER that does not work is an error, not passed over', async () => {
  const PATH = dirname(fake(tempDir(), '2.15.0'))
  const environment = { LAMBUS_NATS_SERVER: '/no/such/program', PATH }
  const { tried, code } = await failure(findNatsServer({ environment, ...nowhere() }))
  expect(code).toBe('NATS_SERVER_NOT_FOUND')
  expect(tried).toEqual([
    { way: 'LAMBUS_NATS_SERVER=/no/such/program', why: expect.stringContaining('ENOENT') },
  ])
})

test('an old server on PATH is passed over for a newer one further on', async () => {
  const old = fake(tempDir(), '2.10.27')
  const good = fake(tempDir(), '2.12.0')
  const PATH = [dirname(old), dirname(good)].join(delimiter)
  expect((await findNatsServer({ environment: { PATH }, ...nowhere() })).path).toBe(good)
})

test('the newest server of the cache is used', async () => {
  const cacheDir = tempDir()
  for (const version of ['2.9.0', '2.14.5', '2.15.1']) fake(join(cacheDir, version), version)
  const found = await findNatsServer({ environment: { PATH: '' }, ...nowhere(), cacheDir })
  expect(found).toEqual({ path: join(cacheDir, '2.15.1', 'nats-server'), version: '2.15.1' })
})

test('when nothing is found one error says why, way by way', async () => {
  const old = fake(tempDir(), '2.10.27')
  const elsewhere = nowhere()
  const { message, tried } = await failure(
    findNatsServer({ environment: { PATH: dirname(old) }, ...elsewhere }),
  )
  expect(tried).toEqual([
    { way: old, why: 'version 2.10.27 is too old' },
    {
      way: 'official release 2.14.5',
      why: `no pinned build for ${process.platform}-${process.arch}`,
    },
    {
      way: 'package of a newer Debian',
      why: `no Debian mirror in ${elsewhere.aptDir}: not a Debian machine?`,
    },
  ])
  for (const { way, why } of tried) expect(message).toContain(`${way}: ${why}`)
  expect(message).toContain('LAMBUS_NATS_SERVER')
  expect(message).toContain('--nats')
})

/** An archive as the project publishes it, behind a server of our own. */
async function published(version: string) {
  const dir = tempDir()
  fake(join(dir, 'nats-server-v2'), version)
  writeFileSync(join(dir, 'nats-server-v2', 'LICENSE'), 'x'.repeat(1_000))
  execFileSync('tar', ['-czf', 'a.tgz', 'nats-server-v2'], { cwd: dir })
  const archive = readFileSync(join(dir, 'a.tgz'))
  const server = createServer((request, response) => {
    if (request.url !== '/a.tgz') response.writeHead(404).end()
    else response.writeHead(200, { 'content-length': archive.length }).end(archive)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sha256: createHash('sha256').update(archive).digest('hex'),
    bytes: archive.length,
  }
}

test('the official release is downloaded, checked, kept in the cache, and found there next time', async () => {
  const { url, sha256, bytes } = await published('2.14.5')
  const elsewhere = nowhere()
  const environment = { PATH: '' }
  const seen: unknown[][] = []
  const found = await findNatsServer({
    environment,
    ...elsewhere,
    release: { url: `${url}/a.tgz`, sha256 },
    onProgress: (...args) => seen.push(args),
  })
  expect(found).toEqual({
    path: join(elsewhere.cacheDir, '2.14.5', 'nats-server'),
    version: '2.14.5',
  })
  expect(seen.at(-1)).toEqual(['downloading nats-server 2.14.5', bytes, bytes])
  expect(readdirSync(elsewhere.cacheDir)).toEqual(['2.14.5'])
  expect(await findNatsServer({ environment, ...elsewhere })).toEqual(found)
})

test('two who download at once both end with a whole server', async () => {
  const { url, sha256 } = await published('2.14.5')
  const elsewhere = nowhere()
  const find = () =>
    findNatsServer({
      environment: { PATH: '' },
      ...elsewhere,
      release: { url: `${url}/a.tgz`, sha256 },
    })
  const [one, two] = await Promise.all([find(), find()])
  expect(one).toEqual(two)
  expect(readdirSync(elsewhere.cacheDir)).toEqual(['2.14.5'])
})

test('an archive with another checksum is neither unpacked nor kept', async () => {
  const { url } = await published('2.14.5')
  const elsewhere = nowhere()
  const release = { url: `${url}/a.tgz`, sha256: '0'.repeat(64) }
  const { tried } = await failure(
    findNatsServer({ environment: { PATH: '' }, ...elsewhere, release }),
  )
  expect(tried[1]?.why).toMatch(/has SHA-256 [0-9a-f]{64}, not 0{64}: not used/)
  expect(readdirSync(elsewhere.cacheDir)).toEqual([])
})

test('a release that is not there is a reason like the others', async () => {
  const { url } = await published('2.14.5')
  const release = { url: `${url}/other.tgz`, sha256: '' }
  const { tried } = await failure(
    findNatsServer({ environment: { PATH: '' }, ...nowhere(), release }),
  )
  expect(tried[1]?.why).toBe(`${url}/other.tgz answers 404`)
})

test('a file is found in a tar archive by its name, in whatever folder', () => {
  const dir = tempDir()
  mkdirSync(join(dir, 'a'))
  writeFileSync(join(dir, 'a', 'first'), 'x'.repeat(1_500))
  writeFileSync(join(dir, 'a', 'second'), 'wanted')
  const tar = execFileSync('tar', ['-cf', '-', 'a'], { cwd: dir })
  expect(fileInTar(tar, 'second')?.toString()).toBe('wanted')
  expect(fileInTar(tar, 'a')).toBeUndefined()
  expect(fileInTar(Buffer.alloc(0), 'second')).toBeUndefined()
})

test('the server that these tests run on is new enough', () => {
  expect(inject('natsServer').version).toMatch(/^2\.(1[2-9]|[2-9]\d)\./)
})
