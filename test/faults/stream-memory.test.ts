/**
 * A handler that is slower than the producer. Promise (DESIGN §6): what waits, waits in JetStream and not in us. The long one,
 * with a million records, is part of `npm run campaign -- shards`.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startStreamCrew } from './stream-crew.ts'
import { until } from './stream-user.ts'

const count = Number(process.env['STORM_RECORDS'] || 50_000)
const sizeBytes = 500
/** A garbage collector takes its time; the records of the short one would be 100 MB at least if they were held. */
const mostGrowthMb = 60
const perRequest = 500

const handler = `
import { appendFileSync } from 'node:fs'
export const handler = async ({ Records }) => {
  await new Promise((resolve) => setTimeout(resolve, 100))
  const numbers = Records.map(({ kinesis }) => Number.parseInt(Buffer.from(kinesis.data, 'base64')))
  const isRow = numbers.every((number, index) => index === 0 || number === numbers[index - 1] + 1)
  appendFileSync(process.env.LOG, numbers[0] + ' ' + numbers.at(-1) + ' ' + isRow + '\\n')
}`

test(
  `memory stays flat while ${count} records wait`,
  async () => {
    const crew = await startStreamCrew({ poller: 1 })
    try {
      await crew.deploy('slow', handler)
      await crew.createStream('much', 1)
      await crew.map('slow', 'much', { BatchSize: 500 })
      const rssMb = { poller: [] as number[], 'front-end': [] as number[] }
      const look = async () => {
        const statuses = await crew.statuses()
        for (const role of ['poller', 'front-end'] as const) {
          const rssBytes = statuses.find(({ roles }) => roles.includes(role))?.rssBytes
          if (rssBytes !== undefined) rssMb[role].push(Math.round(rssBytes / 1_048_576))
        }
      }
      let isOver = false
      const looking = (async () => {
        while (!isOver) {
          await look()
          await wait(250)
        }
      })()
      const handled = () => Number(crew.written('slow').at(-1)?.split(' ')[1] ?? -1) + 1

      const beganMs = performance.now()
      let next = 0
      let mostWaiting = 0
      let warm: { poller: number; 'front-end': number } | undefined
      while (next < count) {
        const first = next
        next = Math.min(count, next + perRequest)
        await crew.put(
          'much',
          Array.from({ length: next - first }, (_, index) => ({
            key: 'k',
            text: `${first + index} `.padEnd(sizeBytes, '.'),
          })),
        )
        if (warm === undefined && next > count / 10 && next > 5_000) {
          warm = { poller: Math.max(...rssMb.poller), 'front-end': Math.max(...rssMb['front-end']) }
        }
        mostWaiting = Math.max(mostWaiting, next - handled())
      }
      const putMs = performance.now() - beganMs
      await until(() => handled() === count, { forMs: count / 2, everyMs: 250 }).catch(() => {})
      isOver = true
      await looking
      const rows = crew.written('slow').map((line) => line.split(' '))
      const tenth = (all: number[]) =>
        all.filter((_, index) => index % Math.ceil(all.length / 10) === 0).join(' ')
      const seconds = (ms: number) => (ms / 1_000).toFixed(1)
      const said = (role: 'poller' | 'front-end') =>
        `${role} ${warm?.[role]} MB when warm, at most ${Math.max(...rssMb[role])} MB, on its way ${tenth(rssMb[role])}`
      console.log(
        `${count} records of ${sizeBytes} bytes put in ${seconds(putMs)} s, handled in ${seconds(performance.now() - beganMs)} s, at most ${mostWaiting} waiting; RSS: ${said('poller')}; ${said('front-end')}`,
      )
      expect(handled()).toBe(count)
      expect(rows.filter(([, , isRow]) => isRow !== 'true')).toEqual([])
      for (const role of ['poller', 'front-end'] as const) {
        expect(Math.max(...rssMb[role]) - (warm?.[role] ?? 0)).toBeLessThan(mostGrowthMb)
      }
    } finally {
      await crew.stop()
    }
  },
  120_000 + count,
)
