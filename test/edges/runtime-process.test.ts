import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { functionArn, makePackage, node24, startFunction } from './start-function.ts'

const isAlive = (pid: number) => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch {
    return false
  }
}
const handler = (body: string) => ({ 'index.js': `exports.handler = async (event) => { ${body} }` })

test('a process has the environment that it was given and nothing of ours', async () => {
  const running = startFunction(handler('return process.env'), { environment: { ONLY: 'this' } })
  await running.next('ready')
  expect(JSON.parse((await running.invoke({})).text)).toEqual({ ONLY: 'this' })
})

test('a process works in its task root and knows its memory limit', async () => {
  const files = handler(
    "return { cwd: process.cwd(), heap: require('node:v8').getHeapStatistics().heap_size_limit }",
  )
  const taskRoot = makePackage(files)
  const running = startFunction({}, { taskRoot, memoryMb: 512 })
  await running.next('ready')
  const { cwd, heap } = JSON.parse((await running.invoke({})).text)
  expect(cwd).toBe(taskRoot)
  expect(heap / 1_048_576).toBeGreaterThan(450)
  expect(heap / 1_048_576).toBeLessThan(600)
})

test.each([
  ['a binary that does not exist', { nodePath: '/nowhere/node' }],
  ['a task root that does not exist', { taskRoot: '/nowhere' }],
  ['an environment that no process can have', { environment: { BAD: 'a\0b' } }],
])('%s is told as an exit, once', async (_what, spec) => {
  const running = startFunction({}, spec)
  expect(running.process.pid).toBeUndefined()
  running.process.kill()
  running.process.terminate()
  expect(await running.next('exited')).toEqual({ is: 'exited', code: null, signal: null })
  expect(running.facts).toHaveLength(1)
})

test('spawns that fail leave no descriptor behind', async () => {
  const before = readdirSync('/proc/self/fd').length
  const runs = Array.from({ length: 50 }, () => startFunction({}, { taskRoot: '/nowhere' }))
  for (const run of runs) await run.next('exited')
  expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before + 1)
})

test('compiled code is kept from one process to the next', async () => {
  const compileCacheDir = makePackage({})
  const files = { 'index.js': `exports.handler = () => '${'x'.repeat(1000)}'` }
  const running = startFunction(files, { compileCacheDir })
  await running.next('ready')
  await running.invoke({})
  await running.invoke({})
  expect(readdirSync(compileCacheDir, { recursive: true }).length).toBeGreaterThan(1)
})

test('kill ends a handler that never yields, and what it started', async () => {
  const running = startFunction(
    handler(
      "const child = require('node:child_process').spawn('/bin/sleep', ['600']); process.stdout.write(String(child.pid)); for (;;);",
    ),
  )
  await running.next('ready')
  running.invoke({}).catch(() => {})
  const { text } = await running.next('wrote')
  running.process.kill()
  expect(await running.next('exited')).toMatchObject({ code: null, signal: 'SIGKILL' })
  while (isAlive(Number(text))) await new Promise((resolve) => setImmediate(resolve))
})

test('terminate ends a waiting process at once', async () => {
  const running = startFunction(handler('return 1'))
  await running.next('ready')
  running.process.terminate()
  expect(await running.next('exited')).toMatchObject({ code: null, signal: 'SIGTERM' })
})

test('a process that ignores SIGTERM is killed', async () => {
  const running = startFunction({
    'index.js': "process.on('SIGTERM', () => {}); exports.handler = () => 1",
  })
  await running.next('ready')
  running.process.terminate()
  expect(await running.next('exited')).toMatchObject({ code: null, signal: 'SIGKILL' })
})

test('an exit is told although a child that left the group holds the pipes', async () => {
  const running = startFunction(
    handler(
      "const child = require('node:child_process').spawn('/bin/sleep', ['5'], { detached: true, stdio: 'inherit' }); child.unref(); console.log('started'); process.exit(0)",
    ),
  )
  await running.next('ready')
  running.invoke({}).catch(() => {})
  expect(await running.next('exited')).toMatchObject({ code: 0 })
  expect(running.log()).toContain('started')
})

test('all that a process printed is told before its exit', async () => {
  const running = startFunction(
    handler(
      "require('node:fs').writeSync(2, 'x'.repeat(60_000)); console.log('end'); process.exit(5)",
    ),
  )
  await running.next('ready')
  running.invoke({}).catch(() => {})
  expect(await running.next('exited')).toMatchObject({ code: 5 })
  expect(running.log()).toHaveLength(
    60_000 + (/\d{4}-.*end\n/.exec(running.log())?.[0].length ?? 0),
  )
  expect(running.facts.at(-1)?.is).toBe('exited')
})

