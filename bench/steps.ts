/** What does a step of a machine cost, and an instance of it? The sandbox's, since it is on every invocation's way. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createActor, transition } from 'xstate'
import { host } from '../actors/actor.ts'
import { systemClock } from '../edges/clock.ts'
import { type SandboxEvent, sandboxMachine } from '../machines/sandbox.ts'
import { inTurns } from './harness/load.ts'
import type { Question } from './harness/question.ts'

const rounds = 15
const cycles = 2_000
const instances = 5_000
const memoryRounds = 3
const input = { initTimeoutMs: 10_000, invokeTimeoutMs: 3_000, exitTimeoutMs: 1_000 }

const toIdle: SandboxEvent[] = [
  { type: 'turn' },
  { type: 'provisioned' },
  { type: 'ready', run: 1 },
]
/** One invocation, as a sandbox lives it: two steps, of which the first starts a timer and the second ends it. */
const cycle: SandboxEvent[] = [
  { type: 'invoke', requestId: 'r', isAhead: false },
  { type: 'answered', run: 1, requestId: 'r' },
]

export const steps: Question = {
  name: 'steps',
  asks: 'A step of a machine in the host of actors/actor.ts, beside XState without it',
  async run() {
    const ways = [bare(), hosted(), live(), pure()]
    for (const step of ways) microsecondsPerStep(step)
    const [bareUs = [], hostedUs = [], liveUs = [], pureUs = []] = await inTurns(
      rounds,
      ways.map((step) => async () => microsecondsPerStep(step)),
    )
    const [hostedKb = [], liveKb = []] = await inTurns(memoryRounds, [
      async () => kilobytesEach(manyHosted),
      async () => kilobytesEach(manyLive),
    ])
    const beside = (what: string, figures: number[]) => ({
      what: 'a step',
      unit: 'µs' as const,
      floor: { what, figures },
      ours: hostedUs,
    })
    return {
      rows: [
        beside('bare machine.transition()', bareUs),
        beside('a live actor', liveUs),
        beside("XState's transition()", pureUs),
        {
          what: 'an instance',
          unit: 'kB',
          floor: { what: 'a live actor', figures: liveKb },
          ours: hostedKb,
        },
      ],
      tables: [],
      notes: [
        `${rounds} rounds of ${cycles * cycle.length} steps each: an idle sandbox is given an invocation and answers it. The host and the live actor set and clear a real timer each time; the other two do not. Memory: heap of ${instances} idle instances, ${memoryRounds} rounds.`,
      ],
    }
  },
}

type Step = (event: SandboxEvent) => void

function microsecondsPerStep(step: Step): number {
  const started = performance.now()
  for (let turn = 0; turn < cycles; turn += 1) for (const event of cycle) step(event)
  return ((performance.now() - started) * 1000) / (cycles * cycle.length)
}

/** `machine.transition()` with the least scope that XState runs on, one for all steps; effects are thrown away. */
function bare(): Step {
  type Scope = Parameters<typeof sandboxMachine.transition>[2]
  const nothing = () => {}
  const system = {
    _sendInspectionEvent: nothing,
    scheduler: { schedule: nothing, cancel: nothing },
  }
  const self = { id: '', sessionId: '', system }
  const scope = { self, system, defer: nothing, emit: nothing, actionExecutor: nothing }
  let snapshot = sandboxMachine.getInitialSnapshot(scope as unknown as Scope, input)
  const step = (event: SandboxEvent) => {
    snapshot = sandboxMachine.transition(snapshot, event, scope as unknown as Scope)
  }
  return idle(step)
}

function hosted(): Step {
  const sandboxes = newHost()
  sandboxes.start('one', input)
  return idle((event) => sandboxes.send('one', event))
}

function live(): Step {
  const actor = createActor(sandboxMachine, { input }).start()
  return idle((event) => actor.send(event))
}

/** The public function of XState. */
function pure(): Step {
  let snapshot = createActor(sandboxMachine, { input }).getSnapshot()
  return idle((event) => {
    snapshot = transition(sandboxMachine, snapshot, event)[0]
  })
}

function idle(step: Step): Step {
  for (const event of toIdle) step(event)
  return step
}

function newHost() {
  const nothing = () => {}
  return host(sandboxMachine, {
    duties: {
      queueForStart: nothing,
      passTurn: nothing,
      provision: nothing,
      startProcess: nothing,
      killProcess: nothing,
      deliver: nothing,
      end: nothing,
      reject: nothing,
      reportReady: nothing,
      reportFree: nothing,
      reportStopped: nothing,
    },
    clock: systemClock,
    log: { debug: nothing, info: nothing, warn: nothing, error: console.error },
  })
}

function manyHosted(): unknown {
  const sandboxes = newHost()
  for (let index = 0; index < instances; index += 1) {
    sandboxes.start(String(index), input)
    for (const event of toIdle) sandboxes.send(String(index), event)
  }
  return sandboxes
}

function manyLive(): unknown {
  return Array.from({ length: instances }, () => {
    const actor = createActor(sandboxMachine, { input }).start()
    for (const event of toIdle) actor.send(event)
    return actor
  })
}

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

function kilobytesEach(make: () => unknown): number {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const made = make()
  collectGarbage()
  const bytes = process.memoryUsage().heapUsed - before
  // Read after the measurement, so that it is not collected before.
  return made === undefined ? Number.NaN : bytes / 1000 / instances
}
