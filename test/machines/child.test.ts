import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stepper } from '../../actors/step.ts'
import { type ChildEvent, type ChildInput, childMachine } from '../../machines/child.ts'
import { storyOf } from './story.ts'

const input: ChildInput = {
  launchTimeoutMs: 30_000,
  steadyMs: 10_000,
  backOffMs: 50,
  maxBackOffMs: 150,
  maxDeaths: 4,
  stopTimeoutMs: 5_000,
}
const steps = stepper(childMachine)
const story = storyOf(childMachine, input)

const ready = (life: number): ChildEvent => ({ type: 'ready', life })
const exited = (life: number, why = 'SIGKILL'): ChildEvent => ({ type: 'exited', life, why })
const stop: ChildEvent = { type: 'stop' }

test('a child that dies is started again, after a longer pause each time', () => {
  expect(
    story(ready(1), 'steady', exited(1), 'backOff', ready(2), exited(2), 'backOff', ready(3)),
  ).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime    launch 1, wait 30000 ms
    ready 1          → running.fresh       stop waiting, reportReady 1, wait 10000 ms
    steady           → running.steady      stop waiting
    exited 1 SIGKILL → backingOff          reportDeath 1 SIGKILL 50, wait 50 ms
    backOff          → relaunching.inTime  stop waiting, launch 2, wait 30000 ms
    ready 2          → running.fresh       stop waiting, reportReady 2, wait 10000 ms
    exited 2 SIGKILL → backingOff          stop waiting, reportDeath 2 SIGKILL 100, wait 100 ms
    backOff          → relaunching.inTime  stop waiting, launch 3, wait 30000 ms
    ready 3          → running.fresh       stop waiting, reportReady 3, wait 10000 ms
    "
  `)
})

test('a child that died too often in a row is given up', () => {
  expect(
    story(ready(1), exited(1), 'backOff', exited(2), 'backOff', exited(3), 'backOff', exited(4)),
  ).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime    launch 1, wait 30000 ms
    ready 1          → running.fresh       stop waiting, reportReady 1, wait 10000 ms
    exited 1 SIGKILL → backingOff          stop waiting, reportDeath 1 SIGKILL 50, wait 50 ms
    backOff          → relaunching.inTime  stop waiting, launch 2, wait 30000 ms
    exited 2 SIGKILL → backingOff          stop waiting, reportDeath 2 SIGKILL 100, wait 100 ms
    backOff          → relaunching.inTime  stop waiting, launch 3, wait 30000 ms
    exited 3 SIGKILL → backingOff          stop waiting, reportDeath 3 SIGKILL 150, wait 150 ms
    backOff          → relaunching.inTime  stop waiting, launch 4, wait 30000 ms
    exited 4 SIGKILL → failed              stop waiting, reportFailure SIGKILL 4
    "
  `)
})

test('a steady stretch makes former deaths forgotten', () => {
  expect(
    story(ready(1), exited(1), 'backOff', ready(2), 'steady', exited(2)),
  ).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime    launch 1, wait 30000 ms
    ready 1          → running.fresh       stop waiting, reportReady 1, wait 10000 ms
    exited 1 SIGKILL → backingOff          stop waiting, reportDeath 1 SIGKILL 50, wait 50 ms
    backOff          → relaunching.inTime  stop waiting, launch 2, wait 30000 ms
    ready 2          → running.fresh       stop waiting, reportReady 2, wait 10000 ms
    steady           → running.steady      stop waiting
    exited 2 SIGKILL → backingOff          reportDeath 2 SIGKILL 50, wait 50 ms
    "
  `)
})

test('a child that never became ready is given up at once', () => {
  expect(story(exited(1, 'port taken'))).toMatchInlineSnapshot(`
    "
    (start)             → launching.inTime  launch 1, wait 30000 ms
    exited 1 port taken → failed            stop waiting, reportFailure port taken 1
    "
  `)
})

test('a child that takes too long to become ready is killed', () => {
  expect(story('launchTimeout', exited(1))).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime   launch 1, wait 30000 ms
    launchTimeout    → launching.overdue  stop waiting, kill 1
    exited 1 SIGKILL → failed             reportFailure SIGKILL 1
    "
  `)
})

test('a child that does not end when asked is killed', () => {
  expect(story(ready(1), stop, 'stopTimeout', exited(1))).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime  launch 1, wait 30000 ms
    ready 1          → running.fresh     stop waiting, reportReady 1, wait 10000 ms
    stop             → stopping.inTime   stop waiting, end 1, wait 5000 ms
    stopTimeout      → stopping.overdue  stop waiting, kill 1
    exited 1 SIGKILL → stopped
    "
  `)
})

test('a child that is stopped while it is dead stays dead', () => {
  expect(story(ready(1), exited(1), stop)).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime  launch 1, wait 30000 ms
    ready 1          → running.fresh     stop waiting, reportReady 1, wait 10000 ms
    exited 1 SIGKILL → backingOff        stop waiting, reportDeath 1 SIGKILL 50, wait 50 ms
    stop             → stopped           stop waiting
    "
  `)
})

test('a child ignores what a former life still says', () => {
  expect(story(ready(1), exited(1), 'backOff', ready(1), exited(1))).toMatchInlineSnapshot(`
    "
    (start)          → launching.inTime    launch 1, wait 30000 ms
    ready 1          → running.fresh       stop waiting, reportReady 1, wait 10000 ms
    exited 1 SIGKILL → backingOff          stop waiting, reportDeath 1 SIGKILL 50, wait 50 ms
    backOff          → relaunching.inTime  stop waiting, launch 2, wait 30000 ms
    ready 1          → relaunching.inTime  ignored
    exited 1 SIGKILL → relaunching.inTime  ignored
    "
  `)
})

test('no sequence of events leaves a child stuck: stop and an exit always end it', () => {
  const anyEvent = fc.oneof(
    fc.constant(stop),
    fc.integer({ min: 0, max: 6 }).map(ready),
    fc.integer({ min: 0, max: 6 }).map((life) => exited(life)),
  )
  fc.assert(
    fc.property(fc.array(anyEvent), (events) => {
      let { snapshot } = steps.begin(input)
      const play = (event: ChildEvent) => {
        if (snapshot.status === 'active') snapshot = steps.step(snapshot, event).snapshot
      }
      for (const event of [...events, stop]) play(event)
      play(exited(snapshot.context.life))
      expect(snapshot.status).toBe('done')
    }),
  )
})
