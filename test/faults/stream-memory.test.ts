/**
 * A handler that is much slower than the producer. Promise (DESIGN §6): what waits, waits in JetStream and not in us. The long
 * one, with a million records, is part of `npm run campaign -- shards`.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type StreamCrew, startStreamCrew } from './stream-crew.ts'
import { until } from './stream-user.ts'

const count = Number(process.env['STORM_RECORDS'] || 50_000)
/** Few have to be larger, so that one sees whether they are held: 200 MB, and 500 MB in the long one. */
const sizeBytes = count <= 50_000 ? 4_000 : 500
/** What was freed is given back early, so that what memory there is is needed. Source: mallopt(3), V8's flags. */
const tidy = {
  NODE_OPTIONS: '--max-semi-space-size=4',
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TRIM_THRESHOLD_: '131072',
}
/** From a third of the records on. The rest of them, if they were held, would be 130 MB more, and 330 MB in the long one. */
const mostGrowthMb = 100
const perRequest = 500

const handler = `
import { appendFileSync } from 'node:fs'
export const handler = async ({ Records }) => {
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  const numbers = Records.map(({ kinesis }) => Number.parseInt(Buffer.from(kinesis.data, 'base64')))
  appendFileSync(process.env.LOG, numbers.join('\\n') + '\\n')
}`

const watched = ['poller', 'front-end'] as const

/** RSS of those who could hold records, in MB, again and again. */
function watchMemory(crew: StreamCrew) {
  const rssMb = { poller: [] as number[], 'front-end': [] as number[] }
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      const statuses = await crew.statuses()
      for (const role of watched) {
        const rssBytes = statuses.find(({ roles }) => roles.includes(role))?.rssBytes
        if (rssBytes !== undefined) rssMb[role].push(Math.round(rssBytes / 1_048_576))
      }
      await wait(250)
    }
  })()
  return {
    rssMb,
    async stop() {
      isOver = true
      await watching
    },
  }
}

test(
  `memory stays flat while ${count} records wait`,
  async () => {
    const crew = await startStreamCrew({ poller: 1 }, tidy)
    try {
      await crew.deploy('slow', handler)
      await crew.createStream('much', 1)
      await crew.map('slow', 'much', { BatchSize: 500 })
      const memory = watchMemory(crew)
      const beganMs = performance.now()
      const samples = { poller: 0, 'front-end': 0 }
      for (let next = 0; next < count; next += perRequest) {
        const length = Math.min(perRequest, count - next)
        const records = Array.from({ length }, (_, index) => ({
          key: 'k',
          text: `${next + index} `.padEnd(sizeBytes, '.'),
        }))
        await crew.put('much', records)
        if (next > count / 3) continue
        for (const role of watched) samples[role] = memory.rssMb[role].length
      }
      const putMs = performance.now() - beganMs
      await wait(3_000)
      await until(() => crew.written('slow').length > 1_000)
      await memory.stop()
      const numbers = crew.written('slow').map(Number)
      const growthMb = (role: (typeof watched)[number]) =>
        Math.max(...memory.rssMb[role].slice(samples[role])) -
        Math.max(...memory.rssMb[role].slice(0, samples[role]))
      const some = (all: number[]) =>
        all.filter((_, index) => index % Math.ceil(all.length / 12) === 0).join(' ')
      const said = watched.map(
        (role) => `${role} ${some(memory.rssMb[role])} MB (${growthMb(role)} MB more)`,
      )
      console.log(
        `${count} records of ${sizeBytes} bytes put in ${(putMs / 1_000).toFixed(1)} s, ${count - numbers.length} of them wait; RSS: ${said.join(', ')}`,
      )
      expect(numbers.length).toBeGreaterThan(1_000)
      // A put that was not answered in time is made again: what counts is when a record came first.
      expect([...new Set(numbers)].findIndex((number, index) => number !== index)).toBe(-1)
      for (const role of watched) expect(growthMb(role)).toBeLessThan(mostGrowthMb)
    } finally {
      await crew.stop()
    }
  },
  120_000 + count,
)
