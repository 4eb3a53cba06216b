/**
 * Sandboxes of one worker: starts and kills their processes, hands them invocations, writes their log, and tells pools
 * and callers what became of them.
 *
 * What a process says is given to the machine as an event with the number of its run; bytes (payloads, output) stay in
 * the table here and pass by the machine.
 */
import type { Answers } from '../bus/answers.ts'
import type { Bus, Clock, Log, Msg } from '../bus/bus.ts'
import { hexOf } from '../bus/code.ts'
import { FleetingMap } from '../bus/fleeting-map.ts'
import type { LogWriter } from '../bus/logs.ts'
import {
  endLine,
  type LogTail,
  logGroupName,
  logStreamName,
  logTail,
  type Report,
  reportLine,
  startLine,
} from '../edges/log-lines.ts'
import type { MemoryWatch } from '../edges/memory-watch.ts'
import type { PackageCache } from '../edges/package-cache.ts'
import { type RuntimeProcess, startRuntime } from '../edges/runtime-process.ts'
import { sandboxEnvironment } from '../edges/sandbox-environment.ts'
import type { Generation } from '../machines/function.ts'
import { type InvocationEnd, sandboxMachine } from '../machines/sandbox.ts'
import { type Host, host } from './actor.ts'
import { type Ending, type Errand, endingHeaders } from './invocation-message.ts'
import { outcomeOf, type Told } from './invocation-outcome.ts'
import { tellPool } from './pool-messages.ts'

/** What a sandbox is made for. */
export type SandboxOrder = {
  sandboxId: string
  pool: string
  functionName: string
  generation: Generation
}

export type SandboxSeen = {
  sandboxId: string
  pool: string
  functionName: string
  state: string
  pid: number | undefined
  memoryMb: number
}

export type Sandboxes = {
  host: Host<typeof sandboxMachine>
  start(order: SandboxOrder): void
  /** An invocation for one of them; answered through the message, in every case. */
  invoke(sandboxId: string, errand: Errand, message: Msg): void
  /** Gives an invocation back that has not begun: it is answered as missed. */
  takeBack(sandboxId: string, requestId: string): void
  list(): SandboxSeen[]
  /** Those that nobody has used for a while, longest unused first; not those of the pool that asks. */
  unused(askingPool?: string): { sandboxId: string; memoryMb: number }[]
  /** SIGKILLs every process, without a word to anybody: for the end of this process. */
  killAll(): void
}

export type SandboxesBinding = {
  bus: Bus
  answers: Pick<Answers, 'give'>
  workerId: string
  partitions: number
  clock: Clock
  log: Log
  logs: LogWriter
  packages: PackageCache
  memory: MemoryWatch
  newId: () => string
  region: string
  /** The Node binary of each runtime. */
  nodes: Record<string, string>
  initTimeoutMs: number
  queued(sandboxId: string): void
  turnPassed(sandboxId: string): void
  stopped(sandboxId: string): void
}

/** An invocation that a sandbox was offered: until it is rejected or has ended. */
type Offer = {
  errand: Errand
  message: Msg
  tail: LogTail | undefined
  /** When the handler was given the event, by the monotonic clock; undefined before. */
  deliveredAtMs: number | undefined
}

type Sandbox = Told & {
  order: SandboxOrder
  logStream: string
  taskRoot: string
  process: RuntimeProcess | undefined
  /** Time of the init that has not been reported with an invocation yet. */
  initDurationMs: number | undefined
  startedAtMs: number
  maxMemoryBytes: number
  /** When it was last made, given an event, or done with one. */
  usedAtMs: number
}

const VERSION = '$LATEST'
const MIB = 1_048_576
/** A SIGKILLed process is gone in a few ms; one in an uninterruptible wait may never be. */
const EXIT_TIMEOUT_MS = 2_000
/** As long as a front end holds on to one for its next request (config.ts, lingerMs): sooner, it would be missed. */
const UNUSED_AFTER_MS = 1_000

