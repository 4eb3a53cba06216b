import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { machineConfigs } from '../../cli/machines.ts'

test('every exported machine is data: as JSON it is still a machine with the same states', async () => {
  const configs = await machineConfigs()
  expect(Object.keys(configs)).toContain('function')
  for (const [name, config] of Object.entries(configs)) {
    const read = JSON.parse(JSON.stringify(config))
    expect(read.id).toBe(name)
    const states = [...createMachine(config).idMap.keys()]
    expect(states.length).toBeGreaterThan(1)
    expect([...createMachine(read).idMap.keys()]).toEqual(states)
  }
})
