/**
 * The timers of one instance. A machine's `after` leaves it as two of XState's own actions: `xstate.raise` with a delay
 * when the state is entered, `xstate.cancel` when it is left. This is who keeps the time between them.
 */
import type { EventObject } from 'xstate'
import type { Clock } from '../bus/bus.ts'

export type Timers = {
  /** Performs one `xstate.raise` or `xstate.cancel`. A raise without a delay was handled inside the step. */
  keep(type: string, params: unknown): void
  stop(): void
}

export function timersOf(clock: Clock, onTime: (event: EventObject) => void): Timers {
  const running = new Map<string, unknown>()
  const cancel = (id: string): void => {
    const timer = running.get(id)
    if (timer === undefined) return
    clock.clearTimer(timer)
    running.delete(id)
  }
  const raise = ({ id, delay, event }: Raise): void => {
    if (delay === undefined) return
    cancel(id)
    const ring = () => {
      running.delete(id)
      onTime(event)
    }
    running.set(id, clock.setTimer(ring, delay))
  }
  return {
    keep(type, params) {
      if (type === 'xstate.raise') raise(params as Raise)
      else cancel((params as { sendId: string }).sendId)
    },
    stop() {
      for (const id of running.keys()) cancel(id)
    },
  }
}

type Raise = { id: string; delay: number | undefined; event: EventObject }
