/**
 * What we ask of a nats-server, and the check that one has it.
 *
 * A server that is too old does not refuse what it does not know: it drops the TTL of a lease and answers "stored". So
 * nothing is believed that the server does not say of itself.
 */
import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from 'nats'

/** The first with per-key TTL, expiry markers, atomic batches and scheduled messages. Source: NATS 2.12 release notes. */
export const minimumVersion = '2.12.0'
/** What JetStream itself calls the same floor: 1 is 2.11, 2 is 2.12. Source: nats-server, JSApiLevel. */
export const minimumApiLevel = 2
/** 6 MB of payload (AWS Lambda quotas, synchronous invocation) and what travels around it; more is discouraged by NATS. */
export const minimumPayloadBytes = 8 * 1024 * 1024

export type UnfitCode =
  | 'NATS_TOO_OLD'
  | 'NATS_JETSTREAM_OFF'
  | 'NATS_MAX_PAYLOAD_TOO_SMALL'
  | 'NATS_NOT_SYNCED'

/** A server that cannot carry lambus. The message says what to change. */
export class UnfitNatsServer extends Error {
  override readonly name = 'UnfitNatsServer'
  readonly code: UnfitCode

  constructor(code: UnfitCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Whether version `a` is at least `b`, by major, minor and patch; what follows them is not looked at. */
export function isAtLeast(a: string, b: string): boolean {
  const left = a.split(/[.-]/).map(Number)
  const right = b.split(/[.-]/).map(Number)
  for (let part = 0; part < 3; part++) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}

/**
 * Throws `UnfitNatsServer` when the server behind this connection is too old, takes messages that are too small or has
 * JetStream switched off. The user of the connection must be allowed to publish `$JS.API.INFO`.
 */
export async function checkServer(nats: NatsConnection): Promise<void> {
  const info = nats.info
  if (info === undefined) throw new Error('not connected')
  if (!isAtLeast(info.version, minimumVersion)) {
    throw new UnfitNatsServer(
      'NATS_TOO_OLD',
      `nats-server ${info.version} at ${nats.getServer()} is too old: lambus needs ${minimumVersion} or newer`,
    )
  }
  if (info.max_payload < minimumPayloadBytes) {
    throw new UnfitNatsServer(
      'NATS_MAX_PAYLOAD_TOO_SMALL',
      `nats-server at ${nats.getServer()} takes ${info.max_payload} bytes a message: set max_payload: 8MB in its configuration`,
    )
  }
  const level = await apiLevel(nats)
  if (level === undefined) {
    throw new UnfitNatsServer(
      'NATS_JETSTREAM_OFF',
      `JetStream is off at ${nats.getServer()} for this account: add jetstream { … } to the server's configuration`,
    )
  }
  if (level < minimumApiLevel) {
    throw new UnfitNatsServer(
      'NATS_TOO_OLD',
      `JetStream at ${nats.getServer()} has API level ${level}: lambus needs ${minimumApiLevel} (nats-server ${minimumVersion}) or newer`,
    )
  }
}

/** `undefined`: no JetStream here. 0: one that is too old to say. */
async function apiLevel(nats: NatsConnection): Promise<number | undefined> {
  try {
    const account = await (await jetstreamManager(nats, { checkAPI: false })).getAccountInfo()
    return account.api.level ?? 0
  } catch (error) {
    if (isJetStreamOff(error)) return undefined
    throw error
  }
}

/** Nobody answers where JetStream is off in the server; 10039 and 10076 are what it says when it is off in the account. */
function isJetStreamOff(error: unknown): boolean {
  const { name, code, isNoResponders } = error as {
    name?: string
    code?: unknown
    isNoResponders?: () => boolean
  }
  return (
    name === 'JetStreamNotEnabled' ||
    code === 10_039 ||
    code === 10_076 ||
    isNoResponders?.call(error) === true
  )
}

/**
 * Throws `UnfitNatsServer` when the server does not write to disk before it acknowledges. `nats` is a connection of the
 * system account, the only one a server tells its configuration.
 */
export async function checkDurability(nats: NatsConnection): Promise<void> {
  const answer = await nats.request('$SYS.REQ.SERVER.PING.JSZ', undefined, { timeout: 5_000 })
  const { data } = answer.json<{ data?: { config?: { sync_always?: boolean } } }>()
  if (data?.config?.sync_always === true) return
  throw new UnfitNatsServer(
    'NATS_NOT_SYNCED',
    `nats-server at ${nats.getServer()} acknowledges before it has written to disk: set sync_interval: always`,
  )
}
