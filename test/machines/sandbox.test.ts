import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type SandboxEvent, sandboxMachine } from '../../machines/sandbox.ts'
import { live } from './life.ts'
import { byName, storyOf } from './story.ts'

const input = { initTimeoutMs: 10_000, invokeTimeoutMs: 3_000, exitTimeoutMs: 2_000 }
const story = storyOf(sandboxMachine, input, byName)

const turn: SandboxEvent = { type: 'turn' }
const provisioned: SandboxEvent = { type: 'provisioned' }
const stop: SandboxEvent = { type: 'stop' }
const reclaim: SandboxEvent = { type: 'reclaim' }
const ready = (run: number): SandboxEvent => ({ type: 'ready', run })
const initFailed = (run: number): SandboxEvent => ({ type: 'initFailed', run })
const exited = (run: number): SandboxEvent => ({ type: 'exited', run })
const overMemory = (run: number): SandboxEvent => ({ type: 'overMemory', run })
const invoke = (requestId: string): SandboxEvent => ({ type: 'invoke', requestId, isAhead: false })
const ahead = (requestId: string): SandboxEvent => ({ type: 'invoke', requestId, isAhead: true })
const takeBack = (requestId: string): SandboxEvent => ({ type: 'takeBack', requestId })
const answered = (run: number, requestId: string): SandboxEvent => ({
  type: 'answered',
  run,
  requestId,
})
const started = [turn, provisioned]
const idle = [...started, ready(1)]
const followed = [...idle, invoke('r1'), ahead('r2')]

test('a sandbox waits for its turn, initialises, and runs one invocation after the other', () => {
  expect(
    story(...idle, invoke('r1'), answered(1, 'r1'), invoke('r2'), answered(1, 'r2')),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    answered 1 r1 → idle                stop waiting, end r1 answer
    invoke r2     → busy.running.alone  deliver 1 r2, wait 3000 ms
    answered 1 r2 → idle                stop waiting, end r2 answer
    "
  `)
})

test('a sandbox that is busy takes one invocation more, and begins it when the first is answered', () => {
  expect(
    story(...followed, ahead('r3'), answered(1, 'r1'), answered(1, 'r2')),
  ).toMatchInlineSnapshot(`
    "
    (start)         → queued                 queueForStart
    turn            → provisioning           provision
    provisioned     → initializing           startProcess 1, wait 10000 ms
    ready 1         → idle                   passTurn, stop waiting, reportReady
    invoke r1       → busy.running.alone     deliver 1 r1, wait 3000 ms
    invoke r2 ahead → busy.running.followed
    invoke r3 ahead → busy.running.followed  reject r3
    answered 1 r1   → busy.running.alone     stop waiting, end r1 answer, deliver 1 r2, wait 3000 ms
    answered 1 r2   → idle                   stop waiting, end r2 answer
    "
  `)
})

test('the next invocation goes back when it is wanted back, but not once it has begun', () => {
  expect(
    story(
      ...followed,
      takeBack('r1'),
      takeBack('r2'),
      ahead('r3'),
      answered(1, 'r1'),
      takeBack('r3'),
      answered(1, 'r3'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)         → queued                 queueForStart
    turn            → provisioning           provision
    provisioned     → initializing           startProcess 1, wait 10000 ms
    ready 1         → idle                   passTurn, stop waiting, reportReady
    invoke r1       → busy.running.alone     deliver 1 r1, wait 3000 ms
    invoke r2 ahead → busy.running.followed
    takeBack r1     → busy.running.followed  ignored
    takeBack r2     → busy.running.alone     reject r2
    invoke r3 ahead → busy.running.followed
    answered 1 r1   → busy.running.alone     stop waiting, end r1 answer, deliver 1 r3, wait 3000 ms
    takeBack r3     → busy.running.alone     ignored
    answered 1 r3   → idle                   stop waiting, end r3 answer
    "
  `)
})

