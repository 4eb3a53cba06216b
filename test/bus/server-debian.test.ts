import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { findNatsServer } from '../../bus/server-binary.ts'
import { readMirrors } from '../../bus/server-mirrors.ts'

/** /etc of a machine, with these files. */
function machine(files: Record<string, string>): string {
  const etc = mkdtempSync(join(tmpdir(), 'lambus-test-apt-'))
  onTestFinished(() => rmSync(etc, { recursive: true, force: true }))
  mkdirSync(join(etc, 'apt', 'sources.list.d'), { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(etc, name), text)
  return join(etc, 'apt')
}

const bookworm = { 'os-release': 'ID=debian\nVERSION_CODENAME=bookworm\n' }
const uris = (aptDir: string) => readMirrors(aptDir).map(({ uri }) => uri)

test('a mirror is read from one-line sources', () => {
  const apt = machine({
    ...bookworm,
    'apt/sources.list': `
# deb http://commented.example/debian bookworm main
deb-src http://sources.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/a.gpg,/keys/b.gpg] http://mirror.example/debian bookworm main contrib # near
deb http://security.example/debian-security bookworm-security main
deb cdrom:[Debian]/ bookworm main
deb http://games.example/ bookworm non-free`,
  })
  expect(uris(apt)).toEqual(['http://mirror.example/debian'])
  expect(readMirrors(apt)[0]?.signedBy).toEqual(
    expect.arrayContaining(['/keys/a.gpg', '/keys/b.gpg']),
  )
})

test('a mirror is read from deb822 sources', () => {
  const apt = machine({
    ...bookworm,
    'apt/sources.list.d/debian.sources': `Types: deb deb-src
# a comment in between
URIs: http://one.example/debian
 http://two.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/a.gpg

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.example/debian
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 /abc
 -----END PGP PUBLIC KEY BLOCK-----
`,
    'apt/sources.list.d/other.list': 'deb https://other.example/node_20.x nodistro main\n',
    'apt/sources.list.d/debian.sources.disabled': 'deb http://no.example/debian bookworm main\n',
  })
  expect(uris(apt)).toEqual([
    'http://one.example/debian',
    'http://two.example/debian',
    'http://inline.example/debian',
  ])
  expect(readMirrors(apt).at(-1)?.signedBy).not.toContain('/abc')
})

test('a machine without apt has no mirrors', () => {
  expect(readMirrors('/no/such/place')).toEqual([])
})

const mirror = readMirrors('/etc/apt')[0]?.uri
const isReachable = await reaches(mirror)
if (!isReachable) {
  console.error(`not run: nats-server from a newer Debian: no Debian mirror answers (${mirror})`)
}

async function reaches(uri: string | undefined): Promise<boolean> {
  if (uri === undefined || !existsSync('/usr/bin/apt-get')) return false
  try {
    return (await fetch(`${uri}/dists/sid/InRelease`, { method: 'HEAD' })).ok
  } catch {
    return false
  }
}

test.runIf(isReachable)(
  'where only a Debian mirror is reached, the package of a newer Debian is unpacked and runs',
  async () => {
    const cacheDir = mkdtempSync(join(tmpdir(), 'lambus-test-cache-'))
    onTestFinished(() => rmSync(cacheDir, { recursive: true, force: true }))
    const { path } = await findNatsServer({
      environment: { PATH: '' },
      cacheDir,
      release: undefined,
    })
    expect(path.startsWith(cacheDir)).toBe(true)
    expect(execFileSync(path, ['--version'], { encoding: 'utf8' })).toContain('nats-server: v2.')
  },
  120_000,
)
