/**
 * `lambus ps`: every process of the system, what runs in it and what it costs. Everybody answers for itself
 * (`lambus.status`), so that what is dead does not show.
 */
import type { Command } from 'commander'
import * as subjects from '../bus/subjects.ts'
import { Failure } from './failure.ts'
import type { CommonOptions } from './options.ts'
import { byteSize, duration, print, printJson, table } from './output.ts'
import { findSystem, natsOf } from './system.ts'

/** What a process answers on `lambus.status`. */
export type ProcessStatus = {
  id: string
  roles: string[]
  pid: number
  host: string
  rssBytes: number
  cpuSeconds: number
  uptimeMs: number
  machines: Record<string, { instances: number; steps: number; deadLetters: number }>
  /** Those whose instances are stored, and not held: there is no count of them here. */
  durable?: Record<string, { steps: number; deadLetters: number }>
  sandboxes?: {
    id: string
    function: string
    version: string
    state: string
    /** Absent while there is no process. */
    pid?: number
  }[]
}

/** A process that is busy answers late; one that does not answer in half a second is worth missing in this list. */
const WAIT_MS = 500

export function register(program: Command): void {
  const command = program
    .command('ps')
    .summary('show processes, machines and sandboxes')
    .description('Shows the processes of the system, their machines and their sandboxes.')
  command.action(async () => {
    const options = command.optsWithGlobals<CommonOptions>()
    const nats = natsOf(findSystem(options, process.env))
    const { openCliBus } = await import('./bus-api.ts')
    const bus = await openCliBus(nats)
    const answers = await bus
      .askAll(subjects.status, undefined, { waitMs: WAIT_MS })
      .finally(() => bus.close())
    const processes = answers
      .map((answer) => answer.json<ProcessStatus>())
      .sort((one, other) => one.roles.join().localeCompare(other.roles.join()))
    if (processes.length === 0) {
      throw new Failure(
        'NO_SERVER',
        `there is a NATS server at ${nats.url}, but no lambus on it: is \`lambus up\` running?`,
      )
    }
    if (options.json === true) printJson({ processes })
    else
      print([processTable(processes), machineTable(processes), sandboxTable(processes)].join('\n'))
  })
}

const processTable = (processes: readonly ProcessStatus[]): string =>
  table([
    ['PID', 'HOST', 'ROLES', 'MEMORY', 'CPU', 'UP'],
    ...processes.map((each) => [
      String(each.pid),
      each.host,
      each.roles.join(','),
      byteSize(each.rssBytes),
      `${each.cpuSeconds.toFixed(1)} s`,
      duration(each.uptimeMs),
    ]),
  ])

function machineTable(processes: readonly ProcessStatus[]): string {
  const rows = processes.flatMap(({ pid, machines, durable = {} }) =>
    Object.entries({ ...machines, ...durable }).map(([name, { steps, deadLetters, ...counts }]) => [
      String(pid),
      name,
      'instances' in counts ? String(counts.instances) : '-',
      String(steps),
      String(deadLetters),
    ]),
  )
  return rows.length === 0
    ? ''
    : `\n${table([['PID', 'MACHINE', 'INSTANCES', 'STEPS', 'DEAD LETTERS'], ...rows])}`
}

function sandboxTable(processes: readonly ProcessStatus[]): string {
  const rows = processes
    .flatMap(({ sandboxes = [] }) => sandboxes)
    .map(({ pid = '-', version, state, id, ...it }) => [
      String(pid),
      `${it.function}:${version}`,
      state,
      id,
    ])
  return rows.length === 0 ? '' : `\n${table([['PID', 'SANDBOX OF', 'STATE', 'ID'], ...rows])}`
}