// DESIGN §6: at most once: nothing of it has run, so its caller may look for another sandbox.
test('the next invocation goes back when the one before it is not answered', () => {
  expect(story(...followed, exited(1))).toMatchInlineSnapshot(`
    "
    (start)         → queued                 queueForStart
    turn            → provisioning           provision
    provisioned     → initializing           startProcess 1, wait 10000 ms
    ready 1         → idle                   passTurn, stop waiting, reportReady
    invoke r1       → busy.running.alone     deliver 1 r1, wait 3000 ms
    invoke r2 ahead → busy.running.followed
    exited 1        → dormant                stop waiting, reject r2, end r1 exit
    "
  `)
  expect(story(...followed, 'invokeTimeout', exited(1))).toMatchInlineSnapshot(`
    "
    (start)         → queued                 queueForStart
    turn            → provisioning           provision
    provisioned     → initializing           startProcess 1, wait 10000 ms
    ready 1         → idle                   passTurn, stop waiting, reportReady
    invoke r1       → busy.running.alone     deliver 1 r1, wait 3000 ms
    invoke r2 ahead → busy.running.followed
    invokeTimeout   → resetting              stop waiting, reject r2, killProcess 1, wait 2000 ms
    exited 1        → dormant                stop waiting, end r1 timeout
    "
  `)
  expect(story(...followed, overMemory(1), exited(1))).toMatchInlineSnapshot(`
    "
    (start)         → queued                 queueForStart
    turn            → provisioning           provision
    provisioned     → initializing           startProcess 1, wait 10000 ms
    ready 1         → idle                   passTurn, stop waiting, reportReady
    invoke r1       → busy.running.alone     deliver 1 r1, wait 3000 ms
    invoke r2 ahead → busy.running.followed
    overMemory 1    → outOfMemory            stop waiting, reject r2, killProcess 1, wait 2000 ms
    exited 1        → dormant                stop waiting, end r1 out of memory
    "
  `)
})

test('the next invocation has its time for itself', () => {
  expect(story(...followed, answered(1, 'r1'), 'invokeTimeout', exited(1))).toMatchInlineSnapshot(`
    "
    (start)         → queued                 queueForStart
    turn            → provisioning           provision
    provisioned     → initializing           startProcess 1, wait 10000 ms
    ready 1         → idle                   passTurn, stop waiting, reportReady
    invoke r1       → busy.running.alone     deliver 1 r1, wait 3000 ms
    invoke r2 ahead → busy.running.followed
    answered 1 r1   → busy.running.alone     stop waiting, end r1 answer, deliver 1 r2, wait 3000 ms
    invokeTimeout   → resetting              stop waiting, killProcess 1, wait 2000 ms
    exited 1        → dormant                stop waiting, end r2 timeout
    "
  `)
})

test('a sandbox that is busy rejects an invocation that was not sent ahead', () => {
  expect(story(...idle, invoke('r1'), invoke('r2'), answered(1, 'r1'))).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    invoke r2     → busy.running.alone  reject r2
    answered 1 r1 → idle                stop waiting, end r1 answer
    "
  `)
})

test('an invocation that was sent ahead begins at once in a sandbox that is free', () => {
  expect(story(...idle, ahead('r1'), answered(1, 'r1'))).toMatchInlineSnapshot(`
    "
    (start)         → queued              queueForStart
    turn            → provisioning        provision
    provisioned     → initializing        startProcess 1, wait 10000 ms
    ready 1         → idle                passTurn, stop waiting, reportReady
    invoke r1 ahead → busy.running.alone  deliver 1 r1, wait 3000 ms
    answered 1 r1   → idle                stop waiting, end r1 answer
    "
  `)
})

test('a sandbox that is reviving takes no second invocation', () => {
  expect(story(...started, exited(1), invoke('r1'), ahead('r2'), ready(2))).toMatchInlineSnapshot(`
    "
    (start)         → queued              queueForStart
    turn            → provisioning        provision
    provisioned     → initializing        startProcess 1, wait 10000 ms
    exited 1        → dormant             passTurn, stop waiting, reportReady
    invoke r1       → busy.reviving       wait 3000 ms, startProcess 2
    invoke r2 ahead → busy.reviving       reject r2
    ready 2         → busy.running.alone  deliver 2 r1
    "
  `)
})

test('a sandbox that is not ready yet rejects an invocation', () => {
  expect(story(invoke('r1'), turn, invoke('r2'), provisioned, invoke('r3'))).toMatchInlineSnapshot(`
    "
    (start)     → queued        queueForStart
    invoke r1   → queued        reject r1
    turn        → provisioning  provision
    invoke r2   → provisioning  reject r2
    provisioned → initializing  startProcess 1, wait 10000 ms
    invoke r3   → initializing  reject r3
    "
  `)
})

// lambda-semantics.md §3.4: an init that fails is retried inside the first invocation, and the environment is kept.
test('an init that fails is done again inside the first invocation, and may succeed there', () => {
  expect(
    story(...started, initFailed(1), exited(1), invoke('r1'), ready(2), answered(2, 'r1')),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    initFailed 1  → dormant             passTurn, stop waiting, killProcess 1, reportReady
    exited 1      → dormant             ignored
    invoke r1     → busy.reviving       wait 3000 ms, startProcess 2
    ready 2       → busy.running.alone  deliver 2 r1
    answered 2 r1 → idle                stop waiting, end r1 answer
    "
  `)
})

