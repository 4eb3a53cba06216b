/**
 * Attempts: a poller's way to have a function invoked, through a front end that lives.
 *
 * Which front end is a matter of the request id, so that a second poller asks the one that may still be at it. Nobody is
 * told by NATS that the process which was to answer has died; heartbeats tell, and then the attempt's end is unknown.
 */
import type { Bus, Outcome } from '../bus/bus.ts'
import { attempt as attemptSubject } from '../bus/subjects.ts'
import type { AttemptDoor } from './attempt-door.ts'
import { type AttemptAnswer, type AttemptOrder, answerOf, orderHeaders } from './attempt-message.ts'

/** `unknown`: there is no front end, or it is gone with the answer. */
export type Attempted = { answer: AttemptAnswer; payload: Uint8Array } | 'unknown'

export type Attempts = {
  readonly size: number
  attempt(
    order: AttemptOrder,
    payload: Uint8Array,
    timeoutMs: number,
    tell: (attempted: Attempted) => void,
  ): void
  frontEndGone(frontEndId: string): void
  stop(): void
}

type Running = {
  frontEnd: string
  order: AttemptOrder
  payload: Uint8Array
  timeoutMs: number
  tell: (attempted: Attempted) => void
  forget: () => void
}

export function openAttempts(
  bus: Bus,
  {
    frontEnds,
    here,
  }: {
    frontEnds: () => readonly string[]
    /** The doors of front ends in this very process, by their ids. */
    here: ReadonlyMap<string, Pick<AttemptDoor, 'attempt'>>
  },
): Attempts {
  const running = new Set<Running>()

  const settle = (it: Running, attempted: Attempted): void => {
    if (!running.delete(it)) return
    it.forget()
    it.tell(attempted)
  }

  const hear = (it: Running, outcome: Outcome): void => {
    const answer = typeof outcome === 'string' ? undefined : answerOf(outcome)
    settle(
      it,
      answer === undefined || typeof outcome === 'string'
        ? 'unknown'
        : { answer, payload: outcome.data },
    )
  }

  const ask = (it: Running): void => {
    const { frontEnd, order, payload, timeoutMs } = it
    const door = here.get(frontEnd)
    if (door !== undefined) {
      door.attempt(order, payload, (answer, response) => settle(it, { answer, payload: response }))
      return
    }
    const options = { headers: orderHeaders(order), timeoutMs }
    it.forget = bus.ask(attemptSubject(frontEnd), payload, options, (outcome) => hear(it, outcome))
  }

  // The answer may have been lost with the link; an attempt that still runs is not started again.
  const forgetReconnects = bus.onReconnect(() => {
    for (const it of running) {
      it.forget()
      ask(it)
    }
  })

  return {
    get size() {
      return running.size
    },
    attempt(order, payload, timeoutMs, tell) {
      const frontEnd = chosen(order.requestId, frontEnds())
      const it = { frontEnd: frontEnd ?? '', order, payload, timeoutMs, tell, forget: () => {} }
      running.add(it)
      if (frontEnd === undefined) settle(it, 'unknown')
      else ask(it)
    },
    frontEndGone(frontEndId) {
      for (const it of [...running]) if (it.frontEnd === frontEndId) settle(it, 'unknown')
    },
    stop() {
      forgetReconnects()
      for (const it of running) it.forget()
      running.clear()
    },
  }
}

/** The front end with the highest hash of both ids: rendezvous hashing, as for partitions, with a hash that costs little. */
function chosen(requestId: string, frontEnds: readonly string[]): string | undefined {
  let best: string | undefined
  let highest = -1
  for (const frontEnd of frontEnds) {
    const weight = fnv1a(frontEnd, fnv1a(requestId, 0x811c9dc5))
    if (weight > highest) {
      highest = weight
      best = frontEnd
    }
  }
  return best
}

/** Source: G. Fowler, L. C. Noll, K.-P. Vo, FNV-1a, 32 bits. */
function fnv1a(text: string, seed: number): number {
  let hash = seed
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return hash >>> 0
}
