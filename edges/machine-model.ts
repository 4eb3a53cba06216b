/**
 * A state machine as plain data that can be drawn: its states in the order of the file, and its transitions with their
 * guards and actions. Read from a machine's configuration; nothing of XState is needed.
 */

/** `id`: the path of the state, `sandbox.busy.running`; the machine itself is the first state. */
export type StateModel = {
  id: string
  key: string
  parent: string | undefined
  type: 'atomic' | 'compound' | 'parallel' | 'final'
  initial: string | undefined
  description: string | undefined
  entry: string[]
  exit: string[]
}

/** `to` is undefined for a transition that stays where it is. `on`: an event's type or a delay's name; empty for `always`. */
export type TransitionModel = {
  from: string
  to: string | undefined
  kind: 'event' | 'delay' | 'always'
  on: string
  guard: string | undefined
  actions: string[]
}

export type MachineModel = { id: string; states: StateModel[]; transitions: TransitionModel[] }

/** What may stand in a configuration, as far as it is drawn. */
type Config = {
  id?: string
  type?: string
  initial?: string
  description?: string
  entry?: unknown
  exit?: unknown
  on?: Record<string, unknown>
  after?: Record<string, unknown>
  always?: unknown
  states?: Record<string, Config>
}

/**
 * `config`: what `createMachine` was given. `isShown` chooses the actions that are drawn; all by default. Throws when a
 * transition leads to a state that is not there.
 */
export function machineModel(
  config: object,
  isShown: (action: string) => boolean = () => true,
): MachineModel {
  const root = config as Config
  const machine = root.id ?? 'machine'
  const states: StateModel[] = []
  const transitions: TransitionModel[] = []
  const actionsOf = (given: unknown) => list(given).map(nameOf).filter(isShown)

  const visit = (node: Config, id: string, key: string, parent: string | undefined): void => {
    const children = Object.entries(node.states ?? {})
    states.push({
      id,
      key,
      parent,
      type: typeOf(node),
      initial: node.initial === undefined ? undefined : `${id}.${node.initial}`,
      description: node.description,
      entry: actionsOf(node.entry),
      exit: actionsOf(node.exit),
    })
    const add = (kind: TransitionModel['kind'], on: string, given: unknown) => {
      for (const one of list(given)) {
        const { target, guard, actions } = typeof one === 'string' ? asTarget(one) : asObject(one)
        transitions.push({
          from: id,
          to: target === undefined ? undefined : resolve(target, id, parent ?? id, machine),
          kind,
          on,
          guard: guard === undefined ? undefined : nameOf(guard),
          actions: actionsOf(actions),
        })
      }
    }
    for (const [event, given] of Object.entries(node.on ?? {})) add('event', event, given)
    for (const [delay, given] of Object.entries(node.after ?? {})) add('delay', delay, given)
    add('always', '', node.always)
    for (const [name, child] of children) visit(child, `${id}.${name}`, name, id)
  }
  visit(root, machine, machine, undefined)

  const known = new Set(states.map(({ id }) => id))
  for (const { from, to } of transitions) {
    if (to !== undefined && !known.has(to)) throw new Error(`${from} leads to ${to}: no such state`)
  }
  return { id: machine, states, transitions }
}

type Transition = { target?: string; guard?: unknown; actions?: unknown }

const list = (given: unknown): unknown[] => {
  if (given === undefined) return []
  return Array.isArray(given) ? given : [given]
}
const asTarget = (target: string): Transition => ({ target })
const asObject = (given: unknown): Transition => given as Transition
const nameOf = (given: unknown): string =>
  typeof given === 'string' ? given : ((given as { type?: string }).type ?? 'unnamed')

function typeOf({ type, states }: Config): StateModel['type'] {
  if (type === 'final' || type === 'parallel') return type
  return states === undefined ? 'atomic' : 'compound'
}

/** `.child` is inside the state itself, `#machine.path` is absolute, all else is beside it. */
function resolve(target: string, id: string, parent: string, machine: string): string {
  if (target.startsWith('.')) return `${id}${target}`
  if (target === `#${machine}` || target.startsWith(`#${machine}.`)) return target.slice(1)
  return `${parent}.${target}`
}
