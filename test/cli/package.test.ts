/**
 * What `npm pack` makes, as a stranger meets it: installed into an empty folder, with nothing of this checkout around it.
 */
import { execFile, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cleanEnvironment, endLeftovers, startLambus } from './run-lambus.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')

const missing = !existsSync(join(root, 'main.ts'))
  ? 'there is no main.ts'
  : spawnSync('npm', ['--version'], { env: cleanEnvironment() as NodeJS.ProcessEnv }).status === 0
    ? undefined
    : 'there is no npm'
if (missing !== undefined) console.log(`test/cli/package.test.ts did not run: ${missing}`)

describe.skipIf(missing !== undefined)('the package', () => {
  let dir: string
  let project: string
  // npm's own words only: warnings about somebody's npmrc are not ours.
  const env = { ...cleanEnvironment(), npm_config_loglevel: 'error' } as NodeJS.ProcessEnv
  const inProject = (file: string, ...args: string[]) => run(file, args, { cwd: project, env })

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lambus-test-package-'))
    project = join(dir, 'project')
    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}')
    await run('npm', ['pack', '--pack-destination', dir], { cwd: root, env })
    const [tarball = ''] = readdirSync(dir).filter((name) => name.endsWith('.tgz'))
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', join(dir, tarball)]
    await inProject('npm', ...install)
  }, 180_000)
  afterAll(async () => {
    await endLeftovers()
    rmSync(dir, { recursive: true, force: true })
  })

  test('holds nothing but what is used', () => {
    const installed = readdirSync(join(project, 'node_modules/lambus')).sort()
    const allowed = [
      'ARCHITECTURE.md',
      'LICENSE',
      'README.md',
      'bin',
      'dist',
      'docs',
      'nats.conf',
      'package.json',
    ]
    expect(allowed).toEqual(expect.arrayContaining(installed))
    expect(existsSync(join(project, 'node_modules/lambus/dist/runtimes'))).toBe(true)
  })

  test('has a command', async () => {
    const { stdout } = await inProject('npx', 'lambus', '--version')
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test('has types: somebody else hosts a machine of theirs in TypeScript', async () => {
    writeFileSync(
      join(project, 'app.ts'),
      `import { host } from 'lambus/actors'
       import { functionMachine } from 'lambus/machines/function'
       export const face: [Function, string] = [host, functionMachine.id]
       // @ts-expect-error it is a function
       export const wrong: number = host`,
    )
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    // What `tsc --init` gives a new project, and stricter: declarations of packages are checked, too.
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'esnext']
    const checked = await inProject(process.execPath, compiler, ...options, 'app.ts').catch(
      (error: { stdout: string }) => error,
    )
    expect(checked.stdout).toBe('')
  })

  test('runs the whole system, and the example that needs a package from npm', async () => {
    const npx = [process.execPath, join(project, 'node_modules/lambus/bin/lambus.js')]
    const ports = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']
    const server = await startLambus(npx, ['up', ...ports], { cwd: project })
    mkdirSync(join(project, 'hello'))
    writeFileSync(
      join(project, 'hello/index.ts'),
      'export const handler = async (n: number) => n + 1',
    )
    await inProject('npx', 'lambus', 'deploy', 'hello')
    const { stdout } = await inProject('npx', 'lambus', 'invoke', 'hello', '41')
    expect(stdout).toBe('42\n')

    const example = join(project, 'sizes')
    cpSync(join(root, 'examples/typescript'), example, {
      recursive: true,
      filter: (path) => !path.endsWith('node_modules'),
    })
    const early = inProject('npx', 'lambus', 'deploy', 'sizes')
    await expect(early).rejects.toThrow(
      "'pretty-bytes' is not installed: run `npm install` in sizes",
    )
    await inProject('npm', 'install', '--prefix', 'sizes', '--prefer-offline', '--no-audit')
    await inProject('npx', 'lambus', 'deploy', 'sizes')
    const sizes = await inProject('npx', 'lambus', 'invoke', 'sizes', '{"bytes":[1337]}')
    expect(sizes.stdout).toBe('{"sizes":["1.34 kB"]}\n')

    expect(await server.end()).toBe(0)
  }, 60_000)
})
