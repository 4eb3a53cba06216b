import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ZipOptions, zipSync } from 'fflate'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openPackageCache, removePackages } from '../../edges/package-cache.ts'

/** What is removed goes in the background. */
const patience = { timeout: 10_000 }

type ZipFiles = Record<string, Uint8Array | [Uint8Array, ZipOptions]>

const text = (content: string) => Buffer.from(content)
const unix = (mode: number): ZipOptions => ({ os: 3, attrs: mode << 16 })
const link = (target: string): [Uint8Array, ZipOptions] => [text(target), unix(0o120777)]
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

function openCache(zips: Uint8Array[], { maxBytes = 1e9, dir = makeDir() } = {}) {
  const store = new Map(zips.map((zip) => [sha256(zip), zip]))
  const fetched: string[] = []
  const fetch = async (sha256Hex: string) => {
    fetched.push(sha256Hex)
    return store.get(sha256Hex)
  }
  return { cache: openPackageCache(dir, fetch, maxBytes), fetched, dir }
}

function makeDir() {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-packages-'))
  onTestFinished(() => removePackages(dir))
  return dir
}

const unpackOne = (files: ZipFiles) => {
  const zip = zipSync(files)
  const { cache, dir } = openCache([zip])
  return { task: cache.unpack(sha256(zip)), dir, zip }
}

test('a project around the cache does not make its handlers ES modules', async () => {
  const { task, dir } = unpackOne({ 'index.js': text('exports.handler = () => 1') })
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
  const { handler } = createRequire(import.meta.url)(join(await task, 'index.js'))
  expect(handler()).toBe(1)
})

test('a package is unpacked with its directories, read-only, executables executable', async () => {
  const root = await unpackOne({
    'index.js': text('exports.handler = () => 1'),
    'bin/tool': [text('#!/bin/sh'), unix(0o100755)],
    'lib/deep/data.json': [text('{}'), unix(0o100600)],
    'empty/': new Uint8Array(),
  }).task
  const mode = (name: string) => statSync(join(root, name)).mode & 0o777
  expect(readFileSync(join(root, 'index.js'), 'utf8')).toBe('exports.handler = () => 1')
  expect(mode('index.js')).toBe(0o444)
  expect(mode('bin/tool')).toBe(0o555)
  expect(mode('lib/deep/data.json')).toBe(0o444)
  expect(mode('empty')).toBe(0o555)
  expect(mode('lib/deep')).toBe(0o555)
})

test('links within the package are kept', async () => {
  const root = await unpackOne({
    'lib/tool.js': text('1'),
    'bin/tool': link('../lib/tool.js'),
    current: link('lib'),
  }).task
  expect(readlinkSync(join(root, 'bin/tool'))).toBe('../lib/tool.js')
  expect(readFileSync(join(root, 'current/tool.js'), 'utf8')).toBe('1')
})

test.each<[string, ZipFiles]>([
  ['up from the root', { a: link('../outside') }],
  ['absolute', { a: link('/etc/passwd') }],
  ['up again after going down', { 'd/l': link('..'), m: link('d/l/../../x') }],
  ['only up', { 'a/b': link('../..') }],
  ['empty', { a: link('') }],
])('a link that is %s is refused', async (_how, files) => {
  const { task, dir } = unpackOne(files)
  await expect(task).rejects.toMatchObject({ code: 'PACKAGE_UNSAFE' })
  expect(readdirSync(dir)).toEqual([])
})

test.each(['../evil.js', '/evil.js', 'a/../../evil.js'])('the path %s is refused', async (name) => {
  const { task, dir } = unpackOne({ [name]: text('1') })
  await expect(task).rejects.toMatchObject({ code: 'PACKAGE_CORRUPT' })
  expect(readdirSync(dir)).toEqual([])
  expect(existsSync(join(dir, '..', 'evil.js'))).toBe(false)
})

test('a file below a link is refused, not written through it', async () => {
  const { task, dir } = unpackOne({ a: link('b'), 'a/evil.js': text('1') })
  await expect(task).rejects.toMatchObject({ code: 'PACKAGE_CORRUPT' })
  expect(readdirSync(dir)).toEqual([])
})

