import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bundle } from '../../cli/bundle.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lambus-test-bundle-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function write(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
}

/** Bundles, puts the file where nothing else is, and calls its handler. */
async function run(entry: string): Promise<{ extension: string; result: unknown }> {
  const { bytes, extension } = await bundle(join(dir, entry), { sourcemap: false })
  const alone = mkdtempSync(join(dir, 'alone-'))
  const file = join(alone, `index${extension}`)
  writeFileSync(file, bytes)
  const { handler } = await import(file)
  return { extension, result: await handler({}) }
}

const commonJsPackage = {
  'node_modules/old/index.js': `
    const os = require('os')
    let native
    try { native = require('not-there-native') } catch {}
    module.exports = { os: typeof os.EOL, dir: typeof __dirname, file: typeof __filename, native }`,
}
const modulePackage = {
  'node_modules/new/package.json': '{"type":"module","exports":"./index.js"}',
  'node_modules/new/index.js':
    'export const here = typeof import.meta.url + typeof import.meta.dirname',
}

describe('a bundle', () => {
  test('of TypeScript is an ES module: top-level await, import.meta and packages of both kinds work', async () => {
    write({
      ...commonJsPackage,
      ...modulePackage,
      'index.ts': `
        import old from 'old'
        import { here } from 'new'
        const four: number = await Promise.resolve(4)
        export const handler = async () => ({ four, here, old, url: typeof import.meta.url })`,
    })
    expect(await run('index.ts')).toEqual({
      extension: '.mjs',
      result: {
        four: 4,
        here: 'stringstring',
        old: { os: 'string', dir: 'string', file: 'string', native: undefined },
        url: 'string',
      },
    })
  })

  test('does not mind that a module makes the names of CommonJS itself', async () => {
    write({
      'index.mjs': `
        import { createRequire } from 'node:module'
        import { fileURLToPath } from 'node:url'
        const require = createRequire(import.meta.url)
        const __filename = fileURLToPath(import.meta.url)
        export const handler = () => [typeof require('node:os').EOL, typeof __filename]`,
    })
    expect((await run('index.mjs')).result).toEqual(['string', 'string'])
  })

  test('of CommonJS stays CommonJS, and its modules keep their import.meta', async () => {
    write({
      ...commonJsPackage,
      ...modulePackage,
      'index.js': `
        const { here } = require('new')
        exports.handler = async () => [here, require('old').os, typeof __dirname]`,
    })
    expect(await run('index.js')).toEqual({
      extension: '.cjs',
      result: ['stringstring', 'string', 'string'],
    })
  })

  test.each([
    ['package.json says "module"', '{"type":"module"}', '.mjs'],
    ['package.json says nothing', '{}', '.cjs'],
  ])('of a file that could be either follows its package: %s', async (_, manifest, extension) => {
    write({ 'package.json': manifest, 'index.js': 'globalThis.handler = () => {}' })
    const made = await bundle(join(dir, 'index.js'), { sourcemap: false })
    expect(made.extension).toBe(extension)
  })

  test('is the same for the same source elsewhere', async () => {
    write({ ...modulePackage, 'index.ts': "export { here as handler } from 'new'" })
    const copy = mkdtempSync(join(tmpdir(), 'lambus-test-bundle-copy-'))
    try {
      cpSync(dir, copy, { recursive: true })
      const made = await Promise.all(
        [dir, copy].map((each) => bundle(join(each, 'index.ts'), { sourcemap: false })),
      )
      expect(Buffer.from(made[0]?.bytes ?? [])).toEqual(Buffer.from(made[1]?.bytes ?? []))
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })

  test('without a dependency that is not installed says which, and to install it', async () => {
    write({
      'package.json': '{"dependencies":{"@some/where":"1"}}',
      'index.ts':
        "import a from '@some/where/part'\nimport b from 'gone'\nexport const handler = () => [a, b]",
    })
    await expect(bundle(join(dir, 'index.ts'), { sourcemap: false })).rejects.toThrow(
      /^'@some\/where', 'gone' are not installed: run `npm install` in \S+ first$/,
    )
  })

  test('that does not compile says where', async () => {
    write({ 'index.ts': "import './nowhere.ts'\nexport const = 1" })
    await expect(bundle(join(dir, 'index.ts'), { sourcemap: false })).rejects.toThrow(
      /index\.ts:2:14: Expected identifier/,
    )
  })

  test('holds its source when a source map is asked for', async () => {
    write({ 'index.ts': 'export const handler = (): number => 1' })
    const { bytes } = await bundle(join(dir, 'index.ts'), { sourcemap: true })
    expect(Buffer.from(bytes).toString()).toMatch(
      /\/\/# sourceMappingURL=data:application\/json;base64,/,
    )
  })
})
