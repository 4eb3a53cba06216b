/**
 * A machine as a table: what its statechart says, worked out once, so that a step is a lookup.
 *
 * XState works every step out anew from the tree of states (measured in bench/steps.ts). Almost all of it depends on the state and the event
 * alone, so for a machine without parallel states, history or actors it can be done at start: for each leaf and each
 * event the transitions that may be taken, innermost first, and for each of them one list of actions (leave, do, enter).
 * What is left for run time are the guards and the actions themselves.
 *
 * The statechart stays the truth: the same machine is drawn, exported and tested with XState, and a differential test
 * walks every machine of ours at random through both. A machine that cannot be compiled is stepped by XState itself.
 * Source of the algorithm: SCXML, appendix D, as xstate 5.33 implements it (raise.ts: microstep, macrostep).
 */
import { type AnyStateMachine, type EventObject, matchesState, type StateValue } from 'xstate'
import type { Asked, HostedMachine, Stepper } from './step.ts'

/** The machine uses something that has no place in a table. */
export class NotCompilable extends Error {
  override readonly name = 'NotCompilable'
  readonly code = 'ACTOR_NOT_COMPILABLE'
}

type Context = Record<string, unknown>
type Arguments = { context: Context; event: EventObject }

/** A step while it is being taken. */
type Run = Arguments & { asked: Asked[]; raised: EventObject[] }
type Act = (run: Run) => void
type Guard = (at: Arguments) => boolean

type Transition = { guard: Guard | undefined; acts: Act[]; to: Leaf | undefined }

/** A state in which the machine can be: the innermost one, with all that it stands in. */
type Leaf = {
  value: StateValue
  isFinal: boolean
  on: Map<string, Transition[]>
  always: Transition[]
}

/** As much of an XState snapshot as a host looks at. */
class Standing {
  readonly leaf: Leaf
  readonly context: Context
  constructor(leaf: Leaf, context: Context) {
    this.leaf = leaf
    this.context = context
  }
  get value(): StateValue {
    return this.leaf.value
  }
  get status(): 'active' | 'done' {
    return this.leaf.isFinal ? 'done' : 'active'
  }
  toJSON() {
    return { value: this.value, context: this.context, status: this.status }
  }
  matches(value: StateValue): boolean {
    return matchesState(value, this.leaf.value)
  }
}

/** Throws NotCompilable. */
export function compiled<Machine extends HostedMachine>(machine: Machine): Stepper<Machine> {
  const { root } = machine as AnyStateMachine
  const compileTransition = transitionCompiler(machine)
  const leaves = new Map<StateNode, Leaf>()
  for (const node of leavesOf(root)) leaves.set(node, emptyLeaf(node))
  const leafOf = (node: StateNode): Leaf => {
    const leaf = leaves.get(node)
    if (leaf === undefined) throw new NotCompilable(`${node.id} is not a leaf`)
    return leaf
  }
  for (const [node, leaf] of leaves) fillLeaf(node, leaf, compileTransition, leafOf)
  const byValue = new Map([...leaves.values()].map((leaf) => [JSON.stringify(leaf.value), leaf]))
  const first = initialLeaf(root)
  const enterFirst = [...chainOf(first).flatMap(entryOf)].map(actionCompiler(machine))
  const maxSteps = machine.options?.maxIterations ?? Number.POSITIVE_INFINITY
  const firstContext = machine.config.context as unknown

  const settle = (run: Run, from: Leaf): Leaf => {
    let leaf = from
    for (let steps = 0; !leaf.isFinal; steps++) {
      if (steps > maxSteps) throw new Error(`${machine.id}: more than ${maxSteps} steps in a row`)
      let next = enabled(leaf.always, run)
      if (next === undefined) {
        const raised = run.raised.shift()
        if (raised === undefined) break
        run.event = raised
        next = enabled(leaf.on.get(raised.type), run)
        if (next === undefined) continue
      }
      leaf = take(next, run, leaf)
    }
    return leaf
  }

  const finish = (run: Run, leaf: Leaf) =>
    ({ snapshot: new Standing(leaf, run.context), asked: run.asked }) as never

  return {
    begin(input) {
      const event = { type: 'xstate.init', input } as EventObject
      const context = typeof firstContext === 'function' ? firstContext({ input }) : firstContext
      const run: Run = { context: (context ?? {}) as Context, event, asked: [], raised: [] }
      for (const act of enterFirst) act(run)
      return finish(run, settle(run, leafOf(first)))
    },
    step(snapshot, event) {
      const before = snapshot as unknown as Standing
      const run: Run = { context: before.context, event, asked: [], raised: [] }
      const next = enabled(before.leaf.on.get(event.type), run)
      const leaf = settle(run, next === undefined ? before.leaf : take(next, run, before.leaf))
      // XState gives the same object back for a step that changed nothing.
      return leaf === before.leaf && run.context === before.context
        ? { snapshot, asked: run.asked }
        : finish(run, leaf)
    },
    resume({ value, context }) {
      const leaf = byValue.get(JSON.stringify(value))
      if (leaf === undefined) throw new Error(`${machine.id} has no state ${JSON.stringify(value)}`)
      return new Standing(leaf, context as Context) as never
    },
  }
}

