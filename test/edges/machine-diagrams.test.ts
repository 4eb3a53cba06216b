import { describe, expect, test } from 'vitest'
import type { AnyStateNode } from 'xstate'
import { dotOf, mermaidOf, moduleOf } from '../../edges/machine-diagrams.ts'
import { machineModel } from '../../edges/machine-model.ts'
import { toyMachine } from '../actors/toy.ts'
import { allMachines } from '../machines/all.ts'

const door = {
  id: 'door',
  initial: 'shut',
  on: { burn: '.gone' },
  states: {
    shut: {
      description: 'Keeps the cold out.',
      on: {
        open: [
          { guard: 'isLocked', actions: 'complain' },
          { target: 'open', actions: [{ type: 'creak', params: { loud: true } }] },
        ],
      },
    },
    open: {
      entry: 'lightUp',
      initial: 'ajar',
      after: { aWhile: 'shut' },
      states: { ajar: { on: { push: 'wide' } }, wide: { always: '#door.open.ajar' } },
    },
    gone: { type: 'final' },
  },
}

test('a machine is drawn for Mermaid with its nested states, guards, delays and effects', () => {
  expect(mermaidOf(machineModel(door))).toMatchInlineSnapshot(`
    "stateDiagram-v2
        state "shut" as door_shut
        state "open" as door_open {
            [*] --> door_open_ajar
            state "ajar" as door_open_ajar
            state "wide" as door_open_wide
        }
        state "gone" as door_gone
        door_gone --> [*]
        [*] --> door_shut
        state "any state" as any_state
        any_state --> door_gone : burn
        door_shut --> door_open : open / creak
        door_open --> door_shut : after aWhile
        door_open_ajar --> door_open_wide : push
        door_open_wide --> door_open_ajar : always
    "
  `)
})

test('a machine is drawn for Graphviz with a box for each state', () => {
  expect(dotOf(machineModel(door))).toMatchInlineSnapshot(`
    "digraph "door" {
      compound=true
      node [shape=box style=rounded fontname="Helvetica" fontsize=11]
      edge [fontname="Helvetica" fontsize=9]
      subgraph "cluster_door" {
        label="door" style=rounded
        "door.shut" [label="shut"]
        subgraph "cluster_door.open" {
          label="open" style=rounded
          "door.open.ajar" [label="ajar"]
          "door.open.wide" [label="wide"]
        }
        "door.gone" [label="gone" peripheries=2]
      }
      "door.shut" -> "door.gone" [label="burn" ltail="cluster_door"]
      "door.shut" -> "door.open.ajar" [label="open / creak" lhead="cluster_door.open"]
      "door.open.ajar" -> "door.shut" [label="after aWhile" ltail="cluster_door.open"]
      "door.open.ajar" -> "door.open.wide" [label="push"]
      "door.open.wide" -> "door.open.ajar" [label="always"]
    }
    "
  `)
})

test('actions can be left out of a picture', () => {
  const model = machineModel(door, (action) => action !== 'creak')
  expect(model.transitions.flatMap(({ actions }) => actions)).toEqual(['complain'])
})

test('a module of a machine is the same machine without what its actions do', async () => {
  const text = moduleOf(door).replace("'xstate'", `'${import.meta.resolve('xstate')}'`)
  const { machine } = await import(`data:text/javascript,${encodeURIComponent(text)}`)
  expect(machine.config).toEqual(door)
})

test('a transition that leads nowhere is a mistake', () => {
  expect(() => machineModel({ id: 'm', states: { a: { on: { go: 'b' } } } })).toThrow(
    'm.a leads to m.b: no such state',
  )
})

describe('the model of a machine has the states and transitions that XState sees', () => {
  for (const { machine } of [...allMachines, { machine: toyMachine }]) {
    test(machine.id, () => {
      const model = machineModel(machine.config)
      const nodes = everyNode(machine.root)
      expect(model.states.map(({ id }) => id)).toEqual(nodes.map(({ id }) => id))
      const ours = model.transitions.map(({ from, to }) => `${from} → ${to ?? ''}`).sort()
      const theirs = nodes.flatMap((node) =>
        [...[...node.transitions.values()].flat(), ...(node.always ?? [])].map(
          ({ target }) => `${node.id} → ${target?.[0]?.id ?? ''}`,
        ),
      )
      expect(ours).toEqual(theirs.sort())
    })
  }
})

const everyNode = (node: AnyStateNode): AnyStateNode[] => [
  node,
  ...Object.values(node.states).flatMap(everyNode),
]
