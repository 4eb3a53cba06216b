/**
 * Shard iterators: a place in a shard, for five minutes.
 *
 *     base64( 00 00 00 00 00 00 00 01 | AES-256-CBC( when it was made / stream / incarnation / shard / sequence ) )
 *
 * Opaque to whoever holds one, as AWS's are, and the same for all front ends: so the key is fixed, and no secret. AWS's are
 * 152 bytes long for short names and grow by 16.
 * Source: kinesalite's test/helpers.js (assertShardIterator) and test/getRecords.js, recorded against Kinesis.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto'
import { type KinesisRefusal, refuseKinesis } from './kinesis-errors.ts'

export type ShardPosition = {
  stream: string
  incarnation: string
  shard: number
  /** Of the record stream: what has it or a later one is behind the iterator. */
  from: number
}

const head = Buffer.from('0000000000000001', 'hex')
const digest = createHash('sha512').update('a shard iterator of lambus').digest()
const key = digest.subarray(0, 32)
const vector = digest.subarray(32, 48)

const shortestBytes = 152
/** Of a stream's longest name. Source: Kinesis API reference, ShardIterator: at most 512 characters. */
const longestBytes = 384
const blockBytes = 16
/** Source: Kinesis API reference, GetShardIterator: "expires 5 minutes after it is returned". */
const validForMs = 300_000

/** AES always fills a block up, so one byte less than whole blocks is what comes out as these. */
const paddedLength = (length: number) =>
  Math.max(shortestBytes - head.length - 1, Math.ceil((length + 1) / blockBytes) * blockBytes - 1)

export function shardIterator(position: ShardPosition, nowMs: number): string {
  const { stream, incarnation, shard, from } = position
  const text = `${nowMs}/${stream}/${incarnation}/${shard}/${from}/`
  const cipher = createCipheriv('aes-256-cbc', key, vector)
  const padded = text.padEnd(paddedLength(text.length), '0')
  return Buffer.concat([head, cipher.update(padded, 'latin1'), cipher.final()]).toString('base64')
}

const invalid = (): KinesisRefusal =>
  refuseKinesis('InvalidArgumentException', 'Invalid ShardIterator.')

export function readShardIterator(text: string, nowMs: number): ShardPosition | KinesisRefusal {
  const parts = decoded(text)?.split('/') ?? []
  const [madeAt, stream = '', incarnation = '', shard, from] = parts
  const madeAtMs = Number(madeAt)
  if (parts.length !== 6 || !(madeAtMs > 0)) return invalid()
  if (nowMs - madeAtMs >= validForMs) {
    return refuseKinesis(
      'ExpiredIteratorException',
      `Iterator expired. The iterator was created at time ${inWords(madeAtMs)} while right now it is ${inWords(nowMs)} which is further in the future than the tolerated delay of ${validForMs} milliseconds.`,
    )
  }
  return { stream, incarnation, shard: Number(shard), from: Number(from) }
}

function decoded(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64')
  const isOurs =
    bytes.length >= shortestBytes &&
    bytes.length <= longestBytes &&
    bytes.subarray(0, head.length).equals(head) &&
    bytes.toString('base64') === text
  if (!isOurs) return undefined
  try {
    const decipher = createDecipheriv('aes-256-cbc', key, vector)
    const rest = bytes.subarray(head.length)
    return Buffer.concat([decipher.update(rest), decipher.final()]).toString('latin1')
  } catch {
    return undefined
  }
}

/** `Thu Jan 22 01:22:02 UTC 2015` */
function inWords(atMs: number): string {
  const [weekday = '', day, month, year, time] = new Date(atMs).toUTCString().split(' ')
  return `${weekday.slice(0, 3)} ${month} ${day} ${time} UTC ${year}`
}
