import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const script = fileURLToPath(new URL('heap-load.ts', import.meta.url))

/** Of V8 in a process of its own: its flags cannot be taken back. */
async function collections(...args: string[]): Promise<{ young: number; full: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args])
  return JSON.parse(stdout)
}

test('a process that buffers pass through collects its young generation more often, and the whole heap less', async () => {
  const plain = await collections()
  const young = await collections('young')
  expect(young.young).toBeGreaterThan(3 * plain.young)
  expect(young.full).toBeLessThan(plain.full)
})
