/**
 * Queue: where the events of one function go, as the leading state manager sees it; and, with kind `shared`, one of the
 * queues that functions share.
 *
 *     shared ──too many wait, or its concurrency asks──▶ splitting ──nothing left behind──▶ dedicated
 *        ▲                                                   ▲                                │ idle for a while
 *        └──────────── nothing left ── merging ──────────────┴────────────────────────────────┘
 *
 * Nobody moves the queue as a whole: new events go to the new place from one moment on, and what is in the old one is
 * worked off there, or set aside by its readers. So nothing is lost or doubled, whenever anybody dies.
 * Source: AWS Compute Blog, "Handling billions of invocations – best practices from AWS Lambda" (2025): shuffle sharding,
 * automated isolation.
 */
import { setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** Milliseconds; `splitAt`: events of the function that wait in shared queues. */
export type QueueInput = {
  /** Absent: a shared queue. */
  functionName: string | undefined
  /** A leader before has shown it: events go there already. */
  isShown: boolean
  lanes: number
  splitAt: number
  mergeAfterMs: number
  settleMs: number
}

/** What everyone else sees: front ends choose by it, the leasing service makes leases of its lanes. */
export type QueueRecord = {
  kind: 'shared' | 'dedicated'
  functionName?: string
  state: 'shared' | 'splitting' | 'dedicated' | 'merging'
  lanes: number
  /** Whether new events go there. */
  takes: boolean
}

export type QueueEvent =
  /**
   * How many events of the function wait in shared queues, how many in its own; and whether its concurrency setting asks
   * for a queue of its own.
   */
  { type: 'seen'; elsewhere: number; own: number; asks: boolean }

const effects = {
  /** Shows it to everyone. */
  publish: effect<{ record: QueueRecord }>(),
  /** There is no such queue any more. */
  withdraw: effect(),
}

type Seen = { context: QueueInput; event: QueueEvent }

const base = setup({
  types: {} as { input: QueueInput; context: QueueInput; events: QueueEvent },
  actions: effects,
  guards: {
    isCommon: ({ context }) => context.functionName === undefined,
    isShown: ({ context }) => context.isShown,
    wantsItsOwn: ({ context, event }: Seen) =>
      event.asks || event.own > 0 || event.elsewhere > context.splitAt,
    wantsItAgain: ({ context, event }: Seen) => event.asks || event.elsewhere > context.splitAt,
    isLeftBehind: ({ event }: Seen) => event.elsewhere > 0,
    isIdle: ({ event }: Seen) => !event.asks && event.own === 0 && event.elsewhere === 0,
    hasWork: ({ event }: Seen) => event.asks || event.own > 0,
    isEmpty: ({ event }: Seen) => event.own === 0,
  },
  delays: {
    mergeAfter: ({ context }) => context.mergeAfterMs,
    settle: ({ context }) => context.settleMs,
  },
})

const show = (state: QueueRecord['state'], takes: boolean) =>
  base.enqueueActions(({ context, enqueue }) => {
    const { functionName, lanes } = context
    const record: QueueRecord =
      functionName === undefined
        ? { kind: 'shared', state, lanes, takes }
        : { kind: 'dedicated', functionName, state, lanes, takes }
    enqueue({ type: 'publish', params: { record } })
  })

const machine = base
  .extend({
    actions: {
      showCommon: show('shared', true),
      showSplitting: show('splitting', true),
      showDedicated: show('dedicated', true),
      showMerging: show('merging', false),
    },
  })
  .createMachine({
    id: 'queue',
    context: ({ input }) => input,
    initial: 'beginning',
    states: {
      beginning: {
        description: 'It is seen for the first time.',
        always: [
          { guard: 'isCommon', target: 'common' },
          { guard: 'isShown', target: 'splitting' },
          { target: 'shared' },
        ],
      },
      common: {
        description: 'A queue that functions share.',
        entry: 'showCommon',
      },
      shared: {
        description: 'The function has no queue of its own; its events go to shared ones.',
        on: { seen: { guard: 'wantsItsOwn', target: 'splitting' } },
      },
      splitting: {
        description: 'New events go to its own queue; some are left in shared ones.',
        entry: 'showSplitting',
        on: { seen: [{ guard: 'isLeftBehind' }, { target: 'dedicated' }] },
      },
      dedicated: {
        description: 'All its events are in its own queue.',
        entry: 'showDedicated',
        initial: 'busy',
        states: {
          busy: {
            description: 'There is something in it, or its concurrency asks for it.',
            on: { seen: { guard: 'isIdle', target: 'idle' } },
          },
          idle: {
            description: 'There is nothing in it.',
            on: { seen: { guard: 'hasWork', target: 'busy' } },
            after: { mergeAfter: '#queue.merging' },
          },
        },
      },
      merging: {
        description: 'New events go to shared queues again; some may be left in its own.',
        entry: 'showMerging',
        initial: 'settling',
        on: { seen: { guard: 'wantsItAgain', target: 'splitting' } },
        states: {
          settling: {
            description: 'Everyone is to hear of it before anything is looked for.',
            after: { settle: 'emptying' },
          },
          emptying: {
            description: 'What is left in it is worked off.',
            on: { seen: { guard: 'isEmpty', target: '#queue.shared', actions: 'withdraw' } },
          },
        },
      },
    },
    options: { maxIterations: 1000 },
  })

export const queueMachine = withEffects(machine, effects)