function enabled(transitions: Transition[] | undefined, at: Arguments): Transition | undefined {
  if (transitions === undefined) return undefined
  for (const transition of transitions) {
    if (transition.guard === undefined || transition.guard(at)) return transition
  }
  return undefined
}

function take({ acts, to }: Transition, run: Run, from: Leaf): Leaf {
  for (const act of acts) act(run)
  return to ?? from
}

// ── The tree ───────────────────────────────────────────────────────────────────────────────────────────────────────

type StateNode = AnyStateMachine['root']
type Definition = NonNullable<StateNode['always']>[number]

const childrenOf = (node: StateNode): StateNode[] => Object.values(node.states) as StateNode[]

function leavesOf(node: StateNode): StateNode[] {
  if (node.type === 'parallel' || node.type === 'history') {
    throw new NotCompilable(`${node.id} is ${node.type}`)
  }
  if (node.invoke.length > 0) throw new NotCompilable(`${node.id} invokes an actor`)
  if (node.output !== undefined) throw new NotCompilable(`${node.id} has an output`)
  if (node.type === 'final' && node.parent?.parent !== undefined) {
    throw new NotCompilable(`${node.id} is final inside another state`)
  }
  const children = childrenOf(node)
  return children.length === 0 ? [node] : children.flatMap(leavesOf)
}

/** From the root to the node. */
const chainOf = (node: StateNode): StateNode[] =>
  node.parent === undefined ? [node] : [...chainOf(node.parent), node]

const isWithin = (node: StateNode, ancestor: StateNode): boolean =>
  node !== ancestor && chainOf(node).includes(ancestor)

const initialLeaf = (node: StateNode): StateNode =>
  node.type === 'compound' ? initialLeaf(node.initial.target[0] as StateNode) : node

const valueAt = (node: StateNode): StateValue =>
  chainOf(node)
    .slice(1)
    .reduceRight<StateValue | undefined>(
      (inner, { key }) => (inner === undefined ? key : { [key]: inner }),
      undefined,
    ) ?? {}

const emptyLeaf = (node: StateNode): Leaf => ({
  value: valueAt(node),
  isFinal: node.type === 'final',
  on: new Map(),
  always: [],
})

/** What entering a state asks for: its own entry, and that of the transition to its initial child. */
const entryOf = (node: StateNode): unknown[] => [
  ...node.entry,
  ...(node.type === 'compound' ? node.initial.actions : []),
]

type CompileTransition = (
  definition: Definition,
  from: StateNode,
  leafOf: (node: StateNode) => Leaf,
) => Transition

