/**
 * Lineage: how a chain of invocations that comes back to the same function is found out.
 *
 * It travels in X-Ray's header, which a function's SDK passes on with all that it sends:
 *
 *     Root=1-6aba3a9c-0ad723aa6f28be0c1799046b;Parent=4bc416e7d2fef21a;Sampled=0;Lineage=3:b695919f:2
 *                                                          invocations in the chain ┘ │        │
 *                                              one function of it, as a hash of its ARN        └ how often the chain came back to it
 *
 * There is room for one function only, and which of them goes round is not known in advance: the first of a chain may never be seen
 * again. So the place is given anew at the 2nd, 4th, 8th … invocation, to the function that is invoked then, unless the one that
 * has it came back once for each of these so far. That is Brent's cycle finding. A function that invokes itself
 * is stopped at its 17th invocation, as recorded; several that invoke each other in a circle of n in about 20 rounds, and
 * never before one of them was invoked 16 times.
 *
 * Source: lambda-semantics.md §4.6; the form as recorded in §1.2 and by stackd's recursion_execution (a queue between; 16
 * executions, then none; `Allow` goes on counting); AWS Lambda Developer Guide, "Use Lambda recursive loop detection to
 * prevent infinite loops" ("approximately 16 times"). How AWS chooses the function is not known.
 */
import { crc32 } from 'node:zlib'

/** One that was invoked so often in a chain is not invoked again. Source: as above. */
export const visitLimit = 16

/** What other readers of this field take at most: OpenTelemetry's propagators for X-Ray. */
const mostHops = 32_767
const mostReturns = 255

type Lineage = { hops: number; hash: string; returns: number }

const member = /(^|;\s*)Lineage=([^;]*)/
const form = /^(\d{1,5}):([0-9a-f]{8}):(\d{1,3})$/

/** The header with one more invocation of this function, all else as it was; at most 28 characters longer. */
export function next(traceId: string, functionArn: string): string {
  const hash = hashOf(functionArn)
  if (!has(traceId)) return append(traceId, `Lineage=1:${hash}:0`)
  const { hops, hash: kept, returns } = after(read(traceId), hash)
  return traceId.replace(member, `$1Lineage=${hops}:${kept}:${returns}`)
}

/** How often the chain is known to have invoked this function so far. */
export function visits(traceId: string, functionArn: string): number {
  const before = read(traceId)
  return before !== undefined && before.hash === hashOf(functionArn) ? before.returns + 1 : 0
}

function after(before: Lineage | undefined, hash: string): Lineage {
  if (before === undefined) return { hops: 1, hash, returns: 0 }
  const hops = Math.min(before.hops + 1, mostHops)
  if (before.hash === hash) {
    return { hops, hash, returns: Math.min(before.returns + 1, mostReturns) }
  }
  const doublings = Math.log2(hops)
  return Number.isInteger(doublings) && before.returns < doublings
    ? { hops, hash, returns: 0 }
    : { ...before, hops }
}

/** Undefined where there is none, or one that is not of this form: AWS had others before. */
function read(traceId: string): Lineage | undefined {
  if (!has(traceId)) return undefined
  const [, hops, hash = '', returns] = form.exec(member.exec(traceId)?.[2] ?? '') ?? []
  return hops === undefined ? undefined : { hops: Number(hops), hash, returns: Number(returns) }
}

/** Most come without, and then the quick look is enough. */
const has = (traceId: string): boolean => traceId.includes('Lineage=') && member.test(traceId)

const append = (traceId: string, part: string): string =>
  traceId === '' || traceId.endsWith(';') ? traceId + part : `${traceId};${part}`

const hashOf = (functionArn: string): string => crc32(functionArn).toString(16).padStart(8, '0')