test('a process that floods its log is slowed down and everything arrives', async () => {
  const running = startFunction(
    handler(
      "const line = 'y'.repeat(65_536); for (let n = 0; n < 64; n++) process.stdout.write(line)",
    ),
  )
  await running.next('ready')
  const startedMs = performance.now()
  await running.invoke({}, { deadlineMs: Date.now() + 60_000 })
  expect(running.log()).toHaveLength(64 * 65_536)
  expect(performance.now() - startedMs).toBeGreaterThan(250)
})

test('a process that breaks the protocol is ended, and the host is not', async () => {
  const running = startFunction(
    handler("require('node:fs').writeSync(4, 'hello, this is not a frame')"),
  )
  await running.next('ready')
  running.invoke({}).catch(() => {})
  expect(await running.next('exited')).toMatchObject({ signal: 'SIGKILL' })
  expect(running.log()).toContain('The runtime broke its protocol')
})

test.each([
  ['waits', 'return 1', false],
  ['is busy', 'await new Promise((resolve) => setTimeout(resolve, 600_000))', true],
])('a process that %s ends itself when its host is killed', async (_when, body, busy) => {
  const taskRoot = makePackage(handler(body))
  const runtime = fileURLToPath(new URL('../../edges/runtime-process.ts', import.meta.url))
  const script = `import { startRuntime } from ${JSON.stringify(runtime)}
    const spec = { taskRoot: ${JSON.stringify(taskRoot)}, handler: 'index.handler', environment: {}, memoryMb: 128 }
    const none = () => {}
    const ready = () => {
      if (${busy}) child.invoke({ requestId: 'r', deadlineMs: 0, invokedFunctionArn: 'a' }, Buffer.from('1'))
      console.log(child.pid)
    }
    const child = startRuntime(spec, { ready, initFailed: none, answered: none, wrote: none, exited: none })`
  const host = spawn(node24, ['--input-type=module', '-e', script])
  const printed = await new Promise<Buffer>((resolve) => host.stdout.once('data', resolve))
  const pid = Number(printed.toString())
  expect(isAlive(pid)).toBe(true)
  host.kill('SIGKILL')
  while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve))
})

test('what a process prints by descriptor is always told before its answer', async () => {
  const running = startFunction(
    handler("require('node:fs').writeSync(1 + (event % 2), '<' + event + '>'); return event"),
  )
  await running.next('ready')
  for (let n = 0; n < 300; n++) {
    await running.invoke(n)
    expect(running.log().endsWith(`<${n}>`)).toBe(true)
  }
})

test('the memory that an answer names grows with what the handler holds', async () => {
  const running = startFunction({
    'index.js':
      'const held = []; exports.handler = async (mb) => { held.push(Buffer.alloc(mb * 1_048_576, 1)) }',
  })
  await running.next('ready')
  const little = (await running.invoke(1)).maxMemoryBytes
  const much = (await running.invoke(200)).maxMemoryBytes
  expect(little).toBeGreaterThan(20_000_000)
  expect(little).toBeLessThan(120_000_000)
  expect(much - little).toBeGreaterThan(190_000_000)
})

const spawnsDetached = `const { pid } = require('child_process').spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })`
/** A zombie is gone: it only waits for whoever adopted it. */
const isThere = (pid: number) => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

test('what a function started detached dies with it when it is killed', async () => {
  const run = startFunction(handler(`${spawnsDetached}; return pid`))
  const pid = Number((await run.invoke({})).text)
  expect(isThere(pid)).toBe(true)
  run.process.kill()
  await run.next('exited')
  await expect.poll(() => isThere(pid)).toBe(false)
})

test('what a function started detached dies with it when it ends by itself', async () => {
  const environment = { AWS_LAMBDA_LOG_STREAM_NAME: `stream-${process.pid}` }
  const run = startFunction(
    handler(`${spawnsDetached}; console.log('started ' + pid); process.exit(3)`),
    { environment },
  )
  run.process.invoke(
    { requestId: 'r1', deadlineMs: Date.now() + 3000, invokedFunctionArn: functionArn },
    Buffer.from('{}'),
  )
  expect(await run.next('exited')).toMatchObject({ code: 3 })
  const pid = Number(/started (\d+)/.exec(run.log())?.[1])
  await expect.poll(() => isThere(pid)).toBe(false)
})

test('two hundred starts and kills leave no descriptor and no zombie behind', async () => {
  const taskRoot = makePackage(handler('return 1'))
  const descriptors = () => readdirSync('/proc/self/fd').length
  const before = descriptors()
  const pids: number[] = []
  for (let round = 0; round < 20; round++) {
    const runs = Array.from({ length: 10 }, () => startFunction({}, { taskRoot }))
    for (const [index, run] of runs.entries()) {
      pids.push(run.process.pid as number)
      if (index === 0) await run.next('ready')
      run.process.kill()
    }
    for (const run of runs) expect(await run.next('exited')).toMatchObject({ signal: 'SIGKILL' })
  }
  expect(descriptors()).toBeLessThanOrEqual(before + 1)
  expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
}, 60_000)
