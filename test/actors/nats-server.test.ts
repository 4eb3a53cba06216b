import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from 'nats'
import { pino } from 'pino'
import { expect, inject, onTestFinished, test } from 'vitest'
import { hostChildren } from '../../actors/child.ts'
import { type EmbeddedServer, embedNatsServer } from '../../actors/nats-server.ts'
import { checkServer } from '../../bus/server.ts'
import { isAlive, lockDataDir, markOf, type ProcessMark } from '../../bus/server-lock.ts'
import { systemClock } from '../../edges/clock.ts'

const log = pino({ level: 'silent' })

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-test-embed-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function embed(dataDir: string, port = 0): Promise<EmbeddedServer> {
  const { path, version } = inject('natsServer')
  const children = hostChildren({ clock: systemClock, log })
  const server = await embedNatsServer({ binary: path, version, dataDir, port, children, log })
  onTestFinished(() => server.stop())
  return server
}

async function connected({ url, user, password }: EmbeddedServer): Promise<NatsConnection> {
  const options = { maxReconnectAttempts: -1, reconnectTimeWait: 20 }
  const nats = await connect({ servers: url, user, pass: password, ...options })
  onTestFinished(() => nats.close())
  return nats
}

test('the embedded server listens on loopback and lets in only who knows its password', async () => {
  const server = await embed(tempDir())
  expect(server.url).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/)
  await checkServer(await connected(server))
  await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/uthorization/)
  const wrong = connect({ servers: server.url, user: server.user, pass: 'x', reconnect: false })
  await expect(wrong).rejects.toThrow(/uthorization/)
})

test('its password is nowhere but in a file that only the owner reads', async () => {
  const dataDir = tempDir()
  const { pid, password } = await embed(dataDir)
  expect(password).toHaveLength(43)
  const file = join(dataDir, 'nats-server.conf')
  expect(readFileSync(file, 'utf8')).toContain(password)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(
    execFileSync('ps', ['-o', 'args=', '-p', String(pid())], { encoding: 'utf8' }),
  ).not.toContain(password)
})

test('killed with -9 it comes back on the same port and store, and everyone reconnects', async () => {
  const server = await embed(tempDir())
  const nats = await connected(server)
  const manager = await jetstreamManager(nats)
  await manager.streams.add({ name: 'KEPT', subjects: ['kept'] })
  const first = server.pid()

  const statuses = nats.status()[Symbol.asyncIterator]()
  process.kill(first, 'SIGKILL')
  for (let next = await statuses.next(); next.value?.type !== 'reconnect'; )
    next = await statuses.next()

  expect(server.pid()).not.toBe(first)
  expect((await manager.streams.info('KEPT')).config.name).toBe('KEPT')
})

test('the store outlives a stop, and nothing else is left in the data directory', async () => {
  const dataDir = tempDir()
  const first = await embed(dataDir)
  await (await jetstreamManager(await connected(first))).streams.add({
    name: 'KEPT',
    subjects: ['k'],
  })
  await first.stop()
  expect(readdirSync(dataDir)).toEqual(['nats'])

  const second = await embed(dataDir)
  const manager = await jetstreamManager(await connected(second))
  expect((await manager.streams.info('KEPT')).config.name).toBe('KEPT')
})

test('a second server on the same data directory is refused by name', async () => {
  const dataDir = tempDir()
  await embed(dataDir)
  await expect(embed(dataDir)).rejects.toMatchObject({
    code: 'DATA_DIR_TAKEN',
    message: `${dataDir} is in use by process ${process.pid}: is 'lambus up' running?`,
  })
})

test('a port that is taken is refused by number, and the data directory is free again', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  onTestFinished(() => void other.close())
  const { port } = other.address() as { port: number }
  const dataDir = tempDir()
  await expect(embed(dataDir, port)).rejects.toMatchObject({
    code: 'NATS_PORT_TAKEN',
    message: expect.stringContaining(`port ${port} on 127.0.0.1 is taken`),
  })
  await embed(dataDir)
})

test('a binary that is no nats-server is an error that says what it said', async () => {
  const dataDir = tempDir()
  const children = hostChildren({ clock: systemClock, log })
  const options = { version: '2.15.0', dataDir, port: 0, children, log }
  await expect(embedNatsServer({ ...options, binary: '/bin/cat' })).rejects.toMatchObject({
    code: 'CHILD_FAILED',
    message: expect.stringMatching(/nats-server: exit code 1: .*cat: invalid option/),
  })
})

/** A process that takes the data directory, starts a server there, and is killed. */
async function killedOwner(dataDir: string): Promise<{ server: ProcessMark }> {
  const { path, version } = inject('natsServer')
  const script = fileURLToPath(new URL('./nats-server-owner.ts', import.meta.url))
  const owner = spawn(process.execPath, [script, path, version, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(owner.stdout, 'data')
  const server = markOf(Number(line))
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  return { server }
}

test('a data directory whose owner was killed is taken over, and its server ended first', async () => {
  const dataDir = tempDir()
  const { server } = await killedOwner(dataDir)
  const next = await embed(dataDir)
  expect(isAlive(server)).toBe(false)
  await checkServer(await connected(next))
})

const canTether = spawnSync('setpriv', ['--pdeathsig', 'TERM', '--', 'true']).status === 0
if (!canTether) console.error('not run: the server ends with its owner: no setpriv')

test.runIf(canTether)(
  'the server ends with its owner, also when that is killed with -9',
  async () => {
    const { server } = await killedOwner(tempDir())
    await expect.poll(() => isAlive(server), { timeout: 5_000 }).toBe(false)
  },
)

test('of many who take a data directory over from the dead only one gets it', async () => {
  const dataDir = tempDir()
  await killedOwner(dataDir)
  const script = `
    import { lockDataDir } from ${JSON.stringify(new URL('../../bus/server-lock.ts', import.meta.url).href)}
    process.stdin.once('data', () => {
      try { lockDataDir(process.argv[1]); console.log('taken') } catch (error) { console.log(error.code) }
    }).on('end', () => process.exit())
    console.log('there')`
  const racers = Array.from({ length: 6 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script, dataDir], {
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  )
  await Promise.all(racers.map((racer) => once(racer.stdout, 'data')))
  const answers = racers.map((racer) => once(racer.stdout, 'data'))
  for (const racer of racers) racer.stdin.write('go\n')
  const said = (await Promise.all(answers)).map(([chunk]) => String(chunk).trim())
  for (const racer of racers) racer.stdin.end()
  await Promise.all(racers.map((racer) => once(racer, 'exit')))
  expect(said.sort()).toEqual([...Array(5).fill('DATA_DIR_TAKEN'), 'taken'])
})

test('a lock that is released is free, and leaves no file', () => {
  const dir = join(tempDir(), 'new')
  lockDataDir(dir).release()
  lockDataDir(dir).release()
  expect(existsSync(dir)).toBe(true)
  expect(readdirSync(dir)).toEqual([])
})
