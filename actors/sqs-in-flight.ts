/**
 * What this front end remembers of messages that it gave out: until when each is invisible, and when it was first given.
 *
 * JetStream counts everything that was delivered and not deleted as pending, also what waits to be delivered again. This is
 * how a queue's counts tell the two apart, and how a receipt handle that is too old is recognised. It is memory: what
 * another front end gave out, or this one before it was restarted, is not known here, and counts as in flight until it is
 * received again.
 */
type Given = { deliveries: number; visibleAtMs: number; firstAtMs: number }

export type InFlight = {
  /** Notes a delivery; gives when the message was first received, as far as is known. */
  given(
    queue: string,
    sequence: number,
    given: Omit<Given, 'firstAtMs'> & { nowMs: number },
  ): number
  visibleAt(queue: string, sequence: number, atMs: number): void
  /** Whether that delivery's time is over, or there was another one after it. */
  isOver(queue: string, sequence: number, deliveries: number, nowMs: number): boolean
  gone(queue: string, sequence: number): void
  emptied(queue: string): void
  /** How many are visible again, as far as is known. */
  visibleAgain(queue: string, nowMs: number): number
}

// AWS has at most so many in flight in one queue. Source: SQS Developer Guide, "Message quotas".
const REMEMBERED = 120_000

export function openInFlight(): InFlight {
  const queues = new Map<string, Map<number, Given>>()
  const of = (queue: string): Map<number, Given> => {
    const known = queues.get(queue) ?? new Map<number, Given>()
    queues.set(queue, known)
    return known
  }

  return {
    given(queue, sequence, { deliveries, visibleAtMs, nowMs }) {
      const known = of(queue)
      const firstAtMs = known.get(sequence)?.firstAtMs ?? nowMs
      // Behind all others: the first in the map is the one that was given out longest ago.
      known.delete(sequence)
      known.set(sequence, { deliveries, visibleAtMs, firstAtMs })
      const [oldest] = known.keys()
      if (known.size > REMEMBERED && oldest !== undefined) known.delete(oldest)
      return firstAtMs
    },
    visibleAt(queue, sequence, atMs) {
      const given = of(queue).get(sequence)
      if (given !== undefined) given.visibleAtMs = atMs
    },
    isOver(queue, sequence, deliveries, nowMs) {
      const given = of(queue).get(sequence)
      return given !== undefined && (given.visibleAtMs <= nowMs || given.deliveries > deliveries)
    },
    gone: (queue, sequence) => void of(queue).delete(sequence),
    emptied: (queue) => void queues.delete(queue),
    visibleAgain(queue, nowMs) {
      let count = 0
      for (const { visibleAtMs } of of(queue).values()) if (visibleAtMs <= nowMs) count++
      return count
    },
  }
}
