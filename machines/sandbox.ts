/**
 * Sandbox: one runtime process at a time, one generation of a function, one invocation at a time.
 *
 *     queued ──turn──▶ provisioning ──▶ initializing ──ready──▶ idle ◀──answered── busy
 *                          │                 │ failed, slow       │ died            │ died, timed out
 *                          ▼                 ▼                    ▼                 ▼
 *                       stopped           dormant ◀───────────────┴──────────── resetting
 *                                            │ invoke
 *                                            ▼
 *                              busy.reviving ──ready──▶ busy.running
 *
 * While it is busy it takes one invocation more if that was sent ahead, which begins when the one in hand is answered. Until
 * then it can be taken back, and it goes back by itself when the one in hand ends in any other way: nothing of it has run.
 *
 * A sandbox outlives its process. When init fails or takes too long, when the runtime dies, and after a timeout, the
 * sandbox is `dormant`: its /tmp is kept, its globals are gone, and the next invocation initialises it again, on that
 * invocation's own time.
 * Source: AWS Lambda Developer Guide, "Lambda execution environment lifecycle".
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds. `exitTimeoutMs`: how long a killed process may take to be gone. */
export type SandboxInput = { initTimeoutMs: number; invokeTimeoutMs: number; exitTimeoutMs: number }

/** `run` numbers the processes of one sandbox: what a process before this one still says is not listened to. */
export type SandboxEvent =
  | { type: 'turn' }
  | { type: 'provisioned' }
  | { type: 'unprovisioned'; reason: string }
  | { type: 'ready'; run: number }
  | { type: 'initFailed'; run: number }
  /** `isAhead`: it may wait for the one in hand, one at most; any other is for a sandbox that is free. */
  | { type: 'invoke'; requestId: string; isAhead: boolean }
  /** The next one is wanted back, if it has not begun. */
  | { type: 'takeBack'; requestId: string }
  | { type: 'answered'; run: number; requestId: string }
  | { type: 'exited'; run: number }
  | { type: 'overMemory'; run: number }
  /** The pool asks whether this sandbox is free, because nobody knows what its last user did with it. */
  | { type: 'reclaim' }
  /** Nobody waits for it any more: it need not start, but if it has begun to, it may go on. */
  | { type: 'callOff' }
  | { type: 'stop' }

/** How an invocation ends. `init error` and `exit` carry what the process said; the actor has it. */
export type InvocationEnd = 'answer' | 'timeout' | 'exit' | 'out of memory' | 'init error'

/** `next`: what waits behind the invocation in hand; it has not begun. */
type Context = SandboxInput & { run: number; requestId: string; next: string }

const effects = {
  /** Asks the worker for a turn to start: starting is CPU work. */
  queueForStart: effect(),
  /** Gives the turn back. */
  passTurn: effect(),
  provision: effect(),
  startProcess: effect<{ run: number }>(),
  /** SIGKILL to all of it; ends in `exited`. */
  killProcess: effect<{ run: number }>(),
  deliver: effect<{ run: number; requestId: string }>(),
  /** Ends the invocation in hand and tells its caller. */
  end: effect<{ requestId: string; how: InvocationEnd }>(),
  /** This invocation was not taken: the caller should look for another sandbox. */
  reject: effect<{ requestId: string }>(),
  reportReady: effect(),
  reportFree: effect(),
  reportStopped: effect<{ reason: string }>(),
}

const inHand = (how: InvocationEnd) => ({
  type: 'end' as const,
  params: ({ context }: { context: Context }) => ({ requestId: context.requestId, how }),
})

const kill = {
  type: 'killProcess' as const,
  params: ({ context }: { context: Context }) => ({ run: context.run }),
}

const deliver = {
  type: 'deliver' as const,
  params: ({ context }: { context: Context }) => ({
    run: context.run,
    requestId: context.requestId,
  }),
}

const rejectNext = {
  type: 'reject' as const,
  params: ({ context }: { context: Context }) => ({ requestId: context.next }),
}

