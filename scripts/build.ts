/**
 * Compiles what is published to dist/: JavaScript and declarations, because Node strips no types under node_modules.
 *
 * dist/ has the same shape as the checkout, with what is no TypeScript beside it as it is, so that a path relative to a
 * source file means the same in both.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Read or run as they are: what runs inside a sandbox, the inspector's page, the configuration for one's own server. */
const asTheyAre = ['runtimes', 'inspector/page', 'nats.conf']

rmSync(dist, { recursive: true, force: true })
const { status } = spawnSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
  { cwd: root, stdio: 'inherit' },
)
if (status !== 0) process.exit(1)
for (const path of asTheyAre.filter((each) => existsSync(join(root, each)))) {
  cpSync(join(root, path), join(dist, path), { recursive: true })
}

// For our own code: who it is and that it is made of modules. The package's own package.json says the rest.
const { name, version, type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name, version, type }, null, 2)}\n`)
