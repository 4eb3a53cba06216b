/**
 * The intake of this process: counts what it takes in, and tells readers beside it when to hold back. A poller in a process
 * of its own knows nothing of it.
 */
import type { Clock, Log } from '../bus/bus.ts'
import { intakeMachine } from '../machines/intake.ts'
import { type Host, host } from './actor.ts'

export type Intake = {
  host: Host<typeof intakeMachine>
  /** One event was taken in. */
  took(): void
  /** Calls back when readers are to hold back, and when no longer. */
  onHold(hear: (isHeld: boolean) => void): void
}

const LOOK_EVERY_MS = 10
/** 1,000 a second: a third of what two cores can work on beside it (bench/async.ts). */
const MANY_PER_LOOK = 10
const FEW_PER_LOOK = 5
/** Longer than a write to a disk that is asked to mean it. */
const EBB_FOR_MS = 60
/** How much longer an event waits at most because others pour in. */
const HOLD_FOR_MS = 1_000
const INSTANCE = 'here'

export function openIntake({ clock, log }: { clock: Clock; log: Log }): Intake {
  const listeners = new Set<(isHeld: boolean) => void>()
  const tell = (isHeld: boolean) => {
    for (const hear of listeners) hear(isHeld)
  }
  let taken = 0
  let isLooking = false

  const intake = host(intakeMachine, {
    clock,
    log,
    duties: { hold: () => tell(true), release: () => tell(false) },
  })
  intake.start(INSTANCE, {
    manyPerLook: MANY_PER_LOOK,
    fewPerLook: FEW_PER_LOOK,
    ebbForMs: EBB_FOR_MS,
    holdForMs: HOLD_FOR_MS,
  })

  /** Nobody looks while nothing comes. */
  const look = (): void => {
    isLooking = taken > 0
    if (isLooking) clock.setTimer(look, LOOK_EVERY_MS)
    const isNews = taken >= MANY_PER_LOOK || intake.snapshot(INSTANCE)?.value !== 'calm'
    if (isNews) intake.send(INSTANCE, { type: 'looked', taken })
    taken = 0
  }

  return {
    host: intake,
    took() {
      taken++
      if (isLooking) return
      isLooking = true
      clock.setTimer(look, LOOK_EVERY_MS)
    },
    onHold: (hear) => void listeners.add(hear),
  }
}
