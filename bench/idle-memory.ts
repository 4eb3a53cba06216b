/** What memory does `lambus up` hold while nobody asks anything of it? */
import { setTimeout as pause } from 'node:timers/promises'
import { startLambus } from './harness/lambus.ts'
import { memoryTable } from './harness/memory-table.ts'
import { memoryByRole, type Roles } from './harness/processes.ts'
import type { Question } from './harness/question.ts'

const settleMs = 5_000
const readings = 5
const betweenMs = 1_000

export const idleMemory: Question = {
  name: 'idle-memory',
  asks: 'Memory of `lambus up`, idle, NATS included',
  async run({ ours }) {
    if (!ours) return { rows: [], tables: [], notes: ['There is no floor for this question.'] }
    await using lambus = await startLambus()
    await pause(settleMs)
    const totals: number[] = []
    for (let reading = 0; reading < readings; reading += 1) {
      totals.push(totalRssMb(lambus.processes()))
      await pause(betweenMs)
    }
    return {
      rows: [
        {
          what: 'RSS of all processes',
          unit: 'MB',
          ours: totals,
          reach: { at: 'most', limit: 250, of: 'in all' },
        },
      ],
      tables: [memoryTable('Memory by role, last reading', lambus.processes())],
      notes: [
        `${readings} readings, ${betweenMs} ms apart, from ${settleMs} ms after the ready line. RSS counts what processes share once for each of them; PSS divides it among them.`,
      ],
    }
  },
}

const totalRssMb = (roles: Roles) =>
  [...memoryByRole(roles).values()].reduce((sum, { rssMb }) => sum + rssMb, 0)
