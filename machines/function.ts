/**
 * Function: one Lambda function, as the control plane sees it.
 *
 *     absent ──create──▶ pending ──prepared──▶ active ──update──▶ updating ──prepared──▶ active
 *                           │ unprepared                            │ unprepared
 *                           ▼                                       ▼
 *                         failed ◀──nothing served yet── active, the update failed; the old code serves
 *
 *     delete, from anywhere ──▶ deleted
 *
 * What is shown (settings, state, revision) and what serves (a generation of code and settings) are two things: while an
 * update is in progress, the old generation goes on serving. What is said of invocations (retries, destinations, recursion,
 * reserved concurrency) belongs to neither: it may change at any time, and holds from then on for what is running already.
 * Source: AWS Lambda Developer Guide, "Lambda function states".
 */
import { assign, setup } from 'xstate'
import { effect, withEffects } from './effect.ts'

/** What a user configures. `timeoutSeconds` 1–900, `memoryMb` 128–10240: AWS Lambda quotas. */
export type FunctionSettings = {
  runtime: string
  handler: string
  role: string
  description: string
  timeoutSeconds: number
  memoryMb: number
  environment: Record<string, string> | undefined
  /** An SQS queue or SNS topic. Absent: none; in a change, the empty text takes it away. */
  deadLetterTargetArn?: string | undefined
}

/** What becomes of asynchronous invocations. What is absent is AWS's default: 2 retries, 6 hours, no destination. */
export type EventInvokeConfig = EventInvokeChange & {
  /** ISO 8601. */
  lastModified: string
}

/**
 * `maximumRetryAttempts` 0–2, `maximumEventAgeSeconds` 60–21600: Lambda API, PutFunctionEventInvokeConfig. `onSuccess` and
 * `onFailure` are ARNs of destinations; in a change, the empty text takes one away.
 */
export type EventInvokeChange = {
  maximumRetryAttempts?: number
  maximumEventAgeSeconds?: number
  onSuccess?: string
  onFailure?: string
}

/** What becomes of a function that calls itself in a circle. AWS's default is Terminate. */
export type RecursiveLoop = 'Allow' | 'Terminate'

/** A zip package: SHA-256 as base64 (AWS's CodeSha256), size in bytes. */
export type FunctionCode = { sha256: string; sizeBytes: number }

/** One generation: code and settings that belong together. Each has pools and sandboxes of its own. */
export type Generation = { id: string; settings: FunctionSettings; code: FunctionCode }

/**
 * What the rest of the system knows about a function. `step` grows with each change and fences late writers;
 * `incarnation` tells a function from an earlier one of the same name.
 */
export type FunctionRecord = {
  name: string
  incarnation: string
  step: number
  settings: FunctionSettings
  code: FunctionCode
  tags: Record<string, string>
  revisionId: string
  /** ISO 8601. */
  lastModified: string
  state: 'Pending' | 'Active' | 'Failed'
  lastUpdate: 'none' | 'InProgress' | 'Successful' | 'Failed'
  reason: string | undefined
  /** Absent until the first generation is prepared. */
  serving: Generation | undefined
  /** By qualifier: what asynchronous invocation does with this function. Absent in records written before it was built. */
  eventInvoke?: Record<string, EventInvokeConfig>
  recursiveLoop?: RecursiveLoop
  /** Kept for this function, and the most that it gets; 0 stops it. Absent: it shares what nobody has reserved. */
  reservedConcurrency?: number
}

/** `reply` is where the answer goes; `at`, `revisionId` and `generation` come from outside: clock and chance. */
type Request = { reply: string; at: string; revisionId: string }
type Guarded = Request & { expectedRevisionId?: string | undefined }

export type FunctionEvent =
  | ({
      type: 'create'
      name: string
      incarnation: string
      generation: string
      settings: FunctionSettings
      code: FunctionCode
      tags: Record<string, string>
    } & Request)
  | ({ type: 'updateCode'; generation: string; code: FunctionCode } & Guarded)
  | ({
      type: 'updateConfiguration'
      generation: string
      settings: Partial<FunctionSettings>
    } & Guarded)
  | ({ type: 'tag'; tags: Record<string, string> } & Request)
  | ({ type: 'untag'; keys: string[] } & Request)
  | ({ type: 'putEventInvoke'; qualifier: string; change: EventInvokeChange } & Request)
  | ({ type: 'updateEventInvoke'; qualifier: string; change: EventInvokeChange } & Request)
  | ({ type: 'deleteEventInvoke'; qualifier: string } & Request)
  | ({ type: 'setRecursiveLoop'; recursiveLoop: RecursiveLoop } & Request)
  | ({ type: 'reserveConcurrency'; reservedConcurrency: number } & Request)
  | ({ type: 'releaseConcurrency' } & Request)
  | ({ type: 'delete' } & Request)
  | { type: 'prepared'; generation: string }
  | { type: 'unprepared'; generation: string; reason: string }

