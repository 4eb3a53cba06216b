/**
 * Lanes: work is done one at a time and in order within a lane, and in several lanes at the same time.
 *
 * The order is that of `position`, not of arrival: what comes again goes before what is younger.
 */
export type Lanes<Item> = {
  add(lane: string, item: Item): void
  /** What waits in a lane, oldest first; it is not in the lane any more. */
  takeBack(lane: string): Item[]
  takeBackAll(): Item[]
}

type Lane<Item> = { name: string; waiting: Item[]; state: 'idle' | 'ready' | 'busy' }

/** `work` must not throw. At most `concurrency` lanes are busy at a time; they take turns. */
export function openLanes<Item extends { position: number }>(
  concurrency: number,
  work: (item: Item, lane: string) => Promise<void>,
): Lanes<Item> {
  const lanes = new Map<string, Lane<Item>>()
  const ready: Lane<Item>[] = []
  let busy = 0

  const queue = (lane: Lane<Item>) => {
    lane.state = 'ready'
    ready.push(lane)
  }

  const run = async (lane: Lane<Item>, item: Item) => {
    busy += 1
    lane.state = 'busy'
    await work(item, lane.name)
    busy -= 1
    queue(lane)
    next()
  }

  const next = () => {
    while (busy < concurrency) {
      const lane = ready.shift()
      if (lane === undefined) return
      const item = lane.waiting.shift()
      if (item !== undefined) void run(lane, item)
      else lanes.delete(lane.name)
    }
  }

  return {
    add(name, item) {
      const lane: Lane<Item> = lanes.get(name) ?? { name, waiting: [], state: 'idle' }
      lanes.set(name, lane)
      const younger = lane.waiting.findIndex(({ position }) => position > item.position)
      lane.waiting.splice(younger === -1 ? lane.waiting.length : younger, 0, item)
      if (lane.state === 'idle') queue(lane)
      next()
    },
    takeBack: (name) => lanes.get(name)?.waiting.splice(0) ?? [],
    takeBackAll: () => [...lanes.values()].flatMap(({ waiting }) => waiting.splice(0)),
  }
}
