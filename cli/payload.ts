/**
 * An invocation's payload as it is given on the command line.
 */
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { Failure } from './failure.ts'

/**
 * `-` is stdin, `@file` a file, everything else the payload itself, absent none. Whether it is JSON the server says:
 * bytes go as they came. Throws Failure for a file that cannot be read.
 */
export async function readPayload(
  argument: string | undefined,
  stdin: NodeJS.ReadableStream,
): Promise<Uint8Array> {
  if (argument === undefined) return new Uint8Array()
  if (argument === '-') return await buffer(stdin)
  if (!argument.startsWith('@')) return Buffer.from(argument)
  const file = argument.slice(1)
  try {
    return readFileSync(file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Failure(
      'NO_SUCH_FILE',
      code === 'ENOENT' ? `there is no file ${file}` : `${file} cannot be read: ${message}`,
      error,
    )
  }
}
