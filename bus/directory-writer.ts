/**
 * Writes to a directory, in the order in which they are asked for: of each key one write is on its way at a time, so that an
 * older one that is late cannot land on a newer one.
 */
import type { Directory } from './directory.ts'

export type DirectoryWriter<T> = Pick<Directory<T>, 'put' | 'remove'> & {
  /** A write to that key is on its way: what a copy says of it may be over any moment. */
  isBusy(key: string): boolean
}

export function writerOf<T>(directory: Pick<Directory<T>, 'put' | 'remove'>): DirectoryWriter<T> {
  const last = new Map<string, Promise<unknown>>()

  const after = <R>(key: string, write: () => Promise<R>): Promise<R> => {
    const writing = (last.get(key) ?? Promise.resolve()).then(write)
    // One that fails does not keep the next from being tried.
    const done = writing.catch(() => {}).finally(() => last.get(key) === done && last.delete(key))
    last.set(key, done)
    return writing
  }

  return {
    put: (key, value, epoch) => after(key, () => directory.put(key, value, epoch)),
    remove: (key, epoch) => after(key, () => directory.remove(key, epoch)),
    isBusy: (key) => last.has(key),
  }
}
