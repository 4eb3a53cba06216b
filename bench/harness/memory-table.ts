/** Memory of a system by role, as a table. */
import { memoryByRole, type Roles } from './processes.ts'
import type { Table } from './question.ts'

export function memoryTable(title: string, roles: Roles): Table {
  const byRole = [...memoryByRole(roles)]
  const sum = (name: 'processes' | 'rssMb' | 'pssMb') =>
    byRole.reduce((total, [, figures]) => total + figures[name], 0)
  const line = (role: string, processes: number, rssMb: number, pssMb: number) => [
    role,
    processes,
    rssMb.toFixed(0),
    pssMb.toFixed(0),
  ]
  return {
    title,
    head: ['role', 'processes', 'RSS, MB', 'PSS, MB'],
    lines: [
      ...byRole.map(([role, { processes, rssMb, pssMb }]) => line(role, processes, rssMb, pssMb)),
      line('together', sum('processes'), sum('rssMb'), sum('pssMb')),
    ],
  }
}
