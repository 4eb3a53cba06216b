/**
 * The lanes that this poller was told to read: opens those that it holds, and hands on what comes.
 */
import type { NewMessage } from '../bus/atomic-write.ts'
import type { Bus } from '../bus/bus.ts'
import type { StoredEvent } from '../bus/event-packet.ts'
import { type EventRef, type Lane, openLane } from '../bus/lane.ts'
import type { holdingMachine } from '../machines/holding.ts'
import type { Host } from './actor.ts'
import { type HoldingsBinding, openHoldings } from './holding.ts'

export type Lanes = {
  host: Host<typeof holdingMachine>
  /** Begins to read what is assigned. */
  join(): Promise<void>
  /** See `Lane.finish`. */
  finish(
    lane: string,
    events: readonly EventRef[],
    follow: NewMessage[],
  ): Promise<'stored' | 'fenced'>
  /** Packets in hand of a lane, of at most `mostPackets`. */
  inHand(lane: string): number
  /** Something may be decided in its lease's name. */
  isHeld(lane: string): boolean
  /** It is being left: what runs may end, and nothing begins. */
  isDraining(lane: string): boolean
  /** Readers hold back for a moment, or go on. */
  hold(isHeld: boolean): void
  /** Nothing of a lane is in hand any more. */
  emptied(lane: string): void
  /** Takes nothing new, and resolves when what runs has ended and all leases are given back. */
  stop(): Promise<void>
}

export type LanesBinding = Omit<HoldingsBinding<Lane>, 'prefix' | 'open'> & {
  bus: Bus
  mostPackets: number
  take(lane: string, ref: EventRef, functionName: string, event: StoredEvent): void
}

/** A lane's key is `<queue>.<lane>`, and its lease has that key with this before it. */
export const laneLeases = 'lane.'
export const partsOfLane = (lane: string): { queue: string; lane: number } => {
  const dot = lane.lastIndexOf('.')
  return { queue: lane.slice(0, dot), lane: Number(lane.slice(dot + 1)) }
}

export function openLanes({ bus, mostPackets, take, ...binding }: LanesBinding): Lanes {
  const { clock, log } = binding
  const lanes = openHoldings<Lane>({
    ...binding,
    prefix: laneLeases,
    open: (lane, epoch, lost) =>
      openLane(bus, {
        ...partsOfLane(lane),
        epoch,
        mostPackets,
        take(ref, functionName, event) {
          if (lanes.isHeld(lane)) take(lane, ref, functionName, event)
        },
        lost,
        clock,
        log,
      }),
  })
  return {
    host: lanes.host,
    join: lanes.join,
    async finish(lane, events, follow) {
      const it = lanes.get(lane)
      if (it === undefined || !lanes.isHeld(lane)) return 'fenced'
      return it.finish(events, follow)
    },
    inHand: (lane) => lanes.get(lane)?.size ?? 0,
    isHeld: lanes.isHeld,
    isDraining: lanes.isDraining,
    hold(isHeld) {
      for (const lane of lanes.opened()) lane.hold(isHeld)
    },
    emptied: lanes.emptied,
    stop: lanes.stop,
  }
}
