/**
 * Answers that outlive their link.
 *
 * What is published while a connection is dying is lost without a word: nats.js notices some milliseconds later, and empties
 * its buffer when it dials again. Whoever waits for such an answer waits until his own deadline. So each answer is kept until
 * the server has said twice that it has everything, and those that were kept are given again when the link is back.
 *
 *     give ──▶ unconfirmed ──server has it──▶ passed on soon ──and again──▶ (forgotten)
 *                   └──────────link back──────────┴──▶ given again
 *
 * The second time is for a server that dies with an answer in its hands. Who has had his answer does not hear the next one:
 * a reply subject is used once.
 */
import type { Bus, Clock, MsgHdrs } from './bus.ts'

export type Answers = {
  /** While the link is down it waits. Throws BusError BUS_PAYLOAD_TOO_LARGE. */
  give(reply: string, payload: Uint8Array | string, headers?: MsgHdrs): void
  /** Kept at this moment. For tests. */
  readonly size: number
  stop(): void
}

type Answer = { reply: string; payload: Uint8Array | string; headers: MsgHdrs | undefined }

/** How often the server is asked whether it has them, while there are any. */
const CONFIRM_EVERY_MS = 50
/** Those who wait may dial a moment later than we do: their inboxes have to be there again. */
const OTHERS_BACK_MS = 400
/**
 * Of the oldest no more is kept: that so much is on its way and none of it has arrived is no case worth the memory. What was
 * never sent is kept in any case; while the link is down nothing new is asked.
 */
const MOST_BYTES = 16_777_216

export function openAnswers(
  bus: Bus,
  clock: Clock,
  { mostBytes = MOST_BYTES }: { mostBytes?: number } = {},
): Answers {
  /** In the order in which they were given; the server has those before `confirmed`. */
  let kept: Answer[] = []
  let confirmed = 0
  let bytes = 0
  let asking: unknown
  let again: unknown

  /** All that is kept was sent at least once over the link that there is. */
  const wasSent = (): boolean => bus.up && again === undefined

  const drop = (count: number): void => {
    for (const { payload } of kept.slice(0, count)) bytes -= payload.length
    kept = kept.slice(count)
    confirmed = Math.max(0, confirmed - count)
  }

  /** How many of the oldest are too much; never the newest. */
  const over = (): number => {
    let left = bytes
    let count = 0
    while (left > mostBytes && count < kept.length - 1) left -= kept[count++]?.payload.length ?? 0
    return count
  }

  const confirm = async (): Promise<void> => {
    const last = kept.at(-1)
    try {
      if (wasSent()) {
        await bus.nats.flush()
        drop(confirmed)
        confirmed = last === undefined ? 0 : kept.lastIndexOf(last) + 1
      }
    } catch {
      // The link broke.
    }
    asking = kept.length === 0 ? undefined : clock.setTimer(confirmSoon, CONFIRM_EVERY_MS)
  }
  const confirmSoon = () => void confirm()

  const publish = ({ reply, payload, headers }: Answer): void =>
    bus.publish(reply, payload, { headers })

  const publishAgain = (answer: Answer): void => {
    try {
      publish(answer)
    } catch {
      // A server that takes less than the one before: nobody can have this answer any more.
    }
  }

  const forgetReconnects = bus.onReconnect(() => {
    confirmed = 0
    clock.clearTimer(again)
    again = clock.setTimer(() => {
      again = undefined
      if (bus.up) for (const answer of kept) publishAgain(answer)
    }, OTHERS_BACK_MS)
  })

  return {
    give(reply, payload, headers) {
      const answer = { reply, payload, headers }
      if (bus.up) publish(answer)
      kept.push(answer)
      bytes += payload.length
      if (wasSent() && bytes > mostBytes) drop(over())
      asking ??= clock.setTimer(confirmSoon, CONFIRM_EVERY_MS)
    },
    get size() {
      return kept.length
    },
    stop() {
      forgetReconnects()
      kept = []
      clock.clearTimer(asking)
      clock.clearTimer(again)
    },
  }
}