/** A zip whose directory says that its only file has `bytes` when unpacked. Source: APPNOTE.TXT 4.3.12. */
function zipThatSays(bytes: number) {
  const zip = Buffer.from(zipSync({ a: [new Uint8Array(100_000), { level: 6 }] }))
  const directory = zip.indexOf(Buffer.from([0x50, 0x4b, 1, 2]))
  zip.writeUInt32LE(bytes, directory + 24)
  return zip
}

test.each([
  ['says that it unpacks to more than 262,144,000 bytes (§2.3)', 262_144_001, 'PACKAGE_TOO_LARGE'],
  ['holds more than it says', 10, 'PACKAGE_CORRUPT'],
])('a package that %s is refused', async (_what, bytes, code) => {
  const zip = zipThatSays(bytes)
  const { cache, dir } = openCache([zip])
  await expect(cache.unpack(sha256(zip))).rejects.toMatchObject({ code })
  expect(readdirSync(dir)).toEqual([])
})

test.each([
  ['no zip at all', text('hello')],
  ['cut in half', zipSync({ a: text('x'.repeat(500)) }).subarray(0, 60)],
])('a package that is %s is PACKAGE_CORRUPT', async (_what, zip) => {
  const { cache } = openCache([zip])
  await expect(cache.unpack(sha256(zip))).rejects.toMatchObject({ code: 'PACKAGE_CORRUPT' })
})

test('a package that is not the one asked for is PACKAGE_CORRUPT, and none is PACKAGE_MISSING', async () => {
  const zip = zipSync({ a: text('1') })
  const cache = openPackageCache(makeDir(), async (sha) => (sha.startsWith('0') ? zip : undefined))
  await expect(cache.unpack('0'.repeat(64))).rejects.toMatchObject({ code: 'PACKAGE_CORRUPT' })
  await expect(cache.unpack('1'.repeat(64))).rejects.toMatchObject({ code: 'PACKAGE_MISSING' })
})

test('many sandboxes at once cause one download, and a failed one is tried again', async () => {
  const zip = zipSync({ a: text('1') })
  let attempts = 0
  const cache = openPackageCache(makeDir(), async () => {
    attempts += 1
    if (attempts === 1) throw new Error('the network')
    return zip
  })
  const first = await Promise.allSettled(Array.from({ length: 5 }, () => cache.unpack(sha256(zip))))
  expect(first.every(({ status }) => status === 'rejected')).toBe(true)
  const roots = await Promise.all(Array.from({ length: 50 }, () => cache.unpack(sha256(zip))))
  expect(new Set(roots).size).toBe(1)
  expect(attempts).toBe(2)
})

test('a worker that starts again finds what was whole and removes what was not', async () => {
  const zip = zipSync({ a: text('1') })
  const dir = makeDir()
  const before = openCache([zip], { dir })
  const root = await before.cache.unpack(sha256(zip))
  mkdirSync(join(dir, '.unfinished-abc/task'), { recursive: true })
  writeFileSync(join(dir, '.unfinished-abc/task/half'), 'x')
  const after = openCache([zip], { dir })
  expect(await after.cache.unpack(sha256(zip))).toBe(root)
  await vi.waitFor(() => expect(readdirSync(dir)).toEqual([sha256(zip)]), patience)
  expect(after.fetched).toEqual([])
})

test('over its size the cache drops what is longest unused, and nothing in use', async () => {
  const zips = ['a', 'b', 'c', 'd'].map((name) => zipSync({ [name]: text(name.repeat(1000)) }))
  const [a, b, c, d] = zips.map(sha256) as [string, string, string, string]
  const { cache, dir, fetched } = openCache(zips, { maxBytes: 2500 })
  const kept = () =>
    readdirSync(dir)
      .filter((name) => !name.startsWith('.'))
      .sort()
  await cache.unpack(a)
  await cache.unpack(b)
  await cache.unpack(c)
  expect(kept()).toEqual([a, b, c].sort())
  cache.release(c)
  await cache.unpack(d)
  await vi.waitFor(() => expect(kept()).toEqual([a, b, d].sort()), patience)
  cache.release(a)
  cache.release(b)
  await cache.unpack(c)
  await vi.waitFor(() => expect(kept()).toEqual([c, d].sort()), patience)
  expect(fetched).toEqual([a, b, c, d, c])
})
