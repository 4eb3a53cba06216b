/**
 * Which Node runs a `nodejs<major>.x` function. A runtime named nodejs24.x has to be Node 24, whatever runs us.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * Path of a Node binary of that major version: that of the npm package `node` (an optional dependency, absent where npm
 * left it out), else our own if it matches, else undefined: the runtime cannot be offered.
 */
export function findNode(major: number): string | undefined {
  const packaged = packagedNode(major)
  if (packaged !== undefined) return packaged
  return majorOf(process.versions.node) === major ? process.execPath : undefined
}

function packagedNode(major: number): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json')
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    const binary = join(
      dirname(manifest),
      'bin',
      process.platform === 'win32' ? 'node.exe' : 'node',
    )
    return majorOf(version) === major && existsSync(binary) ? binary : undefined
  } catch {
    return undefined
  }
}

const majorOf = (version: string): number => Number.parseInt(version, 10)
