/**
 * Finding a nats-server binary, for people who have none.
 *
 *     LAMBUS_NATS_SERVER → PATH → our cache → the official release → the package of a newer Debian → one error
 *
 * Whatever is found is asked for its version; what cannot run or is too old is passed over, and the reason is kept for
 * the error. Nothing is installed: downloads end in `<cache>/lambus/nats-server/<version>/nats-server`.
 */
import { execFile } from 'node:child_process'
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { isAtLeast, minimumVersion } from './server.ts'
import { debianPackage } from './server-debian.ts'
import { officialRelease, type Release, releases } from './server-release.ts'
import { DeadEnd, type OnProgress, type Tried } from './server-way.ts'

const run = promisify(execFile)

export type NatsBinary = { path: string; version: string }

/** No nats-server by any way. `tried` says why, way by way; so does the message. */
export class NatsServerNotFound extends Error {
  override readonly name = 'NatsServerNotFound'
  readonly code = 'NATS_SERVER_NOT_FOUND'
  readonly tried: Tried[]

  constructor(tried: Tried[]) {
    const reasons = tried.map(({ way, why }) => `  - ${way}: ${why}`)
    super(
      [
        `no nats-server ${minimumVersion} or newer was found:`,
        ...reasons,
        'Install one and put it on PATH, name one in LAMBUS_NATS_SERVER, or give the URL of a running one with --nats.',
      ].join('\n'),
    )
    this.tried = tried
  }
}

type Environment = {
  LAMBUS_NATS_SERVER?: string | undefined
  PATH?: string | undefined
  XDG_CACHE_HOME?: string | undefined
  HOME?: string | undefined
}

export type FindNatsServer = {
  /** `process.env` */
  environment: Environment
  /** Default: `$XDG_CACHE_HOME/lambus/nats-server`, or in `~/.cache`. */
  cacheDir?: string
  onProgress?: OnProgress
  /** The official release for this machine; `undefined`: there is none whose checksum we know. For tests. */
  release?: Release | undefined
  /** Where apt keeps its list of sources. For tests. */
  aptDir?: string
}

/** Throws `NatsServerNotFound`. LAMBUS_NATS_SERVER, once set, is the only way that is tried. */
export async function findNatsServer(options: FindNatsServer): Promise<NatsBinary> {
  const { environment, onProgress = () => {} } = options
  const tried: Tried[] = []
  const fits = async (way: string, path: string): Promise<NatsBinary | undefined> => {
    const answer = await versionOf(path)
    if ('why' in answer) tried.push({ way, why: answer.why })
    else if (isAtLeast(answer.version, minimumVersion)) return { path, version: answer.version }
    else tried.push({ way, why: `version ${answer.version} is too old` })
    return undefined
  }

  const named = environment.LAMBUS_NATS_SERVER
  if (named !== undefined && named !== '') {
    const found = await fits(`LAMBUS_NATS_SERVER=${named}`, named)
    if (found !== undefined) return found
    throw new NatsServerNotFound(tried)
  }

  for (const path of onPath(environment.PATH ?? '')) {
    const found = await fits(path, path)
    if (found !== undefined) return found
  }
  if (tried.length === 0) tried.push({ way: 'PATH', why: 'no nats-server in it' })

  const cacheDir = options.cacheDir ?? defaultCacheDir(environment)
  for (const path of cached(cacheDir)) {
    const found = await fits(path, path)
    if (found !== undefined) return found
  }

  const release =
    'release' in options ? options.release : releases[`${process.platform}-${process.arch}`]
  const downloads = [
    (dir: string) => officialRelease(release, dir, onProgress),
    (dir: string) => debianPackage(options.aptDir ?? '/etc/apt', dir, onProgress),
  ]
  for (const download of downloads) {
    const draft = draftDir(cacheDir)
    try {
      const { way, path } = await download(draft)
      const found = await fits(way, path)
      if (found !== undefined) return keep(cacheDir, found)
    } catch (error) {
      if (!(error instanceof DeadEnd)) throw error
      tried.push(...error.tried)
    } finally {
      rmSync(draft, { recursive: true, force: true })
    }
  }
  throw new NatsServerNotFound(tried)
}

async function versionOf(path: string): Promise<{ version: string } | { why: string }> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 10_000 })
    const [, version] = /v(\d+\.\d+\.\d+\S*)/.exec(stdout) ?? []
    return version === undefined ? { why: `--version says '${stdout.trim()}'` } : { version }
  } catch (error) {
    return { why: (error as Error).message.trim() }
  }
}

function onPath(path: string): string[] {
  const candidates = path.split(delimiter).filter((dir) => dir !== '')
  return [...new Set(candidates)].map((dir) => join(dir, 'nats-server')).filter(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function defaultCacheDir(environment: Environment): string {
  const base = environment.XDG_CACHE_HOME || join(environment.HOME || homedir(), '.cache')
  return join(base, 'lambus', 'nats-server')
}

/** Newest first. */
function cached(cacheDir: string): string[] {
  let versions: string[]
  try {
    versions = readdirSync(cacheDir)
  } catch {
    return []
  }
  return versions
    .filter((name) => /^\d/.test(name))
    .sort((a, b) => (isAtLeast(a, b) ? -1 : 1))
    .map((version) => join(cacheDir, version, 'nats-server'))
    .filter(isExecutable)
}

/** Beside the place where it will end, so that the rename at the end stays in one file system. */
function draftDir(cacheDir: string): string {
  mkdirSync(cacheDir, { recursive: true })
  return mkdtempSync(join(cacheDir, 'draft-'))
}

/** Two processes may do this at once: a rename replaces a whole file by a whole file. */
function keep(cacheDir: string, { path, version }: NatsBinary): NatsBinary {
  const place = join(cacheDir, version)
  mkdirSync(place, { recursive: true })
  renameSync(path, join(place, 'nats-server'))
  return { path: join(place, 'nats-server'), version }
}
