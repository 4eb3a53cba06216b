/** Plays the same script to a host of ours and to a live XState actor, each with a simulated clock, and compares. */

import { expect } from 'vitest'
import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  createActor,
  type EventObject,
} from 'xstate'
import { host } from '../../actors/actor.ts'
import type { HostedMachine } from '../../actors/step.ts'
import { keptLog } from '../kept-log.ts'
import { simulatedClock } from '../simulated-clock.ts'

/** Events to send, and milliseconds to let pass. Returns how many steps were compared. */
export function compareWithLive(
  machine: HostedMachine,
  input: unknown,
  script: (EventObject | number)[],
): number {
  const ours = playedByUs(machine, input)
  const theirs = playedByXState(machine, input)
  const compare = (what: EventObject | number | '(start)') => {
    const [our, their] = [ours.read(), theirs.read()]
    expect(our, `after ${JSON.stringify(what)}`).toEqual(their)
    return our.status === 'active'
  }
  let compared = 0
  let isActive = compare('(start)')
  for (const what of script) {
    if (!isActive) break
    ours.play(what)
    theirs.play(what)
    isActive = compare(what)
    compared++
  }
  return compared
}

type Read = { value: unknown; context: unknown; status: string; asked: string[] }

function playedByUs(machine: HostedMachine, input: unknown) {
  const clock = simulatedClock()
  const log = keptLog()
  const asked: string[] = []
  let last: { value: unknown; context: unknown; status: string } | undefined
  const duties = Object.fromEntries(
    Object.keys(machine.effects).map((name) => [
      name,
      (params: unknown) => void asked.push(print(name, params)),
    ]),
  )
  const hosted = host(machine, {
    clock,
    log,
    duties,
    ended: (_, { value, context, status }) => {
      last = { value, context, status }
    },
  })
  hosted.start('one', input as never)
  return {
    play(what: EventObject | number) {
      if (typeof what === 'number') clock.advance(what)
      else hosted.send('one', what as never)
    },
    read(): Read {
      expect(log.lines).toEqual([])
      const { value, context, status } = last ?? (hosted.snapshot('one') as AnyMachineSnapshot)
      return { value, context, status, asked: asked.splice(0) }
    },
  }
}

function playedByXState(machine: AnyStateMachine & HostedMachine, input: unknown) {
  const clock = simulatedClock()
  const asked: string[] = []
  const recorded = machine.provide({
    actions: Object.fromEntries(
      Object.keys(machine.effects).map((name) => [
        name,
        (_: unknown, params: unknown) => void asked.push(print(name, params)),
      ]),
    ),
  })
  const actor = createActor(recorded, {
    input: input as never,
    clock: {
      setTimeout: (callback, delayMs) => clock.setTimer(callback, delayMs),
      clearTimeout: (timer) => clock.clearTimer(timer),
    },
  })
  // An error would otherwise be thrown out of band.
  actor.subscribe({ error: () => {} })
  actor.start()
  return {
    play(what: EventObject | number) {
      if (typeof what === 'number') clock.advance(what)
      else actor.send(what)
    },
    read(): Read {
      const { value, context, status } = actor.getSnapshot()
      return { value, context, status, asked: asked.splice(0) }
    },
  }
}

const print = (name: string, params: unknown): string => `${name} ${JSON.stringify(params) ?? ''}`
