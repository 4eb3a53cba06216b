/**
 * A campaign of bad input against a running system: requests and messages from a seed, one after the other, and what is
 * found wrong with the answers. The test plays a short one, scripts/campaign.ts as long a one as is wished.
 */
import type { Bus } from '../../bus/bus.ts'
import * as subjects from '../../bus/subjects.ts'
import type { Chance } from '../seed.ts'
import {
  type BadRequest,
  badRequest,
  badStreamRequest,
  complaintAbout,
  sendRaw,
} from './bad-http.ts'
import type { StreamTargets } from './bad-kinesis.ts'
import { badMessage, type Targets } from './bad-nats.ts'

type Status = {
  id: string
  roles: string[]
  rssBytes: number
  sandboxes?: unknown[]
  machines: Record<string, { instances: number; failures: number }>
}

/** mulberry32: a sequence that a seed of 32 bits repeats. Source: Tommy Ettinger's public-domain generator. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

export async function statusOf(bus: Bus): Promise<Status[]> {
  const answers = await bus.askAll(subjects.status, undefined, { waitMs: 1_000 })
  return answers.map((answer) => answer.json<Status>())
}

/** What must be the same before and after: nothing was made, nothing was lost, no machine broke. */
export const shapeOf = (statuses: Status[]) => ({
  processes: statuses.map(({ id }) => id).sort(),
  sandboxes: statuses.reduce((sum, { sandboxes = [] }) => sum + sandboxes.length, 0),
  placements: sumOf(statuses, 'placement', 'instances'),
  invocations: sumOf(statuses, 'invocation', 'instances'),
  pools: sumOf(statuses, 'pool', 'instances'),
})
const sumOf = (statuses: Status[], machine: string, of: 'instances' | 'failures') =>
  statuses.reduce((sum, { machines }) => sum + (machines[machine]?.[of] ?? 0), 0)

export const targetsOf = (statuses: Status[], functionName: string): Targets => ({
  processes: statuses.map(({ id }) => id),
  workers: statuses.filter(({ roles }) => roles.includes('worker')).map(({ id }) => id),
  functionName,
})

/** Sends one bad request; what is wrong with the answer, or undefined. */
export const playHttp = (port: number, chance: Chance): Promise<string | undefined> =>
  play(port, badRequest(chance))

/** The same about a stream and a mapping. */
export const playStreams = (
  port: number,
  chance: Chance,
  targets: StreamTargets,
): Promise<string | undefined> => play(port, badStreamRequest(chance, targets))

async function play(port: number, request: BadRequest): Promise<string | undefined> {
  const heard = await sendRaw(port, request)
  const complaint = complaintAbout(request, heard)
  return complaint && `${request.name.slice(0, 300)}: ${complaint}\n${heard.slice(0, 500)}`
}

const PATIENCE_MS = 5_000

/** Sends one bad message, as a question or without; what is wrong with the answer, or undefined. */
export async function playNats(
  bus: Bus,
  targets: Targets,
  chance: Chance,
): Promise<string | undefined> {
  const { subject, body, headers } = badMessage(chance, targets)
  const options = headers === undefined ? {} : { headers }
  const isDoor = subject.startsWith('lambus.api.') || subject.startsWith('lambus.invoke.')
  // An invoke with too many tokens is dropped.
  const isAnswered = isDoor && subjects.tokens(subject).length <= 4
  if (!isAnswered || chance(3) === 0) {
    bus.publish(subject, body, options)
    return undefined
  }
  const answer = await bus.request(subject, body, { ...options, timeoutMs: PATIENCE_MS })
  if (typeof answer === 'string') return `${subject}: ${answer}`
  const code = Number(answer.headers?.get('Nats-Service-Error-Code'))
  return code >= 400 && code < 500
    ? undefined
    : `${subject} ${Buffer.from(body).toString().slice(0, 200)}: ${code} ${answer.string().slice(0, 300)}`
}

/** Errors that a log in JSON lines holds: what comes from outside is no error of ours. */
export const errorsIn = (log: string): string[] =>
  log.split('\n').filter((line) => /"level":"(error|fatal)"/.test(line))
