/**
 * Unpacked code packages on a worker's disk, one directory for each SHA-256.
 *
 *     <dir>/<sha256>/task          what is in the zip, read-only: the sandboxes' LAMBDA_TASK_ROOT
 *     <dir>/<sha256>/v8            compiled code that V8 keeps from one start to the next
 *     <dir>/<sha256>/package.json  says nothing, so that Node looks no further up
 *     <dir>/<sha256>/bytes         how much the zip unpacked to
 *
 * A package is unpacked beside its place and renamed into it, so that what is there is whole, also after a crash. The
 * directory belongs to one worker process. A zip is not trusted: paths and links that leave the package are refused, and
 * so is more than AWS unpacks.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PackageError, unzip } from './unzip.ts'

export type PackageCache = {
  /**
   * The task root of a package, unpacked now or before. It stays until as many `release`s follow; a failure needs none.
   * Throws PackageError: PACKAGE_MISSING, PACKAGE_CORRUPT, PACKAGE_UNSAFE, PACKAGE_TOO_LARGE.
   */
  unpack(sha256Hex: string): Promise<string>
  release(sha256Hex: string): void
  /** Where a runtime of this package may keep compiled code. */
  compileCacheDir(sha256Hex: string): string
}

type Package = { unpacked: Promise<unknown>; bytes: number; users: number; usedAt: number }

// Four packages of the largest size that AWS takes; those in use are never counted out.
const defaultMaxBytes = 4 * 262_144_000
const unfinished = '.unfinished-'
const sha256Pattern = /^[0-9a-f]{64}$/

/**
 * Opens the cache in `dir`, which it makes. `fetch` gives the zip of a SHA-256 (lower-case hex), undefined when there is
 * none. Over `maxBytes` (unpacked) the packages that nobody uses go, longest unused first.
 */
export function openPackageCache(
  dir: string,
  fetch: (sha256Hex: string) => Promise<Uint8Array | undefined>,
  maxBytes = defaultMaxBytes,
): PackageCache {
  mkdirSync(dir, { recursive: true })
  const packages = findPackages(dir)
  let uses = packages.size
  let discarded = 0
  let removals = removeUnfinished(dir)

  const bring = async (sha256Hex: string, entry: Package) => {
    const zip = sha256Pattern.test(sha256Hex) ? await fetch(sha256Hex) : undefined
    if (zip === undefined) throw new PackageError('PACKAGE_MISSING', `no package ${sha256Hex}`)
    await checkDigest(zip, sha256Hex)
    const beside = join(dir, `${unfinished}${sha256Hex}`)
    await removePackages(beside)
    await mkdir(join(beside, 'v8'), { recursive: true })
    try {
      entry.bytes = await unzip(zip, join(beside, 'task'))
      // Node asks the nearest package.json what a .js file is. The data directory lies in somebody's project; without
      // this file a handler would be an ES module because that project is one.
      await writeFile(join(beside, 'package.json'), '{}')
      await writeFile(join(beside, 'bytes'), String(entry.bytes))
      await rename(beside, join(dir, sha256Hex))
    } catch (error) {
      await removePackages(beside)
      throw error
    }
    makeRoom()
  }

  const makeRoom = () => {
    let total = 0
    for (const entry of packages.values()) total += entry.bytes
    const idle = [...packages].filter(([, entry]) => entry.users === 0)
    idle.sort(([, a], [, b]) => a.usedAt - b.usedAt)
    for (const [sha256Hex, entry] of idle) {
      if (total <= maxBytes) return
      total -= entry.bytes
      packages.delete(sha256Hex)
      discard(sha256Hex)
    }
  }

  // Renamed first, and waited for by the next `bring`, so that the same package can be unpacked again. What could not be
  // removed is tried again when the worker starts.
  const discard = (sha256Hex: string) => {
    discarded += 1
    const away = join(dir, `${unfinished}${discarded}-${sha256Hex}`)
    removals = removals
      .then(() => rename(join(dir, sha256Hex), away))
      .then(() => removePackages(away))
      .catch(() => {})
  }

  return {
    async unpack(sha256Hex) {
      let entry = packages.get(sha256Hex)
      if (entry === undefined) {
        const fresh: Package = { unpacked: Promise.resolve(), bytes: 0, users: 0, usedAt: 0 }
        fresh.unpacked = removals.then(() => bring(sha256Hex, fresh))
        packages.set(sha256Hex, fresh)
        entry = fresh
      }
      uses += 1
      entry.usedAt = uses
      entry.users += 1
      try {
        await entry.unpacked
      } catch (error) {
        if (packages.get(sha256Hex) === entry) packages.delete(sha256Hex)
        throw error
      }
      return join(dir, sha256Hex, 'task')
    },
    release(sha256Hex) {
      const entry = packages.get(sha256Hex)
      if (entry === undefined || entry.users === 0) return
      entry.users -= 1
      if (entry.users === 0) makeRoom()
    },
    compileCacheDir: (sha256Hex) => join(dir, sha256Hex, 'v8'),
  }
}

/** What an earlier life of the worker did not finish, to unpack or to remove. */
async function removeUnfinished(dir: string): Promise<void> {
  const names = readdirSync(dir).filter((name) => name.startsWith(unfinished))
  for (const name of names) await removePackages(join(dir, name)).catch(() => {})
}

/** What an earlier life of the worker left, oldest first. */
function findPackages(dir: string): Map<string, Package> {
  const found: [string, Package, number][] = []
  for (const name of readdirSync(dir)) {
    const path = join(dir, name)
    if (!sha256Pattern.test(name)) continue
    const bytes = Number(readFileSync(join(path, 'bytes'), 'utf8'))
    const entry = { unpacked: Promise.resolve(), bytes, users: 0, usedAt: 0 }
    found.push([name, entry, statSync(path).mtimeMs])
  }
  found.sort((a, b) => a[2] - b[2])
  return new Map(found.map(([name, entry], usedAt) => [name, { ...entry, usedAt }]))
}

async function checkDigest(zip: Uint8Array, sha256Hex: string): Promise<void> {
  const digest = await crypto.subtle.digest('SHA-256', zip as Uint8Array<ArrayBuffer>)
  if (Buffer.from(digest).toString('hex') !== sha256Hex) {
    throw new PackageError('PACKAGE_CORRUPT', `the package is not ${sha256Hex}`)
  }
}

/** Removes a cache, or a part of it: its directories are read-only, which stops anyone but root from a plain rm. */
export async function removePackages(path: string): Promise<void> {
  if (!existsSync(path)) return
  await makeWritable(path)
  await rm(path, { recursive: true, force: true })
}

async function makeWritable(path: string): Promise<void> {
  await chmod(path, 0o755)
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(join(path, entry.name))
  }
}
