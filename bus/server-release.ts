/**
 * The official release archive of nats-server: one pinned version, downloaded, checked and unpacked.
 *
 * The project signs nothing, so the checksums are pinned here; platforms without one are left to the other ways.
 * Source: the Dockerfiles of the official image (nats-io/nats-docker, 2.14.5).
 */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { DeadEnd, type OnProgress } from './server-way.ts'

export type Release = { url: string; sha256: string }

const version = '2.14.5'
const url = (platform: string) =>
  `https://github.com/nats-io/nats-server/releases/download/v${version}/nats-server-v${version}-${platform}.tar.gz`

/** By Node's `<platform>-<arch>`. */
export const releases: Partial<Record<string, Release>> = {
  'linux-x64': {
    url: url('linux-amd64'),
    sha256: '5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355',
  },
  'linux-arm64': {
    url: url('linux-arm64'),
    sha256: '673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c',
  },
}

/** A download of 7 MB that says nothing for this long is given up. */
const silenceMs = 20_000

/** Puts `nats-server` into `dir`. Throws `DeadEnd` when it cannot be had, or is not what was pinned. */
export async function officialRelease(
  release: Release | undefined,
  dir: string,
  onProgress: OnProgress,
): Promise<{ way: string; path: string }> {
  const way = `official release ${version}`
  if (release === undefined) {
    throw new DeadEnd({ way, why: `no pinned build for ${process.platform}-${process.arch}` })
  }
  const archive = await download(way, release.url, onProgress)
  const sha256 = createHash('sha256').update(archive).digest('hex')
  if (sha256 !== release.sha256) {
    throw new DeadEnd({
      way,
      why: `${release.url} has SHA-256 ${sha256}, not ${release.sha256}: not used`,
    })
  }
  const binary = fileInTar(gunzipSync(archive), 'nats-server')
  if (binary === undefined) throw new DeadEnd({ way, why: `no nats-server in ${release.url}` })
  const path = join(dir, 'nats-server')
  writeFileSync(path, binary, { mode: 0o755 })
  return { way, path }
}

async function download(way: string, from: string, onProgress: OnProgress): Promise<Buffer> {
  const silence = new AbortController()
  const giveUp = () =>
    silence.abort(new Error(`${from} said nothing for ${silenceMs / 1_000} seconds`))
  let timer = setTimeout(giveUp, silenceMs)
  onProgress(`downloading nats-server ${version}`)
  try {
    const response = await fetch(from, { signal: silence.signal })
    if (!response.ok || response.body === null) {
      throw new DeadEnd({ way, why: `${from} answers ${response.status}` })
    }
    const length = Number(response.headers.get('content-length')) || undefined
    const chunks: Uint8Array[] = []
    let doneBytes = 0
    for await (const chunk of response.body) {
      clearTimeout(timer)
      timer = setTimeout(giveUp, silenceMs)
      chunks.push(chunk)
      doneBytes += chunk.length
      onProgress(`downloading nats-server ${version}`, doneBytes, length)
    }
    return Buffer.concat(chunks)
  } catch (error) {
    if (error instanceof DeadEnd) throw error
    const { message, cause } = error as Error
    throw new DeadEnd({ way, why: cause instanceof Error ? cause.message : message })
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The content of the first regular file of that name, in whatever folder. Enough of tar for archives that are known by
 * checksum: blocks of 512 bytes, name at 0, size in octal at 124, type at 156. Source: POSIX pax, "ustar Interchange Format".
 */
export function fileInTar(tar: Buffer, name: string): Buffer | undefined {
  const text = (from: number, length: number) => {
    const field = tar.subarray(from, from + length)
    const end = field.indexOf(0)
    return field.subarray(0, end === -1 ? length : end).toString('latin1')
  }
  for (let at = 0; at + 512 <= tar.length; ) {
    const size = Number.parseInt(text(at + 124, 12).trim() || '0', 8)
    const isRegular = tar[at + 156] === 0x30 || tar[at + 156] === 0
    if (isRegular && text(at, 100).split('/').at(-1) === name) {
      return tar.subarray(at + 512, at + 512 + size)
    }
    at += 512 + Math.ceil(size / 512) * 512
  }
  return undefined
}
