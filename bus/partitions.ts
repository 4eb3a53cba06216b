/**
 * Who serves which functions: functions are hashed onto a fixed number of partitions, and partitions are spread over the
 * processes that are there.
 *
 * Both are pure arithmetic, so that every process comes to the same answer without asking. Only a hint, though: who owns
 * a partition is whoever holds its lease.
 */
import { hash } from 'node:crypto'

/**
 * The partition of a function, 0 to `partitions` − 1: the first four bytes of the SHA-256 of its name, modulo
 * `partitions`. Part of the contract between processes: versions that run side by side must agree on it.
 */
export const partitionOf = (functionName: string, partitions: number): number =>
  hash('sha256', functionName, 'buffer').readUInt32BE(0) % partitions

/**
 * Which of `ownerIds` should hold a partition, in whatever order they are given: the one with the highest hash of
 * partition and id. When one leaves, only its partitions move; when one joins, it takes its share and nothing else moves.
 * Undefined when there is nobody.
 *
 * Source: D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998), rendezvous hashing.
 */
export function preferredOwner(partition: number, ownerIds: readonly string[]): string | undefined {
  let preferred: string | undefined
  let highest = -1
  for (const id of ownerIds) {
    const weight = hash('sha256', `${partition} ${id}`, 'buffer').readUIntBE(0, 6)
    if (weight > highest || (weight === highest && id < (preferred ?? ''))) {
      preferred = id
      highest = weight
    }
  }
  return preferred
}
