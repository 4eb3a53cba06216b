/** Waiting for what comes in its own time, in tests against a real server. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Bus } from '../../bus/bus.ts'
import type { CutProxy } from '../nats-server.ts'

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await wait(5)
}

/** So many breaks are enough to show that links may break; after them a slow machine comes through, too. */
const MOST_CUTS = 20

/** Breaks the links again and again, until what is returned is called. */
export function keepCutting(proxy: CutProxy, everyMs: number): () => void {
  let cuts = 0
  const cutting = setInterval(() => {
    proxy.cut()
    cuts += 1
    if (cuts === MOST_CUTS) clearInterval(cutting)
  }, everyMs)
  return () => clearInterval(cutting)
}

/** Breaks the links and keeps the door shut, until `proxy.resume()`; resolves when the bus has noticed. */
export async function cutOff(proxy: CutProxy, bus: Bus): Promise<void> {
  proxy.pause()
  proxy.cut()
  await until(() => !bus.up)
}