// lambda-semantics.md §3.4: "if it fails again that invoke returns the error".
test('an init that fails inside the invocation ends it, and the next invocation tries once more', () => {
  expect(
    story(...started, initFailed(1), invoke('r1'), initFailed(2), invoke('r2'), exited(3)),
  ).toMatchInlineSnapshot(`
    "
    (start)      → queued         queueForStart
    turn         → provisioning   provision
    provisioned  → initializing   startProcess 1, wait 10000 ms
    initFailed 1 → dormant        passTurn, stop waiting, killProcess 1, reportReady
    invoke r1    → busy.reviving  wait 3000 ms, startProcess 2
    initFailed 2 → dormant        stop waiting, killProcess 2, end r1 init error
    invoke r2    → busy.reviving  wait 3000 ms, startProcess 3
    exited 3     → dormant        stop waiting, end r2 exit
    "
  `)
})

// lambda-semantics.md §3.4: init is cut after 10 s and re-run at the first invoke, under the function's timeout.
test('an init that takes too long is cut and done again on the time of the first invocation', () => {
  expect(
    story(...started, 'initTimeout', ready(1), exited(1), invoke('r1'), 'invokeTimeout', exited(2)),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued         queueForStart
    turn          → provisioning   provision
    provisioned   → initializing   startProcess 1, wait 10000 ms
    initTimeout   → dormant        passTurn, stop waiting, killProcess 1, reportReady
    ready 1       → dormant        ignored
    exited 1      → dormant        ignored
    invoke r1     → busy.reviving  wait 3000 ms, startProcess 2
    invokeTimeout → resetting      stop waiting, killProcess 2, wait 2000 ms
    exited 2      → dormant        stop waiting, end r1 timeout
    "
  `)
})

// lambda-semantics.md §3.4: the function's timeout bounds the suppressed init and the handler together.
test('an init inside an invocation gets no second helping of time for its handler', () => {
  expect(
    story(...started, exited(1), invoke('r1'), ready(2), 'invokeTimeout', exited(2)),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    exited 1      → dormant             passTurn, stop waiting, reportReady
    invoke r1     → busy.reviving       wait 3000 ms, startProcess 2
    ready 2       → busy.running.alone  deliver 2 r1
    invokeTimeout → resetting           stop waiting, killProcess 2, wait 2000 ms
    exited 2      → dormant             stop waiting, end r1 timeout
    "
  `)
})

