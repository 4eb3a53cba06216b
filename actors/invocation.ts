/**
 * Invocations: what a front end does between a door and a sandbox.
 *
 * The payload never enters the machine: it waits in the table of invocations in hand and leaves as it came. On the warm
 * path this is one lookup in the watched copy of the registry, one seat that is held already, one message to the worker
 * and one back.
 */
import type { Bus, Clock, Log, Msg } from '../bus/bus.ts'
import { FleetingMap } from '../bus/fleeting-map.ts'
import * as subjects from '../bus/subjects.ts'
import {
  isRefusal,
  type Refusal,
  recursiveInvocation,
  refuse,
  type ThrottleReason,
  throttled,
} from '../edges/aws/errors.ts'
import {
  checkPayload,
  type InvokeAnswer,
  type InvokeRequest,
  payloadOrEmptyObject,
} from '../edges/aws/invoke.ts'
import * as lineage from '../edges/aws/lineage.ts'
import { functionArn, type Place, parseFunctionName } from '../edges/aws/names.ts'
import type { FunctionRecord } from '../machines/function.ts'
import { type InvocationRefusal, invocationMachine } from '../machines/invocation.ts'
import type { Seat } from '../machines/reservations.ts'
import { type Host, host } from './actor.ts'
import { endingOf, errandHeaders } from './invocation-message.ts'
import { poolOf } from './pool-messages.ts'
import { QUICK_MS, type Reservations } from './reservations.ts'

export type Invocations = {
  host: Host<typeof invocationMachine>
  /** Runs one Invoke request and answers exactly once. */
  invoke(request: InvokeRequest, answer: (answer: InvokeAnswer) => void): void
  seated(requestId: string, seat: Seat): void
  sentAhead(requestId: string, seat: Seat): void
  begun(requestId: string): void
  calledBack(requestId: string): void
  forsaken(requestId: string): void
  throttled(requestId: string, reason: string): void
  redirected(requestId: string): void
  workerGone(workerId: string): void
  /** Seats on which an invocation runs right now. */
  inUse(): { pool: string; seat: Seat }[]
  /** Resolves when none is in hand. */
  idle(): Promise<void>
}

export type InvocationsBinding = {
  bus: Bus
  clock: Clock
  log: Log
  place: Place
  /** The registry: its watched copy, and a read of the original for what the copy does not have yet. */
  functions: {
    get(name: string): FunctionRecord | undefined
    read(name: string): Promise<FunctionRecord | undefined>
  }
  reservations: Pick<Reservations, 'want' | 'withdraw' | 'finished' | 'lost'>
  reservationTimeoutMs: number
}

type InHand = {
  request: InvokeRequest
  name: string
  qualifier: string | undefined
  answer: (answer: InvokeAnswer) => void
  /** What came back, between its arrival and the step that hears of it. */
  reply: Msg | undefined
  /** Stops waiting for the sandbox. */
  forget: () => void
  /** When it got its seat for itself, by the monotonic clock. */
  begunAtMs: number
}

/** Whoever waits longer stands behind one that is not quick after all. */
const AHEAD_MS = 2 * QUICK_MS
/** DESIGN §6: an answer or an error before the function's deadline + 1 s. */
const OVERDUE_MS = 1_000
const LATEST = '$LATEST'
const nothing = () => {}

