/**
 * The mirrors that this machine's Debian comes from, as apt is told of them: `deb` lines of `*.list` and stanzas of
 * `*.sources`. Source: sources.list(5).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** `signedBy`: files of keys; empty: those that apt trusts anyway. */
export type Mirror = { uri: string; signedBy: string[] }

type Source = { uri: string; suites: string[]; components: string[]; keys: string[] }

/** In the order of the configuration. `aptDir` is usually /etc/apt. */
export function readMirrors(aptDir: string): Mirror[] {
  const partsDir = join(aptDir, 'sources.list.d')
  const parts = existsSync(partsDir) ? readdirSync(partsDir).sort() : []
  const files = [join(aptDir, 'sources.list'), ...parts.map((name) => join(partsDir, name))]
  const release = codename(aptDir)
  const mirrors = new Map<string, Mirror>()
  for (const file of files.filter(existsSync)) {
    for (const source of sourcesOf(file)) {
      if (!isMainArchive(source, release) || mirrors.has(source.uri)) continue
      mirrors.set(source.uri, { uri: source.uri, signedBy: keyFiles(source.keys) })
    }
  }
  return [...mirrors.values()]
}

function sourcesOf(file: string): Source[] {
  if (file.endsWith('.list')) return readFileSync(file, 'utf8').split('\n').flatMap(oneLine)
  if (file.endsWith('.sources')) return stanzas(readFileSync(file, 'utf8')).flatMap(deb822)
  return []
}

/** `deb [signed-by=/a,/b] http://mirror.example/debian bookworm main` */
function oneLine(line: string): Source[] {
  const { options, uri, suite, components } =
    /^\s*deb\s+(?:\[(?<options>[^\]]*)\]\s+)?(?<uri>\S+)\s+(?<suite>\S+)(?<components>[^#]*)/.exec(
      line,
    )?.groups ?? {}
  if (uri === undefined || suite === undefined) return []
  const [, keys = ''] = /(?:^|\s)signed-by=(\S+)/i.exec(options ?? '') ?? []
  return [{ uri, suites: [suite], components: words(components), keys: keys.split(',') }]
}

const stanzas = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n\s*\n/)

/** `Name: value` lines; one that begins with white space goes on with the value above. */
function deb822(stanza: string): Source[] {
  const fields = new Map<string, string>()
  for (const [, name = '', value] of stanza.matchAll(/^([\w-]+):(.*(?:\n[ \t].*)*)/gm)) {
    fields.set(name.toLowerCase(), value ?? '')
  }
  const field = (name: string): string[] => words(fields.get(name))
  if (field('enabled')[0]?.toLowerCase() === 'no' || !field('types').includes('deb')) return []
  const [suites, components, keys] = [field('suites'), field('components'), field('signed-by')]
  return field('uris').map((uri) => ({ uri, suites, components, keys }))
}

const words = (text: string | undefined): string[] =>
  (text ?? '').split(/\s+/).filter((word) => word !== '')

/** The release of this machine. Source: os-release(5); it is /etc/os-release, beside /etc/apt. */
function codename(aptDir: string): string {
  const file = join(aptDir, '..', 'os-release')
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  return /^VERSION_CODENAME="?(\w+)/m.exec(text)?.[1] ?? 'stable'
}

/** Not the security archive, which has no newer suites, nor updates and backports alone, nor somebody else's packages. */
const isMainArchive = ({ uri, suites, components }: Source, release: string): boolean =>
  components.includes('main') &&
  !uri.startsWith('cdrom:') &&
  suites.some((suite) => [release, 'stable', 'testing', 'unstable', 'sid'].includes(suite))

const debianKeys = [
  '/usr/share/keyrings/debian-archive-keyring.pgp',
  '/usr/share/keyrings/debian-archive-keyring.gpg',
]

/** Debian's own keys too: a newer suite may be signed by one that the machine's source does not name. */
function keyFiles(named: string[]): string[] {
  const own = debianKeys.filter((file) => existsSync(file)).slice(0, 1)
  // A key may also stand in the source itself, as text; that one is left out.
  const files = named.includes('PGP') ? [] : named.filter((name) => name.startsWith('/'))
  return [...new Set([...files, ...own])]
}
