/**
 * What a stream does not do, and why: said as data. What AWS calls it stands in edges/aws/stream-refusals.ts.
 *
 * Of UpdateShardCount's documented limits, "twice the shards, half of them, ten times a day", none is kept: AWS itself
 * has been seen to go from 3 to 1 (lambda-semantics.md §8.2). The limit of the account is.
 * Source: Kinesis API reference, errors of each action; lambda-semantics.md §8.2; kinesalite's tests, made against AWS.
 */
import { openShards, shardsWanted } from './shard-map.ts'
import type { StreamRecord, StreamRequest, StreamStatus } from './stream.ts'

export type StreamRefusal =
  | { why: 'no such stream' }
  | { why: 'exists' }
  /** Ours: with its dots written out it is too long for what it is the name of in NATS. */
  | { why: 'too many dots' }
  | { why: 'not active'; status: StreamStatus }
  /** So many more than there are, and they would be too many. */
  | { why: 'shard limit'; additional: number }
  | { why: 'no such shard'; shard: number }
  | { why: 'closed shard'; shard: number }
  | { why: 'bad split key'; shard: number; key: string; startHash: string; endHash: string }
  | { why: 'not adjacent'; shard: number; adjacent: number }
  /** How many shards it has is not the user's to say. */
  | { why: 'on demand' }
  | { why: 'retention too short'; hours: number }
  | { why: 'retention below'; hours: number; existing: number }
  | { why: 'retention above'; hours: number; existing: number }
  | { why: 'bad tags' }
  | { why: 'illegal tags'; doing: 'add' | 'remove' }
  | { why: 'too many tags' }
  | { why: 'has consumers' }
  | { why: 'consumer exists'; consumer: string }
  | { why: 'no such consumer'; consumer: string }
  | { why: 'too many consumers' }
  | { why: 'too many new consumers' }

/** AWS's least. Its most, 8760, is in its model. */
const LEAST_RETENTION_HOURS = 24
/** nats-server, JSMaxNameLen: 255, and a record stream has 15 before. A dot takes three characters. */
const MOST_NAME_CHARACTERS = 240
const MOST_TAGS = 50
/** Kinesis API reference, RegisterStreamConsumer: 20 a stream, 5 of them CREATING. */
const MOST_CONSUMERS = 20
const MOST_NEW_CONSUMERS = 5

/** Why the stream does not do what is asked; undefined: it does. */
export function objectionTo(
  record: StreamRecord,
  request: StreamRequest,
): StreamRefusal | undefined {
  switch (request.type) {
    case 'create':
      return { why: 'exists' }
    case 'delete':
      return request.enforceConsumerDeletion || record.consumers.length === 0
        ? undefined
        : { why: 'has consumers' }
    case 'split':
      return inactive(record) ?? onDemand(record) ?? badSplit(record, request)
    case 'merge':
      return inactive(record) ?? onDemand(record) ?? badMerge(record, request)
    case 'updateShardCount':
      return (
        inactive(record) ??
        onDemand(record) ??
        overLimit(request.target - shardsWanted(record), request.room)
      )
    case 'retain':
      return inactive(record) ?? badRetention(record, request)
    case 'setMaxRecord':
    case 'setMode':
      return inactive(record)
    case 'tag':
      return (
        deleted(record) ??
        badTags(Object.entries(request.tags).flat(), 'add') ??
        tooManyTags(record, request)
      )
    case 'untag':
      return deleted(record) ?? badTags(request.keys, 'remove')
    case 'registerConsumer':
      return inactive(record) ?? badConsumer(record, request.consumer)
    case 'deregisterConsumer':
      return record.consumers.some(({ name }) => name === request.consumer)
        ? undefined
        : { why: 'no such consumer', consumer: request.consumer }
  }
}

/** Of a stream that is not there. */
export const objectionToNew = (request: StreamRequest): StreamRefusal | undefined =>
  request.type === 'create'
    ? (badName(request.name) ??
      overLimit(request.shardCount, request.room) ??
      badTags(Object.entries(request.tags).flat(), 'add'))
    : { why: 'no such stream' }

function badName(name: string): StreamRefusal | undefined {
  const dots = name.split('.').length - 1
  return name.length + 2 * dots > MOST_NAME_CHARACTERS ? { why: 'too many dots' } : undefined
}