const base = setup({
  types: {} as { input: SandboxInput; context: Context; events: SandboxEvent },
  actions: {
    ...effects,
    nextRun: assign(({ context }) => ({ run: context.run + 1 })),
    takeInHand: assign(({ event }) =>
      event.type === 'invoke' ? { requestId: event.requestId } : {},
    ),
    putDown: assign({ requestId: '' }),
    takeNext: assign(({ event }) => (event.type === 'invoke' ? { next: event.requestId } : {})),
    beginNext: assign(({ context }) => ({ requestId: context.next, next: '' })),
    forgetNext: assign({ next: '' }),
  },
  guards: {
    isThisRun: ({ context, event }) => 'run' in event && event.run === context.run,
    // A process may answer an invocation we already gave up on; only the current one counts.
    isInHand: ({ context, event }) =>
      event.type === 'answered' &&
      event.run === context.run &&
      event.requestId === context.requestId,
    isAhead: ({ event }) => event.type === 'invoke' && event.isAhead,
    isNext: ({ context, event }) => event.type === 'takeBack' && event.requestId === context.next,
  },
  delays: {
    initTimeout: ({ context }) => context.initTimeoutMs,
    invokeTimeout: ({ context }) => context.invokeTimeoutMs,
    exitTimeout: ({ context }) => context.exitTimeoutMs,
  },
})