// lambda-semantics.md §1.5: after a timeout globals are lost and /tmp survives: the sandbox stays, its process does not.
test('a timeout kills the process, and its caller is told when it is gone', () => {
  expect(
    story(...idle, invoke('r1'), 'invokeTimeout', answered(1, 'r1'), exited(1), invoke('r2')),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    invokeTimeout → resetting           stop waiting, killProcess 1, wait 2000 ms
    answered 1 r1 → resetting           ignored
    exited 1      → dormant             stop waiting, end r1 timeout
    invoke r2     → busy.reviving       wait 3000 ms, startProcess 2
    "
  `)
})

test('the late answer of a process that was given up is not taken for the next invocation', () => {
  expect(
    story(
      ...idle,
      invoke('r1'),
      exited(1),
      invoke('r2'),
      answered(1, 'r1'),
      ready(1),
      ready(2),
      answered(1, 'r2'),
      answered(2, 'r1'),
      answered(2, 'r2'),
    ),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    exited 1      → dormant             stop waiting, end r1 exit
    invoke r2     → busy.reviving       wait 3000 ms, startProcess 2
    answered 1 r1 → busy.reviving       ignored
    ready 1       → busy.reviving       ignored
    ready 2       → busy.running.alone  deliver 2 r2
    answered 1 r2 → busy.running.alone  ignored
    answered 2 r1 → busy.running.alone  ignored
    answered 2 r2 → idle                stop waiting, end r2 answer
    "
  `)
})

test('a sandbox whose process dies while it is idle revives it for the next invocation', () => {
  expect(story(...idle, exited(1), reclaim, invoke('r1'), ready(2))).toMatchInlineSnapshot(`
    "
    (start)     → queued              queueForStart
    turn        → provisioning        provision
    provisioned → initializing        startProcess 1, wait 10000 ms
    ready 1     → idle                passTurn, stop waiting, reportReady
    exited 1    → dormant
    reclaim     → dormant             reportFree
    invoke r1   → busy.reviving       wait 3000 ms, startProcess 2
    ready 2     → busy.running.alone  deliver 2 r1
    "
  `)
})

test('an invocation that takes too much memory is ended when its process is gone', () => {
  expect(story(...idle, invoke('r1'), overMemory(1), exited(1))).toMatchInlineSnapshot(`
    "
    (start)      → queued              queueForStart
    turn         → provisioning        provision
    provisioned  → initializing        startProcess 1, wait 10000 ms
    ready 1      → idle                passTurn, stop waiting, reportReady
    invoke r1    → busy.running.alone  deliver 1 r1, wait 3000 ms
    overMemory 1 → outOfMemory         stop waiting, killProcess 1, wait 2000 ms
    exited 1     → dormant             stop waiting, end r1 out of memory
    "
  `)
})

test('too much memory kills an idle process, and one that initialises', () => {
  expect(story(...idle, overMemory(1), exited(1))).toMatchInlineSnapshot(`
    "
    (start)      → queued        queueForStart
    turn         → provisioning  provision
    provisioned  → initializing  startProcess 1, wait 10000 ms
    ready 1      → idle          passTurn, stop waiting, reportReady
    overMemory 1 → dormant       killProcess 1
    exited 1     → dormant       ignored
    "
  `)
  expect(story(...started, overMemory(1), exited(1), invoke('r1'))).toMatchInlineSnapshot(`
    "
    (start)      → queued         queueForStart
    turn         → provisioning   provision
    provisioned  → initializing   startProcess 1, wait 10000 ms
    overMemory 1 → dormant        passTurn, stop waiting, killProcess 1, reportReady
    exited 1     → dormant        ignored
    invoke r1    → busy.reviving  wait 3000 ms, startProcess 2
    "
  `)
  expect(
    story(...started, exited(1), invoke('r1'), overMemory(2), exited(2)),
  ).toMatchInlineSnapshot(`
    "
    (start)      → queued         queueForStart
    turn         → provisioning   provision
    provisioned  → initializing   startProcess 1, wait 10000 ms
    exited 1     → dormant        passTurn, stop waiting, reportReady
    invoke r1    → busy.reviving  wait 3000 ms, startProcess 2
    overMemory 2 → outOfMemory    stop waiting, killProcess 2, wait 2000 ms
    exited 2     → dormant        stop waiting, end r1 out of memory
    "
  `)
})

