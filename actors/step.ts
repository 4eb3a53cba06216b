/**
 * One step of a machine: the state before and an event in; the state after and what the machine asks of the world out.
 *
 * Nothing is performed here. A machine is stepped as a table (compiled.ts), in about a tenth of the time of
 * `machine.transition()`; one that cannot be a table by `machine.transition()`, with one scope made once and used for every
 * instance, which takes half as long as XState's own `transition()` (measured in bench/steps.ts, host and timers included).
 */
import type {
  AnyMachineSnapshot,
  AnyStateMachine,
  EventObject,
  InputFrom,
  SnapshotFrom,
} from 'xstate'
import type { Effects } from '../machines/effect.ts'
import { compiled, NotCompilable } from './compiled.ts'

/** A machine that names its effects: what `withEffects` returns. */
export type HostedMachine = AnyStateMachine & { readonly effects: Effects }

/** Something the machine asks for: an effect by its name, or one of XState's own (`xstate.raise`, `xstate.cancel`). */
export type Asked = { type: string; params: unknown }

export type Stepped<Machine extends HostedMachine> = {
  snapshot: SnapshotFrom<Machine>
  asked: Asked[]
}

/** A machine uses what a hosted one cannot have: children, or messages of XState's own. A bug; never seen by users. */
export class UnhostableMachine extends Error {
  override readonly name = 'UnhostableMachine'
  readonly code = 'ACTOR_UNHOSTABLE_MACHINE'
}

export type Stepper<Machine extends HostedMachine> = {
  /** The first state, and what entering it asks for. */
  begin(input: InputFrom<Machine>): Stepped<Machine>
  /** The next state; see `isIgnored`. Throws what a guard or an assign throws; the snapshot given is untouched. */
  step(snapshot: SnapshotFrom<Machine>, event: EventObject): Stepped<Machine>
  /** A snapshot from what was stored of it. */
  resume(stored: { value: unknown; context: unknown }): SnapshotFrom<Machine>
}

/**
 * Whether the machine had no use for the event. The same snapshot alone does not say so: it also comes back from a
 * transition that changes nothing and only asks for effects, like a refusal.
 */
export const isIgnored = (before: unknown, { snapshot, asked }: Stepped<HostedMachine>): boolean =>
  snapshot === before && asked.length === 0

/** The fastest way to step a machine: as a table where it can be one, by XState itself where it cannot. */
export function stepper<Machine extends HostedMachine>(machine: Machine): Stepper<Machine> {
  refuseUnhostable(machine)
  try {
    return compiled(machine)
  } catch (error) {
    if (error instanceof NotCompilable) return interpreted(machine)
    throw error
  }
}

/** Steps a machine with XState's own algorithm: what a table is held against. */
export function interpreted<Machine extends HostedMachine>(machine: Machine): Stepper<Machine> {
  let asked: Asked[] = []
  const scope = scopeThat((action) => asked.push(action))
  const collect = (run: () => AnyMachineSnapshot): Stepped<Machine> => {
    asked = []
    const snapshot = run()
    if (snapshot.status === 'error') throw snapshot.error
    return { snapshot: snapshot as SnapshotFrom<Machine>, asked }
  }
  return {
    begin: (input) => collect(() => machine.getInitialSnapshot(scope, input as never)),
    step: (snapshot, event) => {
      const { children } = snapshot as AnyMachineSnapshot
      const next = collect(() => machine.transition(snapshot as AnyMachineSnapshot, event, scope))
      if ((next.snapshot as AnyMachineSnapshot).children !== children) refuseChildren(next.snapshot)
      return next
    },
    resume: ({ value, context }) =>
      machine.resolveState({ value, context } as never) as SnapshotFrom<Machine>,
  }
}

type Scope = Parameters<AnyStateMachine['transition']>[2]

/** The least that XState needs around a machine to step it. */
function scopeThat(ask: (action: Asked) => void): Scope {
  const nothing = () => {}
  const system = {
    get: nothing,
    getAll: () => ({}),
    _bookId: () => '',
    _register: nothing,
    _unregister: nothing,
    _set: nothing,
    _relay: nothing,
    _logger: nothing,
    _sendInspectionEvent: nothing,
    scheduler: { schedule: nothing, cancel: nothing, cancelAll: nothing },
  }
  const self = {
    id: '',
    sessionId: '',
    system,
    send: nothing,
    _send: nothing,
    getSnapshot: nothing,
  }
  return {
    self,
    system,
    id: '',
    sessionId: '',
    logger: nothing,
    defer: nothing,
    stopChild: nothing,
    emit: nothing,
    actionExecutor: ({ type, params }: Asked) => ask({ type, params }),
  } as unknown as Scope
}

/** Every machine is looked at once, when it gets its host: what cannot work is found at start, not at the first event. */
function refuseUnhostable(machine: HostedMachine): void {
  const { actions, guards, delays } = machine.implementations as unknown as Record<string, object>
  const refuse = (node: StateNode, why: string) => {
    throw new UnhostableMachine(`${node.id} ${why}`)
  }
  const visit = (node: StateNode): void => {
    if (node.invoke.length > 0) refuse(node, 'invokes an actor: ask for an effect instead')
    for (const action of actionsOf(node)) {
      const name = nameOf(action)
      if (isTimer(action)) continue
      if (name === undefined) refuse(node, 'has an action without a name')
      else if (!(name in (actions ?? {}))) refuse(node, `uses an unknown action: ${name}`)
    }
    for (const guard of transitionsOf(node).map((transition) => transition.guard)) {
      const name = nameOf(guard)
      if (guard === undefined) continue
      if (name === undefined) refuse(node, 'has a guard without a name')
      else if (!(name in (guards ?? {}))) refuse(node, `uses an unknown guard: ${name}`)
    }
    for (const { delay } of node.after) {
      const isKnown = typeof delay !== 'string' || delay in (delays ?? {})
      if (!isKnown) refuse(node, `waits for an unknown delay: ${delay}`)
    }
    for (const child of Object.values(node.states)) visit(child as StateNode)
  }
  visit(machine.root as StateNode)
}

type StateNode = AnyStateMachine['root']

const transitionsOf = (node: StateNode) => [
  ...[...node.transitions.values()].flat(),
  ...(node.always ?? []),
]
const actionsOf = (node: StateNode): unknown[] => [
  ...node.entry,
  ...node.exit,
  ...transitionsOf(node).flatMap(({ actions }) => actions),
]

/** How `setup()` knows an action or a guard; undefined for one that is written where it is used. */
const nameOf = (used: unknown): string | undefined => {
  if (typeof used === 'string') return used
  return typeof used === 'object' ? (used as { type: string } | null)?.type : undefined
}

/** What XState makes of an `after`. */
const isTimer = (action: unknown): boolean =>
  typeof action === 'function' &&
  ['xstate.raise', 'xstate.cancel'].includes((action as { type?: string }).type ?? '')

function refuseChildren({ children }: AnyMachineSnapshot): void {
  const [id] = Object.keys(children)
  if (id !== undefined) throw new UnhostableMachine(`spawns an actor: ${id}`)
}
