/**
 * The batches of one lane of a shard: the one in hand, those that are cut already and follow it, and how they are cut further.
 *
 *     in hand  [1 … 8]            cut already  [9 … 12]
 *     halved                      [1 … 4] [5 … 8] [9 … 12]
 *     done up to 3                        [4 … 8] [9 … 12]
 *
 * Nothing of a lane is passed over: what is cut off of a batch is one of its own, and comes before all that follow. Its records
 * are named by the sequence that it ends with; which they are, the lane knows.
 * Source: lambda-semantics.md §5.6; AWS Lambda Developer Guide, "Using Lambda with Kinesis".
 */

/** A batch that has been tried, or is cut already: it ends with the record of sequence `to`. */
export type CutBatch = { to: number; attempts: number }

/**
 * `from`, `to`: sequences of its first and last record; `middle`: of the last one of its first half; `firstMs`: when the
 * first arrived.
 */
export type Batch = { from: number; middle: number; to: number; records: number; firstMs: number }

export type LaneBatches = {
  /** In hand. */
  batch: Batch | undefined
  /** Of what is in hand, those that the function failed. */
  attempts: number
  /** In a row, without an attempt being spent. */
  putOff: number
  /** Cut already, in order. */
  batches: readonly CutBatch[]
}

/** None is in hand, and none that is has failed. */
export const noneInHand = { batch: undefined, attempts: 0, putOff: 0 } as const

/** Takes a batch in hand that was formed, up to the end of the one that is cut already if there is one. */
export function take(batches: readonly CutBatch[], batch: Batch): Omit<LaneBatches, 'putOff'> {
  const [cut, ...behind] = batches
  if (cut === undefined) return { batch, attempts: 0, batches: [] }
  // It may turn out shorter than it was cut; then the rest is one of its own.
  if (batch.to < cut.to)
    return { batch, attempts: 0, batches: [{ to: cut.to, attempts: 0 }, ...behind] }
  // What was cut may not be there any more.
  const isSame = batch.from <= cut.to
  return { batch, attempts: isSame ? cut.attempts : 0, batches: behind }
}

/** What the next reader should begin with: what is in hand is to be formed again as it was. */
export const putBack = ({
  batch,
  attempts,
  batches,
}: Pick<LaneBatches, 'batch' | 'attempts' | 'batches'>): CutBatch[] =>
  batch === undefined ? [...batches] : [{ to: batch.to, attempts }, ...batches]

/** Each half has all its attempts before it. */
export const halve = ({ batch, batches }: LaneBatches): Partial<LaneBatches> =>
  batch === undefined
    ? {}
    : {
        ...noneInHand,
        batches: [{ to: batch.middle, attempts: 0 }, { to: batch.to, attempts: 0 }, ...batches],
      }

/** Records up to `to` are done with, or given up: what is left of the batch, if anything, is one of its own. */
export function cutOff({ batch, batches }: LaneBatches, to: number): LaneBatches {
  const isLeft = batch !== undefined && to < batch.to
  return { ...noneInHand, batches: isLeft ? [{ to: batch.to, attempts: 0 }, ...batches] : batches }
}
