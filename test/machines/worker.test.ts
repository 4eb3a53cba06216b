import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type WorkerEvent, workerMachine } from '../../machines/worker.ts'
import { live } from './life.ts'
import { storyOf } from './story.ts'

const input = { memoryMb: 512, startsAtOnce: 2 }
const story = storyOf(workerMachine, input)

const registered: WorkerEvent = { type: 'registered' }
const drain: WorkerEvent = { type: 'drain' }
const provision = (sandboxId: string, memoryMb = 128, unusedMb = 0): WorkerEvent => ({
  type: 'provision',
  sandboxId,
  memoryMb,
  unusedMb,
  reply: `reply-${sandboxId}`,
})
const startQueued = (sandboxId: string): WorkerEvent => ({ type: 'startQueued', sandboxId })
const turnPassed = (sandboxId: string): WorkerEvent => ({ type: 'turnPassed', sandboxId })
const sandboxStopped = (sandboxId: string): WorkerEvent => ({ type: 'sandboxStopped', sandboxId })

test('a worker takes sandboxes as long as their memory fits, and again when one has stopped', () => {
  expect(
    story(
      registered,
      provision('s1', 256),
      provision('s2', 257),
      provision('s3', 256),
      provision('s4', 128),
      sandboxStopped('s1'),
      provision('s4', 128),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                     → joining  register
    registered                  → serving
    provision s1 256 0 reply-s1 → serving  accept s1 reply-s1
    provision s2 257 0 reply-s2 → serving  refuse reply-s2 no room
    provision s3 256 0 reply-s3 → serving  accept s3 reply-s3
    provision s4 128 0 reply-s4 → serving  refuse reply-s4 no room
    sandboxStopped s1           → serving
    provision s4 128 0 reply-s4 → serving  accept s4 reply-s4
    "
  `)
})

test('where there is no room, sandboxes that nobody uses make some, as much as is missing', () => {
  expect(
    story(
      registered,
      provision('s1', 256),
      provision('s2', 200),
      provision('s3', 100, 43),
      provision('s3', 100, 200),
      sandboxStopped('s2'),
      provision('s4', 156),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                       → joining  register
    registered                    → serving
    provision s1 256 0 reply-s1   → serving  accept s1 reply-s1
    provision s2 200 0 reply-s2   → serving  accept s2 reply-s2
    provision s3 100 43 reply-s3  → serving  refuse reply-s3 no room
    provision s3 100 200 reply-s3 → serving  stopUnused s3 44, accept s3 reply-s3
    sandboxStopped s2             → serving
    provision s4 156 0 reply-s4   → serving  accept s4 reply-s4
    "
  `)
})

test('a sandbox that runs here already is not started a second time', () => {
  expect(story(registered, provision('s1'), provision('s1'))).toMatchInlineSnapshot(`
    "
    (start)                     → joining  register
    registered                  → serving
    provision s1 128 0 reply-s1 → serving  accept s1 reply-s1
    provision s1 128 0 reply-s1 → serving  refuse reply-s1 it runs here already
    "
  `)
})

test('sandboxes start a few at a time, first come first served', () => {
  expect(
    story(
      registered,
      startQueued('s1'),
      startQueued('s2'),
      startQueued('s3'),
      startQueued('s4'),
      turnPassed('s2'),
      turnPassed('s1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)        → joining  register
    registered     → serving
    startQueued s1 → serving  giveTurn s1
    startQueued s2 → serving  giveTurn s2
    startQueued s3 → serving
    startQueued s4 → serving
    turnPassed s2  → serving  giveTurn s3
    turnPassed s1  → serving  giveTurn s4
    "
  `)
})

test('a sandbox that is called off while it waits gives its place in the queue away', () => {
  expect(
    story(
      registered,
      startQueued('s1'),
      startQueued('s2'),
      startQueued('s3'),
      startQueued('s4'),
      turnPassed('s3'),
      turnPassed('s1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)        → joining  register
    registered     → serving
    startQueued s1 → serving  giveTurn s1
    startQueued s2 → serving  giveTurn s2
    startQueued s3 → serving
    startQueued s4 → serving
    turnPassed s3  → serving
    turnPassed s1  → serving  giveTurn s4
    "
  `)
})

test('a draining worker takes nothing new, and leaves when its last sandbox has stopped', () => {
  expect(
    story(
      registered,
      provision('s1'),
      provision('s2'),
      drain,
      provision('s3'),
      sandboxStopped('s2'),
      sandboxStopped('s1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                     → joining   register
    registered                  → serving
    provision s1 128 0 reply-s1 → serving   accept s1 reply-s1
    provision s2 128 0 reply-s2 → serving   accept s2 reply-s2
    drain                       → draining  announceDraining
    provision s3 128 0 reply-s3 → draining  refuse reply-s3 draining
    sandboxStopped s2           → draining
    sandboxStopped s1           → gone      leave
    "
  `)
})

test('sandboxes that wait for their turn when the worker drains still get it', () => {
  expect(
    story(
      registered,
      provision('s1'),
      startQueued('s1'),
      provision('s2'),
      startQueued('s2'),
      provision('s3'),
      startQueued('s3'),
      drain,
      turnPassed('s1'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)                     → joining   register
    registered                  → serving
    provision s1 128 0 reply-s1 → serving   accept s1 reply-s1
    startQueued s1              → serving   giveTurn s1
    provision s2 128 0 reply-s2 → serving   accept s2 reply-s2
    startQueued s2              → serving   giveTurn s2
    provision s3 128 0 reply-s3 → serving   accept s3 reply-s3
    startQueued s3              → serving
    drain                       → draining  announceDraining
    turnPassed s1               → draining  giveTurn s3
    "
  `)
})

test('a worker with nothing on it leaves at once, also while it joins', () => {
  expect(story(registered, drain)).toMatchInlineSnapshot(`
    "
    (start)    → joining  register
    registered → serving
    drain      → gone     announceDraining, leave
    "
  `)
  expect(story(drain)).toMatchInlineSnapshot(`
    "
    (start) → joining  register
    drain   → gone     announceDraining, leave
    "
  `)
})

test('whatever happens, memory is counted exactly, and no more sandboxes start at once than may', () => {
  const ids = ['s1', 's2', 's3', 's4', 's5']
  const anyEvent = fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom(registered, drain) },
    {
      weight: 12,
      arbitrary: fc.tuple(fc.constantFrom(...ids), fc.integer({ min: 128, max: 512 })),
    },
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.nat(3)), { maxLength: 60 }), (script) => {
      const life = live(workerMachine, input)
      const starting = new Set<string>()
      const queued = new Set<string>()
      const check = ({ asked }: typeof life.born) => {
        for (const { type, params } of asked) {
          const { sandboxId } = (params ?? {}) as { sandboxId: string }
          if (type === 'giveTurn') {
            expect(queued.delete(sandboxId)).toBe(true)
            starting.add(sandboxId)
          }
        }
        const { usedMb, sandboxes } = life.snapshot.context
        const sum = Object.values(sandboxes).reduce((total, memoryMb) => total + memoryMb, 0)
        expect(usedMb).toBe(sum)
        expect(usedMb).toBeLessThanOrEqual(input.memoryMb)
        expect(starting.size).toBeLessThanOrEqual(input.startsAtOnce)
        if (queued.size > 0) expect(starting.size).toBe(input.startsAtOnce)
      }
      life.take(registered)
      for (const [what, choice] of script) {
        if (life.isOver) break
        if (!Array.isArray(what)) {
          check(life.take(what))
          continue
        }
        const [id, memoryMb] = what
        const isHere = id in life.snapshot.context.sandboxes
        const isStarting = queued.has(id) || starting.has(id)
        if (choice === 0) check(life.take(provision(id, memoryMb)))
        else if (choice === 1 && isHere && !isStarting) {
          queued.add(id)
          check(life.take(startQueued(id)))
        } else if (choice === 2 && isStarting) {
          queued.delete(id)
          starting.delete(id)
          check(life.take(turnPassed(id)))
        } else if (choice === 3 && !isStarting) check(life.take(sandboxStopped(id)))
      }
      life.take(drain)
      for (const id of [...queued, ...starting]) life.take(turnPassed(id))
      for (const id of ids) life.take(sandboxStopped(id))
      expect(life.state).toBe('gone')
    }),
  )
})
