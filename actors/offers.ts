/**
 * Offers: what pollers are told, who should read what. Writes of one key go one after the other, and of those that wait only
 * the last is made, so that what stands at last is what was wanted last; writes of different keys go side by side.
 */
import type { Directory } from '../bus/directory.ts'
import type { Assignment } from './holding.ts'

/** Undefined: nobody. */
type Wish = { poller: string | undefined; epoch: number }

export type Offers = {
  /** Resolves when it is written, or a later wish of the same key has taken its place. Throws BusError BUS_STORE_UNAVAILABLE. */
  write(key: string, wish: Wish): Promise<void>
}

export function openOffers(assignments: Directory<Assignment>): Offers {
  const wishes = new Map<string, Wish>()
  const writing = new Set<string>()

  return {
    async write(key, wish) {
      wishes.set(key, wish)
      if (writing.has(key)) return
      writing.add(key)
      try {
        for (let next = wishes.get(key); next !== undefined; next = wishes.get(key)) {
          wishes.delete(key)
          const { poller, epoch } = next
          if (poller === undefined) await assignments.remove(key, epoch)
          else await assignments.put(key, { poller }, epoch)
        }
      } finally {
        writing.delete(key)
      }
    },
  }
}
