import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

// proc_pid_stat(5), field 41; sched(7).
const policies: Record<string, string> = { 0: 'other', 3: 'batch' }
const fieldsBefore = 38

function policiesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
    const policy = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[fieldsBefore] ?? ''
    return policies[policy] ?? policy
  })
}

/** A process that schedules itself and starts a child; says the child's pid and what it logged. */
async function scheduled(policy: string, environment: Record<string, string | undefined> = {}) {
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
  const own = spawn(process.execPath, ['--input-type=module', '--eval', source], {
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

onLinux('where chrt is missing it says so once, and runs all the same', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'lambus-no-chrt-'))
  const { pid, logged } = await scheduled('batch', { PATH: empty })
  expect(logged).toEqual(['SCHEDULING_NOT_BATCH'])
  expect(new Set(policiesOf(pid))).toEqual(new Set(['other']))
})
