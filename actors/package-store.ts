/** Keeps a package under its own SHA-256: the same bytes twice are one package. */
import { hash } from 'node:crypto'
import type { Code } from '../bus/code.ts'
import type { FunctionCode } from '../machines/function.ts'

/** Stores the zip; the answer's `sha256` is base64, as AWS's CodeSha256. */
export async function storePackage(code: Code, zip: Uint8Array): Promise<FunctionCode> {
  const digest = hash('sha256', zip, 'buffer')
  await code.put(digest.toString('hex'), zip)
  return { sha256: digest.toString('base64'), sizeBytes: zip.length }
}
