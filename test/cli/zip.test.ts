import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { strFromU8, unzipSync } from 'fflate'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import yauzl from 'yauzl'
import { codeSha256, readTree, zip } from '../../cli/zip.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lambus-test-zip-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const entry = (text: string, executable = false) => ({ bytes: Buffer.from(text), executable })

describe('a zip', () => {
  test('is the same whatever the order of its files, the hour and the time zone', () => {
    const before = process.env['TZ']
    const made = ['UTC', 'Asia/Kolkata', 'America/Los_Angeles'].map((zone, index) => {
      process.env['TZ'] = zone
      const files = { 'b/c.mjs': entry('c'), 'a.mjs': entry('a') }
      return zip(index === 0 ? files : Object.fromEntries(Object.entries(files).reverse()))
    })
    if (before === undefined) delete process.env['TZ']
    else process.env['TZ'] = before
    expect(new Set(made.map(codeSha256)).size).toBe(1)
  })

  test('differs when a byte, a name or the right to be run differs', () => {
    const shas = [
      zip({ a: entry('1') }),
      zip({ a: entry('2') }),
      zip({ b: entry('1') }),
      zip({ a: entry('1', true) }),
    ].map(codeSha256)
    expect(new Set(shas).size).toBe(4)
  })

  test('gives its files Unix modes, which a bootstrap needs to be run', async () => {
    const bytes = zip({ bootstrap: entry('#!/bin/sh', true), data: entry('x') })
    const modes = await modesOf(Buffer.from(bytes))
    expect(modes).toEqual({ bootstrap: '100755', data: '100644' })
  })
})

describe('a folder', () => {
  test('is read with its subfolders and linked files, without .git and .lambus', () => {
    for (const name of ['sub', '.git', '.lambus']) {
      mkdirSync(join(dir, name))
      writeFileSync(join(dir, name, 'file'), name)
    }
    writeFileSync(join(dir, 'run'), 'x')
    chmodSync(join(dir, 'run'), 0o700)
    utimesSync(join(dir, 'run'), 1, 1)
    symlinkSync('run', join(dir, 'link'))
    symlinkSync('nowhere', join(dir, 'dangling'))
    const unzipped = unzipSync(zip(readTree(dir)))
    const texts = Object.fromEntries(
      Object.entries(unzipped).map(([path, bytes]) => [path, strFromU8(bytes)]),
    )
    expect(texts).toEqual({ link: 'x', run: 'x', 'sub/file': 'sub' })
  })

  test('that links to itself is refused', () => {
    mkdirSync(join(dir, 'sub'))
    symlinkSync('..', join(dir, 'sub', 'up'))
    expect(() => readTree(dir)).toThrow(/is a link to a folder that it is in/)
  })

  test('without files is refused', () => {
    expect(() => readTree(dir)).toThrow(/there are no files/)
  })
})

async function modesOf(bytes: Buffer): Promise<Record<string, string>> {
  const modes: Record<string, string> = {}
  return await new Promise((resolve, reject) => {
    yauzl.fromBuffer(bytes, (error, file) => {
      if (error !== null || file === undefined) return reject(error)
      file.on('entry', (each: yauzl.Entry) => {
        modes[each.fileName] = (each.externalFileAttributes >>> 16).toString(8)
      })
      file.on('end', () => resolve(modes))
      file.on('error', reject)
    })
  })
}
