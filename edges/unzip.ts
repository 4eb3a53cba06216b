/**
 * Unpacks a deployment package, read-only, and trusts nothing in it.
 *
 * Refused: paths that leave the directory (yauzl refuses `..` and absolute ones, and the bytes of an entry beyond its
 * declared size), links that leave it, and more than 262,144,000 declared bytes in all, AWS's limit of an unzipped package
 * (lambda-semantics §2.3), before anything is written. Links are made last, so that no file is ever written through one.
 */
import { createWriteStream } from 'node:fs'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl'

export const maxUnzippedBytes = 262_144_000
// More files than any package that fits into the size has in earnest; each costs an inode.
const maxEntries = 200_000
// A small file is written at once, which is several times faster than a stream; a large one is never whole in memory.
const streamFromBytes = 1_048_576

export type PackageErrorCode =
  | 'PACKAGE_MISSING'
  | 'PACKAGE_CORRUPT'
  | 'PACKAGE_UNSAFE'
  | 'PACKAGE_TOO_LARGE'

export class PackageError extends Error {
  override readonly name = 'PackageError'
  readonly code: PackageErrorCode
  constructor(code: PackageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

type Link = { path: string; target: string }

/** Unpacks into `root`, which must not exist, and returns the bytes it unpacked to. Throws PackageError. */
export async function unzip(zip: Uint8Array, root: string): Promise<number> {
  const archive = await openArchive(zip)
  try {
    const entries: Entry[] = []
    for await (const entry of archive.eachEntry()) entries.push(entry)
    const bytes = entries.reduce((sum, entry) => sum + entry.uncompressedSize, 0)
    if (bytes > maxUnzippedBytes) {
      throw new PackageError('PACKAGE_TOO_LARGE', `more than ${maxUnzippedBytes} bytes unzipped`)
    }
    await unpack(archive, entries, root)
    return bytes
  } catch (error) {
    if (error instanceof PackageError || isOfThisMachine(error)) throw error
    throw new PackageError('PACKAGE_CORRUPT', (error as Error).message, { cause: error })
  } finally {
    archive.close()
  }
}

async function unpack(archive: ZipFile, entries: Entry[], root: string): Promise<void> {
  const directories = new Set<string>()
  const modes = new Map<string, number>()
  const links: Link[] = []

  const makeDirectory = async (path: string) => {
    if (directories.has(path)) return
    await mkdir(path, { recursive: true })
    for (let at = path; at.length >= root.length; at = dirname(at)) directories.add(at)
  }
  const take = async (entry: Entry) => {
    const path = join(root, entry.fileName)
    if (entry.fileName.endsWith('/')) return makeDirectory(path.slice(0, -1))
    await makeDirectory(dirname(path))
    if (isLink(entry)) {
      links.push({ path, target: await linkTarget(archive, entry) })
      return
    }
    await writeEntry(archive, entry, path)
    modes.set(path, isExecutable(entry) ? 0o555 : 0o444)
  }

  await makeDirectory(root)
  for (const entry of entries) await take(entry)
  for (const { path, target } of links) await symlink(target, path)
  for (const [path, mode] of modes) await chmod(path, mode)
  for (const path of directories) await chmod(path, 0o555)
}

async function openArchive(zip: Uint8Array): Promise<ZipFile> {
  const bytes = Buffer.from(zip.buffer, zip.byteOffset, zip.byteLength)
  const archive = await fromBufferPromise(bytes, { lazyEntries: true, autoClose: false }).catch(
    (error: Error) => {
      throw new PackageError('PACKAGE_CORRUPT', error.message, { cause: error })
    },
  )
  if (archive.entryCount > maxEntries) {
    throw new PackageError('PACKAGE_TOO_LARGE', `more than ${maxEntries} files`)
  }
  return archive
}

async function writeEntry(archive: ZipFile, entry: Entry, path: string): Promise<void> {
  const content = await archive.openReadStreamPromise(entry)
  if (entry.uncompressedSize < streamFromBytes) await writeFile(path, await buffer(content))
  else await pipeline(content, createWriteStream(path))
}

/** Where a link points, if it stays in the package: up by `..` from its own directory, then only down. */
async function linkTarget(archive: ZipFile, entry: Entry): Promise<string> {
  const content = await archive.openReadStreamPromise(entry)
  const target = (await buffer(content)).toString()
  const steps = target.split('/')
  const ups = steps.findIndex((step) => step !== '..')
  const depth = entry.fileName.split('/').length - 1
  const goesUpLater = ups >= 0 && steps.slice(ups).includes('..')
  if (target === '' || target.startsWith('/') || goesUpLater || ups < 0 || ups > depth) {
    throw new PackageError('PACKAGE_UNSAFE', `the link ${entry.fileName} leaves the package`)
  }
  return target
}

// The upper half of the attributes is st_mode when the zip was made on Unix (made by, upper byte: 3); the type of a
// link is 0o120000.
const unixMode = (entry: Entry): number =>
  entry.versionMadeBy >> 8 === 3 ? entry.externalFileAttributes >>> 16 : 0
const isLink = (entry: Entry): boolean => (unixMode(entry) & 0o170000) === 0o120000
const isExecutable = (entry: Entry): boolean => (unixMode(entry) & 0o111) !== 0

const machineFaults = new Set([
  'ENOSPC',
  'EDQUOT',
  'EACCES',
  'EPERM',
  'EROFS',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
])

/** A full disk says nothing about the package. */
const isOfThisMachine = (error: unknown): boolean =>
  machineFaults.has((error as NodeJS.ErrnoException).code ?? '')