export function openSandboxes(binding: SandboxesBinding): Sandboxes {
  const { bus, answers, workerId, partitions, clock, log, logs, packages, memory } = binding
  const table = new Map<string, Sandbox>()
  /** By request id. */
  const offers = new FleetingMap<Offer>()

  const of = (sandboxId: string): Sandbox => {
    const found = table.get(sandboxId)
    if (found === undefined) throw new Error(`no sandbox ${sandboxId}`)
    return found
  }
  const tell = (sandboxId: string, event: Parameters<typeof tellPool>[3]) =>
    tellPool(bus, partitions, of(sandboxId).order.pool, event)

  const offered = (requestId: string): Offer => {
    const found = offers.get(requestId)
    if (found === undefined) throw new Error(`no invocation ${requestId}`)
    return found
  }

  /** Who is killed cannot report itself. */
  const noteMemory = (sandbox: Sandbox, pid: number | undefined): void => {
    const bytes = pid === undefined ? undefined : memory.measure(pid)
    sandbox.maxMemoryBytes = Math.max(sandbox.maxMemoryBytes, bytes ?? 0)
  }

  const write = (sandbox: Sandbox, requestId: string, text: string): void => {
    offers.get(requestId)?.tail?.add(text)
    logs.write(sandbox.order.functionName, {
      stream: sandbox.logStream,
      ...(requestId === '' ? {} : { requestId }),
      atMs: clock.nowMs(),
      text,
    })
  }

  const respond = ({ reply }: Msg, payload: Uint8Array | undefined, ending: Ending): void => {
    if (reply !== undefined) answers.give(reply, payload ?? 'missed', endingHeaders(ending))
  }

  const sandboxes = host(sandboxMachine, {
    clock,
    log,
    duties: {
      queueForStart: (_, id) => binding.queued(id),
      passTurn: (_, id) => binding.turnPassed(id),
      provision: async (_, id) => {
        const sandbox = of(id)
        const sha256 = hexOf(sandbox.order.generation.code.sha256)
        try {
          sandbox.taskRoot = await packages.unpack(sha256)
          // Stopped meanwhile: nobody else will give it back.
          if (!table.has(id)) packages.release(sha256)
          else sandboxes.send(id, { type: 'provisioned' })
        } catch (error) {
          if (!table.has(id)) return
          log.error({ code: 'SANDBOX_UNPROVISIONED', sandboxId: id, err: error }, 'no code')
          sandboxes.send(id, { type: 'unprovisioned', reason: (error as Error).message })
        }
      },
      startProcess: ({ run }, id) => startProcess(id, run),
      killProcess: (_, id) => {
        const sandbox = of(id)
        noteMemory(sandbox, sandbox.process?.pid)
        sandbox.process?.kill()
      },
      deliver: ({ requestId }, id) => deliver(id, requestId),
      end: ({ how, requestId }, id) => end(id, requestId, how),
      reject: ({ requestId }) => {
        const { message } = offered(requestId)
        offers.delete(requestId)
        respond(message, undefined, { how: 'missed' })
      },
      reportReady: (_, id) =>
        tell(id, { type: 'ready', sandboxId: id, workerId, atMs: clock.nowMs() }),
      reportFree: (_, id) =>
        tell(id, { type: 'freed', seats: [{ sandboxId: id, workerId }], atMs: clock.nowMs() }),
      reportStopped: ({ reason }, id) => {
        log.debug({ sandboxId: id, reason }, 'sandbox stopped')
        tell(id, { type: 'stopped', sandboxId: id, workerId })
      },
    },
    ended: (id) => {
      const { order, taskRoot } = of(id)
      if (taskRoot !== '') packages.release(hexOf(order.generation.code.sha256))
      table.delete(id)
      binding.stopped(id)
    },
  })

  const startProcess = (id: string, run: number): void => {
    const sandbox = of(id)
    const { functionName, generation } = sandbox.order
    const { settings } = generation
    sandbox.startedAtMs = clock.monotonicMs()
    sandbox.exit = undefined
    sandbox.initError = undefined
    const nodePath = binding.nodes[settings.runtime]
    const environment = sandboxEnvironment({
      functionName,
      version: VERSION,
      handler: settings.handler,
      runtime: settings.runtime,
      memoryMb: settings.memoryMb,
      region: binding.region,
      logGroup: logGroupName(functionName),
      logStream: sandbox.logStream,
      taskRoot: sandbox.taskRoot,
      initializationType: 'on-demand',
      variables: settings.environment ?? {},
    })
    const process = startRuntime(
      {
        ...(nodePath === undefined ? {} : { nodePath }),
        taskRoot: sandbox.taskRoot,
        handler: settings.handler,
        environment,
        memoryMb: settings.memoryMb,
        compileCacheDir: packages.compileCacheDir(hexOf(generation.code.sha256)),
      },
      {
        ready: (initDurationMs) => {
          sandbox.initDurationMs = initDurationMs
          sandboxes.send(id, { type: 'ready', run })
        },
        initFailed: (payload, errorType) => {
          sandbox.initError = { payload, errorType }
          sandboxes.send(id, { type: 'initFailed', run })
        },
        answered: (answer) => {
          sandbox.answer = answer
          sandbox.maxMemoryBytes = Math.max(sandbox.maxMemoryBytes, answer.maxMemoryBytes)
          sandboxes.send(id, { type: 'answered', run, requestId: answer.requestId })
        },
        wrote: (bytes) => write(sandbox, inHand(id), Buffer.from(bytes).toString()),
        exited: (exit) => {
          if (process.pid !== undefined) memory.forget(process.pid)
          sandbox.exit = exit
          sandboxes.send(id, { type: 'exited', run })
        },
      },
    )
    sandbox.process = process
    if (process.pid !== undefined) {
      memory.watch(process.pid, settings.memoryMb * MIB, () =>
        sandboxes.send(id, { type: 'overMemory', run }),
      )
    }
  }

  const inHand = (id: string): string => sandboxes.snapshot(id)?.context.requestId ?? ''

  const deliver = (id: string, requestId: string): void => {
    const sandbox = of(id)
    const offer = offered(requestId)
    const { errand, message } = offer
    offer.deliveredAtMs = clock.monotonicMs()
    sandbox.usedAtMs = offer.deliveredAtMs
    sandbox.process?.invoke(
      {
        requestId,
        deadlineMs: clock.nowMs() + sandbox.order.generation.settings.timeoutSeconds * 1000,
        invokedFunctionArn: errand.arn,
        ...(errand.traceId === undefined ? {} : { traceId: errand.traceId }),
        ...(errand.clientContext === undefined ? {} : { clientContext: errand.clientContext }),
      },
      message.data,
    )
    // After it, because the handler need not wait for its log; nothing of its output can have come yet.
    write(sandbox, requestId, startLine(requestId, VERSION))
  }

  const end = (id: string, requestId: string, how: InvocationEnd): void => {
    const sandbox = of(id)
    const { message, tail, deliveredAtMs } = offered(requestId)
    // An init that failed inside the invocation never got to START.
    if (deliveredAtMs === undefined) write(sandbox, requestId, startLine(requestId, VERSION))
    const { timeoutSeconds } = sandbox.order.generation.settings
    const { payload, isError, failure } = outcomeOf(sandbox, how, requestId, timeoutSeconds)
    const outcome = isError ? 'error' : 'result'
    // The caller is answered before its log is written, unless the log's end is a part of the answer.
    if (tail === undefined) respond(message, payload, { how: outcome })
    const report: Report = {
      requestId,
      durationMs: clock.monotonicMs() - (deliveredAtMs ?? sandbox.startedAtMs),
      memoryMb: sandbox.order.generation.settings.memoryMb,
      maxMemoryBytes: sandbox.maxMemoryBytes,
      ...(sandbox.initDurationMs === undefined ? {} : { initDurationMs: sandbox.initDurationMs }),
      ...(failure === undefined ? {} : { failure }),
    }
    write(sandbox, requestId, endLine(requestId) + reportLine(report))
    if (tail !== undefined) respond(message, payload, { how: outcome, logResult: tail.read() })
    sandbox.usedAtMs = clock.monotonicMs()
    sandbox.initDurationMs = undefined
    sandbox.answer = undefined
    offers.delete(requestId)
  }

  return {
    host: sandboxes,
    start(order) {
      table.set(order.sandboxId, {
        order,
        logStream: logStreamName(
          new Date(clock.nowMs()),
          VERSION,
          binding.newId().replaceAll('-', ''),
        ),
        taskRoot: '',
        process: undefined,
        initDurationMs: undefined,
        startedAtMs: 0,
        answer: undefined,
        initError: undefined,
        exit: undefined,
        maxMemoryBytes: 0,
        usedAtMs: clock.monotonicMs(),
      })
      sandboxes.start(order.sandboxId, {
        initTimeoutMs: binding.initTimeoutMs,
        invokeTimeoutMs: order.generation.settings.timeoutSeconds * 1000,
        exitTimeoutMs: EXIT_TIMEOUT_MS,
      })
    },
    invoke(sandboxId, errand, message) {
      if (sandboxes.snapshot(sandboxId) === undefined) {
        respond(message, undefined, { how: 'missed' })
        return
      }
      const tail = errand.tail === true ? logTail() : undefined
      offers.set(errand.requestId, { errand, message, tail, deliveredAtMs: undefined })
      const { requestId, ahead } = errand
      sandboxes.send(sandboxId, { type: 'invoke', requestId, isAhead: ahead === true })
    },
    takeBack(sandboxId, requestId) {
      const offer = offers.get(requestId)
      // What has begun stays, and what is not there has come to its end or never came.
      if (offer === undefined || offer.deliveredAtMs !== undefined) return
      sandboxes.send(sandboxId, { type: 'takeBack', requestId })
    },
    list: () =>
      [...table.values()].map(({ order, process }) => ({
        sandboxId: order.sandboxId,
        pool: order.pool,
        functionName: order.functionName,
        state: outermost(sandboxes.snapshot(order.sandboxId)?.value ?? 'stopped'),
        pid: process?.pid,
        memoryMb: order.generation.settings.memoryMb,
      })),
    unused(askingPool) {
      const before = clock.monotonicMs() - UNUSED_AFTER_MS
      return [...table]
        .filter(([id, { order, usedAtMs }]) => {
          const state = sandboxes.snapshot(id)?.value
          const isFree = state === 'idle' || state === 'dormant'
          return isFree && usedAtMs <= before && order.pool !== askingPool
        })
        .sort(([, a], [, b]) => a.usedAtMs - b.usedAtMs)
        .map(([sandboxId, { order }]) => ({
          sandboxId,
          memoryMb: order.generation.settings.memoryMb,
        }))
    },
    killAll() {
      for (const { process } of table.values()) process?.kill()
    },
  }
}

const outermost = (value: string | object): string =>
  typeof value === 'string' ? value : (Object.keys(value)[0] ?? '')
