/**
 * Who has a data directory: one process at a time, because two servers on one store destroy it.
 *
 * The lock is a file `lock.<n>` that names its owner; the highest number counts. A lock whose owner is dead, by kill -9
 * or by a power cut, is not removed first and taken then, which two could do at once: its successor is linked as
 * `lock.<n+1>`, which only one can.
 */
import { spawnSync } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

export class DataDirTaken extends Error {
  override readonly name = 'DataDirTaken'
  readonly code = 'DATA_DIR_TAKEN'
}

export type Lock = { release(): void }

/** A process and when it began: a pid alone may be somebody else's by now. */
export type ProcessMark = { pid: number; began: string }

/** Takes the directory, which is made when it is not there. Throws `DataDirTaken` while a living process has it. */
export function lockDataDir(dir: string): Lock {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const draft = join(dir, `lock-draft.${process.pid}`)
  writeFileSync(draft, JSON.stringify(markOf(process.pid)))
  try {
    for (;;) {
      const last = highestLock(dir)
      const owner = last === 0 ? undefined : readMark(join(dir, `lock.${last}`))
      if (owner !== undefined && isAlive(owner)) {
        throw new DataDirTaken(`${dir} is in use by process ${owner.pid}: is 'lambus up' running?`)
      }
      const mine = last + 1
      if (!linked(draft, join(dir, `lock.${mine}`))) continue
      // A slow taker may have linked a number that was passed and removed meanwhile.
      if (highestLock(dir) !== mine) {
        rmSync(join(dir, `lock.${mine}`), { force: true })
        continue
      }
      for (const n of lockNumbers(dir)) {
        if (n < mine) rmSync(join(dir, `lock.${n}`), { force: true })
      }
      return { release: () => rmSync(join(dir, `lock.${mine}`), { force: true }) }
    }
  } finally {
    unlinkSync(draft)
  }
}

const lockNumbers = (dir: string): number[] =>
  readdirSync(dir).flatMap((name) => {
    const [, n] = /^lock\.(\d+)$/.exec(name) ?? []
    return n === undefined ? [] : [Number(n)]
  })

const highestLock = (dir: string): number => Math.max(0, ...lockNumbers(dir))

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** `undefined`: no such file, or nothing in it that names a process. */
export function readMark(file: string): ProcessMark | undefined {
  try {
    const mark = JSON.parse(readFileSync(file, 'utf8')) as Partial<ProcessMark>
    if (typeof mark.pid === 'number' && typeof mark.began === 'string') return mark as ProcessMark
  } catch {
    return undefined
  }
  return undefined
}

export const markOf = (pid: number): ProcessMark => ({ pid, began: beginningOf(pid) ?? '' })

export const isAlive = ({ pid, began }: ProcessMark): boolean => beginningOf(pid) === began

/** Ends a process that a former owner left behind: SIGTERM, and SIGKILL after `patienceMs`. */
export async function endLeftover(mark: ProcessMark, patienceMs = 5_000): Promise<void> {
  const stepMs = 20
  for (let waitedMs = 0; isAlive(mark); waitedMs += stepMs) {
    if (waitedMs === 0) process.kill(mark.pid, 'SIGTERM')
    if (waitedMs === patienceMs) process.kill(mark.pid, 'SIGKILL')
    await wait(stepMs)
  }
}

/** When a process began, in a form that is only good for comparing; `undefined` when it is not there, or a zombie. */
function beginningOf(pid: number): string | undefined {
  if (process.platform !== 'linux') {
    const { stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' })
    return stdout?.trim() || undefined
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // After the name, which may hold anything, in parentheses: state is field 3, start time 22. Source: proc_pid_stat(5).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields[19]}`
  } catch {
    return undefined
  }
}
