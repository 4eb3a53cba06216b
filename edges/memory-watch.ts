/**
 * Finds the runtime that holds more memory than its function has, so that it can be killed as on AWS.
 *
 * One timer for all runtimes of a worker reads /proc; a runtime is counted with the processes that its main thread
 * started, and theirs. Resident pages that processes share are counted for each. Where there is no /proc nothing is
 * watched, which `available` says: V8's own limit still holds there.
 */
import { readFileSync } from 'node:fs'

export type MemoryWatch = {
  /** False where the platform has no /proc. */
  readonly available: boolean
  /** Watches the process until `forget`; over `limitBytes` it is reported once. */
  watch(pid: number, limitBytes: number, tellOver: (bytes: number) => void): void
  forget(pid: number): void
  /** Resident bytes of the process and what it started; undefined when it is gone or there is no /proc. */
  measure(pid: number): number | undefined
  stop(): void
}

type Watched = { limitBytes: number; tellOver: (bytes: number) => void }

/** `intervalMs`: how long a runtime may be over its limit unseen; a reading costs about 20 µs a process. */
export function startMemoryWatch(intervalMs: number): MemoryWatch {
  const watched = new Map<number, Watched>()
  const pageBytes = findPageBytes()
  let timer: NodeJS.Timeout | undefined

  const measure = (pid: number) =>
    pageBytes === undefined ? undefined : groupBytes(pid, pageBytes)
  const look = () => {
    for (const [pid, { limitBytes, tellOver }] of watched) {
      const bytes = measure(pid)
      if (bytes === undefined || bytes <= limitBytes) continue
      watched.delete(pid)
      tellOver(bytes)
    }
    if (watched.size === 0) pause()
  }
  const pause = () => {
    clearInterval(timer)
    timer = undefined
  }
  return {
    available: pageBytes !== undefined,
    watch(pid, limitBytes, tellOver) {
      if (pageBytes === undefined) return
      watched.set(pid, { limitBytes, tellOver })
      timer ??= setInterval(look, intervalMs).unref()
    },
    forget(pid) {
      watched.delete(pid)
      if (watched.size === 0) pause()
    },
    measure,
    stop() {
      watched.clear()
      pause()
    },
  }
}

function groupBytes(pid: number, pageBytes: number): number | undefined {
  const pages = residentPages(pid)
  if (pages === undefined) return undefined
  let bytes = pages * pageBytes
  for (const child of children(pid)) bytes += groupBytes(child, pageBytes) ?? 0
  return bytes
}

/** Second field of statm, in pages. Source: proc_pid_statm(5). */
function residentPages(pid: number | 'self'): number | undefined {
  const text = read(`/proc/${pid}/statm`)
  return text === undefined ? undefined : Number(text.split(' ')[1])
}

/** Source: proc_tid_children(5); empty where the kernel was built without it. */
function children(pid: number): number[] {
  const text = read(`/proc/${pid}/task/${pid}/children`)?.trim()
  return text ? text.split(' ').map(Number) : []
}

/** What a page holds here: 4 to 64 kB. statm counts pages, and Node tells our own size in bytes. */
function findPageBytes(): number | undefined {
  const pages = residentPages('self')
  if (pages === undefined) return undefined
  return 2 ** Math.round(Math.log2(process.memoryUsage.rss() / pages))
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
