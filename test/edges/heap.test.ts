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
  // When V8 collects the whole heap is also a matter of what else the machine does: one pair of up to three has to show it.
  let shows = false
  for (let pair = 0; pair < 3 && !shows; pair++) {
    const plain = await collections()
    const young = await collections('young')
    console.log(
      `young ${plain.young} times, full ${plain.full} times; told: young ${young.young} times, full ${young.full} times`,
    )
    shows = young.young > 3 * plain.young && young.full < plain.full
  }
  expect(shows).toBe(true)
}, 60_000)
