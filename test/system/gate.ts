/**
 * Invocations that run until their test lets them go on: what runs together does not depend on how soon each of them begins.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { until } from '../bus/waiting.ts'

/** Answers when it began and when it ended, by the clock of the machine. */
export const gated = `import { existsSync, writeFileSync } from 'node:fs'
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
export const handler = async ({ gate, sleepMs = 0 }, { awsRequestId }) => {
  const from = Date.now()
  if (gate !== undefined) {
    writeFileSync(gate + '/begun-' + awsRequestId, '')
    while (!existsSync(gate + '/open')) await sleep(5)
  }
  if (sleepMs > 0) await sleep(sleepMs)
  return [from, Date.now()]
}`

/** What an event says, for the function above. */
export type GatedEvent = { gate?: string; sleepMs?: number }

export type Gate = {
  /** What an event says, to wait here. */
  path: string
  /** How many have begun. */
  begun(): number
  open(): void
}

export function makeGate(): Gate {
  const path = mkdtempSync(join(tmpdir(), 'lambus-gate-'))
  const open = () => writeFileSync(join(path, 'open'), '')
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return {
    path,
    begun: () => readdirSync(path).filter((name) => name.startsWith('begun-')).length,
    open,
  }
}

/** Makes so many invocations at once, and opens the gate when each of them has begun or is at an end. */
export async function atOnce<Outcome>(
  count: number,
  invoke: (event: GatedEvent, index: number) => Promise<Outcome>,
): Promise<Outcome[]> {
  const gate = makeGate()
  let ended = 0
  const invoking = Array.from({ length: count }, (_, index) =>
    invoke({ gate: gate.path }, index).finally(() => {
      ended += 1
    }),
  )
  const all = Promise.all(invoking)
  all.catch(() => {})
  await until(() => gate.begun() + ended >= count)
  gate.open()
  return all
}
