/**
 * Pictures of a machine, as text: Mermaid for docs, Graphviz's DOT for a drawing with nested boxes, and a module that any
 * XState editor opens. Transitions that stay where they are, are left out of the pictures: they would hide the rest.
 */
import type { MachineModel, StateModel, TransitionModel } from './machine-model.ts'

/** `answered [isInHand] / end`; a delay is `after invokeTimeout`. */
export function labelOf({ kind, on, guard, actions }: TransitionModel): string {
  const what = { event: on, delay: `after ${on}`, always: 'always' }[kind]
  const parts = [what, guard && `[${guard}]`, actions.length > 0 && `/ ${actions.join(', ')}`]
  return parts.filter((part) => typeof part === 'string').join(' ')
}

const childrenOf = (model: MachineModel, id: string) =>
  model.states.filter(({ parent }) => parent === id)
const moves = ({ transitions }: MachineModel) => transitions.filter(({ to }) => to !== undefined)
const symbol = (id: string) => id.replaceAll(/[^A-Za-z0-9]/g, '_')

/** Mermaid, `stateDiagram-v2`. What holds in every state starts at a state called `any state`. */
export function mermaidOf(model: MachineModel): string {
  const lines = ['stateDiagram-v2']
  const write = (state: StateModel, depth: number): void => {
    const pad = '    '.repeat(depth)
    const children = childrenOf(model, state.id)
    if (children.length === 0) lines.push(`${pad}state "${state.key}" as ${symbol(state.id)}`)
    else {
      lines.push(`${pad}state "${state.key}" as ${symbol(state.id)} {`)
      if (state.initial !== undefined) lines.push(`${pad}    [*] --> ${symbol(state.initial)}`)
      for (const [index, child] of children.entries()) {
        if (state.type === 'parallel' && index > 0) lines.push(`${pad}    --`)
        write(child, depth + 1)
      }
      lines.push(`${pad}}`)
    }
    if (state.type === 'final') lines.push(`${pad}${symbol(state.id)} --> [*]`)
  }
  const [root] = model.states
  for (const state of childrenOf(model, model.id)) write(state, 1)
  if (root?.initial !== undefined) lines.push(`    [*] --> ${symbol(root.initial)}`)
  const anywhere = moves(model).some(({ from }) => from === model.id)
  if (anywhere) lines.push('    state "any state" as any_state')
  for (const transition of moves(model)) {
    const from = transition.from === model.id ? 'any_state' : symbol(transition.from)
    // A colon ends the label and a semicolon the line.
    const label = labelOf(transition).replaceAll(':', '#58;').replaceAll(';', '#59;')
    lines.push(`    ${from} --> ${symbol(transition.to ?? '')} : ${label}`)
  }
  return `${lines.join('\n')}\n`
}

/** Graphviz: a box for each state, around those inside it. */
export function dotOf(model: MachineModel): string {
  const leaf = (id: string): string => {
    const [first] = childrenOf(model, id)
    const state = model.states.find((each) => each.id === id)
    return first === undefined ? id : leaf(state?.initial ?? first.id)
  }
  const quoted = (text: string) => `"${text.replaceAll('"', '\\"')}"`
  const lines = [
    `digraph ${quoted(model.id)} {`,
    '  compound=true',
    '  node [shape=box style=rounded fontname="Helvetica" fontsize=11]',
    '  edge [fontname="Helvetica" fontsize=9]',
  ]
  const write = (state: StateModel, depth: number): void => {
    const pad = '  '.repeat(depth)
    const children = childrenOf(model, state.id)
    if (children.length === 0) {
      const asks = [
        ...state.entry.map((action) => `entry / ${action}`),
        ...state.exit.map((action) => `exit / ${action}`),
      ]
      const label = [state.key, ...asks].join('\\n')
      const rim = state.type === 'final' ? ' peripheries=2' : ''
      lines.push(`${pad}${quoted(state.id)} [label=${quoted(label)}${rim}]`)
      return
    }
    lines.push(`${pad}subgraph ${quoted(`cluster_${state.id}`)} {`)
    lines.push(`${pad}  label=${quoted(state.key)} style=rounded`)
    for (const child of children) write(child, depth + 1)
    lines.push(`${pad}}`)
  }
  for (const state of model.states.slice(0, 1)) write(state, 1)
  for (const transition of moves(model)) {
    const { from, to = '' } = transition
    const tail = childrenOf(model, from).length > 0 ? ` ltail=${quoted(`cluster_${from}`)}` : ''
    const head = childrenOf(model, to).length > 0 ? ` lhead=${quoted(`cluster_${to}`)}` : ''
    const label = quoted(labelOf(transition))
    lines.push(`  ${quoted(leaf(from))} -> ${quoted(leaf(to))} [label=${label}${tail}${head}]`)
  }
  return `${[...lines, '}'].join('\n')}\n`
}

/** A module that XState's editors open: the machine's configuration, without what its guards and actions do. */
export const moduleOf = (config: object): string =>
  `import { createMachine } from 'xstate'\n\nexport const machine = createMachine(${JSON.stringify(config, null, 2)})\n`
