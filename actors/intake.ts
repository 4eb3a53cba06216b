/**
 * Intake: whether events pour into this process faster than they can be worked on here.
 *
 * What takes events in comes before what works on them: as long as they pour in, their writing and their work only take the
 * processor from each other, and whoever sends waits for the writing. So where a poller lives in the same process it holds
 * back for a moment (machines/flow.ts, `held`). A poller in a process of its own knows nothing of it.
 */
import type { Clock } from '../bus/bus.ts'

export type Intake = {
  /** One event was taken in. */
  took(): void
  readonly isPouring: boolean
  /** Calls back when it begins to pour and when it has calmed down. */
  onChange(hear: (isPouring: boolean) => void): void
}

const LOOK_EVERY_MS = 20
/** 2,000 a second: as many as two cores can work on (bench/async.ts), and more than that only wait. */
const POURING_PER_LOOK = 40

export function openIntake(clock: Clock): Intake {
  const listeners = new Set<(isPouring: boolean) => void>()
  let taken = 0
  let isPouring = false
  let isLooking = false

  const look = (): void => {
    const now = taken >= POURING_PER_LOOK
    isLooking = taken > 0
    taken = 0
    if (now !== isPouring) {
      isPouring = now
      for (const hear of listeners) hear(now)
    }
    if (isLooking || isPouring) clock.setTimer(look, LOOK_EVERY_MS)
  }

  return {
    get isPouring() {
      return isPouring
    },
    took() {
      taken++
      if (isLooking) return
      isLooking = true
      clock.setTimer(look, LOOK_EVERY_MS)
    },
    onChange: (hear) => void listeners.add(hear),
  }
}
