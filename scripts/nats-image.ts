/**
 * The official NATS image for test/containers/, of the same version as the nats-server that the other tests run on.
 *
 * Pulled where a registry is reached; elsewhere an image of the same name and layout is made from that very binary and
 * the libraries that it is linked with. Prints the image's name on stdout, what it does on stderr.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findNatsServer } from '../bus/server-binary.ts'

const say = (text: string) => process.stderr.write(`${text}\n`)
/** Exit code; what the command writes is shown, on stderr. */
const docker = (...args: string[]) => spawnSync('docker', args, { stdio: ['ignore', 2, 2] }).status

const { path, version } = await findNatsServer({ environment: process.env, onProgress: say })
const image = `nats:${version}`

if (docker('image', 'inspect', '--format', '{{.Id}}', image) === 0) say(`${image} is here already`)
else if (docker('pull', image) === 0) say(`${image} was pulled`)
else {
  say(`${image} cannot be pulled; making one from ${path}`)
  make()
}
process.stdout.write(`${image}\n`)

function make(): void {
  const root = mkdtempSync(join(tmpdir(), 'lambus-image-'))
  try {
    copyFileSync(path, join(root, 'nats-server'))
    for (const library of libraries()) {
      mkdirSync(join(root, dirname(library)), { recursive: true })
      copyFileSync(library, join(root, library))
    }
    mkdirSync(join(root, 'tmp'), { mode: 0o1777 })
    // Source: nats-io/nats-docker, scratch/nats-server.conf, without its cluster.
    writeFileSync(join(root, 'nats-server.conf'), 'host: 0.0.0.0\nport: 4222\nhttp: 8222\n')
    const archive = execFileSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 1024 ** 3 })
    execFileSync('docker', ['import', ...settings(), '-', image], {
      input: archive,
      stdio: ['pipe', 2, 2],
    })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Empty for a static binary, which is what the project itself releases; Debian links with libc. */
function libraries(): string[] {
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' })
  return [...stdout.matchAll(/(?:^\s*|=> )(\/\S+) \(0x/gm)].map(([, file = '']) => file)
}

/** Source: nats-io/nats-docker, scratch/amd64/Dockerfile. */
function settings(): string[] {
  return [
    'EXPOSE 4222 8222 6222',
    'ENTRYPOINT ["/nats-server"]',
    'CMD ["--config", "nats-server.conf"]',
  ].flatMap((instruction) => ['--change', instruction])
}
