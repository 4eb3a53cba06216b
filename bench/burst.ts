/** What do a hundred simultaneous invocations find where the function never ran? */
import { natsClient } from './harness/clients.ts'
import { invokeSubject, startLambus } from './harness/lambus.ts'
import { answeredInTime } from './harness/load.ts'
import { memoryTable } from './harness/memory-table.ts'
import type { Question } from './harness/question.ts'

const invokes = 100

export const burst: Question = {
  name: 'burst',
  asks: `${invokes} simultaneous invokes of a function that never ran, over NATS`,
  async run({ ours }) {
    if (!ours) return { rows: [], tables: [], notes: ['There is no floor for this question.'] }
    await using lambus = await startLambus()
    await using client = await natsClient(lambus.nats)
    await lambus.deploy('burst')

    const started = performance.now()
    const times: number[] = []
    const errors: Error[] = []
    await answeredInTime(0, (resolve) => {
      for (let n = 0; n < invokes; n += 1) {
        const invoke = client.to(invokeSubject('burst'), Buffer.from(JSON.stringify({ n })))
        invoke((error) => {
          times.push(performance.now() - started)
          if (error) errors.push(error)
          if (times.length === invokes) resolve()
        })
      }
    })
    return {
      rows: [
        {
          what: `errors and wrong answers of ${invokes}`,
          unit: 'errors',
          ours: [errors.length],
          reach: { at: 'most', limit: 0, of: 'in all' },
        },
        { what: 'all invokes to their answers', unit: 'ms', ours: times },
      ],
      tables: [memoryTable('Memory right after', lambus.processes())],
      notes: [
        `The last answer came after ${Math.round(times.at(-1) ?? 0)} ms.`,
        ...(errors[0] === undefined ? [] : [`The first error: ${errors[0].message}`]),
      ],
    }
  },
}
