/** What /proc knows of a system's processes: who they are, what CPU time they have had, what memory they hold. Linux only. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

export type Process = { pid: number; command: string }

/** The processes of a system by what they do in it. */
export type Roles = Map<string, Process[]>

/** `rssMb` counts what processes share once for each of them; `pssMb` divides it among them, so that it may be added up. */
export type Memory = { rssMb: number; pssMb: number }

/** A process and all that descend from it. One that ends meanwhile is left out. */
export function tree(root: number): Process[] {
  const childrenOf = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = statFields(Number(name))?.[1]
    if (parent === undefined) continue
    const siblings = childrenOf.get(Number(parent)) ?? []
    childrenOf.set(Number(parent), [...siblings, Number(name)])
  }
  const found: Process[] = []
  const visit = (pid: number) => {
    const command = read(pid, 'cmdline')?.replaceAll('\0', ' ').trim()
    // A zombie has no command line; it holds no memory either.
    if (command) found.push({ pid, command })
    for (const child of childrenOf.get(pid) ?? []) visit(child)
  }
  visit(root)
  return found
}

/** CPU time that a process has had so far, user and system, in seconds; steps of 10 ms. Source: proc_pid_stat(5), utime and stime. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(pid)
  if (fields === undefined) return 0
  const ticksPerSecond = 100 // USER_HZ: what Linux shows user space on every architecture that Node runs on.
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** Source: proc_pid_smaps(5), smaps_rollup. */
export function memory(pid: number): Memory {
  const rollup = read(pid, 'smaps_rollup') ?? ''
  const megabytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0) / 1024
  return { rssMb: megabytes('Rss'), pssMb: megabytes('Pss') }
}

/** CPU seconds of each role so far. Of a role whose processes come and go, what those had that are there now. */
export function cpuByRole(roles: Roles): Map<string, number> {
  return sums(roles, ({ pid }) => cpuSeconds(pid))
}

export function memoryByRole(roles: Roles): Map<string, Memory & { processes: number }> {
  const rss = sums(roles, ({ pid }) => memory(pid).rssMb)
  const pss = sums(roles, ({ pid }) => memory(pid).pssMb)
  return new Map(
    [...roles].map(([role, processes]) => [
      role,
      { processes: processes.length, rssMb: rss.get(role) ?? 0, pssMb: pss.get(role) ?? 0 },
    ]),
  )
}

function sums(roles: Roles, measure: (process: Process) => number): Map<string, number> {
  return new Map(
    [...roles].map(([role, processes]) => [
      role,
      processes.reduce((sum, process) => sum + measure(process), 0),
    ]),
  )
}

/** SIGTERM, and after `graceMs` SIGKILL. Resolves when it is gone. */
export async function endProcess(child: ChildProcess, graceMs = 10_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const last = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await gone
  clearTimeout(last)
}

/** The fields after the command name, which is in parentheses and may itself hold spaces: [state, ppid, …]. */
function statFields(pid: number): string[] | undefined {
  const stat = read(pid, 'stat')
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return undefined
  }
}
