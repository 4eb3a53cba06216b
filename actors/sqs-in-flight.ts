/**
 * What this front end remembers of messages that it gave out: until when each is invisible, and when it was first given.
 *
 * JetStream counts everything that was delivered and not deleted as pending, also what waits to be delivered again. Front
 * ends tell the two apart: what one of them gave out less than a visibility timeout ago is in flight, the rest is visible.
 * They ask each other for that. It is memory, so what is wrong after a restart, or because a message was deleted through
 * another front end, is right again when its visibility timeout is over.
 */
import type { Bus, Clock } from '../bus/bus.ts'
import { sqsInFlight } from '../bus/subjects.ts'

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
  /** How many are invisible now, by the word of all front ends that answer. */
  count(queue: string): Promise<number>
  stop(): void
}

// AWS has at most so many in flight in one queue. Source: SQS Developer Guide, "Message quotas".
const REMEMBERED = 120_000
// Long enough for all on one network; who is later is not counted.
const ANSWERS_MS = 50

/** `queue` is the incarnation of one. */
export function openInFlight(
  bus: Bus,
  { clock, frontEndId }: { clock: Pick<Clock, 'nowMs'>; frontEndId: string },
): InFlight {
  const queues = new Map<string, Map<number, Given>>()
  const of = (queue: string): Map<number, Given> => {
    const known = queues.get(queue) ?? new Map<number, Given>()
    queues.set(queue, known)
    return known
  }

  const ours = (queue: string): number => {
    const nowMs = clock.nowMs()
    let count = 0
    for (const { visibleAtMs } of queues.get(queue)?.values() ?? [])
      if (visibleAtMs > nowMs) count++
    return count
  }

  const hearing = bus.subscribe(sqsInFlight, (asked) => {
    asked.respond(JSON.stringify({ frontEndId, count: ours(asked.string()) }))
  })

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
      const given = queues.get(queue)?.get(sequence)
      if (given !== undefined) given.visibleAtMs = atMs
    },
    isOver(queue, sequence, deliveries, nowMs) {
      const given = queues.get(queue)?.get(sequence)
      return given !== undefined && (given.visibleAtMs <= nowMs || given.deliveries > deliveries)
    },
    gone: (queue, sequence) => void queues.get(queue)?.delete(sequence),
    emptied: (queue) => void queues.delete(queue),
    async count(queue) {
      const answers = await bus.askAll(sqsInFlight, queue, { waitMs: ANSWERS_MS })
      const others = answers
        .map((answer) => answer.json<{ frontEndId: string; count: number }>())
        .filter((answer) => answer.frontEndId !== frontEndId)
      return others.reduce((sum, { count }) => sum + count, ours(queue))
    },
    stop: () => hearing.stop(),
  }
}
