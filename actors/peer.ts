/**
 * Peers: the other processes of one role, each seen through a machine of its own. Whoever counts on them is told when
 * one appears and when it is gone.
 */
import type { Clock, Log } from '../bus/bus.ts'
import type { Presence } from '../bus/presence.ts'
import { peerMachine } from '../machines/peer.ts'
import { host } from './actor.ts'

export type Peers = {
  /** Ids of those that are there, as far as is known. */
  readonly ids: string[]
  /** What a peer said about itself with its last beat. */
  describe(id: string): Record<string, unknown> | undefined
  /** One that has not been heard, but should be there. It is looked for, and reported gone if it is not. */
  expect(id: string): void
  stop(): void
}

export type PeerWatch = {
  presence: Presence
  role: string
  clock: Clock
  log: Log
  /** Milliseconds. See config.ts. */
  silenceMs: number
  beatMs: number
  appeared?: (id: string, description: Record<string, unknown>) => void
  beat?: (id: string, description: Record<string, unknown>) => void
  gone?: (id: string) => void
}

export function watchPeers({
  presence,
  role,
  clock,
  log,
  silenceMs,
  beatMs,
  appeared = () => {},
  beat = () => {},
  gone = () => {},
}: PeerWatch): Peers {
  const descriptions = new Map<string, Record<string, unknown>>()
  const peers = host(peerMachine, {
    clock,
    log,
    duties: {
      probe: async (_, id) => {
        const outcome = await presence.probe(id, silenceMs)
        peers.send(id, { type: 'probed', outcome })
      },
      reportGone: (_, id) => {
        descriptions.delete(id)
        log.info({ role, id }, 'gone')
        gone(id)
      },
    },
  })
  const hearing = presence.onBeat(role, (id, description, isLeaving) => {
    if (isLeaving) {
      if (peers.snapshot(id) !== undefined) peers.send(id, { type: 'goodbye' })
      return
    }
    const fields = description as Record<string, unknown>
    const isNew = !descriptions.has(id)
    descriptions.set(id, fields)
    if (peers.snapshot(id) === undefined) peers.start(id, { silenceMs, secondLookMs: beatMs })
    else peers.send(id, { type: 'beat' })
    if (isNew) appeared(id, fields)
    beat(id, fields)
  })
  return {
    get ids() {
      return [...descriptions.keys()]
    },
    describe: (id) => descriptions.get(id),
    expect(id) {
      if (peers.snapshot(id) === undefined) peers.start(id, { silenceMs, secondLookMs: beatMs })
    },
    stop() {
      hearing()
      for (const id of peers.instances()) peers.forget(id)
    },
  }
}
