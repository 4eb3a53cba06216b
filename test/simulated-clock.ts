/**
 * Time that a test moves. Timers ring in the order of their times, those of the same time in the order in which they were
 * set; what a timer sets for a time that is already being passed rings in the same advance.
 */
import type { Clock } from '../bus/bus.ts'

export type SimulatedClock = Clock & {
  /** Lets milliseconds pass. */
  advance(ms: number): void
  /** Timers that have not rung. */
  readonly pending: number
}

/** Begins at `startMs`, milliseconds since the epoch. */
export function simulatedClock(startMs = 0): SimulatedClock {
  const timers = new Map<number, { atMs: number; callback: () => void }>()
  let nowMs = startMs
  let set = 0
  const nextDue = (untilMs: number): number | undefined => {
    let due: number | undefined
    for (const [id, { atMs }] of timers) {
      const best = due === undefined ? Number.POSITIVE_INFINITY : (timers.get(due)?.atMs ?? 0)
      if (atMs <= untilMs && atMs < best) due = id
    }
    return due
  }
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    setTimer(callback, delayMs) {
      set += 1
      timers.set(set, { atMs: nowMs + Math.max(0, delayMs), callback })
      return set
    },
    clearTimer: (timer) => void timers.delete(timer as number),
    advance(ms) {
      const untilMs = nowMs + ms
      for (let id = nextDue(untilMs); id !== undefined; id = nextDue(untilMs)) {
        const timer = timers.get(id)
        timers.delete(id)
        nowMs = timer?.atMs ?? nowMs
        timer?.callback()
      }
      nowMs = untilMs
    },
    get pending() {
      return timers.size
    },
  }
}
