/**
 * The loop: decide → store → do.
 *
 * One host runs all instances of one machine. An event is stepped through the machine, the new state is committed, and
 * only then are the effects performed that the machine asked for, in order. What an effect sends back waits its turn:
 * a step is never entered while another one's effects are being performed.
 *
 * An error in a guard or an assign leaves the state as it was and performs nothing; it is a bug, counted and logged. An
 * error in an effect cannot be undone; it is counted and logged, and the effects after it are still performed.
 *
 * The host keeps the time: XState hands every `after` out as `xstate.raise` and neither stores nor re-arms it.
 *
 * This is the volatile binding: state lives in memory and dies with the process. `durable.ts` is the other one.
 * The loop knows nothing of Lambda.
 */
import type {
  AnyMachineSnapshot,
  EventFromLogic,
  EventObject,
  InputFrom,
  SnapshotFrom,
} from 'xstate'
import type { Clock, Log } from '../bus/bus.ts'
import { FleetingMap } from '../bus/fleeting-map.ts'
import type { EffectTable } from '../machines/effect.ts'
import { type Asked, type HostedMachine, isIgnored, stepper } from './step.ts'
import { timersOf } from './timers.ts'

export type Binding<Machine extends HostedMachine> = {
  /** Who performs each effect that the machine names. */
  duties: EffectTable<Machine['effects']>
  clock: Clock
  log: Log
  /** Told when an instance has reached its end and is forgotten. */
  ended?: (instance: string, snapshot: SnapshotFrom<Machine>) => void
  /** Sends every snapshot through JSON and back: how tests prove that nothing lives beside the state. */
  reloading?: boolean
}

/** What a watcher is told of one step. `event` is its type; `asked` are the names of the effects. */
export type StepSeen = {
  machine: string
  instance: string
  sequence: number
  event: string
  snapshot: { value: unknown; context: unknown; status: string }
  asked: string[]
}

export type Host<Machine extends HostedMachine> = {
  readonly machine: Machine
  /** Live instances. */
  readonly size: number
  readonly counts: Counts
  /** Makes an instance. An id that is already taken is a bug and throws. */
  start(instance: string, input: InputFrom<Machine>): void
  /** An event from our own code. For an instance that is not there it counts as a dead letter. */
  send(instance: string, event: EventFromLogic<Machine>): void
  /** An event from outside: checked before it reaches the machine. False when it was dropped. */
  hear(instance: string, event: unknown): boolean
  snapshot(instance: string): SnapshotFrom<Machine> | undefined
  instances(): IterableIterator<string>
  /** Forgets an instance at once, without a step: for what has lost its meaning, like the process it describes. */
  forget(instance: string): void
  /** Calls back after every step until the function returned is called. Costs nothing while nobody watches. */
  watch(see: (step: StepSeen) => void): () => void
}

export type Counts = {
  /** Events that made a step. */
  steps: number
  /** Events for an instance that is not there, or that its machine has no use for in its state. */
  deadLetters: number
  /** Messages from outside that were no event of this machine: no type, an unknown one, or one of XState's own. */
  malformed: number
  /** Steps undone because a guard or an assign threw; effects and listeners that threw. */
  failures: number
}

type Instance<Machine extends HostedMachine> = {
  snapshot: SnapshotFrom<Machine>
  timers: ReturnType<typeof timersOf> | undefined
  steps: number
}

