/**
 * One connection to NATS, as a Bus.
 *
 * It dials for ever once it has been connected, notices a dead link in 10 to 15 s, and never lets a handler's exception
 * reach nats.js, whose reader would end with it. The first connection is not waited for: a system that is not there is
 * the most frequent mistake, and deserves an answer at once.
 * Source: the options and their effects were measured, see the constants.
 */
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, errors, type NatsConnection, type PublishOptions } from 'nats'
import type { Bus, Log } from './bus.ts'
import { BusError } from './bus-error.ts'
import { openGate } from './gate.ts'
import { type Guarded, openQuestions } from './requests.ts'

export type BusOptions = {
  /** `nats://[user[:password]@]host[:port]`, one or several of one cluster. A user without a password is a token. */
  servers: string | string[]
  /** Names the connection and its inboxes (`_INBOX_front_end.…`), so that permissions can be given by role. */
  role: string
  id: string
  /** Wins over what the address says. */
  user?: string
  password?: string
  log?: Log
  /** Default 5000: how long to try for the first connection, and the default for JetStream's answers. */
  timeoutMs?: number
}

// 5 s × 2 unanswered: a black-holed link is noticed in 10–15 s. nats.js' own default is 2 min × 2.
const PING_INTERVAL_MS = 5_000
const PINGS_UNANSWERED = 2
// With up to 100 ms of jitter on top, so that a hundred processes do not dial in the same instant.
const RECONNECT_WAIT_MS = 150
const RECONNECT_JITTER_MS = 100
const DEFAULT_TIMEOUT_MS = 5_000
// A link that hangs would make draining wait for the dead-link detection above.
const DRAIN_TIMEOUT_MS = 5_000

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Connects. Throws BusError BUS_NO_SERVER, BUS_CREDENTIALS_REFUSED or BUS_BAD_ADDRESS. */
export async function openBus(options: BusOptions): Promise<Bus> {
  const log = options.log ?? silent
  const inboxPrefix = `_INBOX_${options.role.replaceAll('-', '_')}`
  const nats = await dial(options, inboxPrefix)
  const gate = openGate(nats, log)

  const guarded: Guarded = (hear, heard, subject) => {
    const failed = (error: unknown) =>
      log.error({ code: 'BUS_HANDLER_FAILED', subject, err: error }, 'a message handler threw')
    try {
      const done = hear(heard)
      if (done instanceof Promise) done.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  const publish: Bus['publish'] = (subject, payload, more) => {
    if (!gate.up) return gate.dropped(subject)
    try {
      nats.publish(subject, payload, {
        reply: more?.reply,
        headers: more?.headers,
      } as PublishOptions)
    } catch (error) {
      if (isEnding(error)) return gate.dropped(subject)
      throw known(error, subject)
    }
  }

  const questions = openQuestions(nats, { gate, log, inboxPrefix, publish, guarded })
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  // checkAPI asks $JS.API.INFO first, which a role with the least permissions may not.
  const jetstreamOptions = { timeout: timeoutMs, checkAPI: false }
  let manager: ReturnType<typeof jetstreamManager> | undefined

  return {
    nats,
    jetstream: jetstream(nats, jetstreamOptions),
    jetstreamManager: () => {
      manager ??= jetstreamManager(nats, jetstreamOptions)
      return manager
    },
    get up() {
      return gate.up
    },
    ready: gate.ready,
    onReconnect: gate.onReconnect,
    publish,
    subscribe(subject, hear, { queue } = {}) {
      try {
        const subscription = nats.subscribe(subject, {
          ...(queue === undefined ? {} : { queue }),
          callback: (error, message) => {
            if (error === null) guarded(hear, message, subject)
          },
        })
        return { stop: () => void subscription.drain().catch(() => {}) }
      } catch (error) {
        throw known(error, subject)
      }
    },
    ask: questions.ask,
    request: questions.request,
    askAll: questions.askAll,
    async close() {
      if (!nats.isClosed()) await end(nats, gate.up)
      gate.close()
      questions.close()
    },
  }
}

async function dial(options: BusOptions, inboxPrefix: string): Promise<NatsConnection> {
  const servers = [options.servers].flat().map(readAddress)
  const given = servers.find((server) => server.user !== undefined)
  const user = options.user ?? given?.user
  const password = options.user === undefined ? given?.password : options.password
  const credentials =
    user === undefined ? {} : password === undefined ? { token: user } : { user, pass: password }
  try {
    return await connect({
      servers: servers.map(({ host }) => host),
      ...credentials,
      ...(servers.some(({ secure }) => secure) ? { tls: {} } : {}),
      name: `lambus ${options.role} ${options.id}`,
      inboxPrefix,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      reconnectJitterTLS: RECONNECT_JITTER_MS,
      // Otherwise two refusals in a row end the connection for good, and a server that is being reconfigured says that.
      ignoreAuthErrorAbort: true,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: PINGS_UNANSWERED,
      timeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      // 30–40 % more requests/s (reference measurement, 256 B, 64 in flight).
      noAsyncTraces: true,
    })
  } catch (error) {
    const where = servers.map(({ host }) => `nats://${host}`).join(', ')
    if (error instanceof errors.AuthorizationError) {
      const who = user === undefined ? 'somebody without credentials' : `'${user}'`
      throw new BusError(
        'BUS_CREDENTIALS_REFUSED',
        `the NATS server at ${where} does not let ${password === undefined && user !== undefined ? 'this token' : who} in`,
        error,
      )
    }
    throw new BusError(
      'BUS_NO_SERVER',
      `no NATS server at ${where} (${error instanceof Error ? error.message : error})`,
      error,
    )
  }
}

type Address = {
  host: string
  secure: boolean
  user: string | undefined
  password: string | undefined
}

function readAddress(address: string): Address {
  const text = address.includes('://') ? address : `nats://${address}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['nats:', 'tls:'].includes(url.protocol) || url.hostname === '') {
    // Not repeated: an address may hold a password.
    throw new BusError('BUS_BAD_ADDRESS', 'a NATS address looks like nats://host:4222')
  }
  return {
    host: `${url.hostname}:${url.port || 4222}`,
    secure: url.protocol === 'tls:',
    user: url.username === '' ? undefined : decodeURIComponent(url.username),
    password: url.password === '' ? undefined : decodeURIComponent(url.password),
  }
}

async function end(nats: NatsConnection, up: boolean): Promise<void> {
  if (up) {
    let deadline: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      deadline = setTimeout(resolve, DRAIN_TIMEOUT_MS)
    })
    await Promise.race([nats.drain().catch(() => {}), late])
    clearTimeout(deadline)
  }
  await nats.close()
}

const isEnding = (error: unknown): boolean =>
  error instanceof errors.ClosedConnectionError || error instanceof errors.DrainingConnectionError

function known(error: unknown, subject: string): unknown {
  if (isEnding(error)) return new BusError('BUS_CLOSED', 'the bus is closed', error)
  if (error instanceof errors.InvalidSubjectError) {
    return new BusError('BUS_BAD_SUBJECT', `'${subject}' is not a subject`, error)
  }
  if (error instanceof errors.InvalidArgumentError) {
    return new BusError('BUS_PAYLOAD_TOO_LARGE', `too large for ${subject}`, error)
  }
  return error
}
