/**
 * Changing a JSON document in a KV bucket: read, change, write over exactly what was read, and once more when somebody
 * else was faster.
 */
import { readEntry, remove, writeEntry } from './bucket.ts'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'

/** `revision` is there when something was written. */
export type Changed<T> = { before: T | undefined; after: T | undefined; revision?: number }

// Each round somebody else was faster.
const ROUNDS = 50

/**
 * `change` may be called several times; it gives the document to be, `remove`, or nothing to leave what is there. Throws
 * BusError BUS_STORE_UNAVAILABLE when nobody could say whether it is written, or others were always faster.
 */
export async function changeEntry<T>(
  bus: Bus,
  where: { bucket: string; key: string },
  how: { parse: (bytes: Uint8Array) => T; newId: () => string },
  change: (before: T | undefined) => T | typeof remove | undefined,
): Promise<Changed<T>> {
  const { bucket, key } = where
  for (let round = 0; round < ROUNDS; round++) {
    const entry = await readEntry(bus, bucket, key)
    const before = entry && !entry.removed ? how.parse(entry.value) : undefined
    const after = change(before)
    if (after === undefined) return { before, after: before }
    const written = await writeEntry(bus, bucket, key, {
      value: after === remove ? remove : JSON.stringify(after),
      expectedRevision: entry?.revision ?? 0,
      write: how.newId(),
    })
    if (written === 'conflict') continue
    const { revision } = written
    return { before, after: after === remove ? undefined : (after as T), revision }
  }
  throw new BusError('BUS_STORE_UNAVAILABLE', `${key}: too many write at the same time`)
}
