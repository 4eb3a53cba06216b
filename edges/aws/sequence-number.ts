/**
 * Sequence numbers: where a record stands in its shard, as 56 decimal digits.
 *
 *     2 | second the shard was made | index mod 16 | counter | 00 | second of arrival | shard's index | 2     in hex
 *     1 |             9             |      1       |   16    | 2  |         9         |       8       | 1     digits
 *
 * Our counter is the record's sequence in its record stream, so a sequence number leads straight to its message. What AWS made
 * in earlier years looks different (`version` 1 and 0); we make none, and read them to say of them what Kinesis says.
 * Source: lambda-semantics.md §8.3; kinesalite's test/helpers.js and test/putRecord.js, recorded against Kinesis.
 */

export type SequenceParts = {
  shardCreatedAtMs: number
  shard: number
  counter: number | bigint
  arrivalMs: number
}

export type ReadSequence = {
  version: 0 | 1 | 2
  /** Whole seconds, like the arrival. */
  shardCreatedAtMs: number
  /** Negative where the first of its bits is set. */
  shard: number
  counter: bigint
  arrivalMs: number
}

/** The counter of the EndingSequenceNumber of a closed shard. */
export const endingCounter = 0x7fffffffffffffffn

/** Times are cut to seconds. */
export function sequenceNumber({ shardCreatedAtMs, shard, counter, arrivalMs }: SequenceParts) {
  return (aroundOf(shardCreatedAtMs, shard, arrivalMs) + (BigInt(counter) << 80n)).toString()
}

/** The last one: records of a shard come by the second, and big numbers are slow. */
let around = { shardSeconds: -1, shard: -1, seconds: -1, number: 0n }

/** The number with a counter of 0. */
function aroundOf(shardCreatedAtMs: number, shard: number, arrivalMs: number): bigint {
  const shardSeconds = Math.floor(shardCreatedAtMs / 1000)
  const seconds = Math.floor(arrivalMs / 1000)
  if (
    around.shard !== shard ||
    around.seconds !== seconds ||
    around.shardSeconds !== shardSeconds
  ) {
    const index = BigInt(shard)
    let number = (2n << 36n) | BigInt(shardSeconds)
    number = (number << 4n) | (index & 0xfn)
    number = ((number << 72n) << 36n) | BigInt(seconds)
    number = (number << 32n) | index
    around = { shardSeconds, shard, seconds, number: (number << 4n) | 2n }
  }
  return around.number
}

// In version 0 a number has 32 hex digits, of which the first may be lacking.
const leastOfOldest = 1n << 124n
const moreThanOldest = 1n << 129n
const leastOfNewer = 2n << 184n
const moreThanNewer = 3n << 184n
/** A year that Kinesis takes for no date: its own limit. */
const tooLateSeconds = 16_025_175_000
const negative = 0x80000000

/** Undefined for what is no sequence number of any version. */
export function readSequenceNumber(text: string): ReadSequence | undefined {
  if (!/^\d{1,129}$/.test(text)) return undefined
  const number = BigInt(text)
  if (number < moreThanOldest) {
    return readOldest((number < leastOfOldest ? number + leastOfOldest : number).toString(16))
  }
  if (number < leastOfNewer || number >= moreThanNewer) return undefined
  const hex = number.toString(16)
  if (hex.endsWith('2')) return readNewest(hex)
  return hex.endsWith('1') ? readNewer(hex) : undefined
}

const ms = (hexSeconds: string): number => Number.parseInt(hexSeconds, 16) * 1000
const isDate = (atMs: number): boolean => atMs < tooLateSeconds * 1000

function readNewest(hex: string): ReadSequence | undefined {
  const counter = BigInt(`0x${hex.slice(11, 27)}`)
  const index = Number.parseInt(hex.slice(38, 46), 16)
  const read = {
    version: 2 as const,
    shardCreatedAtMs: ms(hex.slice(1, 10)),
    shard: index >= negative ? -index : index,
    counter,
    arrivalMs: ms(hex.slice(29, 38)),
  }
  return counter <= endingCounter && isDate(read.shardCreatedAtMs) ? read : undefined
}

const readNewer = (hex: string): ReadSequence => ({
  version: 1,
  shardCreatedAtMs: ms(hex.slice(1, 10)),
  shard: Number.parseInt(hex.slice(38, 46), 16),
  counter: BigInt(`0x${hex.slice(36, 38)}`),
  arrivalMs: ms(hex.slice(13, 22)),
})

function readOldest(hex: string): ReadSequence | undefined {
  const shardCreatedAtMs = ms(hex.slice(1, 10))
  if (!isDate(shardCreatedAtMs)) return undefined
  const shard = Number.parseInt(hex.slice(28, 32), 16)
  return { version: 0, shardCreatedAtMs, shard, counter: 0n, arrivalMs: 0 }
}

/** Negative when `one` comes first. */
export function compareSequenceNumbers(one: string, other: string): number {
  if (one.length !== other.length) return one.length - other.length
  return one < other ? -1 : Number(one > other)
}
