/** A process that many buffers pass through: prints how often it collected which generation. Told `young`, it collects that first. */
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { collectYoungFirst } from '../../edges/heap.ts'

if (process.argv[2] === 'young') collectYoungFirst()

const counts = { young: 0, full: 0 }
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const { kind } = (entry as typeof entry & { detail: { kind: number } }).detail
    if (kind === constants.NODE_PERFORMANCE_GC_MINOR) counts.young++
    if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) counts.full++
  }
}).observe({ entryTypes: ['gc'] })

/** What lives in it, as in a worker, about 10 MB. */
const live = Array.from({ length: 100_000 }, (_, index) => ({ name: `sandbox ${index}` }))
for (let passed = 0; passed < 4_000; passed++) {
  const payload = new Uint8Array(85_000)
  payload[passed] = Array.from({ length: 200 }, (_, index) => ({ index, payload })).length
  if (passed % 4 === 0) await wait(0)
}
await wait(50)
console.log(JSON.stringify({ ...counts, live: live.length }))
