/**
 * A process and all that it started, as one thing to end. The process was started detached, so it leads a group.
 *
 * What it started detached is in no group of ours. While its parent lives it is found among the children; once its
 * parent has died it is nobody's child, and only its environment, which it inherited, still tells. Both need /proc: where
 * there is none, such a process stays.
 */
import { readdirSync, readFileSync } from 'node:fs'

// lambda-semantics §3.4: what a runtime with an internal extension has to shut down.
const terminateGraceMs = 500

export type ProcessGroup = {
  /** SIGKILL to all of them. */
  kill(): void
  /** SIGTERM to the leader; `kill` half a second later if it is still there. */
  terminate(): void
  /** The leader was waited for: what it left is killed; from now on its pid may be anybody's, and nothing is signalled. */
  over(): void
}

/** `mark`: `NAME=value` in its environment that no other process has, but for those that it started. */
export function processGroup(pid: number, mark: string): ProcessGroup {
  let isOurs = true
  let isKilled = false
  let grace: NodeJS.Timeout | undefined
  const signal = (target: number, name: NodeJS.Signals) => {
    if (!isOurs) return
    try {
      process.kill(target, name)
    } catch {
      // Gone already: its exit is on the way.
    }
  }
  const kill = () => {
    isKilled = true
    const started = descendants(pid)
    signal(-pid, 'SIGKILL')
    for (const one of started) signal(one, 'SIGKILL')
  }
  return {
    kill,
    terminate: () => {
      if (!isOurs) return
      signal(pid, 'SIGTERM')
      grace ??= setTimeout(kill, terminateGraceMs)
    },
    over: () => {
      // A look at every process of the machine, some ms: only when it ended without us.
      const left = isKilled ? [] : marked(mark)
      kill()
      for (const one of left) signal(one, 'SIGKILL')
      isOurs = false
      clearTimeout(grace)
    },
  }
}

/** Source: proc_tid_children(5); empty where the kernel was built without it. */
function descendants(pid: number): number[] {
  const children = numbers(read(`/proc/${pid}/task/${pid}/children`))
  return [...children, ...children.flatMap(descendants)]
}

/** Source: proc_pid_environ(5); variables end with a zero byte. */
function marked(mark: string): number[] {
  const all = numbers(
    list('/proc')
      .filter((name) => /^\d+$/.test(name))
      .join(' '),
  )
  return all.filter((pid) => `\0${read(`/proc/${pid}/environ`)}`.includes(`\0${mark}\0`))
}

const numbers = (text: string): number[] => text.split(' ').filter(Boolean).map(Number)

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
