/**
 * Mapping: an event source mapping, from a stream to a function.
 *
 * Source: lambda-semantics.md §5.
 */

/** As AWS's parameters of the same names; milliseconds instead of seconds; −1 stands for "no limit" as there. */
export type MappingSettings = {
  batchSize: number
  batchingWindowMs: number
  parallelizationFactor: number
  bisectsOnError: boolean
  /** −1, 0–10,000. */
  maximumRetryAttempts: number
  /** −1 or 60,000–604,800,000. */
  maximumRecordAgeMs: number
  tumblingWindowMs: number
  reportsItemFailures: boolean
  /** EventBridge patterns as they were given. A record that matches none is passed over; an empty list lets all through. */
  filters: string[]
  /** An ARN. */
  onFailure?: string
}

export type MappingState =
  | 'Creating'
  | 'Enabling'
  | 'Enabled'
  | 'Updating'
  | 'Disabling'
  | 'Disabled'
  | 'Deleting'

/** What the bucket `lambus_mappings` says of a mapping, by its UUID. Times are milliseconds since the epoch. */
export type MappingRecord = {
  uuid: string
  functionName: string
  /** As given at creation, with its qualifier. */
  functionArn: string
  qualifier?: string
  /** As given: of a stream, or of one of its consumers. */
  sourceArn: string
  /** The stream that it reads, and which one of that name. */
  stream: string
  incarnation: string
  startingPosition: 'TRIM_HORIZON' | 'LATEST' | 'AT_TIMESTAMP'
  startingTimestampMs?: number
  settings: MappingSettings
  state: MappingState
  /** AWS's StateTransitionReason. */
  reason: string
  /** AWS's LastProcessingResult. */
  lastResult: string
  lastModifiedMs: number
  tags: Record<string, string>
}

/** What a control plane asks the leading stream tracker for, checked in itself. */
export type MappingCommand = { uuid: string; nowMs: number } & (
  | {
      type: 'create'
      record: Omit<
        MappingRecord,
        'state' | 'reason' | 'lastResult' | 'lastModifiedMs' | 'incarnation' | 'uuid'
      >
      isEnabled: boolean
    }
  | {
      type: 'update'
      settings: Partial<MappingSettings>
      isEnabled?: boolean
      /** It is to invoke another function. */
      to?: { functionName: string; functionArn: string; qualifier?: string }
    }
  | { type: 'delete' }
  | { type: 'tag'; tags: Record<string, string> }
  | { type: 'untag'; keys: string[] }
)

/**
 * What the bucket `lambus_shards` says, by `<mapping>.<shard>`: a shard that is, or will be, read for a mapping.
 * `blocked`: a parent is not at its end yet. `ended`: it is closed, and everything in it is done with.
 */
export type ShardWork = {
  mapping: string
  stream: string
  incarnation: string
  shard: number
  /** Where it begins as long as nothing of it is checkpointed: after a sequence, or at a time. */
  start: { after: number } | { atMs: number }
  state: 'blocked' | 'open' | 'ended'
}
