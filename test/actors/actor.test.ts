import { readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Binding, type Host, host, type StepSeen } from '../../actors/actor.ts'
import { keptLog } from '../kept-log.ts'
import { simulatedClock } from '../simulated-clock.ts'
import { toyMachine } from './toy.ts'

type Toy = typeof toyMachine
type Options = Partial<Binding<Toy>['duties']> & Pick<Binding<Toy>, 'ended'>

for (const reloading of [false, true]) {
  describe(reloading ? 'a host that reloads after every step' : 'a host', () => {
    function toys({ ended, ...duties }: Options = {}) {
      const clock = simulatedClock()
      const log = keptLog()
      const asked: string[] = []
      const toy: Host<Toy> = host(toyMachine, {
        clock,
        log,
        reloading,
        duties: {
          greet: (_, id) => void asked.push(`${id} greet`),
          note: ({ what, n }, id) => void asked.push(`${id} ${what} ${n}`),
          explode: () => {
            throw new Error('boom')
          },
          ...duties,
        },
        ...(ended === undefined ? {} : { ended }),
      })
      onTestFinished(() => {
        for (const id of [...toy.instances()]) toy.forget(id)
        expect(clock.pending, 'timers left').toBe(0)
      })
      return { toy, clock, log, asked }
    }
    const codes = ({ lines }: ReturnType<typeof keptLog>) => lines.map(({ code }) => code)

    test('performs effects in order, when the state is committed', () => {
      const states: unknown[] = []
      const { toy, asked } = toys({
        note: ({ what }, id) => void states.push([what, toy.snapshot(id)?.value]),
      })
      toy.start('a', { n: 1 })
      toy.send('a', { type: 'go', n: 2 })
      toy.send('a', { type: 'back' })
      expect(states).toEqual([
        ['enter', { busy: 'light' }],
        ['leave', 'idle'],
      ])
      expect(asked).toEqual(['a greet', 'a greet'])
    })

    test('what an effect sends waits until the effects after it are performed', () => {
      const seen: string[] = []
      const { toy } = toys({
        greet: (_, id) => {
          if (seen.at(-1) === 'now') toy.send('b', { type: 'go', n: 2 })
          seen.push(`greet ${id}`)
        },
        note: ({ what }, id) => void seen.push(`${what} ${id}`),
        explode: () => void seen.push('explode'),
      })
      toy.start('b', { n: 0 })
      toy.start('a', { n: 0 })
      seen.splice(0, seen.length, 'now')
      toy.send('a', { type: 'break', where: 'effect' })
      expect(seen).toEqual(['now', 'greet a', 'explode', 'greet a', 'enter b'])
    })

    test('an actor that sends to itself handles that as its next event', () => {
      const { toy } = toys({
        note: ({ what }, id) => {
          if (what === 'enter') toy.send(id, { type: 'back' })
        },
      })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'go', n: 2 })
      expect(toy.snapshot('a')?.value).toBe('idle')
    })

    test('an error in a guard, an assign or a parameter leaves the state as it was and performs nothing', () => {
      const { toy, log, asked } = toys()
      toy.start('a', { n: 0 })
      const before = JSON.stringify(toy.snapshot('a'))
      asked.length = 0
      for (const where of ['guard', 'assign', 'params'] as const) {
        toy.send('a', { type: 'break', where })
      }
      expect(JSON.stringify(toy.snapshot('a'))).toBe(before)
      expect(asked).toEqual([])
      expect(toy.counts).toMatchObject({ failures: 3, steps: 1 })
      expect(codes(log)).toEqual(Array(3).fill('ACTOR_STEP_FAILED'))
      toy.send('a', { type: 'go', n: 2 })
      expect(toy.snapshot('a')?.value).toEqual({ busy: 'light' })
    })

    test('an error in an effect is counted, and the effects after it are performed', async () => {
      const { toy, log, asked } = toys()
      toy.start('a', { n: 0 })
      asked.length = 0
      toy.send('a', { type: 'break', where: 'effect' })
      expect(asked).toEqual(['a greet', 'a greet'])
      expect(toy.counts.failures).toBe(1)
      expect(codes(log)).toEqual(['ACTOR_EFFECT_FAILED'])
    })

    test('an effect that fails later is counted too', async () => {
      const { toy, log } = toys({ explode: () => Promise.reject(new Error('later')) })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'break', where: 'effect' })
      await Promise.resolve()
      expect(toy.counts.failures).toBe(1)
      expect(codes(log)).toEqual(['ACTOR_EFFECT_FAILED'])
    })

    test('what comes from outside and is no event of the machine is dropped, counted, and logged once', () => {
      const { toy, log, asked } = toys()
      toy.start('a', { n: 0 })
      asked.length = 0
      const forged = [
        { type: 'xstate.stop' },
        { type: 'xstate.init' },
        { type: 'xstate.done.actor.x' },
        { type: 'xstate.error.actor.x' },
        { type: 'xstate.after.nap.toy.busy.light' },
        { type: 'unheard of' },
        { type: '*' },
        { type: 7 },
        {},
        'go',
        null,
        undefined,
      ]
      for (const event of forged) expect(toy.hear('a', event), JSON.stringify(event)).toBe(false)
      expect(toy.counts).toMatchObject({ malformed: forged.length, steps: 1, failures: 0 })
      expect(codes(log)).toEqual(['ACTOR_MALFORMED_EVENT'])
      expect(asked).toEqual([])
      expect(toy.hear('a', { type: 'go', n: 2 })).toBe(true)
    })

    test('an event for nobody, and one that the state has no use for, are dead letters', () => {
      const { toy } = toys()
      toy.send('nobody', { type: 'back' })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'back' })
      expect(toy.counts).toMatchObject({ deadLetters: 2, steps: 1, failures: 0 })
    })

    test('a transition that only asks for an effect is a step', () => {
      const { toy, asked } = toys({ explode: () => {} })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'break', where: 'effect' })
      expect(asked).toEqual(['a greet', 'a greet', 'a greet'])
      expect(toy.counts).toMatchObject({ deadLetters: 0, steps: 2 })
    })

    test('keeps the time of each actor: a delay rings once, and not after its state was left', () => {
      const { toy, clock } = toys()
      toy.start('a', { n: 0 })
      toy.start('b', { n: 0 })
      toy.send('a', { type: 'go', n: 2 })
      toy.send('b', { type: 'go', n: 2 })
      toy.send('b', { type: 'back' })
      clock.advance(119)
      expect(toy.snapshot('a')?.value).toEqual({ busy: 'light' })
      clock.advance(1)
      expect(toy.snapshot('a')?.value).toEqual({ busy: { heavy: 'one' } })
      clock.advance(10_000)
      expect(toy.snapshot('a')?.context.trail).toEqual(['idle', 'overslept', 'idle'])
      expect(toy.snapshot('b')?.context.trail).toEqual(['idle', 'idle'])
      expect(clock.pending).toBe(0)
    })

    test('an actor at its end is forgotten with its timers, and somebody is told', () => {
      const ends: unknown[] = []
      const { toy, clock, asked } = toys({
        ended: (id, snapshot) => ends.push([id, snapshot.value, toy.size]),
      })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'go', n: 2 })
      toy.send('a', { type: 'die' })
      expect(ends).toEqual([['a', 'dead', 0]])
      expect(asked.at(-1)).toBe('a greet')
      expect(clock.pending).toBe(0)
      toy.start('a', { n: 1 })
      expect(toy.snapshot('a')?.context.n).toBe(1)
    })

    test('an actor that one of its own effects forgets leaves no timer', () => {
      const { toy, clock } = toys({
        note: (_, id) => toy.forget(id),
      })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'go', n: 2 })
      expect(toy.size).toBe(0)
      expect(clock.pending).toBe(0)
    })

    test('an id that is taken is a bug and throws', () => {
      const { toy } = toys()
      toy.start('a', { n: 0 })
      expect(() => toy.start('a', { n: 0 })).toThrow('toy a is already there')
    })

    test('who watches sees each step, until he stops', () => {
      const seen: StepSeen[] = []
      const { toy } = toys()
      toy.start('a', { n: 0 })
      const stop = toy.watch((step) => seen.push(step))
      toy.send('a', { type: 'go', n: 2 })
      toy.send('a', { type: 'deep' })
      stop()
      toy.send('a', { type: 'back' })
      expect(
        seen.map(({ sequence, event, snapshot }) => [sequence, event, snapshot.value]),
      ).toEqual([
        [2, 'go', { busy: 'light' }],
        [3, 'deep', { busy: { heavy: 'one' } }],
      ])
      expect(seen[0]).toMatchObject({
        machine: 'toy',
        instance: 'a',
        asked: ['note', 'xstate.raise', 'xstate.raise'],
        snapshot: { status: 'active' },
      })
    })

    test('who is told and throws breaks nothing off', () => {
      const { toy, log, asked } = toys({
        ended: () => {
          throw new Error('ended')
        },
      })
      toy.watch(() => {
        throw new Error('watch')
      })
      toy.start('a', { n: 0 })
      toy.send('a', { type: 'die' })
      expect(asked).toEqual(['a greet', 'a greet'])
      expect(toy.counts.failures).toBe(3)
      expect(codes(log)).toEqual(Array(3).fill('ACTOR_LISTENER_FAILED'))
      expect(toy.size).toBe(0)
    })
  })
}

test('while nobody watches, watching costs one look at whether somebody does', () => {
  const source = readFileSync(new URL('../../actors/actor.ts', import.meta.url), 'utf8')
  expect(source.match(/\btell\(/g)).toHaveLength(1)
  expect(source).toContain('if (watchers.size > 0) tell(')
})

test('a host that nobody performs an effect of is refused', () => {
  expect(() =>
    host(toyMachine, {
      clock: simulatedClock(),
      log: keptLog(),
      // @ts-expect-error a duty is missing: neither does it compile
      duties: { greet: () => {}, note: () => {} },
    }),
  ).toThrow("toy: nobody performs 'explode'")
})