/** Whether the stream is already as it is asked to be. */
export function isSettled(record: StreamRecord, request: StreamRequest): boolean {
  switch (request.type) {
    case 'updateShardCount':
      return openShards(record).length === request.target
    case 'retain':
      return record.retentionHours === request.hours
    case 'setMaxRecord':
      return record.maxRecordKib === request.maxRecordKib
    case 'setMode':
      return record.mode === request.mode
    default:
      return false
  }
}

type Of<Type extends StreamRequest['type']> = Extract<StreamRequest, { type: Type }>

const inactive = ({ status }: StreamRecord): StreamRefusal | undefined =>
  status === 'ACTIVE' ? undefined : { why: 'not active', status }

const deleted = (record: StreamRecord): StreamRefusal | undefined =>
  record.status === 'DELETING' ? inactive(record) : undefined

const onDemand = ({ mode }: StreamRecord): StreamRefusal | undefined =>
  mode === 'ON_DEMAND' ? { why: 'on demand' } : undefined

const overLimit = (additional: number, room: number): StreamRefusal | undefined =>
  additional > 0 && additional > room ? { why: 'shard limit', additional } : undefined

function notOpen({ shards, nextShard }: StreamRecord, shard: number): StreamRefusal | undefined {
  if (!(shard >= 0 && shard < nextShard)) return { why: 'no such shard', shard }
  const found = shards.find(({ index }) => index === shard)
  // One whose records have all expired is not shown any more.
  if (found === undefined) return { why: 'no such shard', shard }
  return found.closedAtMs === undefined ? undefined : { why: 'closed shard', shard }
}

function badSplit(
  record: StreamRecord,
  { shard, newStartingHashKey: key, room }: Of<'split'>,
): StreamRefusal | undefined {
  const found = record.shards.find(({ index }) => index === shard)
  const refusal = notOpen(record, shard) ?? overLimit(1, room)
  if (refusal !== undefined || found === undefined) return refusal
  const { startHash, endHash } = found
  const isInside = BigInt(key) > BigInt(startHash) + 1n && BigInt(key) < BigInt(endHash)
  return isInside ? undefined : { why: 'bad split key', shard, key, startHash, endHash }
}

function badMerge(
  record: StreamRecord,
  { shard, adjacent }: Of<'merge'>,
): StreamRefusal | undefined {
  const refusal = notOpen(record, shard) ?? notOpen(record, adjacent)
  if (refusal !== undefined) return refusal
  const open = openShards(record)
  const at = open.findIndex(({ index }) => index === shard)
  return open[at + 1]?.index === adjacent ? undefined : { why: 'not adjacent', shard, adjacent }
}

function badRetention(
  { retentionHours: existing }: StreamRecord,
  { hours, direction }: Of<'retain'>,
): StreamRefusal | undefined {
  if (hours < LEAST_RETENTION_HOURS) return { why: 'retention too short', hours }
  if (direction === 'increase' && hours < existing)
    return { why: 'retention below', hours, existing }
  if (direction === 'decrease' && hours > existing)
    return { why: 'retention above', hours, existing }
  return undefined
}

const UNKNOWN_CHARACTER = /[^\p{L}\p{N}\p{Zs}_./=+\-%@]/u

function badTags(texts: readonly string[], doing: 'add' | 'remove'): StreamRefusal | undefined {
  if (texts.some((text) => UNKNOWN_CHARACTER.test(text))) return { why: 'bad tags' }
  return texts.some((text) => text.includes('%')) ? { why: 'illegal tags', doing } : undefined
}

const tooManyTags = (record: StreamRecord, { tags }: Of<'tag'>): StreamRefusal | undefined =>
  Object.keys({ ...record.tags, ...tags }).length > MOST_TAGS ? { why: 'too many tags' } : undefined

function badConsumer({ consumers }: StreamRecord, consumer: string): StreamRefusal | undefined {
  if (consumers.some(({ name }) => name === consumer)) return { why: 'consumer exists', consumer }
  if (consumers.length >= MOST_CONSUMERS) return { why: 'too many consumers' }
  const fresh = consumers.filter(({ status }) => status === 'CREATING').length
  return fresh >= MOST_NEW_CONSUMERS ? { why: 'too many new consumers' } : undefined
}
