/**
 * Tokens of lists in pages: where the next page begins, and of what list. Good for five minutes, like AWS's.
 *
 * Source: Kinesis API reference, ListShards: "Tokens expire after 300 seconds".
 */
import { type KinesisRefusal, refuseKinesis } from './kinesis-errors.ts'

const validForMs = 300_000

/** `list`: the operation, so that a token of another one is none. */
export const nextToken = (list: string, place: object, nowMs: number): string =>
  Buffer.from(JSON.stringify({ list, atMs: nowMs, place })).toString('base64')

export function readNextToken<Place>(
  list: string,
  token: string,
  nowMs: number,
): Place | KinesisRefusal {
  const read = decoded(token)
  if (read?.list !== list || typeof read.atMs !== 'number') {
    return refuseKinesis('InvalidArgumentException', 'Invalid NextToken.')
  }
  if (nowMs - read.atMs >= validForMs) {
    return refuseKinesis('ExpiredNextTokenException', 'NextToken has expired.')
  }
  return read.place as Place
}

function decoded(token: string): { list?: unknown; atMs?: unknown; place?: unknown } | undefined {
  try {
    const read: unknown = JSON.parse(Buffer.from(token, 'base64').toString())
    return typeof read === 'object' && read !== null ? read : undefined
  } catch {
    return undefined
  }
}