export function openInvocations(binding: InvocationsBinding): Invocations {
  const { bus, clock, log, place, functions, reservations } = binding
  const inHand = new FleetingMap<InHand>()
  const whenIdle: (() => void)[] = []

  const taken = (requestId: string): InHand => {
    const found = inHand.get(requestId)
    if (found === undefined) throw new Error(`invocation ${requestId} is not in hand`)
    return found
  }
  const settle = (requestId: string, answer: InvokeAnswer): void => {
    const { answer: tell, forget } = taken(requestId)
    forget()
    inHand.delete(requestId)
    tell(answer)
  }
  const refuseIt = (requestId: string, refusal: Refusal): void =>
    settle(requestId, { kind: 'refused', refusal })

  const decide = (requestId: string, record: FunctionRecord | undefined): void => {
    const { request, qualifier } = taken(requestId)
    if (record === undefined || (qualifier !== undefined && qualifier !== LATEST)) {
      invocations.send(requestId, { type: 'unresolved', refusal: { why: 'no function' } })
    } else if (request.isChecked !== true && checkPayload(request.payload) !== undefined) {
      invocations.send(requestId, { type: 'unresolved', refusal: { why: 'bad payload' } })
    } else if (record.serving === undefined) {
      const { state } = record
      invocations.send(requestId, { type: 'unresolved', refusal: { why: 'not active', state } })
    } else if (request.invocationType === 'DryRun') {
      invocations.send(requestId, { type: 'approved' })
    } else if (record.recursiveLoop !== 'Allow' && isLoop(request, record.name)) {
      invocations.send(requestId, { type: 'unresolved', refusal: { why: 'recursive' } })
    } else if (record.reservedConcurrency === 0) {
      const reason: ThrottleReason = 'ReservedFunctionConcurrentInvocationLimitExceeded'
      invocations.send(requestId, { type: 'unresolved', refusal: { why: 'throttled', reason } })
    } else {
      const timeoutMs = record.serving.settings.timeoutSeconds * 1000
      const pool = poolOf(record, record.serving)
      invocations.send(requestId, { type: 'resolved', pool, timeoutMs })
    }
  }

  const isLoop = ({ traceId }: InvokeRequest, name: string): boolean =>
    traceId !== undefined && lineage.visits(traceId, functionArn(place, name)) >= lineage.visitLimit

  const invocations = host(invocationMachine, {
    clock,
    log,
    duties: {
      resolve: async (_, requestId) => {
        const { name } = taken(requestId)
        const record = functions.get(name)
        // Only what the copy would refuse costs a read: a function made, or active, since a moment ago.
        if (record?.serving !== undefined) decide(requestId, record)
        else {
          const original = await functions.read(name).catch((error) => {
            log.error({ code: 'REGISTRY_UNREADABLE', function: name, err: error }, 'no registry')
            return 'unreadable' as const
          })
          if (!inHand.has(requestId)) return
          if (original !== 'unreadable') decide(requestId, original)
          else invocations.send(requestId, { type: 'unresolved', refusal: { why: 'no registry' } })
        }
      },
      reserve: ({ pool }, requestId) => reservations.want(pool, requestId),
      withdraw: ({ pool }, requestId) => reservations.withdraw(pool, requestId),
      invoke: ({ seat, isAhead }, requestId) => send(requestId, seat, isAhead),
      answer: (_, requestId) => {
        const { reply, request } = taken(requestId)
        if (reply === undefined) throw new Error('answered without an answer')
        const { how, logResult } = endingOf(reply)
        settle(requestId, {
          kind: 'result',
          status: 200,
          executedVersion: LATEST,
          functionError: how === 'error' ? 'Unhandled' : undefined,
          logResult: request.logType === 'Tail' ? logResult : undefined,
          payload: reply.data,
        })
      },
      takeBack: ({ seat: { workerId, sandboxId } }, requestId) => {
        if (bus.up) bus.publish(subjects.sandbox(workerId, sandboxId, 'takeBack'), requestId)
      },
      leave: ({ pool, seat }, requestId) =>
        reservations.finished(pool, seat, clock.monotonicMs() - taken(requestId).begunAtMs),
      loseSeat: ({ pool, seat }) => reservations.lost(pool, seat),
      refuse: ({ refusal }, requestId) => refuseIt(requestId, refusalOf(refusal, taken(requestId))),
      fail: ({ why }, requestId) => {
        log.warn({ requestId, why }, 'an invocation was started and its end is unknown')
        refuseIt(requestId, refuse('ServiceException', unknownEnd))
      },
      approve: (_, requestId) => settle(requestId, { kind: 'dry run' }),
    },
    ended: () => {
      if (invocations.size === 0) for (const tell of whenIdle.splice(0)) tell()
    },
  })

  const send = (requestId: string, { workerId, sandboxId }: Seat, isAhead: boolean): void => {
    const it = taken(requestId)
    const { request } = it
    it.begunAtMs = clock.monotonicMs()
    const headers = errandHeaders({
      requestId,
      arn: functionArn(place, it.name, it.qualifier),
      // From what came with the request each time: one that is sent again is counted once.
      traceId: request.traceId && lineage.next(request.traceId, functionArn(place, it.name)),
      clientContext: request.clientContext,
      ...(request.logType === 'Tail' ? { tail: true } : {}),
      ...(isAhead ? { ahead: true } : {}),
    })
    const subject = subjects.sandbox(workerId, sandboxId, 'invoke')
    const payload = payloadOrEmptyObject(request.payload)
    it.forget = bus.ask(subject, payload, { headers }, (outcome) => {
      if (typeof outcome === 'string' || endingOf(outcome).how === 'missed') {
        invocations.send(requestId, { type: 'missed' })
      } else {
        it.reply = outcome
        invocations.send(requestId, { type: 'answered' })
      }
    })
  }

  const refusalOf = (refusal: InvocationRefusal, { request, name, qualifier }: InHand): Refusal => {
    switch (refusal.why) {
      case 'no function':
        // The qualified ARN, also for an unqualified Invoke: lambda-semantics.md §1.8.
        return refuse(
          'ResourceNotFoundException',
          `Function not found: ${functionArn(place, name, qualifier ?? LATEST)}`,
        )
      case 'bad payload':
        return checkPayload(request.payload) ?? refuse('ServiceException', unknownEnd)
      case 'not active':
        return refuse(
          'ResourceConflictException',
          `The operation cannot be performed at this time. The function is currently in the following state: ${refusal.state}`,
        )
      case 'recursive':
        return recursiveInvocation()
      case 'no registry':
        return refuse('ServiceException', 'The registry of functions cannot be read right now.')
      case 'throttled':
        return throttled(refusal.reason as ThrottleReason)
      case 'no sandbox in time':
        return throttled('ConcurrentInvocationLimitExceeded')
    }
  }

  return {
    host: invocations,
    invoke(request, answer) {
      const { functionName, qualifier } = request
      const parsed = parseFunctionName(functionName, qualifier, { ...place, operation: 'Invoke' })
      if (isRefusal(parsed)) {
        answer({ kind: 'refused', refusal: parsed })
        return
      }
      const it = { request, ...parsed, answer, reply: undefined, forget: nothing, begunAtMs: 0 }
      inHand.set(request.requestId, it)
      invocations.start(request.requestId, {
        reservationTimeoutMs: binding.reservationTimeoutMs,
        overdueMs: OVERDUE_MS,
        aheadMs: AHEAD_MS,
      })
    },
    seated: (requestId, seat) => invocations.send(requestId, { type: 'seated', seat }),
    sentAhead: (requestId, seat) => invocations.send(requestId, { type: 'sentAhead', seat }),
    begun(requestId) {
      taken(requestId).begunAtMs = clock.monotonicMs()
      invocations.send(requestId, { type: 'begun' })
    },
    calledBack: (requestId) => invocations.send(requestId, { type: 'calledBack' }),
    forsaken: (requestId) => invocations.send(requestId, { type: 'forsaken' }),
    throttled: (requestId, reason) => invocations.send(requestId, { type: 'throttled', reason }),
    redirected: (requestId) => invocations.send(requestId, { type: 'moved' }),
    workerGone(workerId) {
      for (const requestId of invocations.instances()) {
        invocations.send(requestId, { type: 'workerGone', workerId })
      }
    },
    inUse: () =>
      [...invocations.instances()].flatMap((requestId) => {
        const snapshot = invocations.snapshot(requestId)
        const { pool, seat } = snapshot?.context ?? {}
        return snapshot?.value === 'invoking' && pool !== undefined && seat !== undefined
          ? [{ pool, seat }]
          : []
      }),
    idle: () =>
      invocations.size === 0
        ? Promise.resolve()
        : new Promise((resolve) => whenIdle.push(() => resolve())),
  }
}

const unknownEnd =
  'The invocation was started and its result was lost, because the worker that ran it is gone.'
