/** What lies in a folder, for tests that look at every file. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * All files and folders of a folder, by their paths in it. What is not ours, by its name, is not looked into: other tests make
 * and remove such folders meanwhile.
 */
export function pathsIn(folder: string, isOurs: (name: string) => boolean): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => isOurs(name))
    .flatMap((entry) => {
      if (!entry.isDirectory()) return [entry.name]
      const inside = pathsIn(join(folder, entry.name), isOurs)
      return [entry.name, ...inside.map((path) => join(entry.name, path))]
    })
}
