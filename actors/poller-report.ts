/**
 * What a poller tells about itself once a second: which lanes it reads, what it has in hand, and how long events waited for
 * their first attempt.
 */
import type { Bus, Clock } from '../bus/bus.ts'
import { pollerReport } from '../bus/subjects.ts'
import type { InHandReport } from './event.ts'

export type PollerReport = {
  lanes: string[]
  inHand: InHandReport[]
  /** By function, of the last so many events. */
  firstAttempts: Record<string, { p50Ms: number; p99Ms: number }>
}

export type Dwell = {
  begun(functionName: string, waitedMs: number): void
  summary(): PollerReport['firstAttempts']
}

const REPORT_EVERY_MS = 1_000
const SAMPLES = 512
const MOST_FUNCTIONS = 1_000

/** How long events waited between acceptance and first attempt: the last samples of each function. */
export function openDwell(): Dwell {
  const samples = new Map<string, { waits: Float64Array; count: number }>()
  return {
    begun(functionName, waitedMs) {
      let its = samples.get(functionName)
      if (its === undefined) {
        if (samples.size >= MOST_FUNCTIONS) samples.clear()
        its = { waits: new Float64Array(SAMPLES), count: 0 }
        samples.set(functionName, its)
      }
      its.waits[its.count++ % SAMPLES] = waitedMs
    },
    summary: () =>
      Object.fromEntries(
        [...samples].map(([functionName, { waits, count }]) => {
          const sorted = waits.slice(0, Math.min(count, SAMPLES)).sort()
          const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0
          return [functionName, { p50Ms: at(0.5), p99Ms: at(0.99) }]
        }),
      ),
  }
}

/** Reports until the function returned is called. */
export function reportRegularly(
  bus: Bus,
  { clock, pollerId, report }: { clock: Clock; pollerId: string; report: () => PollerReport },
): () => void {
  let timer: unknown
  const tell = () => {
    if (bus.up) bus.publish(pollerReport(pollerId), JSON.stringify(report()))
    timer = clock.setTimer(tell, REPORT_EVERY_MS)
  }
  tell()
  return () => clock.clearTimer(timer)
}
