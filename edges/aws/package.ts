/**
 * A deployment package as it comes in: base64 of a zip, checked before anything of it is stored.
 *
 * Checked is what unpacking will need: names that stay inside, sizes, and contents that inflate to what they say. Source of
 * limits and texts: lambda-semantics.md §2.3 (recorded).
 */
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { crc32 } from 'node:zlib'
import { fromBufferPromise, type ZipFile } from 'yauzl'
import type { FunctionCode } from '../../machines/function.ts'
import { maxUnzippedBytes } from '../unzip.ts'
import { type Refusal, refuse } from './errors.ts'

/** Lambda quotas: deployment package, zipped, for direct upload: 50 MB. */
export const zippedLimitBytes = 52_428_800

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)
const notAZip = () =>
  invalid('Could not unzip uploaded file. Please check your file, then try to upload again.')

/** The bytes of a `ZipFile` member, or why it is none. */
export function decodeZipFile(base64: string): Uint8Array | Refusal {
  if (base64 === '') return invalid('Uploaded file must be a non-empty zip')
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
    return refuse('SerializationException', 'The ZipFile is not valid base64.')
  }
  const bytes = Buffer.from(base64, 'base64')
  return bytes.length > zippedLimitBytes
    ? refuse(
        'RequestEntityTooLargeException',
        `Zipped size must be smaller than ${zippedLimitBytes} bytes`,
      )
    : bytes
}

/** `undefined`: a zip that can be unpacked. */
export async function checkPackage(zip: Uint8Array): Promise<Refusal | undefined> {
  let archive: ZipFile
  try {
    archive = await fromBufferPromise(Buffer.from(zip.buffer, zip.byteOffset, zip.byteLength), {
      lazyEntries: true,
    })
  } catch {
    return notAZip()
  }
  if (archive.entryCount === 0) return invalid('Uploaded file must be a non-empty zip')
  try {
    return await checkEntries(archive)
  } catch {
    return notAZip()
  } finally {
    archive.close()
  }
}

async function checkEntries(archive: ZipFile): Promise<Refusal | undefined> {
  let unzippedBytes = 0
  for await (const entry of archive.eachEntry()) {
    unzippedBytes += entry.uncompressedSize
    if (unzippedBytes > maxUnzippedBytes) {
      return invalid(`Unzipped size must be smaller than ${maxUnzippedBytes} bytes`)
    }
    if (entry.isEncrypted()) return notAZip()
    let sum = 0
    const content = await archive.openReadStreamPromise(entry)
    content.on('data', (chunk: Buffer) => {
      sum = crc32(chunk, sum)
    })
    await once(content, 'end')
    if (sum !== entry.crc32) return notAZip()
  }
  return undefined
}

/** A package as AWS tells of it: SHA-256 in base64, and its size. */
export const describePackage = (zip: Uint8Array): FunctionCode => ({
  sha256: hash('sha256', zip, 'base64'),
  sizeBytes: zip.length,
})
