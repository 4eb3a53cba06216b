/**
 * nats-server from the package of a newer Debian, for machines that reach nothing but their package mirror.
 *
 * The mirror, its keys and its proxy are the ones that this machine is configured with; apt itself downloads and checks
 * the signatures, into a directory of ours, and `dpkg -x` unpacks. Nothing is installed, and no root is needed.
 * Debian stable's own package is too old (trixie has 2.10); that of sid needs nothing but a libc that bookworm has.
 */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Mirror, readMirrors } from './server-mirrors.ts'
import { DeadEnd, type OnProgress, type Tried } from './server-way.ts'

const suites = ['sid', 'forky']

/** Puts `nats-server` into `dir`. `aptDir`: apt's configuration, usually /etc/apt. Throws `DeadEnd`. */
export async function debianPackage(
  aptDir: string,
  dir: string,
  onProgress: OnProgress,
): Promise<{ way: string; path: string }> {
  const way = 'package of a newer Debian'
  const mirrors = readMirrors(aptDir)
  if (mirrors.length === 0) {
    throw new DeadEnd({ way, why: `no Debian mirror in ${aptDir}: not a Debian machine?` })
  }
  const tried: Tried[] = []
  for (const suite of suites) {
    for (const mirror of mirrors) {
      const attempt = `nats-server of Debian ${suite} from ${mirror.uri}`
      try {
        return { way: attempt, path: await fromSuite(suite, mirror, dir, onProgress) }
      } catch (error) {
        tried.push({ way: attempt, why: (error as Error).message })
      }
    }
  }
  throw new DeadEnd(...tried)
}

async function fromSuite(
  suite: string,
  mirror: Mirror,
  dir: string,
  onProgress: OnProgress,
): Promise<string> {
  // Not in the cache but where everyone may look: apt downloads as a user of its own when it is run by root.
  const work = mkdtempSync(join(tmpdir(), 'lambus-apt-'))
  try {
    chmodSync(work, 0o755)
    const configuration = aptConfiguration(work, suite, mirror)
    await apt(configuration, work, ['update'], `reading what Debian ${suite} has`, onProgress)
    await apt(
      configuration,
      work,
      ['download', 'nats-server'],
      `downloading nats-server of Debian ${suite}`,
      onProgress,
    )
    const [archive] = readdirSync(work).filter((name) => name.endsWith('.deb'))
    if (archive === undefined) throw new Error('apt-get download left no package')
    await command('dpkg', ['-x', join(work, archive), join(dir, suite)], dir)
    const places = ['sbin', 'bin'].map((place) => join(dir, suite, 'usr', place, 'nats-server'))
    const path = places.find(existsSync)
    if (path === undefined) throw new Error(`no nats-server in ${archive}`)
    return path
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** A file of apt configuration that keeps all of apt's state in `work` and knows of one source. */
function aptConfiguration(work: string, suite: string, { uri, signedBy }: Mirror): string {
  const sources = join(work, 'sources')
  for (const name of ['sources', 'lists/partial', 'cache/archives/partial', 'state', 'preferences'])
    mkdirSync(join(work, name), { recursive: true })
  const stanza = ['Types: deb', `URIs: ${uri}`, `Suites: ${suite}`, 'Components: main']
  if (signedBy.length > 0) stanza.push(`Signed-By: ${signedBy.join(' ')}`)
  // Packages are all we need of it, not the descriptions in other languages nor what is for software centres.
  stanza.push('Targets: Packages', 'Languages: none', '')
  writeFileSync(join(sources, 'newer.sources'), stanza.join('\n'))

  const file = join(work, 'apt.conf')
  const set = (name: string, value: string) => `${name} "${value}";`
  const lines = [
    set('Dir::State', join(work, 'state')),
    set('Dir::State::Lists', join(work, 'lists')),
    set('Dir::Cache', join(work, 'cache')),
    set('Dir::Etc::SourceList', join(work, 'sources.list')),
    set('Dir::Etc::SourceParts', sources),
    // A machine that pins newer suites away does so for its own packages.
    set('Dir::Etc::Preferences', join(work, 'preferences.none')),
    set('Dir::Etc::PreferencesParts', join(work, 'preferences')),
    set('APT::Get::AllowUnauthenticated', 'false'),
    set('Acquire::AllowInsecureRepositories', 'false'),
    set('Acquire::AllowWeakRepositories', 'false'),
    set('Acquire::Check-Valid-Until', 'true'),
    set('Acquire::Retries', '1'),
    set('Acquire::http::Timeout', '20'),
    set('Acquire::https::Timeout', '20'),
    // Progress in a form for programs, on a file descriptor of its own.
    set('APT::Status-Fd', '3'),
  ]
  writeFileSync(join(work, 'sources.list'), '')
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

function apt(
  configuration: string,
  work: string,
  args: string[],
  what: string,
  onProgress: OnProgress,
): Promise<void> {
  onProgress(what)
  let last = ''
  return command('apt-get', ['-c', configuration, '-q', ...args], work, (line) => {
    // dlstatus:<item>:<percent>:<text>. Source: apt, README.progress-reporting.
    const [, percent] = /^dlstatus:[^:]*:([\d.]+):/.exec(line) ?? []
    const now = percent === undefined ? last : `${what} (${Math.round(Number(percent))} %)`
    if (now !== last) onProgress(now)
    last = now
  })
}

/** Throws with what the command complained of. */
function command(
  name: string,
  args: string[],
  cwd: string,
  hear: (statusLine: string) => void = () => {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, {
      cwd,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    })
    let complaints = ''
    child.stderr?.on('data', (chunk) => {
      complaints += chunk
    })
    const status = child.stdio[3]
    if (status !== null && status !== undefined && 'read' in status)
      createInterface(status).on('line', hear)
    child.once('error', (error) => reject(new Error(`${name}: ${error.message}`)))
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`${name} ${args.at(-1)}: ${lastComplaint(complaints, code)}`))
    })
  })
}

function lastComplaint(text: string, code: number | null): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const errors = lines.filter((line) => line.startsWith('E: '))
  return (errors.length > 0 ? errors : lines).slice(0, 2).join(' ') || `exit code ${code}`
}
