/**
 * The commands against the system itself, each a process of its own, as README.md shows them.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectionFile } from '../../cli/connection.ts'
import {
  endLeftovers,
  lambusCommand,
  type Ran,
  runLambus,
  type Server,
  startLambus,
} from './run-lambus.ts'

const root = join(import.meta.dirname, '../..')
const isThere = existsSync(join(root, 'main.ts'))
if (!isThere) console.log('test/cli/system.test.ts did not run: there is no main.ts')

const anyPorts = ['--http-port', '0', '--inspector-port', '0', '--nats-port', '0']

describe.skipIf(!isThere)('lambus', { timeout: 60_000 }, () => {
  let dir: string
  let dataDir: string
  let server: Server

  const lambus = (args: string[], stdin?: string): Promise<Ran> =>
    runLambus([...args, '--data-dir', dataDir], {
      cwd: dir,
      ...(stdin === undefined ? {} : { stdin }),
    })
  const json = async (args: string[]) => JSON.parse((await lambus([...args, '--json'])).stdout)
  const write = (path: string, text: string) => {
    mkdirSync(join(dir, path, '..'), { recursive: true })
    writeFileSync(join(dir, path), text)
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lambus-test-system-'))
    dataDir = join(dir, 'data')
    server = await startLambus(lambusCommand, ['up', ...anyPorts, '--data-dir', dataDir], {
      cwd: dir,
    })
    cpSync(join(root, 'examples/hello'), join(dir, 'hello'), { recursive: true })
  })
  afterAll(async () => {
    await endLeftovers()
    rmSync(dir, { recursive: true, force: true })
  })

  test('says on stdout that it is ready, in one line without a secret, and nothing else', () => {
    expect(server.stdout).toHaveLength(1)
    expect(server.ready.http).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(server.ready.nats).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/)
  })

  test('logs JSON, line by line, when nobody watches', () => {
    for (const line of server.stderr().split('\n').filter(Boolean)) {
      expect(JSON.parse(line)).toMatchObject({
        level: expect.any(String),
        time: expect.any(String),
      })
    }
  })

  test('tells its owner alone how to get in', () => {
    expect(statSync(connectionFile(dataDir)).mode & 0o777).toBe(0o600)
  })

  test('deploys a folder and invokes it', async () => {
    const deployed = await lambus(['deploy', 'hello'])
    expect(deployed).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^created hello \(nodejs24\.x, index\.handler, \d+ B\)\n$/),
    })
    expect(await lambus(['invoke', 'hello', '{"name":"Ada"}'])).toEqual({
      code: 0,
      stdout: '{"message":"Hello, Ada!"}\n',
      stderr: '',
    })
  })

  test('does not update what has not changed, and updates what has', async () => {
    write('counter/index.mjs', 'export const handler = async () => 1')
    expect((await json(['deploy', 'counter'])).action).toBe('created')
    expect((await json(['deploy', 'counter'])).action).toBe('unchanged')
    write('counter/index.mjs', 'export const handler = async () => 2')
    expect((await json(['deploy', 'counter'])).action).toBe('updated')
    expect((await lambus(['invoke', 'counter'])).stdout).toBe('2\n')
    const changed = await json([
      'deploy',
      'counter',
      '--memory',
      '256',
      '--env',
      'AA=1',
      '--env',
      'BB=x=y',
    ])
    expect(changed).toMatchObject({
      action: 'updated',
      configuration: { MemorySize: 256, Environment: { Variables: { AA: '1', BB: 'x=y' } } },
    })
    const same = await json([
      'deploy',
      'counter',
      '--memory',
      '256',
      '--env',
      'BB=x=y',
      '--env',
      'AA=1',
    ])
    expect(same.action).toBe('unchanged')
  })

  test('deploys TypeScript with a package in it', async () => {
    write('ts/node_modules/shout/package.json', '{"type":"module","exports":"./index.js"}')
    write('ts/node_modules/shout/index.js', 'export const shout = (text) => text.toUpperCase()')
    write('ts/package.json', '{"type":"module","main":"src/app.ts"}')
    write(
      'ts/src/app.ts',
      "import { shout } from 'shout'\nexport const handler = async (event: { text: string }) => shout(event.text)",
    )
    await lambus(['deploy', 'ts'])
    expect((await lambus(['invoke', 'ts', '-'], '{"text":"hey"}')).stdout).toBe('"HEY"\n')
  })

  test('deploys CommonJS, a single file, and files as they are', async () => {
    write('old.js', 'exports.handler = async () => typeof require')
    await lambus(['deploy', 'old.js'])
    expect((await lambus(['invoke', 'old'])).stdout).toBe('"function"\n')

    write('plain/app.mjs', "import { n } from './lib/n.mjs'\nexport const run = async () => n")
    write('plain/lib/n.mjs', 'export const n = 7')
    const plain = await json(['deploy', 'plain', '--no-bundle', '--handler', 'app.run'])
    expect(plain.configuration.Handler).toBe('app.run')
    expect((await lambus(['invoke', 'plain'])).stdout).toBe('7\n')
  })

  test('shows the log of an invocation, and afterwards the log of the function', async () => {
    write(
      'chatty/index.mjs',
      "export const handler = async () => { console.log('talking'); return 1 }",
    )
    await lambus(['deploy', 'chatty'])
    const invoked = await lambus(['invoke', 'chatty', '--tail'])
    expect(invoked.stdout).toBe('1\n')
    expect(invoked.stderr).toMatch(/^START RequestId: [\s\S]*talking[\s\S]*REPORT RequestId: /)
    const { requestId, log, payload, statusCode } = await json(['invoke', 'chatty', '--tail'])
    expect({ payload, statusCode }).toEqual({ payload: 1, statusCode: 200 })
    expect(log).toContain(requestId)
    await expect
      .poll(async () => (await lambus(['logs', 'chatty', '--request-id', requestId])).stdout, {
        timeout: 10_000,
      })
      .toMatch(/talking/)
  })

  test('fails when the function fails, with the reason on stderr', async () => {
    write(
      'broken/index.mjs',
      "export const handler = async () => { throw new RangeError('too far') }",
    )
    await lambus(['deploy', 'broken'])
    const failed = await lambus(['invoke', 'broken'])
    expect(failed.code).toBe(1)
    expect(failed.stderr).toBe('lambus: the function failed: RangeError: too far\n')
    expect(JSON.parse(failed.stdout)).toMatchObject({ errorType: 'RangeError' })
    expect(await json(['invoke', 'broken'])).toMatchObject({
      functionError: 'Unhandled',
      payload: { errorMessage: 'too far' },
    })
  })

  test('checks without invoking', async () => {
    expect(await lambus(['invoke', 'hello', '--dry-run'])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'it could be invoked\n',
    })
  })

  test('says which function may have been meant', async () => {
    const failed = await lambus(['invoke', 'helo'])
    expect(failed).toEqual({
      code: 1,
      stdout: '',
      stderr: "lambus: no function 'helo': did you mean 'hello'?\n",
    })
    const asJson = await lambus(['get', 'helo', '--json'])
    expect(JSON.parse(asJson.stderr).error.code).toBe('ResourceNotFoundException')
  })

  test("gives the server's sentence for a payload that is not JSON", async () => {
    const failed = await lambus(['invoke', 'hello', '{'])
    expect(failed.code).toBe(1)
    expect(failed.stderr).toMatch(/^lambus: Could not parse request body into json/)
  })

  test('lists, shows and deletes', async () => {
    write('gone/index.mjs', 'export const handler = () => 1')
    await lambus(['deploy', 'gone'])
    const { Functions } = await json(['list'])
    expect(Functions.map((each: { FunctionName: string }) => each.FunctionName)).toContain('gone')
    expect((await lambus(['get', 'gone'])).stdout).toMatch(/^state +Active$/m)
    expect(await lambus(['delete', 'gone'])).toMatchObject({ code: 0, stdout: 'deleted gone\n' })
    expect((await lambus(['get', 'gone'])).code).toBe(1)
  })

  test('does all this over NATS where only that is known', async () => {
    const { LAMBUS_NATS } = await json(['env'])
    const overNats = (args: string[]) => runLambus(args, { cwd: dir, env: { LAMBUS_NATS } })
    expect((await overNats(['deploy', 'hello', '--name', 'hello-nats'])).stdout).toMatch(/^created/)
    expect((await overNats(['invoke', 'hello-nats', '{"name":"Bob"}'])).stdout).toBe(
      '{"message":"Hello, Bob!"}\n',
    )
    expect(await overNats(['invoke', 'hello-nat'])).toMatchObject({
      code: 1,
      stderr: "lambus: no function 'hello-nat': did you mean 'hello-nats'?\n",
    })
    const failed = await overNats(['invoke', 'hello-nats', '{'])
    expect(failed.stderr).toMatch(/^lambus: Could not parse request body into json/)
    expect((await overNats(['list'])).stdout).toMatch(/^hello-nats /m)
  })

  test('shows its processes with their roles', async () => {
    const rolesOf = async (): Promise<string[]> =>
      (await json(['ps'])).processes.flatMap((each: { roles: string[] }) => each.roles)
    await expect
      .poll(rolesOf)
      .toEqual(
        expect.arrayContaining([
          'front-end',
          'control-plane',
          'worker-manager',
          'placement',
          'worker',
        ]),
      )
    const shown = await lambus(['ps'])
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    expect(shown.stdout).toMatch(/^PID +HOST +ROLES +MEMORY +CPU +UP$/m)
  })

  test('finds nothing wrong with a system that runs', async () => {
    const { checks } = await json(['doctor'])
    const failed = checks.filter((each: { result: string }) => each.result === 'fail')
    expect(failed).toEqual([])
    const names = checks.map((each: { check: string }) => each.check)
    expect(names).toEqual(expect.arrayContaining(['http', "server's clock", 'nats', 'processes']))
  })

  test('refuses a second system in the same data directory', async () => {
    const second = startLambus(lambusCommand, ['up', ...anyPorts, '--data-dir', dataDir], {
      cwd: dir,
    })
    await expect(second).rejects.toThrow(
      /it ended with 1 before it was ready:\n(?:.*\n)*lambus: .* is in use by process \d+/,
    )
  })

  test('refuses a port that is taken, in a sentence', async () => {
    const port = new URL(server.ready.http).port
    const args = ['up', ...anyPorts, '--http-port', port, '--data-dir', join(dir, 'other')]
    const second = startLambus(lambusCommand, args, { cwd: dir })
    await expect(second).rejects.toThrow(
      new RegExp(`it ended with 1 before it was ready:\\n(?:.*\\n)*lambus: port ${port} is taken`),
    )
  })
})

describe.skipIf(!isThere)('the end of lambus up', { timeout: 60_000 }, () => {
  afterAll(endLeftovers)

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s is clean: exit code 0, no connection.json, and nobody answers',
    async (signal) => {
      const dir = mkdtempSync(join(tmpdir(), 'lambus-test-end-'))
      const server = await startLambus(lambusCommand, ['up', ...anyPorts, '--data-dir', dir])
      expect(await server.end(signal)).toBe(0)
      expect(existsSync(connectionFile(dir))).toBe(false)
      const after = await runLambus(['list', '--http', server.ready.http])
      expect(after).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /^lambus: no server at http:\/\/127\.0\.0\.1:\d+: is `lambus up` running\?/,
        ),
      })
      rmSync(dir, { recursive: true, force: true })
    },
  )

  test('as a function of it stays: what was deployed is there after the next start', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'lambus-test-again-'))
    const up = () => startLambus(lambusCommand, ['up', ...anyPorts, '--data-dir', dir])
    const first = await up()
    await runLambus(['deploy', join(root, 'examples/hello'), '--data-dir', dir])
    await first.end()
    const second = await up()
    const invoked = await runLambus(['invoke', 'hello', '{"name":"Eve"}', '--data-dir', dir])
    expect(invoked.stdout).toBe('{"message":"Hello, Eve!"}\n')
    await second.end()
    rmSync(dir, { recursive: true, force: true })
  })
})