test('a sandbox says that it is free when it is, and nothing while it is busy', () => {
  expect(
    story(...idle, reclaim, invoke('r1'), reclaim, answered(1, 'r1'), reclaim),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    reclaim       → idle                reportFree
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    reclaim       → busy.running.alone  ignored
    answered 1 r1 → idle                stop waiting, end r1 answer
    reclaim       → idle                reportFree
    "
  `)
})

test('a sandbox stops wherever nothing runs in it', () => {
  expect(story(stop)).toMatchInlineSnapshot(`
    "
    (start) → queued   queueForStart
    stop    → stopped  passTurn, reportStopped stopped
    "
  `)
  expect(story(turn, stop)).toMatchInlineSnapshot(`
    "
    (start) → queued        queueForStart
    turn    → provisioning  provision
    stop    → stopped       passTurn, reportStopped stopped
    "
  `)
  expect(story(...started, stop, exited(1))).toMatchInlineSnapshot(`
    "
    (start)     → queued        queueForStart
    turn        → provisioning  provision
    provisioned → initializing  startProcess 1, wait 10000 ms
    stop        → stopping      passTurn, stop waiting, killProcess 1, wait 2000 ms
    exited 1    → stopped       stop waiting, reportStopped stopped
    "
  `)
  expect(story(...idle, stop, exited(1))).toMatchInlineSnapshot(`
    "
    (start)     → queued        queueForStart
    turn        → provisioning  provision
    provisioned → initializing  startProcess 1, wait 10000 ms
    ready 1     → idle          passTurn, stop waiting, reportReady
    stop        → stopping      killProcess 1, wait 2000 ms
    exited 1    → stopped       stop waiting, reportStopped stopped
    "
  `)
  expect(story(...idle, exited(1), stop)).toMatchInlineSnapshot(`
    "
    (start)     → queued        queueForStart
    turn        → provisioning  provision
    provisioned → initializing  startProcess 1, wait 10000 ms
    ready 1     → idle          passTurn, stop waiting, reportReady
    exited 1    → dormant
    stop        → stopped       reportStopped stopped
    "
  `)
})

test('a sandbox that is called off does not start, unless it has begun to', () => {
  expect(story({ type: 'callOff' })).toMatchInlineSnapshot(`
    "
    (start) → queued   queueForStart
    callOff → stopped  passTurn, reportStopped not needed
    "
  `)
  expect(
    story(turn, { type: 'callOff' }, provisioned, { type: 'callOff' }, ready(1)),
  ).toMatchInlineSnapshot(`
    "
    (start)     → queued        queueForStart
    turn        → provisioning  provision
    callOff     → provisioning  ignored
    provisioned → initializing  startProcess 1, wait 10000 ms
    callOff     → initializing  ignored
    ready 1     → idle          passTurn, stop waiting, reportReady
    "
  `)
})

test('a busy sandbox does not stop', () => {
  expect(
    story(...idle, invoke('r1'), stop, answered(1, 'r1'), stop, exited(1)),
  ).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    stop          → busy.running.alone  ignored
    answered 1 r1 → idle                stop waiting, end r1 answer
    stop          → stopping            killProcess 1, wait 2000 ms
    exited 1      → stopped             stop waiting, reportStopped stopped
    "
  `)
})

test('a sandbox whose code cannot be had is gone', () => {
  expect(story(turn, { type: 'unprovisioned', reason: 'no such package' })).toMatchInlineSnapshot(`
    "
    (start)                       → queued        queueForStart
    turn                          → provisioning  provision
    unprovisioned no such package → stopped       passTurn, reportStopped no such package
    "
  `)
})

