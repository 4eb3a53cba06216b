/** Waiting for what comes in its own time, in tests against a real server. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Bus } from '../../bus/bus.ts'
import type { CutProxy } from '../nats-server.ts'

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await wait(5)
}

/** Breaks the links and keeps the door shut, until `proxy.resume()`; resolves when the bus has noticed. */
export async function cutOff(proxy: CutProxy, bus: Bus): Promise<void> {
  proxy.pause()
  proxy.cut()
  await until(() => !bus.up)
}
