/**
 * One machine, alive in memory, with the timers that it has asked for: what stories print and properties play with. Time
 * does not pass here; a test says which timer rings.
 */
import type {
  AnyMachineSnapshot,
  EventFromLogic,
  EventObject,
  InputFrom,
  SnapshotFrom,
} from 'xstate'
import {
  type Asked,
  type HostedMachine,
  isIgnored,
  type Stepped,
  stepper,
} from '../../actors/step.ts'

export type Timer = { id: string; delay: number; event: EventObject }

export type Taken = {
  asked: Asked[]
  ignored: boolean
}

export type Life<Machine extends HostedMachine> = {
  readonly snapshot: SnapshotFrom<Machine>
  /** `idle`, or `running.fresh` for a state in a state. */
  readonly state: string
  readonly isOver: boolean
  /** What entering the first state asked for. */
  readonly born: Taken
  readonly timers: ReadonlyMap<string, Timer>
  /** A machine that is over takes nothing, as in its host. */
  take(event: EventFromLogic<Machine>): Taken
  /** Lets one delay pass, by its name in the machine. Throws when nobody waits for it. */
  ring(delay: string): Taken
  /** Lets a running timer pass, by its id. */
  ringTimer(id: string): Taken
}

export function live<Machine extends HostedMachine>(
  machine: Machine,
  input: InputFrom<Machine>,
): Life<Machine> {
  const steps = stepper(machine)
  const timers = new Map<string, Timer>()
  let snapshot: AnyMachineSnapshot

  const arrive = (before: unknown, next: Stepped<Machine>): Taken => {
    for (const { type, params } of next.asked) {
      if (type === 'xstate.raise') {
        const timer = params as Timer
        if (timer.delay !== undefined) timers.set(timer.id, timer)
      }
      if (type === 'xstate.cancel') timers.delete((params as { sendId: string }).sendId)
    }
    snapshot = next.snapshot
    if (snapshot.status !== 'active') timers.clear()
    return { asked: next.asked, ignored: isIgnored(before, next as Stepped<HostedMachine>) }
  }
  const step = (event: EventObject): Taken =>
    snapshot.status === 'active'
      ? arrive(snapshot, steps.step(snapshot as SnapshotFrom<Machine>, event))
      : { asked: [], ignored: true }
  const ringTimer = (id: string): Taken => {
    const timer = timers.get(id)
    if (timer === undefined) throw new Error(`nobody waits for ${id}`)
    timers.delete(id)
    return step(timer.event)
  }

  const first = steps.begin(input)
  snapshot = first.snapshot
  const born = arrive(undefined, first)
  return {
    born,
    timers,
    get snapshot() {
      return snapshot as SnapshotFrom<Machine>
    },
    get state() {
      return stateOf(snapshot.value)
    },
    get isOver() {
      return snapshot.status !== 'active'
    },
    take: step,
    ring: (delay) => ringTimer([...timers.keys()].find((id) => id.includes(`.${delay}.`)) ?? delay),
    ringTimer,
  }
}

const stateOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
    : Object.entries(value as object)
        .map(([state, inner]) => `${state}.${stateOf(inner)}`)
        .join(' + ')
