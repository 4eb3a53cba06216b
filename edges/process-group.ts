/**
 * A process and all that it started, as one thing to end. The process was started detached, so it leads a group.
 */

// lambda-semantics §3.4: what a runtime with an internal extension has to shut down.
const terminateGraceMs = 500

export type ProcessGroup = {
  /** SIGKILL to all of them. */
  kill(): void
  /** SIGTERM to the leader; `kill` half a second later if it is still there. */
  terminate(): void
  /** The leader was waited for: from now on its pid may be anybody's, and nothing is signalled. */
  forget(): void
}

/** Signals to the group that `pid` leads, as long as the pid is its. */
export function processGroup(pid: number): ProcessGroup {
  let isOurs = true
  let grace: NodeJS.Timeout | undefined
  const signal = (target: number, name: NodeJS.Signals) => {
    if (!isOurs) return
    try {
      process.kill(target, name)
    } catch {
      // Gone already: its exit is on the way.
    }
  }
  const kill = () => signal(-pid, 'SIGKILL')
  return {
    kill,
    terminate: () => {
      if (!isOurs) return
      signal(pid, 'SIGTERM')
      grace ??= setTimeout(kill, terminateGraceMs)
    },
    forget: () => {
      isOurs = false
      clearTimeout(grace)
    },
  }
}
