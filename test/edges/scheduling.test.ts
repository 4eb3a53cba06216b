import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { policyIn } from '../../edges/scheduling.ts'

const names = ['other', 'fifo', 'rr', 'batch', '', 'idle']

const policiesOf = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/task`).map(
    (thread) => names[policyIn(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'))] ?? '',
  )

/** A process that schedules itself and starts a child; says the child's pid and what it logged. */
async function scheduled(
  policy: string,
  { environment = {}, under = [] }: { environment?: Record<string, string>; under?: string[] } = {},
) {
  const module = fileURLToPath(new URL('../../edges/scheduling.ts', import.meta.url))
  const source = `
    import { spawn } from 'node:child_process'
    import { schedule } from ${JSON.stringify(module)}
    const logged = []
    schedule(${JSON.stringify(policy)}, { info: (fields) => logged.push(fields.code) })
    const child = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    console.log(JSON.stringify({ child: child.pid, logged }))
    process.stdin.on('close', () => child.kill('SIGKILL')).resume()
  `
  const [command = '', ...args] = [
    ...under,
    process.execPath,
    '--input-type=module',
    '--eval',
    source,
  ]
  const own = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  })
  onTestFinished(async () => {
    own.stdin.end()
    if (own.exitCode === null) await once(own, 'exit')
  })
  const [line] = await once(own.stdout, 'data')
  return { pid: own.pid ?? 0, ...(JSON.parse(String(line)) as { child: number; logged: string[] }) }
}

const why = process.platform === 'linux' ? undefined : 'these are policies of Linux'
const onLinux = test.skipIf(why !== undefined)
if (why !== undefined) console.log(`scheduling policies are not tested: ${why}`)

onLinux('all threads of a process and what it starts run under the batch policy', async () => {
  const { pid, child, logged } = await scheduled('batch')
  expect(logged).toEqual([])
  expect(new Set(policiesOf(pid))).toEqual(new Set(['batch']))
  expect(new Set(policiesOf(child))).toEqual(new Set(['batch']))
})

onLinux('the default policy is left as it is', async () => {
  const { pid, child, logged } = await scheduled('default')
  expect(logged).toEqual([])
  expect(new Set([...policiesOf(pid), ...policiesOf(child)])).toEqual(new Set(['other']))
})

onLinux(
  'who was started under a policy of somebody’s choice stays under it',
  async () => {
    const { pid, logged } = await scheduled('batch', { under: ['chrt', '--idle', '0'] })
    expect(logged).toEqual([])
    expect(new Set(policiesOf(pid))).toEqual(new Set(['idle']))
  },
  // It runs only while nobody else wants to: on a busy machine that takes long.
  120_000,
)

onLinux('where chrt is missing it says so once, and runs all the same', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'lambus-no-chrt-'))
  const { pid, logged } = await scheduled('batch', { environment: { PATH: empty } })
  expect(logged).toEqual(['SCHEDULING_NOT_BATCH'])
  expect(new Set(policiesOf(pid))).toEqual(new Set(['other']))
})

onLinux('a thread that ends meanwhile keeps none of the others from the policy', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-chrt-'))
  // Fails as chrt does at such a thread, the first time.
  const script = `#!/bin/sh
PATH=${process.env['PATH']}
if [ -e "$0.tried" ]; then exec chrt "$@"; fi
touch "$0.tried"
echo "chrt: failed to set tid 1's policy: No such process" >&2
exit 1
`
  writeFileSync(join(dir, 'chrt'), script, { mode: 0o755 })
  const { pid, logged } = await scheduled('batch', { environment: { PATH: dir } })
  expect(logged).toEqual([])
  expect(new Set(policiesOf(pid))).toEqual(new Set(['batch']))
})
