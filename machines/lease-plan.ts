/**
 * Who should read what: evenly, with those that belong together on different pollers, and with as few moves as that allows.
 * Pure arithmetic, part of the leasing service's decisions. Fast enough for thousands: it is done again whenever a poller
 * comes or goes.
 */

/** By key: a poller. */
export type Plan = Map<string, string>

export type PlanRules = {
  /** Those of one group are to be read by different pollers, if there are as many. Absent: it does not matter. */
  groupOf?: (key: string) => string
  /** What each poller has to do besides: who has less of that is given more, where this plan does not mind. */
  besides?: ReadonlyMap<string, number>
}

type Load = { poller: string; keys: Set<string>; groups: Map<string, number>; besides: number }

/** `before`: who was to read what until now. Empty when there is nobody. */
export function planOf(
  keys: readonly string[],
  pollers: readonly string[],
  before: Plan,
  rules: PlanRules = {},
): Plan {
  if (pollers.length === 0) return new Map()
  const scales = scalesOf(keys.length, pollers, rules)
  for (const key of keys) {
    const poller = before.get(key)
    if (poller !== undefined && scales.has(poller)) scales.give(key, poller)
  }
  for (const key of keys) if (!scales.plan.has(key)) scales.give(key, scales.lightestFor(key))
  if (rules.groupOf !== undefined) separateGroups(keys, scales)
  even(scales, rules.groupOf !== undefined)
  return scales.plan
}

type Scales = ReturnType<typeof scalesOf>

function scalesOf(count: number, pollers: readonly string[], { groupOf, besides }: PlanRules) {
  const plan: Plan = new Map()
  /** More than everything that can lie on one poller. */
  const apart = count + 1
  const mostBesides = Math.max(0, ...(besides?.values() ?? []))
  const loads: Load[] = pollers.map((poller) => ({
    poller,
    keys: new Set(),
    groups: new Map(),
    // Never as much as one key.
    besides: (besides?.get(poller) ?? 0) / (mostBesides + 1),
  }))
  const byPoller = new Map(loads.map((load) => [load.poller, load]))
  const loadOf = (poller: string): Load => byPoller.get(poller) as Load

  const tally = (key: string, { groups }: Load, more: number): void => {
    if (groupOf === undefined) return
    const group = groupOf(key)
    groups.set(group, (groups.get(group) ?? 0) + more)
  }
  const sisters = (key: string, { keys, groups }: Load): number => {
    if (groupOf === undefined) return 0
    return (groups.get(groupOf(key)) ?? 0) - (keys.has(key) ? 1 : 0)
  }
  /** One of the same group weighs more than all others. */
  const weightFor = (key: string, load: Load): number =>
    sisters(key, load) * apart + load.keys.size + load.besides

  return {
    plan,
    loads,
    loadOf,
    weightFor,
    has: (poller: string) => byPoller.has(poller),
    give(key: string, poller: string): void {
      const from = plan.get(key)
      if (from !== undefined) {
        loadOf(from).keys.delete(key)
        tally(key, loadOf(from), -1)
      }
      plan.set(key, poller)
      loadOf(poller).keys.add(key)
      tally(key, loadOf(poller), 1)
    },
    lightestFor: (key: string): string => least(loads, (load) => weightFor(key, load)).poller,
    sisters: (key: string, poller: string) => sisters(key, loadOf(poller)),
  }
}

/** The first of those that are least. */
function least<T>(all: readonly T[], measure: (one: T) => number): T {
  let best = all[0] as T
  let bestMeasure = measure(best)
  for (const one of all) {
    const own = measure(one)
    if (own < bestMeasure) [best, bestMeasure] = [one, own]
  }
  return best
}

/** Two of a group on one poller die together; one of them moves if there is a poller with none. */
function separateGroups(keys: readonly string[], scales: Scales): void {
  for (const key of keys) {
    if (scales.sisters(key, scales.plan.get(key) as string) === 0) continue
    const other = scales.lightestFor(key)
    if (scales.sisters(key, other) === 0) scales.give(key, other)
  }
}

/** Moves single keys from the most loaded to the least loaded until they differ by one at most. */
function even(scales: Scales, hasGroups: boolean): void {
  const { loads, weightFor } = scales
  for (;;) {
    const fewest = least(loads, ({ keys, besides }) => keys.size + besides)
    const most = least(loads, ({ keys, besides }) => -keys.size - besides)
    if (most.keys.size - fewest.keys.size <= 1) return
    const [first] = most.keys
    // One with fewer sisters there than here: there is one, because there are fewer keys there.
    const moved = hasGroups
      ? least([...most.keys], (key) => weightFor(key, fewest) - weightFor(key, most))
      : first
    scales.give(moved as string, fewest.poller)
  }
}
