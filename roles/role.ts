/**
 * A role: some actors and doors that make up a process, or a part of one. A process is a connection, an id and the roles
 * it was told to run; every role gets the same `Process` to stand on.
 */
import type { Host } from '../actors/actor.ts'
import type { AttemptDoor } from '../actors/attempt-door.ts'
import type { Intake } from '../actors/intake.ts'
import type { HostedMachine } from '../actors/step.ts'
import type { Bus, Clock, Log } from '../bus/bus.ts'
import { type Leases, openLeases } from '../bus/leases.ts'
import type { Presence } from '../bus/presence.ts'
import { leasesBucket } from '../bus/subjects.ts'
import type { Config } from '../config.ts'

export type Process = {
  /** Names this process to all others. */
  id: string
  bus: Bus
  config: Config
  clock: Clock
  log: Log
  presence: Presence
  newId: () => string
  /** Doors for attempts in this process, by front end: a poller beside them needs no bus to reach them. */
  attemptDoors: Map<string, Pick<AttemptDoor, 'attempt'>>
  /** What pours into this process, for whoever should hold back then. */
  intake: Intake
}

export type Role = {
  /** What is hosted here, by machine: for `lambus ps` and the inspector. */
  hosts: Host<HostedMachine>[]
  /** Goes into every heartbeat of the process. */
  describe?(): Record<string, unknown>
  /** Counters of what was dropped or refused; and other things `lambus ps` shows. */
  status?(): Record<string, unknown>
  /** `http://…` of its door, when it has one. */
  address?: string
  /** Resolves when it can serve. Absent: it can as soon as it has started. */
  ready?(): Promise<void>
  /** Takes nothing new and resolves when what runs has finished. */
  drain?(): Promise<void>
  stop(): Promise<void>
}

/** The leases of everything that is owned, read or led: the same for all roles. */
export const openRoleLeases = ({ bus, config, clock, log }: Process): Promise<Leases<string>> =>
  openLeases<string>(bus, { bucket: leasesBucket, ttlMs: config.leaseTtlMs, clock, log })

/** A host of one machine, where any will do. */
export const anyHost = (host: unknown): Host<HostedMachine> => host as Host<HostedMachine>