export function host<Machine extends HostedMachine>(
  machine: Machine,
  { duties, clock, log, ended, reloading = false }: Binding<Machine>,
): Host<Machine> {
  const steps = stepper(machine)
  const instances = new FleetingMap<Instance<Machine>>()
  const watchers = new Set<(step: StepSeen) => void>()
  const waiting: { instance: string; event: EventObject }[] = []
  const counts: Counts = { steps: 0, deadLetters: 0, malformed: 0, failures: 0 }
  const perform = performer(machine, duties as Duties, counts, log)
  const events = new Set(machine.events as string[])
  let isBusy = false

  /** Runs `first`, then whatever its effects have sent meanwhile, in order. */
  const drain = (first: () => void): void => {
    isBusy = true
    try {
      first()
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        step(next.instance, next.event)
      }
    } finally {
      isBusy = false
    }
  }

  const deliver = (instance: string, event: EventObject): void => {
    if (isBusy) waiting.push({ instance, event })
    else drain(() => step(instance, event))
  }

  const step = (id: string, event: EventObject): void => {
    const instance = instances.get(id)
    if (instance === undefined) {
      counts.deadLetters++
      return
    }
    let next: ReturnType<typeof steps.step>
    try {
      next = steps.step(instance.snapshot, event)
    } catch (error) {
      counts.failures++
      log.error(
        {
          code: 'ACTOR_STEP_FAILED',
          machine: machine.id,
          instance: id,
          event: event.type,
          err: error,
        },
        'a step was undone',
      )
      return
    }
    if (isIgnored(instance.snapshot, next)) {
      counts.deadLetters++
      return
    }
    commit(id, instance, event, next.snapshot, next.asked)
  }

  const commit = (
    id: string,
    instance: Instance<Machine>,
    event: EventObject,
    snapshot: SnapshotFrom<Machine>,
    asked: Asked[],
  ): void => {
    counts.steps++
    instance.steps++
    const reached = snapshot as AnyMachineSnapshot
    instance.snapshot = reloading && reached.status === 'active' ? reload(snapshot) : snapshot
    if (watchers.size > 0) tell(id, instance.steps, event.type, reached, asked)
    if (log.isLevelEnabled?.('debug') === true) {
      log.debug(
        { machine: machine.id, instance: id, event: event.type, state: reached.value },
        'step',
      )
    }
    for (const { type, params } of asked) {
      if (type === 'xstate.raise' || type === 'xstate.cancel') keepTime(id, instance, type, params)
      else perform(type, params, id)
    }
    if (reached.status !== 'active') {
      instance.timers?.stop()
      instances.delete(id)
      if (ended !== undefined) tellSafely('ended', id, () => ended(id, snapshot))
    }
  }

  /** Who is told what happened must not be able to break it off. */
  const tellSafely = (whom: string, instance: string, say: () => void): void => {
    try {
      say()
    } catch (error) {
      counts.failures++
      log.error(
        { code: 'ACTOR_LISTENER_FAILED', machine: machine.id, instance, whom, err: error },
        'somebody who was told of a step threw',
      )
    }
  }

  const keepTime = (
    id: string,
    instance: Instance<Machine>,
    type: string,
    params: unknown,
  ): void => {
    // One of its effects may have been to forget it.
    if (instances.get(id) !== instance) return
    instance.timers ??= timersOf(clock, (event) => deliver(id, event))
    instance.timers.keep(type, params)
  }

  const reload = (snapshot: SnapshotFrom<Machine>): SnapshotFrom<Machine> => {
    const { value, context } = snapshot as AnyMachineSnapshot
    return steps.resume(JSON.parse(JSON.stringify({ value, context })))
  }

  const tell = (
    instance: string,
    sequence: number,
    event: string,
    { value, context, status }: AnyMachineSnapshot,
    asked: Asked[],
  ): void => {
    const seen: StepSeen = {
      machine: machine.id,
      instance,
      sequence,
      event,
      snapshot: { value, context, status },
      asked: asked.map(({ type }) => type),
    }
    for (const see of watchers) tellSafely('watch', instance, () => see(seen))
  }

  return {
    machine,
    counts,
    get size() {
      return instances.size
    },
    start(id, input) {
      if (instances.has(id)) throw new Error(`${machine.id} ${id} is already there`)
      const begin = () => {
        const { snapshot, asked } = steps.begin(input)
        const instance: Instance<Machine> = { snapshot, timers: undefined, steps: 0 }
        instances.set(id, instance)
        commit(id, instance, { type: '(start)' }, snapshot, asked)
      }
      if (isBusy) begin()
      else drain(begin)
    },
    send: deliver,
    hear(id, event) {
      if (!isEventOf(events, event)) {
        counts.malformed++
        if (counts.malformed === 1) {
          log.warn(
            { code: 'ACTOR_MALFORMED_EVENT', machine: machine.id, instance: id },
            'dropped a message that is no event of this machine; further ones are only counted',
          )
        }
        return false
      }
      deliver(id, event)
      return true
    },
    snapshot: (id) => instances.get(id)?.snapshot,
    instances: () => instances.keys(),
    forget(id) {
      instances.get(id)?.timers?.stop()
      instances.delete(id)
    },
    watch(see) {
      watchers.add(see)
      return () => watchers.delete(see)
    },
  }
}

/**
 * Whoever can send an event could otherwise forge `xstate.done.actor.*`, `xstate.error.*` or `xstate.stop`: machines
 * name their own events only, and nothing else passes.
 */
function isEventOf(events: Set<string>, event: unknown): event is EventObject {
  if (typeof event !== 'object' || event === null) return false
  const { type } = event as { type?: unknown }
  return typeof type === 'string' && !type.startsWith('xstate.') && events.has(type)
}

type Duties = Record<string, (params: unknown, instance: string) => void | Promise<void>>

function performer(machine: HostedMachine, duties: Duties, counts: Counts, log: Log) {
  for (const name of Object.keys(machine.effects)) {
    if (duties[name] === undefined) throw new Error(`${machine.id}: nobody performs '${name}'`)
  }
  const failed = (effect: string, instance: string, error: unknown): void => {
    counts.failures++
    log.error(
      { code: 'ACTOR_EFFECT_FAILED', machine: machine.id, instance, effect, err: error },
      'an effect failed',
    )
  }
  return (type: string, params: unknown, instance: string): void => {
    const duty = duties[type]
    // Silence would hide a missing duty for years.
    if (duty === undefined) {
      failed(type, instance, new Error(`${machine.id}: nobody performs '${type}'`))
      return
    }
    try {
      const pending = duty(params, instance)
      if (pending instanceof Promise) pending.catch((error) => failed(type, instance, error))
    } catch (error) {
      failed(type, instance, error)
    }
  }
}
