/**
 * The ledger of one pool: which sandboxes there are, who holds each, who wants more; and what follows from it.
 *
 * Plain data and pure functions. Concurrency in use is the number of seats held, counted here and nowhere else.
 */
import type { Seat } from './reservations.ts'

/**
 * `placing`: room is being looked for or it starts. `surplus`: called off while it was coming; it comes all the same if it
 * had begun to start. `free`, `held`: initialised. `unwanted`: to be stopped, and not known to be gone yet. `doubtful`: its
 * holder is dead, has lost sight of it or does not list it, and its worker has been asked. `audits`: how many there had
 * been when it was granted.
 */
export type Standing =
  | { is: 'placing' }
  | { is: 'surplus' }
  | { is: 'unwanted' }
  | { is: 'free'; sinceMs: number }
  | { is: 'held'; frontEnd: string; audits: number }
  | { is: 'doubtful' }

/** `workerId` is empty until a worker has accepted it. */
export type Entry = { workerId: string; standing: Standing }

export type Ledger = {
  sandboxes: Record<string, Entry>
  /** Front end → how many seats it waits for. */
  wants: Record<string, number>
  /** Of those, the ones for whom idle seats have been called back. */
  tried: Record<string, number>
  /** Sandboxes placed so far: the next one's number. */
  placed: number
  /** Audits so far. See pool-audit.ts. */
  audits: number
  /** Workers that take nothing new: what comes back on them is stopped. */
  leaving: string[]
}

export const emptyLedger: Ledger = {
  sandboxes: {},
  wants: {},
  tried: {},
  placed: 0,
  audits: 0,
  leaving: [],
}

export type Grant = { frontEnd: string; seats: Seat[] }

/** What a front end or a worker says that it has, when a new owner rebuilds the pool. */
export type Found = { sandboxId: string; workerId: string; standing: Standing }

export const rebuiltLedger = (found: Found[]): Ledger => ({
  ...emptyLedger,
  sandboxes: Object.fromEntries(
    found.map(({ sandboxId, workerId, standing }) => [sandboxId, { workerId, standing }]),
  ),
})

export const countOf = (ledger: Ledger, ...kinds: Standing['is'][]): number =>
  Object.values(ledger.sandboxes).filter(({ standing }) => kinds.includes(standing.is)).length

/** Sandboxes that are on their way, as far as is known. */
export const coming = (ledger: Ledger): number => countOf(ledger, 'placing', 'surplus')

export const wanted = (ledger: Ledger): number =>
  Object.values(ledger.wants).reduce((sum, count) => sum + count, 0)

export const total = (ledger: Ledger): number => Object.keys(ledger.sandboxes).length

/** Seats on which an invocation may be running: the concurrency. */
export const inUse = (ledger: Ledger): number => countOf(ledger, 'held', 'doubtful')

/** How many of those who wait need nobody to give anything back: sandboxes are coming, or leave room by going. */
export const due = (ledger: Ledger, limit: number): number =>
  Math.min(coming(ledger) + countOf(ledger, 'unwanted'), Math.max(0, limit - inUse(ledger)))

/** The same ledger with one sandbox's standing changed; unchanged when the sandbox is not known. */
export function stand(ledger: Ledger, sandboxId: string, change: Partial<Entry>): Ledger {
  const entry = ledger.sandboxes[sandboxId]
  if (entry === undefined) return ledger
  return { ...ledger, sandboxes: { ...ledger.sandboxes, [sandboxId]: { ...entry, ...change } } }
}

/** The same ledger where everything that `isMeant` is unwanted. */
export function callOff(ledger: Ledger, isMeant: (entry: Entry, id: string) => boolean): Ledger {
  const sandboxes = Object.entries(ledger.sandboxes).map(([id, entry]): [string, Entry] =>
    isMeant(entry, id) ? [id, { ...entry, standing: { is: 'unwanted' } }] : [id, entry],
  )
  return { ...ledger, sandboxes: Object.fromEntries(sandboxes) }
}

export function drop(ledger: Ledger, isDropped: (entry: Entry, id: string) => boolean): Ledger {
  const sandboxes = Object.fromEntries(
    Object.entries(ledger.sandboxes).filter(([id, entry]) => !isDropped(entry, id)),
  )
  return { ...ledger, sandboxes }
}

export function want(ledger: Ledger, frontEnd: string, count: number): Ledger {
  const { [frontEnd]: _, ...others } = ledger.wants
  const wants = count > 0 ? { ...others, [frontEnd]: count } : others
  const tried = Math.min(ledger.tried[frontEnd] ?? 0, count)
  return { ...ledger, wants, tried: { ...ledger.tried, [frontEnd]: tried } }
}

