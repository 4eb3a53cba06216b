/**
 * The audit of a pool: what its ledger says of one front end, settled with what that front end says itself.
 *
 * A grant, a return or a doubt is said once, and core NATS delivers at most once. So each front end that the ledger knows
 * as a holder is asked, every second, what it holds: a level, which makes up for every edge that was lost. Audits are
 * numbered, and a seat remembers how many there had been when it was granted: an answer to an earlier one cannot know of
 * it. What a pool tells a front end, and what that one answers, arrives in the order in which it was said.
 */
import type { Entry, Ledger } from './pool-ledger.ts'
import type { Seat } from './reservations.ts'

/** What a front end says that it holds, in use or not. */
export type Account = { frontEnd: string; audit: number; seats: Seat[] }

/** How many seats each front end holds that holds any. */
export function heldBy(ledger: Ledger): Map<string, number> {
  const holders = new Map<string, number>()
  for (const { standing } of Object.values(ledger.sandboxes)) {
    if (standing.is !== 'held') continue
    holders.set(standing.frontEnd, (holders.get(standing.frontEnd) ?? 0) + 1)
  }
  return holders
}

/**
 * The ledger after an answer, and the seats that their workers should be asked about:
 *
 * - held by it in the ledger, and not listed: nobody knows, and its worker is asked. The grant or the return was lost.
 * - listed, and nobody's in the ledger: it is held, so nobody else gets it.
 * - listed, and not in the ledger: held, and counted, unless its worker says that it is gone.
 * - listed, and another's in the ledger, or about to be stopped: as it was. Its sandbox takes one invocation at a time;
 *   who is refused there lets go.
 */
export function settle(
  ledger: Ledger,
  { frontEnd, audit, seats }: Account,
): { ledger: Ledger; uncertain: Seat[] } {
  const sandboxes = { ...ledger.sandboxes }
  const uncertain: Seat[] = []
  const listed = new Set(seats.map(({ sandboxId }) => sandboxId))
  for (const [sandboxId, { workerId, standing }] of Object.entries(ledger.sandboxes)) {
    if (standing.is !== 'held' || standing.frontEnd !== frontEnd) continue
    if (standing.audits >= audit || listed.has(sandboxId)) continue
    sandboxes[sandboxId] = { workerId, standing: { is: 'doubtful' } }
    uncertain.push({ sandboxId, workerId })
  }
  const standing = { is: 'held' as const, frontEnd, audits: ledger.audits }
  for (const { sandboxId, workerId } of seats) {
    const entry = sandboxes[sandboxId]
    if (entry === undefined) uncertain.push({ sandboxId, workerId })
    if (entry === undefined || isNobodys(entry, workerId)) {
      sandboxes[sandboxId] = { workerId, standing }
    }
  }
  return { ledger: { ...ledger, sandboxes }, uncertain }
}

const isNobodys = (entry: Entry, workerId: string): boolean =>
  ['free', 'doubtful', 'placing', 'surplus'].includes(entry.standing.is) &&
  (entry.workerId === '' || entry.workerId === workerId)
