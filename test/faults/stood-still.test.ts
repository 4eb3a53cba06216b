/**
 * A process that stood still for longer than its leases last, as on a laptop that slept: nobody else was there to take them.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { InvokeCommand } from '@aws-sdk/client-lambda'
import { expect, onTestFinished, test } from 'vitest'
import { openBus } from '../../bus/connection.ts'
import { queues, trackedStreams } from '../../bus/subjects.ts'
import { deploy, startSystem } from '../system/system.ts'

const LEASE_MS = 6_000

test('leaders lead again, and functions are invoked, less than 2 s after they woke up', async () => {
  const system = await startSystem([], { LAMBUS_LEASE_TTL_MS: String(LEASE_MS) })
  const bus = await openBus({ servers: system.natsUrl, role: 'client', id: 'watch' })
  onTestFinished(async () => {
    system.child.kill('SIGCONT')
    await bus.close()
    await system.stop()
  })
  await deploy(system.lambda, 'f', 'export const handler = () => 7')
  const asking = {
    queues: () => bus.request(queues, undefined, { timeoutMs: 30_000 }),
    streams: () => bus.request(trackedStreams, undefined, { timeoutMs: 30_000 }),
    invoke: async () => {
      const { StatusCode } = await system.lambda.send(new InvokeCommand({ FunctionName: 'f' }))
      return StatusCode
    },
  }
  for (const ask of Object.values(asking)) expect(await ask()).not.toBe('timeout')
  for (let round = 0; round < 3; round++) {
    system.child.kill('SIGSTOP')
    await wait(LEASE_MS + 1_000)
    system.child.kill('SIGCONT')
    // Some moments later: what is answered on an old belief says nothing.
    await wait(round * 250)
    const took = await Promise.all(
      Object.entries(asking).map(async ([what, ask]) => {
        const askedAtMs = performance.now()
        expect(typeof (await ask())).not.toBe('string')
        return { what, ms: Math.round(performance.now() - askedAtMs) }
      }),
    )
    console.log(`asked ${round * 250} ms after it woke up: ${JSON.stringify(took)}`)
    for (const { what, ms } of took) expect(ms, what).toBeLessThan(2_000)
  }
}, 120_000)
