import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { ChildFailed, type ChildProcess, type Children, hostChildren } from '../../actors/child.ts'
import { systemClock } from '../../edges/clock.ts'

const log = pino({ level: 'silent' })
const host = (): Children => hostChildren({ clock: systemClock, log })
const quick = { backOffMs: 1, maxBackOffMs: 4, maxDeaths: 3, stopTimeoutMs: 50 }

const pids = new Set<number>()
afterEach(() => {
  for (const pid of pids) expect(() => process.kill(pid, 0), `process ${pid} is left`).toThrow()
  pids.clear()
})

/** A shell that says when it is ready and runs on. */
function shell(script: string): ChildProcess {
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] })
  const pid = child.pid ?? 0
  pids.add(pid)
  const exited = once(child, 'exit').then(([code, signal]) => `${signal ?? code}`)
  return {
    pid,
    ready: once(child.stdout, 'data'),
    exited,
    end: () => void child.kill('SIGTERM'),
    kill: () => void child.kill('SIGKILL'),
  }
}
const well = () => shell('echo ready; read line')

test('a child runs until it is stopped', async () => {
  const children = host()
  const child = await children.start('one', well, quick)
  process.kill(child.pid(), 0)
  await child.stop()
  expect(await child.over).toEqual({ stopped: true })
  expect(children.host.size).toBe(0)
})

test('a child that is killed lives again', async () => {
  const children = host()
  const child = await children.start('one', well, quick)
  const first = child.pid()
  process.kill(first, 'SIGKILL')
  await lifeBegins(children, 2)
  expect(child.pid()).not.toBe(first)
  await child.stop()
})

/** Resolves when the child is ready in this life. */
const lifeBegins = (children: Children, life: number) =>
  new Promise<void>((resolve) => {
    const stop = children.host.watch(({ event, snapshot }) => {
      if (event === 'ready' && (snapshot.context as { life: number }).life === life) {
        stop()
        resolve()
      }
    })
  })

test('a child that does not hear is ended by force', async () => {
  const child = await host().start('one', () => shell("trap '' TERM; echo ready; read line"), quick)
  await child.stop()
  expect(await child.over).toEqual({ stopped: true })
})

test('a child that never becomes ready is an error that says how it ended', async () => {
  const failing = host().start('one', () => shell('exit 7'), quick)
  await expect(failing).rejects.toThrow(ChildFailed)
  await expect(failing).rejects.toThrow('one: 7')
})

test('a child whose launch throws is an error too', async () => {
  const failing = host().start('one', () => {
    throw new Error('no such program')
  })
  await expect(failing).rejects.toThrow('one: no such program')
})

test('a child that dies again and again is given up', async () => {
  const launched: number[] = []
  const child = await host().start(
    'one',
    (life) => {
      launched.push(life)
      return shell('echo ready; exit 9')
    },
    quick,
  )
  expect(await child.over).toEqual({ failed: '9' })
  expect(launched).toEqual([1, 2, 3])
})
