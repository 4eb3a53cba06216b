/**
 * Flows: of each function in each lane here, which events run, which wait, and which go to a queue of the function's own.
 */
import type { Clock, Log } from '../bus/bus.ts'
import { type FlowInput, flowMachine } from '../machines/flow.ts'
import { type Host, host } from './actor.ts'

export type Flows = {
  host: Host<typeof flowMachine>
  /** An event is there. `isDiverted`: nothing more of its function should wait in this lane. */
  arrived(lane: string, functionName: string, event: string, isDiverted: boolean): void
  ended(
    lane: string,
    functionName: string,
    how: 'well' | 'badly' | 'throttled',
    tookMs: number,
  ): void
  /** Forgets a lane with all that waits in it. */
  left(lane: string): void
}

export type FlowsBinding = {
  clock: Clock
  log: Log
  inputFor(lane: string, functionName: string): FlowInput
  begin(event: string): void
  /** Events that are to go to a queue of their function's own. */
  setAside(lane: string, functionName: string, events: string[]): void
}

const keyOf = (lane: string, functionName: string) => `${lane}/${functionName}`
const laneOf = (key: string) => key.slice(0, key.indexOf('/'))
const functionOf = (key: string) => key.slice(key.indexOf('/') + 1)

export function openFlows(binding: FlowsBinding): Flows {
  const { clock, log } = binding
  /** What waits, oldest first; what has begun is taken off the front. */
  const lines = new Map<string, { event: string; sinceMs: number }[]>()

  const flows = host(flowMachine, {
    clock,
    log,
    duties: {
      beginNext: (_, key) => {
        const next = lines.get(key)?.shift()
        if (next !== undefined) binding.begin(next.event)
      },
      setAside: ({ count }, key) => {
        const line = lines.get(key) ?? []
        const some = line.splice(line.length - count, count).map(({ event }) => event)
        binding.setAside(laneOf(key), functionOf(key), some)
      },
    },
  })

  const divert = (key: string, isDiverted: boolean): void => {
    if (flows.snapshot(key)?.context.isDiverted === isDiverted) return
    flows.send(key, { type: isDiverted ? 'divert' : 'admit' })
  }

  return {
    host: flows,
    arrived(lane, functionName, event, isDiverted) {
      const key = keyOf(lane, functionName)
      if (flows.snapshot(key) === undefined) {
        lines.set(key, [])
        flows.start(key, binding.inputFor(lane, functionName))
      }
      divert(key, isDiverted)
      lines.get(key)?.push({ event, sinceMs: clock.monotonicMs() })
      flows.send(key, { type: 'arrived' })
    },
    ended(lane, functionName, how, tookMs) {
      const key = keyOf(lane, functionName)
      if (flows.snapshot(key) === undefined) return
      const [oldest] = lines.get(key) ?? []
      const lineMs = oldest === undefined ? 0 : clock.monotonicMs() - oldest.sinceMs
      flows.send(key, { type: 'ended', how, tookMs, lineMs })
    },
    left(lane) {
      for (const key of [...flows.instances()]) {
        if (laneOf(key) !== lane) continue
        flows.forget(key)
        lines.delete(key)
      }
    },
  }
}
