/**
 * Checkpoints: how far a shard is read for a mapping, in the bucket `lambus_checkpoints`, by `<mapping>.<shard>`.
 */

/** What has been done with the records of one lane. Sequences are those of the record stream. */
export type LaneProgress = {
  /** Every record of the lane up to here is done with. */
  done: number
  /** Batches that were tried already, or cut off, in order; the first begins behind `done`. */
  batches?: { to: number; attempts: number }[]
  /** The tumbling window that is open, and what the function returned for it. */
  window?: { startMs: number; state: string }
}

export type Checkpoint = {
  /** Of the lease under which it was written. */
  epoch: number
  /** Every record up to here is done with, whatever its lane. */
  done: number
  /** By lane; a record's lane follows from its partition key and from how many there are. */
  lanes: LaneProgress[]
  /** How far lanes had come that were cut differently, until all are behind that. */
  former?: number[][]
  /** The shard is closed and everything in it is done with. */
  hasEnded?: boolean
}