const machine = base
  .extend({
    actions: {
      /** Nothing has run of it: its caller should look for another sandbox. */
      giveUpNext: base.enqueueActions(({ context, enqueue }) => {
        if (context.next === '') return
        enqueue(rejectNext)
        enqueue('forgetNext')
      }),
    },
  })
  .createMachine({
    id: 'sandbox',
    context: ({ input }) => ({ ...input, run: 0, requestId: '', next: '' }),
    initial: 'queued',
    on: {
      invoke: {
        actions: { type: 'reject', params: ({ event }) => ({ requestId: event.requestId }) },
      },
    },
    states: {
      queued: {
        description: 'Waiting for its turn to start on this worker.',
        entry: 'queueForStart',
        on: {
          turn: 'provisioning',
          callOff: {
            target: 'stopped',
            actions: ['passTurn', { type: 'reportStopped', params: { reason: 'not needed' } }],
          },
          stop: {
            target: 'stopped',
            actions: ['passTurn', { type: 'reportStopped', params: { reason: 'stopped' } }],
          },
        },
      },
      provisioning: {
        description: 'Its code is being brought to this worker and unpacked.',
        entry: 'provision',
        on: {
          provisioned: 'initializing',
          unprovisioned: {
            target: 'stopped',
            actions: [
              'passTurn',
              { type: 'reportStopped', params: ({ event }) => ({ reason: event.reason }) },
            ],
          },
          stop: {
            target: 'stopped',
            actions: ['passTurn', { type: 'reportStopped', params: { reason: 'stopped' } }],
          },
        },
      },
      initializing: {
        description: 'The runtime starts and runs the code outside the handler.',
        entry: [
          'nextRun',
          { type: 'startProcess', params: ({ context }) => ({ run: context.run }) },
        ],
        exit: 'passTurn',
        on: {
          ready: { guard: 'isThisRun', target: 'idle', actions: 'reportReady' },
          initFailed: { guard: 'isThisRun', target: 'dormant', actions: [kill, 'reportReady'] },
          exited: { guard: 'isThisRun', target: 'dormant', actions: 'reportReady' },
          overMemory: { guard: 'isThisRun', target: 'dormant', actions: [kill, 'reportReady'] },
          stop: { target: 'stopping', actions: kill },
        },
        after: { initTimeout: { target: 'dormant', actions: [kill, 'reportReady'] } },
      },
      idle: {
        description: 'Initialised and free.',
        on: {
          invoke: {
            target: 'busy',
            actions: ['takeInHand', deliver],
          },
          exited: { guard: 'isThisRun', target: 'dormant' },
          overMemory: { guard: 'isThisRun', target: 'dormant', actions: kill },
          reclaim: { actions: 'reportFree' },
          stop: { target: 'stopping', actions: kill },
        },
      },
      busy: {
        description: 'An invocation is in hand, and its time runs.',
        initial: 'running',
        on: {
          overMemory: {
            guard: 'isThisRun',
            target: 'outOfMemory',
            actions: ['giveUpNext', kill],
          },
          exited: {
            guard: 'isThisRun',
            target: 'dormant',
            actions: ['giveUpNext', inHand('exit'), 'putDown'],
          },
        },
        // One timeout for both: an init inside an invocation is paid from the invocation's time.
        after: { invokeTimeout: { target: 'resetting', actions: ['giveUpNext', kill] } },
        states: {
          reviving: {
            description: 'The invocation waits while the runtime starts again.',
            entry: [
              'nextRun',
              { type: 'startProcess', params: ({ context }) => ({ run: context.run }) },
            ],
            on: {
              ready: { guard: 'isThisRun', target: 'running', actions: deliver },
              initFailed: {
                guard: 'isThisRun',
                target: '#sandbox.dormant',
                actions: [kill, inHand('init error'), 'putDown'],
              },
            },
          },
          running: {
            description: 'The handler runs.',
            initial: 'alone',
            states: {
              alone: {
                description: 'Nothing else is in hand.',
                on: {
                  invoke: { guard: 'isAhead', target: 'followed', actions: 'takeNext' },
                  answered: {
                    guard: 'isInHand',
                    target: '#sandbox.idle',
                    actions: [inHand('answer'), 'putDown'],
                  },
                },
              },
              followed: {
                description:
                  'The next invocation is in hand too: it begins when this one is answered, and goes back if it is not.',
                on: {
                  takeBack: {
                    guard: 'isNext',
                    target: 'alone',
                    actions: [rejectNext, 'forgetNext'],
                  },
                  answered: {
                    guard: 'isInHand',
                    target: '#sandbox.busy',
                    reenter: true,
                    actions: [inHand('answer'), 'beginNext', deliver],
                  },
                },
              },
            },
          },
        },
      },
      resetting: {
        description: 'The handler took too long; its process is being killed.',
        on: {
          exited: {
            guard: 'isThisRun',
            target: 'dormant',
            actions: [inHand('timeout'), 'putDown'],
          },
        },
        after: {
          exitTimeout: {
            target: 'stopped',
            actions: [
              inHand('timeout'),
              { type: 'reportStopped', params: { reason: 'its process cannot be killed' } },
            ],
          },
        },
      },
      outOfMemory: {
        description: 'The process took more memory than the function has; it is being killed.',
        on: {
          exited: {
            guard: 'isThisRun',
            target: 'dormant',
            actions: [inHand('out of memory'), 'putDown'],
          },
        },
        after: {
          exitTimeout: {
            target: 'stopped',
            actions: [
              inHand('out of memory'),
              { type: 'reportStopped', params: { reason: 'its process cannot be killed' } },
            ],
          },
        },
      },
      dormant: {
        description: 'No process; the next invocation starts one.',
        on: {
          invoke: { target: 'busy.reviving', actions: 'takeInHand' },
          reclaim: { actions: 'reportFree' },
          stop: {
            target: 'stopped',
            actions: { type: 'reportStopped', params: { reason: 'stopped' } },
          },
        },
      },
      stopping: {
        description: 'Its process is being killed; nothing runs in it.',
        on: {
          exited: {
            guard: 'isThisRun',
            target: 'stopped',
            actions: { type: 'reportStopped', params: { reason: 'stopped' } },
          },
        },
        after: {
          exitTimeout: {
            target: 'stopped',
            actions: { type: 'reportStopped', params: { reason: 'stopped' } },
          },
        },
      },
      stopped: { type: 'final', description: 'Gone, with its /tmp.' },
    },
    options: { maxIterations: 1000 },
  })

export const sandboxMachine = withEffects(machine, effects)
