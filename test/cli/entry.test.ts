import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findSource, functionNameOf, moduleOfHandler } from '../../cli/entry.ts'

let dir: string
beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'lambus-test-entry-')), 'my function')
  mkdirSync(join(dir, 'src'), { recursive: true })
})
afterEach(() => rmSync(join(dir, '..'), { recursive: true, force: true }))

const write = (name: string, text = '') => writeFileSync(join(dir, name), text)
const entryOf = (handler?: string) => findSource(dir, handler).entry?.slice(dir.length + 1)

describe('the entry of a folder', () => {
  test('is its index file, TypeScript before JavaScript', () => {
    write('index.js')
    expect(entryOf()).toBe('index.js')
    write('index.ts')
    expect(entryOf()).toBe('index.ts')
  })

  test.each(['src/app.ts', 'src/app', './src/app.ts'])(
    'is the main of its package.json: %s',
    (main) => {
      write('index.ts')
      write('src/app.ts')
      write('package.json', JSON.stringify({ main }))
      expect(entryOf()).toBe('src/app.ts')
    },
  )

  test('is the file that the handler names', () => {
    write('index.ts')
    write('src/app.mts')
    expect(entryOf('src/app.run')).toBe('src/app.mts')
    expect(entryOf('elsewhere.run')).toBe('index.ts')
  })

  test('is none where nothing is for Node', () => {
    write('app.py')
    expect(entryOf()).toBeUndefined()
  })

  test('whose package.json names a file that is not there is a mistake', () => {
    write('index.ts')
    write('package.json', '{"main":"dist/index.js"}')
    expect(() => entryOf()).toThrow(
      /the main of .* is 'dist\/index\.js', and there is no such file/,
    )
  })

  test('whose package.json is not JSON is a mistake', () => {
    write('package.json', '{')
    expect(() => entryOf()).toThrow(/is not JSON/)
  })
})

test('what is not there is a mistake', () => {
  expect(() => findSource(join(dir, 'nope'))).toThrow(/there is no /)
})

describe('the name of a function', () => {
  const nameOf = (path: string) => functionNameOf(findSource(path), path)

  test('is the name of the folder, made legal', () => {
    expect(nameOf(dir)).toBe('my-function')
  })

  test('is the name of the file, or of the folder of an index file', () => {
    write('say hello.mjs')
    write('index.mjs')
    expect(nameOf(join(dir, 'say hello.mjs'))).toBe('say-hello')
    expect(nameOf(join(dir, 'index.mjs'))).toBe('my-function')
  })

  test('that has no legal letter has to be given', () => {
    write('!!.mjs')
    expect(() => nameOf(join(dir, '!!.mjs'))).toThrow(/give --name/)
  })
})

test.each([
  ['index.handler', 'index'],
  ['src/app.run', 'src/app'],
  ['src/a.b.run', 'src/a.b'],
  ['src.d/run', 'src.d/run'],
])('the handler %s is in module %s', (handler, module) => {
  expect(moduleOfHandler(handler)).toBe(module)
})