/** Innermost first: an outer state answers only when the inner one has no transition that may be taken. */
function fillLeaf(
  node: StateNode,
  leaf: Leaf,
  compile: CompileTransition,
  leafOf: (node: StateNode) => Leaf,
): void {
  for (const ancestor of chainOf(node).reverse()) {
    for (const [type, definitions] of ancestor.transitions) {
      if (type.includes('*')) throw new NotCompilable(`${ancestor.id} hears '${type}'`)
      const more = definitions.map((definition) => compile(definition, node, leafOf))
      leaf.on.set(type, [...(leaf.on.get(type) ?? []), ...more])
    }
    leaf.always.push(
      ...(ancestor.always ?? []).map((definition) => compile(definition, node, leafOf)),
    )
  }
}

function transitionCompiler(machine: HostedMachine): CompileTransition {
  const compileAction = actionCompiler(machine)
  const compileGuard = guardCompiler(machine)
  return (definition, from, leafOf) => {
    const { target, source, actions, guard } = definition
    const [goal, ...others] = (target ?? []) as StateNode[]
    if (others.length > 0) throw new NotCompilable(`${source.id} has a transition to two states`)
    const guarded = guard === undefined ? undefined : compileGuard(guard)
    if (goal === undefined) {
      return { guard: guarded, acts: actions.map(compileAction), to: undefined }
    }
    const { left, entered, leaf } = route(definition, from, goal)
    const exits = left.flatMap((node) => node.exit)
    const entries = entered.flatMap((node) => [
      ...node.entry,
      // The initial transition of a state counts when nothing inside it was the goal.
      ...(node.type === 'compound' && !isWithin(goal, node) ? node.initial.actions : []),
    ])
    // A machine that is over leaves its last state, too.
    const last =
      leaf.type === 'final'
        ? chainOf(leaf)
            .reverse()
            .flatMap((node) => node.exit)
        : []
    const acts = [...exits, ...actions, ...entries, ...last].map(compileAction)
    return { guard: guarded, acts, to: leafOf(leaf) }
  }
}

/** The states left, innermost first, and those entered, outermost first, on the way from a leaf to a goal. */
function route({ source, reenter }: Definition, from: StateNode, goal: StateNode) {
  const isInternal = !reenter && (goal === source || isWithin(goal, source as StateNode))
  const domain = isInternal ? (source as StateNode) : commonAncestor(goal, source as StateNode)
  const here = chainOf(from)
  const staysIn = domain === undefined ? 0 : here.indexOf(domain) + 1
  // XState enters an internal transition's goal unless it is the source itself, which it never left.
  const leaf = initialLeaf(goal)
  const way = chainOf(leaf)
  const left = here.slice(staysIn).reverse()
  const entered = way.slice(domain === undefined ? 0 : way.indexOf(domain) + 1)
  return { left, entered, leaf }
}

function commonAncestor(goal: StateNode, source: StateNode): StateNode | undefined {
  const ancestors = chainOf(goal).slice(0, -1).reverse()
  const common = ancestors.find((ancestor) => isWithin(source, ancestor))
  if (common !== undefined) return common
  // Only a transition of the root itself has none.
  throw new NotCompilable(`${source.id} reenters the root`)
}

// ── Guards and actions ─────────────────────────────────────────────────────────────────────────────────────────────

type Implementation = ((...given: never[]) => unknown) & Record<string, unknown>
type Named = { type: string; params?: unknown }

const named = (given: unknown): Named =>
  typeof given === 'string' ? { type: given } : (given as Named)

const resolve = (params: unknown, { context, event }: Arguments): unknown =>
  typeof params === 'function' ? params({ context, event }) : params

function guardCompiler(machine: HostedMachine): (guard: unknown) => Guard {
  const guards = machine.implementations.guards as Record<string, Implementation | undefined>
  return (guard) => {
    const { type, params } = named(guard)
    const implementation = guards[type] as ((at: Arguments, params: unknown) => boolean) | undefined
    if (implementation === undefined || 'check' in implementation) {
      throw new NotCompilable(`${machine.id}: guard '${type}' is not a plain function`)
    }
    return ({ context, event }) =>
      implementation({ context, event }, resolve(params, { context, event }))
  }
}

