/**
 * Zips that depend on nothing but their content: same names and bytes, same zip, same CodeSha256. So a deploy can see
 * that there is nothing to update. Hence no dates, no owners, names in order, and two file modes.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type ZippableFile, zipSync } from 'fflate'
import { Failure } from './failure.ts'

export type ZipEntry = { bytes: Uint8Array; executable?: boolean }

/** The host system that gives file modes their Unix meaning. Source: APPNOTE.TXT 4.4.2.2. */
const UNIX = 3
const REGULAR_FILE = 0o100000

/** Never part of a function: what version control and this tool keep beside the code. */
const leftOut = new Set(['.git', '.lambus'])

/** `entries` by path in the zip, with '/'. */
export function zip(entries: Record<string, ZipEntry>): Uint8Array {
  // The first second a zip can name, in local time as zips have it: the same bytes in every time zone.
  const mtime = new Date(1980, 0, 1)
  const files = Object.entries(entries)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([path, { bytes, executable = false }]): [string, ZippableFile] => {
      const attrs = ((REGULAR_FILE | (executable ? 0o755 : 0o644)) << 16) >>> 0
      return [path, [bytes, { mtime, os: UNIX, attrs, level: 9 }]]
    })
  return zipSync(Object.fromEntries(files))
}

/** Everything below `dir`, links followed. Throws Failure when there is nothing, or links go in a circle. */
export function readTree(dir: string): Record<string, ZipEntry> {
  const entries: Record<string, ZipEntry> = {}
  const visit = (path: string, prefix: string, above: readonly string[]) => {
    const real = realpathSync(path)
    if (above.includes(real)) {
      throw new Failure('LINKS_IN_A_CIRCLE', `${path} is a link to a folder that it is in`)
    }
    for (const name of readdirSync(path)) {
      if (leftOut.has(name)) continue
      const child = join(path, name)
      const found = statSync(child, { throwIfNoEntry: false })
      if (found?.isDirectory()) visit(child, `${prefix}${name}/`, [...above, real])
      if (!found?.isFile()) continue
      entries[`${prefix}${name}`] = {
        bytes: readFileSync(child),
        executable: (found.mode & 0o111) !== 0,
      }
    }
  }
  visit(dir, '', [])
  if (Object.keys(entries).length === 0) {
    throw new Failure('NOTHING_TO_DEPLOY', `there are no files in ${dir}`)
  }
  return entries
}

/** As AWS's CodeSha256: base64. */
export const codeSha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('base64')
