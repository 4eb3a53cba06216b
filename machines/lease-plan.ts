/**
 * Who should read which lane: evenly, with the lanes of one queue on different pollers, and with as few moves as that
 * allows. Pure arithmetic, part of the leasing service's decisions.
 */

/** A lane's key is `<queue>.<lane>`. */
export type Plan = Map<string, string>

const queueOf = (lane: string): string => lane.slice(0, lane.lastIndexOf('.'))

/** `before`: who was to read what until now. Empty when there is nobody. */
export function planOf(lanes: readonly string[], pollers: readonly string[], before: Plan): Plan {
  const plan: Plan = new Map()
  if (pollers.length === 0) return plan
  const loads = new Map(pollers.map((poller) => [poller, new Set<string>()]))
  const give = (lane: string, poller: string): void => {
    const from = plan.get(lane)
    if (from !== undefined) loads.get(from)?.delete(lane)
    plan.set(lane, poller)
    loads.get(poller)?.add(lane)
  }
  /** Lanes of the same queue weigh more than all others. */
  const weightFor = (lane: string, poller: string): number => {
    const load = loads.get(poller) ?? new Set<string>()
    const sisters = [...load].filter((one) => one !== lane && queueOf(one) === queueOf(lane)).length
    return sisters * (lanes.length + 1) + load.size
  }
  const lightestFor = (lane: string): string =>
    pollers.reduce((best, one) => (weightFor(lane, one) < weightFor(lane, best) ? one : best))

  for (const lane of lanes) {
    const poller = before.get(lane)
    if (poller !== undefined && loads.has(poller)) give(lane, poller)
  }
  for (const lane of lanes) if (!plan.has(lane)) give(lane, lightestFor(lane))
  separateSisters(lanes, plan, { give, weightFor, lightestFor })
  even(loads, { give, weightFor })
  return plan
}

type Scales = {
  give(lane: string, poller: string): void
  weightFor(lane: string, poller: string): number
  lightestFor(lane: string): string
}

/** Two lanes of a queue on one poller die together; one of them moves if there is a poller with none. */
function separateSisters(lanes: readonly string[], plan: Plan, scales: Scales): void {
  for (const lane of lanes) {
    const poller = plan.get(lane) as string
    const sisters = lanes.filter(
      (one) => one !== lane && queueOf(one) === queueOf(lane) && plan.get(one) === poller,
    )
    if (sisters.length === 0) continue
    const other = scales.lightestFor(lane)
    if (scales.weightFor(lane, other) < lanes.length + 1) scales.give(lane, other)
  }
}

/** Moves single lanes from the most loaded to the least loaded until they differ by one at most. */
function even(
  loads: ReadonlyMap<string, ReadonlySet<string>>,
  { give, weightFor }: Pick<Scales, 'give' | 'weightFor'>,
): void {
  for (;;) {
    const byLoad = [...loads].sort(([, one], [, other]) => one.size - other.size)
    const [least, fewest] = byLoad[0] as [string, ReadonlySet<string>]
    const [busiest, most] = byLoad.at(-1) as [string, ReadonlySet<string>]
    if (most.size - fewest.size <= 1) return
    // A lane with fewer sisters there than here: there is one, because there are fewer lanes there.
    const loss = (lane: string) => weightFor(lane, least) - weightFor(lane, busiest)
    const movable = [...most].reduce((best, lane) => (loss(lane) < loss(best) ? lane : best))
    give(movable, least)
  }
}
