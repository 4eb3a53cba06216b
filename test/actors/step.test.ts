import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assign, createMachine, setup } from 'xstate'
import { compiled, NotCompilable } from '../../actors/compiled.ts'
import { type HostedMachine, isIgnored, stepper, UnhostableMachine } from '../../actors/step.ts'
import { effect, withEffects } from '../../machines/effect.ts'
import { allMachines } from '../machines/all.ts'
import { compareWithLive } from './live-actor.ts'
import { type ToyEvent, toyMachine } from './toy.ts'
import '../seed.ts'

const steps = stepper(toyMachine)
const go = (n: number): ToyEvent => ({ type: 'go', n })
const breaking = (where: 'guard' | 'assign' | 'params' | 'effect'): ToyEvent => ({
  type: 'break',
  where,
})

describe('a step', () => {
  test('gives the state after and what is asked for, in order', () => {
    const { snapshot, asked } = steps.begin({ n: 1 })
    expect(asked.map(({ type }) => type)).toEqual(['greet'])
    const next = steps.step(snapshot, go(2))
    expect(next.snapshot.value).toEqual({ busy: 'light' })
    expect(next.snapshot.context.n).toBe(3)
    expect(next.asked.map(({ type }) => type)).toEqual(['note', 'xstate.raise', 'xstate.raise'])
    expect(next.asked[0]).toEqual({ type: 'note', params: { what: 'enter', n: 3 } })
  })

  test('leaves the state before as it was', () => {
    const { snapshot } = steps.begin({ n: 1 })
    const before = JSON.stringify(snapshot)
    steps.step(snapshot, go(2))
    expect(JSON.stringify(snapshot)).toBe(before)
  })

  test('throws what a guard, an assign or a parameter throws, and has done nothing', () => {
    const { snapshot } = steps.begin({ n: 1 })
    for (const where of ['guard', 'assign', 'params'] as const) {
      expect(() => steps.step(snapshot, breaking(where))).toThrow(where)
    }
    expect(steps.step(snapshot, go(2)).asked[0]).toMatchObject({ type: 'note' })
  })

  test('is ignored when the machine has no use for the event, but not when it only asks', () => {
    const { snapshot } = steps.begin({ n: 1 })
    expect(isIgnored(snapshot, steps.step(snapshot, { type: 'back' }))).toBe(true)
    const asks = steps.step(snapshot, breaking('effect'))
    expect(asks.snapshot).toBe(snapshot)
    expect(isIgnored(snapshot, asks)).toBe(false)
  })

  test('of a state that was stored goes on as if it had never been away', () => {
    const { snapshot } = steps.begin({ n: 1 })
    const busy = steps.step(snapshot, go(2)).snapshot
    const { value, context } = JSON.parse(JSON.stringify(busy))
    const resumed = steps.resume({ value, context })
    const event = { type: 'deep' }
    expect(steps.step(resumed, event).asked).toEqual(steps.step(busy, event).asked)
  })
})

describe('a machine that cannot be hosted is refused at start', () => {
  const refused = (machine: unknown) =>
    expect(() => stepper(withEffects(machine as HostedMachine, {})), String(machine)).toThrow(
      UnhostableMachine,
    )
  const child = createMachine({ id: 'child' })

  test('because it invokes an actor', () => {
    refused(
      setup({ actors: { child } }).createMachine({
        initial: 'a',
        states: { a: { invoke: { src: 'child' } } },
      }),
    )
  })

  test('because it has an action without a name', () => {
    refused(createMachine({ initial: 'a', states: { a: { entry: () => {} } } }))
    refused(createMachine({ on: { go: { actions: [() => {}] } } }))
    refused(createMachine({ initial: 'a', states: { a: { exit: assign({}) } } }))
  })

  test('because it has a guard without a name', () => {
    refused(createMachine({ on: { go: { guard: () => true, target: undefined } } }))
  })

  test('because nobody says what one of its names means', () => {
    refused(createMachine({ on: { go: { actions: 'misspelt' } } }))
    refused(createMachine({ on: { go: { guard: 'isMisspelt' } } }))
    refused(createMachine({ initial: 'a', states: { a: { after: { misspelt: 'a' } } } }))
    refused(createMachine({ initial: 'a', states: { a: { always: { guard: 'isMisspelt' } } } }))
  })

  test('because it spawns a child, by whatever way', () => {
    const spawning = setup({
      actors: { child },
      actions: { make: assign({ child: ({ spawn }) => spawn('child') }), effect: effect() },
    }).createMachine({ context: {}, on: { go: { actions: 'make' } } })
    const { step, begin } = stepper(withEffects(spawning, {}))
    expect(() => step(begin(undefined).snapshot, { type: 'go' })).toThrow()
  })
})

const anyToyEvent: fc.Arbitrary<ToyEvent> = fc.oneof(
  { weight: 4, arbitrary: fc.nat(9).map((n) => ({ type: 'go' as const, n })) },
  { weight: 4, arbitrary: fc.nat(9).map((n) => ({ type: 'poke' as const, n })) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<ToyEvent>(
      { type: 'back' },
      { type: 'deep' },
      { type: 'overflow' },
      { type: 'reset' },
    ),
  },
)

describe('a hosted machine is the same as a live XState actor', () => {
  test('whatever it is sent, whenever', () => {
    let compared = 0
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof({ weight: 3, arbitrary: anyToyEvent }, { weight: 2, arbitrary: fc.nat(300) }),
          {
            minLength: 20,
            maxLength: 60,
            size: 'max',
          },
        ),
        (script) => {
          compared += compareWithLive(toyMachine, { n: 0 }, script)
        },
      ),
      { numRuns: 300 },
    )
    expect(compared).toBeGreaterThan(5_000)
  })

  for (const { machine, input, anyEvent } of allMachines) {
    test(`the ${machine.id} machine too`, () => {
      fc.assert(
        fc.property(
          fc.array(
            fc.oneof({ weight: 5, arbitrary: anyEvent }, { weight: 1, arbitrary: fc.nat(20_000) }),
            {
              maxLength: 40,
              size: 'max',
            },
          ),
          (script) => {
            compareWithLive(machine, input, script)
          },
        ),
        { numRuns: 50 },
      )
    })
  }
})

describe('a table', () => {
  test.each(allMachines)('is what $name is stepped by', ({ machine }) => {
    expect(() => compiled(machine)).not.toThrow()
  })

  test('is refused to a machine with parallel states, which is stepped by XState all the same', () => {
    const machine = withEffects(
      setup({ types: {} as { events: { type: 'go' } }, actions: { note: effect() } }).createMachine(
        {
          id: 'both',
          type: 'parallel',
          states: {
            left: { initial: 'off', states: { off: { on: { go: 'on' } }, on: { entry: 'note' } } },
            right: { initial: 'off', states: { off: { on: { go: 'on' } }, on: {} } },
          },
        },
      ),
      { note: effect() },
    )
    expect(() => compiled(machine)).toThrow(NotCompilable)
    const both = stepper(machine)
    const { snapshot, asked } = both.step(both.begin(undefined as never).snapshot, { type: 'go' })
    expect(snapshot.value).toEqual({ left: 'on', right: 'on' })
    expect(asked).toEqual([{ type: 'note', params: undefined }])
  })
})