type Assignment = ((at: Arguments, params: unknown) => Context) | Record<string, unknown>

function assign(run: Run, assignment: Assignment, params: unknown): void {
  const at = { context: run.context, event: run.event }
  const partial =
    typeof assignment === 'function'
      ? assignment(at, params)
      : Object.fromEntries(
          Object.entries(assignment).map(([key, value]) => [
            key,
            typeof value === 'function' ? value(at, params) : value,
          ]),
        )
  run.context = { ...run.context, ...partial }
}

function actionCompiler(machine: HostedMachine): (action: unknown) => Act {
  const actions = machine.implementations.actions as Record<string, Implementation | undefined>
  const delays = machine.implementations.delays as Record<string, unknown>
  const check = guardCompiler(machine)

  const delayOf = (delay: unknown, run: Run, params: unknown): unknown => {
    const found = typeof delay === 'string' ? delays[delay] : delay
    return typeof found === 'function'
      ? found({ context: run.context, event: run.event }, params)
      : found
  }

  const raise = (run: Run, { event, id, delay }: Record<string, unknown>, params: unknown) => {
    const at = { context: run.context, event: run.event }
    const raised = (typeof event === 'function' ? event(at, params) : event) as EventObject
    const delayMs = delayOf(delay, run, params)
    if (typeof delayMs !== 'number') run.raised.push(raised)
    run.asked.push({ type: 'xstate.raise', params: { event: raised, id, delay: delayMs } })
  }

  const cancel = (run: Run, sendId: unknown, params: unknown) => {
    const at = { context: run.context, event: run.event }
    const id = typeof sendId === 'function' ? sendId(at, params) : sendId
    run.asked.push({ type: 'xstate.cancel', params: { sendId: id } })
  }

  const enqueue = (
    run: Run,
    collect: (given: unknown, params: unknown) => void,
    params: unknown,
  ) => {
    const collected: Act[] = []
    const add = (action: unknown) => void collected.push(compile(action))
    const at = { context: run.context, event: run.event }
    add.assign = (assignment: Assignment) =>
      void collected.push((later) => assign(later, assignment, undefined))
    add.raise = (event: unknown, options: object = {}) =>
      void collected.push((later) => raise(later, { event, ...options }, undefined))
    add.cancel = (id: unknown) => void collected.push((later) => cancel(later, id, undefined))
    collect({ ...at, enqueue: add, check: (guard: unknown) => check(guard)(at) }, params)
    for (const act of collected) act(run)
  }

  const compile = (action: unknown): Act => {
    const isInline = typeof action === 'function'
    const { type, params } = isInline ? { type: '', params: undefined } : named(action)
    const implementation = isInline ? (action as Implementation) : actions[type]
    if (implementation === undefined || (isInline && !('resolve' in implementation))) {
      throw new NotCompilable(`${machine.id}: action '${type}' is not named in setup()`)
    }
    if (!('resolve' in implementation)) {
      return (run) => void run.asked.push({ type, params: resolve(params, run) })
    }
    switch (implementation['type'] as string) {
      case 'xstate.assign': {
        const assignment = implementation['assignment'] as Assignment
        return (run) => assign(run, assignment, resolve(params, run))
      }
      case 'xstate.raise':
        return (run) => raise(run, implementation, resolve(params, run))
      case 'xstate.cancel':
        return (run) => cancel(run, implementation['sendId'], resolve(params, run))
      case 'xstate.enqueueActions': {
        const collect = implementation['collect'] as (given: unknown, params: unknown) => void
        return (run) => enqueue(run, collect, resolve(params, run))
      }
      default:
        throw new NotCompilable(`${machine.id}: ${implementation['type']}`)
    }
  }
  return compile
}
