/**
 * What a process says about itself when anybody asks: its roles, its machines, what it dropped. For `lambus ps`, the
 * inspector and `lambus doctor`.
 */
import type { Bus, Clock } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import type { Host } from './actor.ts'
import type { HostedMachine } from './step.ts'

export type MachineStatus = {
  instances: number
  steps: number
  deadLetters: number
  malformed: number
  failures: number
}

export type ProcessStatus = {
  id: string
  roles: readonly string[]
  pid: number
  host: string
  rssBytes: number
  cpuSeconds: number
  uptimeMs: number
  machines: Record<string, MachineStatus>
  [more: string]: unknown
}

export type StatusBinding = {
  id: string
  roles: readonly string[]
  host: string
  clock: Clock
  hosts: () => Host<HostedMachine>[]
  more: () => Record<string, unknown>
}

/** Answers until the function returned is called. */
export function serveStatus(bus: Bus, binding: StatusBinding): () => void {
  const startedAtMs = binding.clock.monotonicMs()
  const hearing = bus.subscribe(subjects.status, (message) => {
    message.respond(JSON.stringify(statusOf(binding, startedAtMs)))
  })
  return () => hearing.stop()
}

function statusOf(
  { id, roles, host, clock, hosts, more }: StatusBinding,
  startedAtMs: number,
): ProcessStatus {
  const { user, system } = process.cpuUsage()
  const machines: Record<string, MachineStatus> = {}
  for (const { machine, size, counts } of hosts()) {
    machines[machine.id] = sumOf(machines[machine.id], { instances: size, ...counts })
  }
  return {
    id,
    roles,
    pid: process.pid,
    host,
    rssBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    uptimeMs: Math.round(clock.monotonicMs() - startedAtMs),
    machines,
    ...more(),
  }
}

/** A process may have several hosts of one machine: of lanes and of shards, say. */
const sumOf = (one: MachineStatus | undefined, other: MachineStatus): MachineStatus =>
  one === undefined
    ? other
    : {
        instances: one.instances + other.instances,
        steps: one.steps + other.steps,
        deadLetters: one.deadLetters + other.deadLetters,
        malformed: one.malformed + other.malformed,
        failures: one.failures + other.failures,
      }