/** Why a request was not carried out; the actor knows the AWS error for each. */
export type FunctionRefusal =
  | 'absent'
  | 'exists'
  | 'updating'
  | 'stale revision'
  | 'no event invoke config'
export type FunctionAnswer = { record: FunctionRecord } | { refused: FunctionRefusal }

type Context = { record: FunctionRecord | undefined; next: Generation | undefined }

const effects = {
  /** Tells the asker how its request ended. */
  answer: effect<{ reply: string; answer: FunctionAnswer }>(),
  /** Checks that the code of a generation can be served; ends in `prepared` or `unprepared`. */
  prepare: effect<{ name: string; generation: Generation }>(),
  /** Shows the record to the rest of the system. */
  publish: effect<{ record: FunctionRecord }>(),
  /** Takes the record away from the rest of the system. */
  withdraw: effect<{ record: FunctionRecord }>(),
}

const replyOf = (event: FunctionEvent) => ('reply' in event ? event.reply : '')
const current = (context: Context): FunctionRecord => {
  if (context.record === undefined) throw new Error('a function that is not there has no record')
  return context.record
}

/** A next record: one step on, revised and dated by the request that asks for it. */
const revise = (
  record: FunctionRecord,
  event: { at: string; revisionId: string },
  changes: Partial<FunctionRecord>,
): FunctionRecord => ({
  ...record,
  ...changes,
  step: record.step + 1,
  revisionId: event.revisionId,
  lastModified: event.at,
})

/** A record one step on that the user sees no revision of: what stands beside the settings. */
const stepped = (record: FunctionRecord, changes: Partial<FunctionRecord>): FunctionRecord => ({
  ...record,
  ...changes,
  step: record.step + 1,
})

/** The settings with what a change takes away taken away. */
function cleared({ deadLetterTargetArn, ...settings }: FunctionSettings): FunctionSettings {
  return deadLetterTargetArn ? { ...settings, deadLetterTargetArn } : settings
}

function configOf(
  { onSuccess, onFailure, ...numbers }: EventInvokeChange,
  lastModified: string,
): EventInvokeConfig {
  return {
    ...numbers,
    ...(onSuccess ? { onSuccess } : {}),
    ...(onFailure ? { onFailure } : {}),
    lastModified,
  }
}

/** What is set for that qualifier; undefined when nothing is. */
export const eventInvokeOf = (
  { eventInvoke = {} }: FunctionRecord,
  qualifier: string,
): EventInvokeConfig | undefined =>
  Object.hasOwn(eventInvoke, qualifier) ? eventInvoke[qualifier] : undefined