test('a process that cannot be killed costs the sandbox', () => {
  expect(story(...idle, invoke('r1'), 'invokeTimeout', 'exitTimeout')).toMatchInlineSnapshot(`
    "
    (start)       → queued              queueForStart
    turn          → provisioning        provision
    provisioned   → initializing        startProcess 1, wait 10000 ms
    ready 1       → idle                passTurn, stop waiting, reportReady
    invoke r1     → busy.running.alone  deliver 1 r1, wait 3000 ms
    invokeTimeout → resetting           stop waiting, killProcess 1, wait 2000 ms
    exitTimeout   → stopped             stop waiting, end r1 timeout, reportStopped its process cannot be killed
    "
  `)
  expect(story(...idle, invoke('r1'), overMemory(1), 'exitTimeout')).toMatchInlineSnapshot(`
    "
    (start)      → queued              queueForStart
    turn         → provisioning        provision
    provisioned  → initializing        startProcess 1, wait 10000 ms
    ready 1      → idle                passTurn, stop waiting, reportReady
    invoke r1    → busy.running.alone  deliver 1 r1, wait 3000 ms
    overMemory 1 → outOfMemory         stop waiting, killProcess 1, wait 2000 ms
    exitTimeout  → stopped             stop waiting, end r1 out of memory, reportStopped its process cannot be killed
    "
  `)
  expect(story(...idle, stop, 'exitTimeout')).toMatchInlineSnapshot(`
    "
    (start)     → queued        queueForStart
    turn        → provisioning  provision
    provisioned → initializing  startProcess 1, wait 10000 ms
    ready 1     → idle          passTurn, stop waiting, reportReady
    stop        → stopping      killProcess 1, wait 2000 ms
    exitTimeout → stopped       stop waiting, reportStopped stopped
    "
  `)
})

const anyEvent: fc.Arbitrary<SandboxEvent | 'a timer rings'> = fc.oneof(
  fc.constantFrom(
    turn,
    provisioned,
    stop,
    reclaim,
    { type: 'callOff' } as const,
    'a timer rings' as const,
  ),
  fc.constant<SandboxEvent>({ type: 'unprovisioned', reason: 'no such package' }),
  fc
    .nat(4)
    .chain((run) => fc.constantFrom(ready(run), initFailed(run), exited(run), overMemory(run))),
  fc.nat(3).map((number) => invoke(`r${number}`)),
  fc.nat(3).chain((number) => fc.constantFrom(ahead(`r${number}`), takeBack(`r${number}`))),
  fc.tuple(fc.nat(4), fc.nat(3)).map(([run, number]) => answered(run, `r${number}`)),
)

/** By chance alone a sandbox is rarely ready, and hardly ever followed. */
const anyLife = fc
  .tuple(
    fc.constantFrom<SandboxEvent[]>([], started, idle, followed),
    fc.array(anyEvent, { maxLength: 60 }),
  )
  .map(([beginning, events]) => [...beginning, ...events])

test('whatever happens, each invocation taken is ended once or rejected, and a stop ends the sandbox', () => {
  fc.assert(
    fc.property(anyLife, (events) => {
      const life = live(sandboxMachine, input)
      let starts = 0
      let turns = 1
      const inHand: string[] = []
      const check = ({ asked }: typeof life.born) => {
        for (const { type, params } of asked) {
          const { requestId } = (params ?? {}) as { requestId: string }
          if (type === 'startProcess') starts++
          if (type === 'passTurn') turns--
          if (type === 'end' || type === 'reject') {
            expect(inHand).toContain(requestId)
            inHand.splice(inHand.indexOf(requestId), 1)
          }
        }
      }
      check(life.born)
      for (const event of events) {
        if (life.isOver) break
        const [timer] = life.timers.keys()
        if (event !== 'a timer rings') {
          if (event.type === 'invoke') inHand.push(event.requestId)
          check(life.take(event))
        } else if (timer !== undefined) check(life.ringTimer(timer))
        expect(life.timers.size).toBeLessThanOrEqual(1)
        expect(starts).toBe(life.snapshot.context.run)
        // One in hand while busy, or two, and none otherwise.
        const isBusy = /busy|resetting|outOfMemory/.test(life.state)
        const isFollowed = life.state === 'busy.running.followed'
        expect(inHand.length).toBe(isFollowed ? 2 : isBusy ? 1 : 0)
      }
      for (let steps = 0; steps < 10 && !life.isOver; steps++) {
        check(life.take(stop))
        if (!life.isOver) check(life.take(exited(life.snapshot.context.run)))
      }
      expect(life.state).toBe('stopped')
      expect(inHand).toEqual([])
      // The turn to start was given back exactly once.
      expect(turns).toBe(0)
    }),
  )
})
