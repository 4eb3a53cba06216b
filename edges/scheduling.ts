/**
 * How the processes of a system share the cores: they take turns, and none interrupts another.
 *
 * Under Linux's default policy a process that is woken may interrupt who woke it. A worker that writes an event to a
 * sandbox is stopped there, for a sandbox that would have had its turn a moment later, and what both had in the caches is
 * gone; on two cores it happened to every second invocation. Under the batch policy who runs goes on to the end of its
 * work, and its messages travel together. On a core that is free everybody starts as soon as before, and the share of
 * each is the same. Figures: docs/decisions/0014, bench/throughput-nats.ts.
 *
 * Source: sched(7), SCHED_BATCH. Node cannot ask for it, so `chrt` of util-linux does. No privilege is needed.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Log } from '../bus/bus.ts'
import type { Config } from '../config.ts'

const OTHER = 0
/** It gives up at a thread that has ended since it listed them, and leaves those behind it as they are. */
const ATTEMPTS = 3
const chrtArguments = ['--all-tasks', '--batch', '--pid', '0', String(process.pid)]

/**
 * Puts all threads of this process under the policy, and so whatever it starts from now on. Takes some milliseconds. Who was
 * started under another policy than the default one is left there: somebody chose it.
 */
export function schedule(policy: Config['schedulingPolicy'], log: Log): void {
  if (policy === 'default' || process.platform !== 'linux') return
  if (policyIn(readFileSync('/proc/self/stat', 'utf8')) !== OTHER) return
  let why = ''
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { status, error, stderr } = spawnSync('chrt', chrtArguments, {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    })
    if (status === 0) return
    why = error?.message ?? stderr.trim()
    if (error !== undefined) break
  }
  log.info(
    { code: 'SCHEDULING_NOT_BATCH', why },
    'no batch scheduling: a busy machine does fewer invocations',
  )
}

/** The number of the policy in a process's or a thread's `stat`. Source: proc_pid_stat(5), field 41; sched(7). */
export function policyIn(stat: string): number {
  // The name, in parentheses, may hold anything; the third field comes after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[41 - 3])
}