const base = setup({
  types: {} as { context: Context; events: FunctionEvent },
  actions: {
    ...effects,
    create: assign(({ event }) => {
      if (event.type !== 'create') return {}
      const { name, incarnation, code, tags, revisionId, at, generation } = event
      const settings = cleared(event.settings)
      return {
        next: { id: generation, settings, code },
        record: {
          name,
          incarnation,
          step: 1,
          settings,
          code,
          tags,
          revisionId,
          lastModified: at,
          state: 'Pending' as const,
          lastUpdate: 'none' as const,
          reason: undefined,
          serving: undefined,
        },
      }
    }),
    beginUpdate: assign(({ context, event }) => {
      if (event.type !== 'updateCode' && event.type !== 'updateConfiguration') return {}
      const record = current(context)
      const settings =
        event.type === 'updateConfiguration'
          ? cleared({ ...record.settings, ...event.settings })
          : record.settings
      const code = event.type === 'updateCode' ? event.code : record.code
      return {
        next: { id: event.generation, settings, code },
        record: revise(record, event, {
          settings,
          code,
          lastUpdate: 'InProgress',
          reason: undefined,
        }),
      }
    }),
    serveNext: assign(({ context }) => {
      const record = current(context)
      return {
        next: undefined,
        record: {
          ...record,
          step: record.step + 1,
          state: 'Active' as const,
          lastUpdate: 'Successful' as const,
          reason: undefined,
          serving: context.next,
        },
      }
    }),
    giveUpNext: assign(({ context, event }) => {
      const record = current(context)
      const reason = event.type === 'unprepared' ? event.reason : undefined
      return {
        next: undefined,
        record: {
          ...record,
          step: record.step + 1,
          state: record.serving === undefined ? ('Failed' as const) : record.state,
          // A first generation is no update; one that was to mend a failed function is.
          lastUpdate: record.lastUpdate === 'none' ? ('none' as const) : ('Failed' as const),
          reason,
        },
      }
    }),
    addTags: assign(({ context, event }) => {
      if (event.type !== 'tag') return {}
      const record = current(context)
      return { record: stepped(record, { tags: { ...record.tags, ...event.tags } }) }
    }),
    removeTags: assign(({ context, event }) => {
      if (event.type !== 'untag') return {}
      const record = current(context)
      const tags = Object.fromEntries(
        Object.entries(record.tags).filter(([key]) => !event.keys.includes(key)),
      )
      return { record: stepped(record, { tags }) }
    }),
    setEventInvoke: assign(({ context, event }) => {
      if (event.type !== 'putEventInvoke' && event.type !== 'updateEventInvoke') return {}
      const { qualifier, change, at } = event
      const record = current(context)
      const before = event.type === 'updateEventInvoke' ? eventInvokeOf(record, qualifier) : {}
      const config = configOf({ ...before, ...change }, at)
      return {
        record: stepped(record, { eventInvoke: { ...record.eventInvoke, [qualifier]: config } }),
      }
    }),
    removeEventInvoke: assign(({ context, event }) => {
      if (event.type !== 'deleteEventInvoke') return {}
      const record = current(context)
      const { [event.qualifier]: _, ...eventInvoke } = record.eventInvoke ?? {}
      return { record: stepped(record, { eventInvoke }) }
    }),
    setRecursiveLoop: assign(({ context, event }) => {
      if (event.type !== 'setRecursiveLoop') return {}
      return { record: stepped(current(context), { recursiveLoop: event.recursiveLoop }) }
    }),
    reserveConcurrency: assign(({ context, event }) => {
      if (event.type !== 'reserveConcurrency') return {}
      const { reservedConcurrency } = event
      return { record: stepped(current(context), { reservedConcurrency }) }
    }),
    releaseConcurrency: assign(({ context }) => {
      const { reservedConcurrency: _, ...record } = current(context)
      return { record: stepped(record, {}) }
    }),
  },
  guards: {
    isStaleRevision: ({ context, event }) =>
      'expectedRevisionId' in event &&
      event.expectedRevisionId !== undefined &&
      event.expectedRevisionId !== context.record?.revisionId,
    hasNoEventInvoke: ({ context, event }) =>
      'qualifier' in event && eventInvokeOf(current(context), event.qualifier) === undefined,
    // A preparation may end after its update was itself overtaken by a delete and a new create.
    isNextGeneration: ({ context, event }) =>
      'generation' in event && event.generation === context.next?.id,
    // One that never served has nothing to fall back to.
    isNextOfNone: ({ context, event }) =>
      'generation' in event &&
      event.generation === context.next?.id &&
      context.record?.serving === undefined,
  },
})

/** How an update begins wherever one may. */
const update = [
  { guard: 'isStaleRevision', actions: 'refuseStale' },
  {
    target: 'updating',
    actions: ['beginUpdate', 'publishRecord', 'answerRecord', 'prepareNext'],
  },
] as const

