/**
 * Stream: a Kinesis-style stream: how it is cut into shards, and how that changes.
 *
 * Source: lambda-semantics.md §8; Kinesis Data Streams Developer Guide, "Resharding a stream".
 */

/** Hash keys are decimal texts from 0 to 2^128 − 1. Times are milliseconds since the epoch. */
export type Shard = {
  /** `shardId-<12 digits>`; a stream never uses one twice. */
  index: number
  startHash: string
  endHash: string
  /** The shard that was split, or one of the two that were merged. */
  parent?: number
  /** The other of two that were merged. */
  adjacentParent?: number
  /** Stands in its sequence numbers. */
  createdAtMs: number
  /** What is in its record stream up to that sequence was there before the shard was. */
  after: number
  closedAtMs?: number
  /** Of a closed shard: nothing of it is behind that sequence. */
  until?: number
}

export type StreamStatus = 'CREATING' | 'ACTIVE' | 'UPDATING' | 'DELETING'

/** What the bucket `lambus_streams` says of a stream, by its name as one token. */
export type StreamRecord = {
  name: string
  /** Another one for each stream that ever has that name. */
  incarnation: string
  status: StreamStatus
  mode: 'PROVISIONED' | 'ON_DEMAND'
  createdAtMs: number
  retentionHours: number
  maxRecordKib: number
  /** All that may still hold records, closed ones too, by index. None while it is being created. */
  shards: Shard[]
  /** The index of the next one. */
  nextShard: number
  tags: Record<string, string>
  consumers: StreamConsumer[]
}

/** One with "enhanced fan-out". */
export type StreamConsumer = {
  name: string
  createdAtMs: number
  status: 'CREATING' | 'ACTIVE' | 'DELETING'
  tags: Record<string, string>
}

/** What a front end asks the leading stream tracker for; all are checked for what the model does not allow. */
export type StreamCommand = { name: string } & (
  | {
      type: 'create'
      shardCount: number
      mode: StreamRecord['mode']
      maxRecordKib: number
      tags: Record<string, string>
    }
  | { type: 'delete'; enforceConsumerDeletion: boolean }
  | { type: 'split'; shard: number; newStartingHashKey: string }
  | { type: 'merge'; shard: number; adjacent: number }
  | { type: 'updateShardCount'; target: number }
  | { type: 'retain'; hours: number; direction: 'increase' | 'decrease' }
  | { type: 'setMaxRecord'; maxRecordKib: number }
  | { type: 'setMode'; mode: StreamRecord['mode'] }
  | { type: 'tag'; tags: Record<string, string> }
  | { type: 'untag'; keys: string[] }
  | { type: 'registerConsumer'; consumer: string; tags: Record<string, string> }
  | { type: 'deregisterConsumer'; consumer: string }
)
