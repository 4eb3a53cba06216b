import { expect, test } from 'vitest'
import { type AnyStateNode, createMachine } from 'xstate'
import { machineConfigs } from '../../cli/machines.ts'

test('every exported machine is data: as JSON it is still a machine with the same states', async () => {
  const configs = await machineConfigs()
  expect(Object.keys(configs)).toContain('function')
  for (const [name, config] of Object.entries(configs)) {
    const read = JSON.parse(JSON.stringify(config))
    expect(read.id).toBe(name)
    const states = statesOf(createMachine(config).root)
    expect(states.length).toBeGreaterThan(1)
    expect(statesOf(createMachine(read).root)).toEqual(states)
  }
})

const statesOf = (node: AnyStateNode): string[] => [
  node.id,
  ...Object.values(node.states).flatMap(statesOf),
]