const machine = base
  .extend({
    actions: {
      refuseAbsent: base.enqueueActions(({ event, enqueue }) =>
        enqueue({
          type: 'answer',
          params: { reply: replyOf(event), answer: { refused: 'absent' } },
        }),
      ),
      refuseExists: base.enqueueActions(({ event, enqueue }) =>
        enqueue({
          type: 'answer',
          params: { reply: replyOf(event), answer: { refused: 'exists' } },
        }),
      ),
      refuseUpdating: base.enqueueActions(({ event, enqueue }) =>
        enqueue({
          type: 'answer',
          params: { reply: replyOf(event), answer: { refused: 'updating' } },
        }),
      ),
      refuseStale: base.enqueueActions(({ event, enqueue }) =>
        enqueue({
          type: 'answer',
          params: { reply: replyOf(event), answer: { refused: 'stale revision' } },
        }),
      ),
      refuseUnconfigured: base.enqueueActions(({ event, enqueue }) =>
        enqueue({
          type: 'answer',
          params: { reply: replyOf(event), answer: { refused: 'no event invoke config' } },
        }),
      ),
      answerRecord: base.enqueueActions(({ context, event, enqueue }) =>
        enqueue({
          type: 'answer',
          params: { reply: replyOf(event), answer: { record: current(context) } },
        }),
      ),
      publishRecord: base.enqueueActions(({ context, enqueue }) =>
        enqueue({ type: 'publish', params: { record: current(context) } }),
      ),
      withdrawRecord: base.enqueueActions(({ context, enqueue }) => {
        const record = current(context)
        enqueue({ type: 'withdraw', params: { record: { ...record, step: record.step + 1 } } })
      }),
      prepareNext: base.enqueueActions(({ context, enqueue }) => {
        if (context.next !== undefined) {
          const { name } = current(context)
          enqueue({ type: 'prepare', params: { name, generation: context.next } })
        }
      }),
    },
  })
  .createMachine({
    id: 'function',
    context: { record: undefined, next: undefined },
    initial: 'absent',
    states: {
      absent: {
        description: 'No function of this name; unless it is created, nothing is kept of it.',
        on: {
          create: {
            target: 'existing.pending',
            actions: ['create', 'publishRecord', 'answerRecord', 'prepareNext'],
          },
          updateCode: { target: 'deleted', actions: 'refuseAbsent' },
          updateConfiguration: { target: 'deleted', actions: 'refuseAbsent' },
          tag: { target: 'deleted', actions: 'refuseAbsent' },
          untag: { target: 'deleted', actions: 'refuseAbsent' },
          putEventInvoke: { target: 'deleted', actions: 'refuseAbsent' },
          updateEventInvoke: { target: 'deleted', actions: 'refuseAbsent' },
          deleteEventInvoke: { target: 'deleted', actions: 'refuseAbsent' },
          setRecursiveLoop: { target: 'deleted', actions: 'refuseAbsent' },
          reserveConcurrency: { target: 'deleted', actions: 'refuseAbsent' },
          releaseConcurrency: { target: 'deleted', actions: 'refuseAbsent' },
          delete: { target: 'deleted', actions: 'refuseAbsent' },
        },
      },
      existing: {
        description: 'The function is there, in one of the states AWS shows.',
        initial: 'pending',
        on: {
          create: { actions: 'refuseExists' },
          tag: { actions: ['addTags', 'publishRecord', 'answerRecord'] },
          untag: { actions: ['removeTags', 'publishRecord', 'answerRecord'] },
          putEventInvoke: { actions: ['setEventInvoke', 'publishRecord', 'answerRecord'] },
          updateEventInvoke: [
            { guard: 'hasNoEventInvoke', actions: 'refuseUnconfigured' },
            { actions: ['setEventInvoke', 'publishRecord', 'answerRecord'] },
          ],
          deleteEventInvoke: [
            { guard: 'hasNoEventInvoke', actions: 'refuseUnconfigured' },
            { actions: ['removeEventInvoke', 'publishRecord', 'answerRecord'] },
          ],
          setRecursiveLoop: { actions: ['setRecursiveLoop', 'publishRecord', 'answerRecord'] },
          reserveConcurrency: { actions: ['reserveConcurrency', 'publishRecord', 'answerRecord'] },
          releaseConcurrency: { actions: ['releaseConcurrency', 'publishRecord', 'answerRecord'] },
          delete: { target: 'deleted', actions: ['withdrawRecord', 'answerRecord'] },
        },
        states: {
          pending: {
            description: 'Its first generation is being prepared; it cannot be invoked yet.',
            on: {
              prepared: {
                guard: 'isNextGeneration',
                target: 'active',
                actions: ['serveNext', 'publishRecord'],
              },
              unprepared: {
                guard: 'isNextGeneration',
                target: 'failed',
                actions: ['giveUpNext', 'publishRecord'],
              },
              updateCode: { actions: 'refuseUpdating' },
              updateConfiguration: { actions: 'refuseUpdating' },
            },
          },
          active: {
            description: 'One generation serves, none is being prepared.',
            on: {
              updateCode: update,
              updateConfiguration: update,
            },
          },
          updating: {
            description: 'The next generation is being prepared; the one before, if any, serves.',
            on: {
              prepared: {
                guard: 'isNextGeneration',
                target: 'active',
                actions: ['serveNext', 'publishRecord'],
              },
              unprepared: [
                {
                  guard: 'isNextOfNone',
                  target: 'failed',
                  actions: ['giveUpNext', 'publishRecord'],
                },
                {
                  guard: 'isNextGeneration',
                  target: 'active',
                  actions: ['giveUpNext', 'publishRecord'],
                },
              ],
              updateCode: { actions: 'refuseUpdating' },
              updateConfiguration: { actions: 'refuseUpdating' },
            },
          },
          failed: {
            description: 'The first generation could not be prepared; an update may mend it.',
            on: {
              updateCode: update,
              updateConfiguration: update,
            },
          },
        },
      },
      deleted: { type: 'final', description: 'Gone; the name is free again.' },
    },
    options: { maxIterations: 1000 },
  })

export const functionMachine = withEffects(machine, effects)