/** The ledger that knows for how many idle seats are being called back now. */
export function tryFor(ledger: Ledger, tooMany: number): Ledger {
  const { throttled } = refuse(ledger, tooMany, ledger.wants)
  const tried = throttled.map(({ frontEnd, keep }): [string, number] => [
    frontEnd,
    (ledger.wants[frontEnd] ?? 0) - keep,
  ])
  return { ...ledger, tried: Object.fromEntries(tried) }
}

/** Without so many of those who wait: `from` says how many of each front end may be refused. `throttled`: who is left. */
export function refuse(
  ledger: Ledger,
  tooMany: number,
  from: Record<string, number>,
): { ledger: Ledger; throttled: { frontEnd: string; keep: number }[] } {
  const throttled: { frontEnd: string; keep: number }[] = []
  let next = ledger
  let excess = tooMany
  for (const [frontEnd, count] of Object.entries(ledger.wants)) {
    const refused = Math.min(count, from[frontEnd] ?? 0, Math.max(0, excess))
    if (refused === 0) continue
    throttled.push({ frontEnd, keep: count - refused })
    next = want(next, frontEnd, count - refused)
    excess -= refused
  }
  return { ledger: next, throttled }
}

/** Gives free sandboxes to those who wait, up to the limit, and in turn, so that no front end starves another. */
export function grant(ledger: Ledger, limit: number): { ledger: Ledger; grants: Grant[] } {
  const free = Object.entries(ledger.sandboxes)
    .filter(([, { standing }]) => standing.is === 'free')
    // The one used last is the warmest.
    .sort(([, a], [, b]) => sinceOf(b) - sinceOf(a))
    .slice(0, Math.max(0, limit - inUse(ledger)))
  const wants = { ...ledger.wants }
  const tried = { ...ledger.tried }
  const sandboxes = { ...ledger.sandboxes }
  const seats: Record<string, Seat[]> = {}
  let turn = Object.keys(wants)
  while (free.length > 0 && turn.length > 0) {
    for (const frontEnd of turn) {
      const next = free.shift()
      if (next === undefined) break
      const [sandboxId, { workerId }] = next
      sandboxes[sandboxId] = { workerId, standing: { is: 'held', frontEnd, audits: ledger.audits } }
      seats[frontEnd] = [...(seats[frontEnd] ?? []), { sandboxId, workerId }]
      wants[frontEnd] = (wants[frontEnd] ?? 0) - 1
      tried[frontEnd] = Math.max(0, (tried[frontEnd] ?? 0) - 1)
    }
    turn = turn.filter((frontEnd) => (wants[frontEnd] ?? 0) > 0)
  }
  const left = Object.fromEntries(Object.entries(wants).filter(([, count]) => count > 0))
  return {
    ledger: { ...ledger, sandboxes, wants: left, tried },
    grants: Object.entries(seats).map(([frontEnd, given]) => ({ frontEnd, seats: given })),
  }
}

const sinceOf = ({ standing }: Entry): number => (standing.is === 'free' ? standing.sinceMs : 0)

/** Sandboxes to start: as many as wait and are not coming already, up to the limit. */
export function grow(
  ledger: Ledger,
  prefix: string,
  limit: number,
): { ledger: Ledger; places: string[] } {
  const missing = wanted(ledger) - coming(ledger)
  const count = Math.max(0, Math.min(missing, limit - total(ledger)))
  const places = Array.from({ length: count }, (_, index) => `${prefix}-${ledger.placed + index}`)
  const sandboxes = { ...ledger.sandboxes }
  for (const id of places) sandboxes[id] = { workerId: '', standing: { is: 'placing' } }
  return { ledger: { ...ledger, sandboxes, placed: ledger.placed + count }, places }
}

/** Sandboxes that are coming and that nobody waits for any more, marked as such; the last to come first. */
export function shrink(ledger: Ledger): { ledger: Ledger; surplus: string[] } {
  const placing = Object.entries(ledger.sandboxes).flatMap(([id, { standing }]) =>
    standing.is === 'placing' ? [id] : [],
  )
  const surplus = placing.slice(placing.length - Math.max(0, placing.length - wanted(ledger)))
  const next = surplus.reduce(
    (marked, id) => stand(marked, id, { standing: { is: 'surplus' } }),
    ledger,
  )
  return { ledger: next, surplus }
}
